"""Tables that risk writes: its books, what was proposed, what it decided, what is reserved, limits and states."""

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Date,
    ForeignKey,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
)
from sqlalchemy import (
    text as sql,
)

from infra.store.columns_of_tables import exact, json, metadata, moment, text, whole

books = Table(
    "books",
    metadata,
    text("account_id", primary_key=True),
    whole("version"),
    exact("realised_pnl_today"),
    Column("trading_day", Date, nullable=True),
    moment("updated_at"),
    comment="One row an account: whoever decides about the account locks it first.",
)

book_positions = Table(
    "book_positions",
    metadata,
    text("account_id"),
    whole("contract_id"),
    exact("quantity"),
    exact("average_price"),
    exact("realised_pnl"),
    exact("price", nullable=True),
    moment("price_time", nullable=True),
    PrimaryKeyConstraint("account_id", "contract_id"),
    comment="Risk's own count of what is held, moved in the transaction that moves the reservations.",
)

book_executions = Table(
    "book_executions",
    metadata,
    text("account_id"),
    text("execution_id"),
    Column("revision", Integer, nullable=False, comment="0 while only the commission has come"),
    text("order_id"),
    whole("contract_id", nullable=True),
    exact("quantity", comment="signed; 0 when it was busted"),
    exact("price"),
    Column("commission_revision", Integer, nullable=False),
    exact("commission"),
    moment("executed_at", nullable=True),
    PrimaryKeyConstraint("account_id", "execution_id"),
    Index(None, "account_id", "contract_id", "executed_at"),
    Index(None, "order_id"),
    comment="The newest revision of every execution that risk has folded into its books.",
)

intents = Table(
    "intents",
    metadata,
    text("intent_id", primary_key=True),
    text("type"),
    text("account_id"),
    text("strategy_id"),
    whole("contract_id", nullable=True),
    text("order_id", nullable=True),
    text("side", nullable=True),
    exact("quantity", nullable=True),
    exact("limit_price", nullable=True),
    json("body"),
    moment("event_time"),
    moment("received_at"),
    Index(None, "account_id", "received_at"),
)

decisions = Table(
    "decisions",
    metadata,
    text("decision_id", primary_key=True),
    Column("intent_id", ForeignKey(intents.c.intent_id), nullable=False, unique=True),
    text("account_id"),
    text("strategy_id"),
    Column("approved", Boolean, nullable=False),
    text("reason", nullable=True),
    text("detail"),
    text("approved_fields", nullable=True, comment="SHA-256 over the fields that were approved, and no others"),
    json("body"),
    moment("decided_at"),
    moment("expires_at"),
    Index(None, "account_id", "decided_at"),
)

reservations = Table(
    "reservations",
    metadata,
    text("order_id", primary_key=True, comment="ours: the intent's id, or external-<permanent id>"),
    text("account_id"),
    text("strategy_id"),
    whole("contract_id"),
    text("side"),
    exact("quantity"),
    exact("told", comment="quantity that the broker says was filled"),
    exact("filled", comment="quantity that has moved the position; fills and updates come in any order"),
    exact("remaining", comment="what may still move the position"),
    exact("price"),
    Column("sequence", Integer, nullable=False, comment="of the newest update that was folded"),
    text("state"),
    moment("opened_at"),
    moment("released_at", nullable=True),
    CheckConstraint("state IN ('open', 'unknown', 'ended', 'released')", name="state"),
    CheckConstraint("remaining >= 0", name="remaining"),
    Index(None, "account_id", "opened_at"),
    Index("ix_reservations_held", "account_id", "contract_id", postgresql_where=sql("state <> 'released'")),
    comment="What an approved order may still do at its worst. It ends when the broker says so and is released when "
    "all that was filled has moved the position; time alone never releases it.",
)

risk_limits = Table(
    "risk_limits",
    metadata,
    text("scope"),
    whole("version"),
    json("limits"),
    moment("event_time"),
    moment("ingest_time"),
    PrimaryKeyConstraint("scope", "version"),
)

risk_events = Table(
    "risk_events",
    metadata,
    text("breach_id", primary_key=True),
    text("scope"),
    text("account_id"),
    text("strategy_id"),
    text("rule"),
    text("detail"),
    moment("event_time"),
    moment("ingest_time"),
    Index(None, "account_id", "event_time"),
)

trading_state = Table(
    "trading_state",
    metadata,
    text("scope", primary_key=True),
    text("mode"),
    text("reason"),
    text("by"),
    moment("event_time"),
    moment("ingest_time"),
    CheckConstraint("mode IN ('ACTIVE', 'REDUCING', 'HALTED')", name="mode"),
)
