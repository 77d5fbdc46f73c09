"""How Alembic runs our migrations: over the connection that infra/migrate.py hands in, in one transaction."""

from alembic import context

from infra.store.tables import metadata

connection = context.config.attributes.get("connection")
if connection is None:
    raise SystemExit("run `scizor db upgrade` or `python -m infra.migrate`, which know the database")
context.configure(connection=connection, target_metadata=metadata, compare_type=True, transaction_per_migration=False)
with context.begin_transaction():
    context.run_migrations()
