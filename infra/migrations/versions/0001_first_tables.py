"""The first tables."""

from alembic import op

from infra.migrations import beyond_tables
from infra.store.tables import metadata

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    metadata.create_all(op.get_bind(), checkfirst=False)
    for statement in beyond_tables.CREATE:
        op.execute(statement)


def downgrade() -> None:
    for statement in beyond_tables.DROP_BEFORE_TABLES:
        op.execute(statement)
    metadata.drop_all(op.get_bind(), checkfirst=False)
    for statement in beyond_tables.DROP_AFTER_TABLES:
        op.execute(statement)
