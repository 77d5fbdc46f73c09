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
    exact("realised_pnl_today", comment="in the account's base currency"),
    Column("trading_day", Date, nullable=True),
    json("unvalued", server_default="{}", comment="by currency, what that day has earned and no rate was told for"),
    moment("updated_at"),
    comment="One row an account: whoever decides about the account locks it first.",
)

book_accounts = Table(
    "book_accounts",
    metadata,
    text("account_id", primary_key=True),
    text("currency"),
    exact("net_liquidation"),
    exact("buying_power"),
    exact("initial_margin", nullable=True),
    exact("maintenance_margin", nullable=True),
    json("rates", comment="what one unit of a currency is worth in the account's, as text"),
    moment("told_at", comment="wall time at which the broker said so"),
    exact("peak", comment="the highest net liquidation that was ever told"),
    Column("trading_day", Date, nullable=True),
    exact("unrealised_before", comment="unrealised profit when that day began"),
    text("loss_mode", server_default="ACTIVE", comment="what the losses of that day have left of trading"),
    comment="What the broker has told of an account, and what risk remembers of its mornings and its peak.",
)

book_positions = Table(
    "book_positions",
    metadata,
    text("account_id"),
    whole("contract_id"),
    text("symbol", server_default=""),
    text("currency", server_default="USD"),
    exact("quantity"),
    exact("average_price"),
    exact("realised_pnl"),
    exact("price", nullable=True),
    moment("price_time", nullable=True),
    PrimaryKeyConstraint("account_id", "contract_id"),
    comment="Risk's own count of what is held, moved in the transaction that moves the reservations.",
)

book_holdings = Table(
    "book_holdings",
    metadata,
    text("account_id"),
    text("strategy_id"),
    whole("contract_id"),
    text("symbol"),
    text("currency"),
    exact("quantity"),
    exact("average_price"),
    exact("realised_pnl"),
    exact("earned_today", comment="realised on that day, less commissions, in the account's base currency"),
    Column("trading_day", Date, nullable=True),
    json("unvalued", server_default="{}", comment="as in books"),
    moment("moved_at", nullable=True, comment="wall time at which risk last saw the quantity change"),
    PrimaryKeyConstraint("account_id", "strategy_id", "contract_id"),
    comment="The part of each position that a strategy's own executions add up to.",
)

book_trips = Table(
    "book_trips",
    metadata,
    text("account_id"),
    text("execution_id"),
    text("strategy_id"),
    moment("closed_at", comment="wall time"),
    PrimaryKeyConstraint("account_id", "execution_id"),
    Index(None, "account_id", "strategy_id", "closed_at"),
    comment="Executions that brought a strategy's position back to flat, or through zero.",
)

marks = Table(
    "marks",
    metadata,
    whole("contract_id", primary_key=True),
    text("symbol"),
    exact("price"),
    moment("event_time"),
    moment("received_at"),
    exact("average_volume", nullable=True, comment="shares a day over the last twenty sessions"),
    Column("volume_day", Date, nullable=True, comment="up to which market day that was counted"),
    comment="The newest price of each contract that risk has seen itself.",
)

restrictions = Table(
    "restrictions",
    metadata,
    text("symbol", primary_key=True),
    Column("restricted", Boolean, nullable=False),
    text("reason"),
    text("by"),
    moment("event_time"),
    comment="The restricted list: symbols that may only be reduced.",
)

book_executions = Table(
    "book_executions",
    metadata,
    text("account_id"),
    text("execution_id"),
    text("strategy_id", server_default=""),
    Column("revision", Integer, nullable=False, comment="0 while only the commission has come"),
    text("order_id"),
    whole("contract_id", nullable=True),
    exact("quantity", comment="signed; 0 when it was busted"),
    exact("price"),
    Column("commission_revision", Integer, nullable=False),
    exact("commission"),
    text("commission_currency", server_default="USD"),
    moment("executed_at", nullable=True),
    moment("known_at", nullable=True, comment="wall time at which risk first heard of it"),
    PrimaryKeyConstraint("account_id", "execution_id"),
    Index(None, "account_id", "strategy_id", "known_at"),
    Index(None, "account_id", "known_at"),
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
    Index(None, "account_id", "strategy_id", "received_at"),
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
    exact("price", comment="what a share of it counts at most, in its currency"),
    exact("value", server_default="0", comment="the same in the account's currency, when it was approved"),
    text("symbol", server_default=""),
    text("currency", server_default="USD"),
    text("order_type", server_default="MKT"),
    exact("limit_price", nullable=True),
    exact("stop_price", nullable=True),
    text("parent_id", nullable=True),
    text("oca_group", server_default=""),
    json("changes", server_default="[]", comment="approved and not yet answered: id, quantity, price"),
    Column("rejected", Boolean, nullable=False, server_default="false"),
    Column("sequence", Integer, nullable=False, comment="of the newest update that was folded"),
    text("state"),
    moment("opened_at"),
    moment("released_at", nullable=True),
    CheckConstraint("state IN ('open', 'unknown', 'ended', 'released')", name="state"),
    CheckConstraint("remaining >= 0", name="remaining"),
    Index(None, "account_id", "opened_at"),
    Index(None, "account_id", "strategy_id", "opened_at"),
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

# written by the HTTP services

acknowledgements = Table(
    "acknowledgements",
    metadata,
    text("breach_id", primary_key=True),
    text("by"),
    text("note"),
    moment("at"),
    comment="Which risk events a person has taken note of.",
)

# written by risk

trading_state = Table(
    "trading_state",
    metadata,
    text("scope", primary_key=True),
    text("mode"),
    text("reason"),
    text("by"),
    text("reduced_by", server_default=""),
    text("reduced_reason", server_default=""),
    moment("event_time"),
    moment("ingest_time"),
    CheckConstraint("mode IN ('ACTIVE', 'REDUCING', 'HALTED')", name="mode"),
)
