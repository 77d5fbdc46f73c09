"""What was held after every execution; round trips are those of one strategy."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def _text(name: str) -> "sa.Column[str]":
    return sa.Column(name, sa.Text(), nullable=False)


def _exact(name: str) -> "sa.Column[object]":
    return sa.Column(name, sa.Numeric(24, 8), nullable=False)


def upgrade() -> None:
    op.create_table(
        "position_history",
        _text("account_id"),
        _text("execution_id"),
        sa.Column("revision", sa.Integer(), nullable=False),
        _text("strategy_id"),
        sa.Column("contract_id", sa.BigInteger(), nullable=False),
        _text("symbol"),
        _text("currency"),
        _exact("change"),
        _exact("price"),
        _exact("commission"),
        _exact("quantity"),
        _exact("average_price"),
        _exact("realised_pnl"),
        sa.Column("event_time", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "execution_id", name=op.f("pk_position_history")),
    )
    op.create_index(
        op.f("ix_position_history_account_id_contract_id_event_time"),
        "position_history",
        ["account_id", "contract_id", "event_time"],
    )
    # a round trip was that of all strategies together; the portfolio writes them anew from the ledger when it starts
    op.execute("DELETE FROM trades")


def downgrade() -> None:
    op.drop_index(op.f("ix_position_history_account_id_contract_id_event_time"), "position_history")
    op.drop_table("position_history")
