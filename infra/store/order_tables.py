"""Tables of orders and what follows from them: executions, accounts, positions."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Identity,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    UniqueConstraint,
)
from sqlalchemy import (
    text as sql,
)

from infra.store.columns_of_tables import exact, json, metadata, moment, text, whole

# written by the executor

order_ids = Table(
    "order_ids",
    metadata,
    Column("client_id", Integer, primary_key=True, autoincrement=False),
    whole("next_id"),
    whole("accepted_id", comment="up to here a person has accepted that the gateway's count fell back"),
    comment="The next order id of an API client: taken and committed before anything touches the socket.",
)

orders = Table(
    "orders",
    metadata,
    text("order_id", primary_key=True),
    text("decision_id", nullable=True, unique=True, comment="null: the order was not placed by SCIZOR"),
    Column("client_id", Integer, nullable=False),
    whole("broker_order_id", nullable=True, comment="null: never sent, or bound to no API client"),
    whole("permanent_id"),
    text("account_id"),
    text("strategy_id"),
    whole("contract_id"),
    text("symbol"),
    text("side"),
    exact("quantity"),
    text("order_type"),
    exact("limit_price", nullable=True),
    exact("stop_price", nullable=True),
    text("time_in_force"),
    text("parent_id", nullable=True, comment="our id of the order that has to fill first"),
    text("oca_group"),
    text("status"),
    exact("cumulative_quantity"),
    exact("average_price"),
    Column("sequence", Integer, nullable=False),
    text("reason"),
    Column("code", Integer, nullable=False),
    whole("lease_epoch"),
    json("intent", nullable=True, comment="with the changes the broker took; null: not placed by SCIZOR"),
    json("facts", comment="what the broker has said about the order so far, from which the status follows"),
    moment("created_at"),
    moment("updated_at"),
    UniqueConstraint("client_id", "broker_order_id"),
    CheckConstraint("cumulative_quantity >= 0", name="cumulative"),
    Index(
        "ix_orders_working",
        "account_id",
        postgresql_where=sql("status NOT IN ('FILLED', 'CANCELED', 'REJECTED', 'EXPIRED')"),
    ),
    Index(None, "permanent_id"),
    comment="Broker orders: a row in SENDING is committed before the order is sent, and is what spends the approval.",
)

broker_events = Table(
    "broker_events",
    metadata,
    Column("event_id", BigInteger, Identity(always=True), primary_key=True),
    text("account_id"),
    text("kind"),
    whole("broker_order_id", nullable=True),
    json("body"),
    moment("received_at"),
    Index(None, "broker_order_id"),
    comment="What the gateway said, append-only, committed with what followed from it.",
)

order_events = Table(
    "order_events",
    metadata,
    text("order_id"),
    Column("sequence", Integer, nullable=False),
    text("status"),
    text("decision_id", nullable=True),
    json("body"),
    moment("event_time"),
    moment("ingest_time"),
    PrimaryKeyConstraint("order_id", "sequence"),
    UniqueConstraint("decision_id"),
    comment="Every OrderUpdate, append-only; decision_id where a cancel or change spent an approval.",
)

fills = Table(
    "fills",
    metadata,
    text("execution_id"),
    Column("revision", Integer, nullable=False),
    text("type"),
    text("order_id"),
    whole("broker_order_id", nullable=True),
    whole("permanent_id", nullable=True),
    text("account_id"),
    text("strategy_id"),
    whole("contract_id"),
    text("symbol", nullable=True),
    text("currency", nullable=True),
    text("side", nullable=True),
    exact("last_quantity", nullable=True),
    exact("last_price", nullable=True),
    text("exchange", nullable=True),
    moment("event_time"),
    moment("ingest_time"),
    PrimaryKeyConstraint("execution_id", "revision"),
    CheckConstraint("type IN ('Fill', 'FillCorrected', 'FillBusted')", name="type"),
    CheckConstraint("type = 'FillBusted' OR (last_quantity > 0 AND last_price IS NOT NULL)", name="amount"),
    Index(None, "account_id", "contract_id"),
    Index(None, "order_id"),
    comment="The newest revision of an execution counts, the others do not.",
)

commissions = Table(
    "commissions",
    metadata,
    text("execution_id"),
    Column("revision", Integer, nullable=False),
    text("account_id"),
    exact("amount"),
    text("currency"),
    exact("realised_pnl", nullable=True),
    moment("event_time"),
    moment("ingest_time"),
    PrimaryKeyConstraint("execution_id", "revision"),
)

account_states = Table(
    "account_states",
    metadata,
    text("account_id", primary_key=True),
    text("currency"),
    exact("net_liquidation"),
    exact("cash"),
    exact("buying_power"),
    json("positions"),
    moment("event_time"),
    moment("ingest_time"),
)

# written by the portfolio

positions = Table(
    "positions",
    metadata,
    text("account_id"),
    whole("contract_id"),
    text("symbol"),
    text("currency"),
    exact("quantity"),
    exact("average_price"),
    exact("realised_pnl"),
    exact("commission"),
    whole("fills"),
    moment("event_time"),
    moment("ingest_time"),
    PrimaryKeyConstraint("account_id", "contract_id"),
)

trades = Table(
    "trades",
    metadata,
    text("trade_id", primary_key=True),
    text("account_id"),
    text("strategy_id"),
    whole("contract_id"),
    text("symbol"),
    text("side"),
    exact("quantity"),
    exact("entry_price"),
    exact("exit_price"),
    exact("gross_pnl"),
    exact("commission"),
    exact("net_pnl"),
    moment("opened_at"),
    moment("closed_at"),
    Index(None, "account_id", "closed_at"),
    comment="Round trips of a strategy in a contract: from flat to flat again, or to the other side.",
)

position_history = Table(
    "position_history",
    metadata,
    text("account_id"),
    text("execution_id"),
    Column("revision", Integer, nullable=False),
    text("strategy_id"),
    whole("contract_id"),
    text("symbol"),
    text("currency"),
    exact("change", comment="what the execution added, signed"),
    exact("price"),
    exact("commission", comment="of the execution; 0 while it has not been told"),
    exact("quantity", comment="held after it, signed"),
    exact("average_price"),
    exact("realised_pnl", comment="of the position up to then, before commissions"),
    moment("event_time"),
    PrimaryKeyConstraint("account_id", "execution_id"),
    Index(None, "account_id", "contract_id", "event_time"),
    comment="The position after every execution that counts; a correction moves those behind it, too.",
)
