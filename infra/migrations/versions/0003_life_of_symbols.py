"""What people note about a symbol, what an ambiguous one can mean, and which contracts' data were removed."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_NEW = (
    ("candidates", postgresql.JSONB(), "[]"),
    ("kind", sa.Text(), ""),
    ("name", sa.Text(), ""),
    ("note", sa.Text(), ""),
    ("tags", postgresql.ARRAY(sa.Text()), "{}"),
    ("collect", sa.Boolean(), "true"),
)
"""Column, type, and what the rows that are there get."""


def upgrade() -> None:
    for name, kind, present in _NEW:
        op.add_column("symbols", sa.Column(name, kind, server_default=present, nullable=False))
        op.alter_column("symbols", name, server_default=None)
    op.create_table(
        "removals",
        sa.Column("contract_id", sa.BigInteger(), nullable=False),
        sa.Column("symbol_id", sa.Text(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("archive", sa.Text(), nullable=False),
        sa.Column("bars", sa.BigInteger(), nullable=False),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("event_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ingest_time", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("contract_id", name=op.f("pk_removals")),
        comment="Bars and findings of the contract that were first seen up to event_time no longer count.",
    )


def downgrade() -> None:
    op.drop_table("removals")
    for name, _, _ in reversed(_NEW):
        op.drop_column("symbols", name)
