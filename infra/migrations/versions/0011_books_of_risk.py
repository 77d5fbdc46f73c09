"""What risk knows beside quantities: prices, accounts, strategies' own parts, changes under way, what is restricted."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_RESERVATION = (
    "value",
    "symbol",
    "currency",
    "order_type",
    "limit_price",
    "stop_price",
    "parent_id",
    "oca_group",
    "changes",
    "rejected",
)


def _text(name: str, **options: object) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), **{"nullable": False, **options})  # type: ignore[arg-type] # options of a column


def _exact(name: str, **options: object) -> sa.Column[object]:
    return sa.Column(name, sa.Numeric(24, 8), **{"nullable": False, **options})  # type: ignore[arg-type] # the same


def _moment(name: str, **options: object) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), **{"nullable": False, **options})  # type: ignore[arg-type] # the same


def upgrade() -> None:
    _new_tables()
    op.add_column("book_positions", _text("symbol", server_default=""))
    op.add_column("book_positions", _text("currency", server_default="USD"))
    op.add_column("book_executions", _text("strategy_id", server_default=""))
    op.add_column("book_executions", _moment("known_at", nullable=True))
    added: tuple["sa.Column[Any]", ...] = (
        _exact("value", server_default="0"),
        _text("symbol", server_default=""),
        _text("currency", server_default="USD"),
        _text("order_type", server_default="MKT"),
        _exact("limit_price", nullable=True),
        _exact("stop_price", nullable=True),
        _text("parent_id", nullable=True),
        _text("oca_group", server_default=""),
        sa.Column("changes", postgresql.JSONB(), nullable=False, server_default="[]"),
        sa.Column("rejected", sa.Boolean(), nullable=False, server_default="false"),
    )
    for column in added:
        op.add_column("reservations", column)
    for table, columns in _INDEXES:
        op.create_index(op.f(f"ix_{table}_{'_'.join(columns)}"), table, list(columns))


_INDEXES = (
    ("book_executions", ("account_id", "strategy_id", "known_at")),
    ("intents", ("account_id", "strategy_id", "received_at")),
    ("reservations", ("account_id", "strategy_id", "opened_at")),
)


def _new_tables() -> None:
    op.create_table(
        "book_accounts",
        _text("account_id"),
        _text("currency"),
        _exact("net_liquidation"),
        _exact("buying_power"),
        _exact("initial_margin", nullable=True),
        _exact("maintenance_margin", nullable=True),
        sa.Column("rates", postgresql.JSONB(), nullable=False),
        _moment("told_at"),
        _exact("peak"),
        sa.Column("trading_day", sa.Date(), nullable=True),
        _exact("unrealised_before"),
        _text("loss_mode", server_default="ACTIVE"),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_book_accounts")),
    )
    op.create_table(
        "book_holdings",
        _text("account_id"),
        _text("strategy_id"),
        sa.Column("contract_id", sa.BigInteger(), nullable=False),
        _text("symbol"),
        _text("currency"),
        _exact("quantity"),
        _exact("average_price"),
        _exact("realised_pnl"),
        _exact("earned_today"),
        sa.Column("trading_day", sa.Date(), nullable=True),
        _moment("moved_at", nullable=True),
        sa.PrimaryKeyConstraint("account_id", "strategy_id", "contract_id", name=op.f("pk_book_holdings")),
    )
    op.create_table(
        "book_trips",
        _text("account_id"),
        _text("execution_id"),
        _text("strategy_id"),
        _moment("closed_at"),
        sa.PrimaryKeyConstraint("account_id", "execution_id", name=op.f("pk_book_trips")),
    )
    op.create_index(
        op.f("ix_book_trips_account_id_strategy_id_closed_at"), "book_trips", ["account_id", "strategy_id", "closed_at"]
    )
    op.create_table(
        "marks",
        sa.Column("contract_id", sa.BigInteger(), nullable=False),
        _text("symbol"),
        _exact("price"),
        _moment("event_time"),
        _moment("received_at"),
        _exact("average_volume", nullable=True),
        sa.Column("volume_day", sa.Date(), nullable=True),
        sa.PrimaryKeyConstraint("contract_id", name=op.f("pk_marks")),
    )
    op.create_table(
        "restrictions",
        _text("symbol"),
        sa.Column("restricted", sa.Boolean(), nullable=False),
        _text("reason"),
        _text("by"),
        _moment("event_time"),
        sa.PrimaryKeyConstraint("symbol", name=op.f("pk_restrictions")),
    )
    op.create_table(
        "acknowledgements",
        _text("breach_id"),
        _text("by"),
        _text("note"),
        _moment("at"),
        sa.PrimaryKeyConstraint("breach_id", name=op.f("pk_acknowledgements")),
    )


def downgrade() -> None:
    for table, columns in _INDEXES:
        op.drop_index(op.f(f"ix_{table}_{'_'.join(columns)}"), table)
    for name in _RESERVATION:
        op.drop_column("reservations", name)
    for table, names in (("book_executions", ("strategy_id", "known_at")), ("book_positions", ("symbol", "currency"))):
        for name in names:
            op.drop_column(table, name)
    for table in ("acknowledgements", "restrictions", "marks", "book_trips", "book_holdings", "book_accounts"):
        op.drop_table(table)
