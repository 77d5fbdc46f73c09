"""How far a collection run is and how long it will take, and what it did about each symbol."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_COUNTS = ("chunks", "chunks_done", "retries", "sessions", "sessions_complete", "gaps")


def upgrade() -> None:
    for name in ("what", "exchange"):
        _add(sa.Column(name, sa.Text(), server_default="", nullable=False))
    op.add_column("collection_runs", sa.Column("session", sa.Date(), nullable=True))
    for name in _COUNTS:
        _add(sa.Column(name, sa.BigInteger(), server_default="0", nullable=False))
    _add(sa.Column("chunks_per_minute", sa.Float(precision=53), server_default="0", nullable=False))
    op.add_column("collection_runs", sa.Column("eta_seconds", sa.Float(precision=53), nullable=True))
    op.create_table(
        "collection_outcomes",
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("contract_id", sa.BigInteger(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("chunks", sa.BigInteger(), nullable=False),
        sa.Column("bars_received", sa.BigInteger(), nullable=False),
        sa.Column("bars_published", sa.BigInteger(), nullable=False),
        sa.Column("quarantined", sa.BigInteger(), nullable=False),
        sa.Column("sessions", sa.BigInteger(), nullable=False),
        sa.Column("sessions_complete", sa.BigInteger(), nullable=False),
        sa.Column("gaps", postgresql.JSONB(), nullable=False),
        sa.Column("event_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ingest_time", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "symbol", name=op.f("pk_collection_outcomes")),
        comment="What each collection run did about each symbol.",
    )


def _add(column: "sa.Column[object]") -> None:
    """Runs of before did not tell: they count nothing."""
    op.add_column("collection_runs", column)
    op.alter_column("collection_runs", column.name, server_default=None)


def downgrade() -> None:
    op.drop_table("collection_outcomes")
    for name in ("what", "exchange", "session", *_COUNTS, "chunks_per_minute", "eta_seconds"):
        op.drop_column("collection_runs", name)
