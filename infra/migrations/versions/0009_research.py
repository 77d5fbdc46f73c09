"""Searches for parameters, and what is kept of each trial so that trials which move together are seen."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_STATE = (
    "CASE WHEN finished_at IS NOT NULL THEN CASE WHEN succeeded THEN 'done' ELSE 'failed' END "
    "WHEN canceled_at IS NOT NULL THEN 'canceled' ELSE 'requested' END"
)


def upgrade() -> None:
    _add(sa.Column("purpose", sa.Text(), server_default="backtest", nullable=False))
    _add(sa.Column("study_id", sa.Text(), server_default="", nullable=False))
    for name in ("first_bar", "last_bar"):
        op.add_column("trials", sa.Column(name, sa.DateTime(timezone=True), nullable=True))
    _add(sa.Column("trades", sa.BigInteger(), server_default="0", nullable=False))
    for name in ("periods_per_year", "skew", "kurtosis"):
        op.add_column("trials", sa.Column(name, sa.Float(precision=53), nullable=True))
    _add(sa.Column("returns", postgresql.JSONB(), server_default='{"days": 0, "first": 0, "ppm": []}', nullable=False))
    op.create_index(op.f("ix_trials_study_id"), "trials", ["study_id"], unique=False)
    op.create_table(
        "optimizations",
        sa.Column("optimization_id", sa.Text(), nullable=False),
        sa.Column("strategy", sa.Text(), nullable=True),
        sa.Column("symbols", postgresql.ARRAY(sa.Text()), nullable=True),
        sa.Column("method", sa.Text(), nullable=True),
        sa.Column("request", postgresql.JSONB(), nullable=True),
        sa.Column("requested_by", sa.Text(), nullable=True),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("canceled_by", sa.Text(), nullable=True),
        sa.Column("canceled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("succeeded", sa.Boolean(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("code_hash", sa.Text(), nullable=True),
        sa.Column("data_digest", sa.Text(), nullable=True),
        sa.Column("trials_hash", sa.Text(), nullable=True),
        sa.Column("seconds", sa.Float(precision=53), nullable=True),
        sa.Column("result", postgresql.JSONB(), nullable=True),
        sa.Column("warnings", postgresql.JSONB(), nullable=True),
        sa.Column("state", sa.Text(), sa.Computed(_STATE, persisted=True), nullable=False),
        sa.PrimaryKeyConstraint("optimization_id", name=op.f("pk_optimizations")),
    )
    op.create_index(op.f("ix_optimizations_requested_at"), "optimizations", ["requested_at"], unique=False)


def _add(column: "sa.Column[object]") -> None:
    """Trials of before tell nothing more than they did."""
    op.add_column("trials", column)
    op.alter_column("trials", column.name, server_default=None)


def downgrade() -> None:
    op.drop_table("optimizations")
    op.drop_index(op.f("ix_trials_study_id"), table_name="trials")
    for name in (
        "purpose", "study_id", "first_bar", "last_bar", "trades", "periods_per_year", "skew", "kurtosis", "returns"
    ):  # fmt: skip
        op.drop_column("trials", name)
