"""The first tables."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from infra.migrations import beyond_tables

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "account_states",
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("net_liquidation", sa.Numeric(precision=24, scale=8), nullable=False),
        sa.Column("cash", sa.Numeric(precision=24, scale=8), nullable=False),
        sa.Column("buying_power", sa.Numeric(precision=24, scale=8), nullable=False),
        sa.Column("positions", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("event_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ingest_time", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_account_states")),
    )
    op.create_table(
        "api_keys",
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("key_hash", sa.LargeBinary(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("role IN ('viewer', 'trader', 'admin')", name=op.f("ck_api_keys_role")),
        sa.PrimaryKeyConstraint("key_id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("key_hash", name=op.f("uq_api_keys_key_hash")),
    )
    op.create_table(
        "audit_log",
        sa.Column("sequence", sa.BigInteger(), server_default=sa.text("0"), autoincrement=False, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("detail", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("previous_hash", sa.LargeBinary(), server_default=sa.text("''"), nullable=False),
        sa.Column("hash", sa.LargeBinary(), server_default=sa.text("''"), nullable=False),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_audit_log")),
        comment="Append-only: a trigger refuses changes, numbers the rows without gaps and chains their hashes.",
    )
    op.create_index(op.f("ix_audit_log_at"), "audit_log", ["at"], unique=False)
    op.create_table(
        "backtest_jobs",
        sa.Column("backtest_id", sa.Text(), nullable=False),
        sa.Column("strategy", sa.Text(), nullable=True),
        sa.Column("parameters", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("symbols", postgresql.ARRAY(sa.Text()), nullable=True),
        sa.Column("request", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("requested_by", sa.Text(), nullable=True),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("canceled_by", sa.Text(), nullable=True),
        sa.Column("canceled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("succeeded", sa.Boolean(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("code_hash", sa.Text(), nullable=True),
        sa.Column("bars", sa.BigInteger(), nullable=True),
        sa.Column("data_digest", sa.Text(), nullable=True),
        sa.Column("result_hash", sa.Text(), nullable=True),
        sa.Column("metrics", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("fills", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("round_trips", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("equity", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column(
            "state",
            sa.Text(),
            sa.Computed(
                "CASE WHEN finished_at IS NOT NULL THEN CASE WHEN succeeded THEN 'done' ELSE 'failed' END WHEN canceled_at IS NOT NULL THEN 'canceled' ELSE 'requested' END",
                persisted=True,
            ),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("backtest_id", name=op.f("pk_backtest_jobs")),
    )
    op.create_index(op.f("ix_backtest_jobs_requested_at"), "backtest_jobs", ["requested_at"], unique=False)
    op.create_table(
        "bars",
        sa.Column("contract_id", sa.BigInteger(), nullable=False),
        sa.Column("bar_size_seconds", sa.Integer(), nullable=False),
        sa.Column("start", sa.DateTime(timezone=True), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("end_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("open", sa.Float(precision=53), nullable=False),
        sa.Column("high", sa.Float(precision=53), nullable=False),
        sa.Column("low", sa.Float(precision=53), nullable=False),
        sa.Column("close", sa.Float(precision=53), nullable=False),
        sa.Column("volume", sa.Float(precision=53), nullable=False),
        sa.Column("basis", sa.Text(), nullable=False),
        sa.Column("late", sa.Boolean(), nullable=False),
        sa.Column("ingest_time", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("low > '-Infinity' AND high < 'Infinity'", name=op.f("ck_bars_finite")),
        sa.CheckConstraint("volume >= 0 AND volume < 'Infinity'", name=op.f("ck_bars_volume")),
        sa.CheckConstraint("end_time > start AND bar_size_seconds > 0", name=op.f("ck_bars_time")),
        sa.CheckConstraint("low <= LEAST(open, close) AND high >= GREATEST(open, close)", name=op.f("ck_bars_ohlc")),
        sa.PrimaryKeyConstraint("contract_id", "bar_size_seconds", "start", "source", "revision", name=op.f("pk_bars")),
        comment="Closed bars, one row a revision; a correction is a new row, what was known before stays.",
        postgresql_partition_by="RANGE (start)",
    )
    op.create_index("ix_bars_start", "bars", ["start"], unique=False, postgresql_using="brin")
    op.create_table(
        "book_executions",
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("execution_id", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False, comment="0 while only the commission has come"),
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("contract_id", sa.BigInteger(), nullable=True),
        sa.Column(
            "quantity", sa.Numeric(precision=24, scale=8), nullable=False, comment="signed; 0 when it was busted"
        ),
        sa.Column("price", sa.Numeric(precision=24, scale=8), nullable=False),
        sa.Column("commission_revision", sa.Integer(), nullable=False),
        sa.Column("commission", sa.Numeric(precision=24, scale=8), nullable=False),
        sa.Column("executed_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("account_id", "execution_id", name=op.f("pk_book_executions")),
        comment="The newest revision of every execution that risk has folded into its books.",
    )
    op.create_index(
        op.f("ix_book_executions_account_id_contract_id_executed_at"),
        "book_executions",
        ["account_id", "contract_id", "executed_at"],
        unique=False,
    )
    op.create_index(op.f("ix_book_executions_order_id"), "book_executions", ["order_id"], unique=False)
    op.create_table(
        "book_positions",
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("contract_id", sa.BigInteger(), nullable=False),
        sa.Column("quantity", sa.Numeric(precision=24, scale=8), nullable=False),
        sa.Column("average_price", sa.Numeric(precision=24, scale=8), nullable=False),
        sa.Column("realised_pnl", sa.Numeric(precision=24, scale=8), nullable=False),
        sa.Column("price", sa.Numeric(precision=24, scale=8), nullable=True),
        sa.Column("price_time", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("account_id", "contract_id", name=op.f("pk_book_positions")),
        comment="Risk's own count of what is held, moved in the transaction that moves the reservations.",
    )
    op.create_table(
        "books",
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("realised_pnl_today", sa.Numeric(precision=24, scale=8), nullable=False),
        sa.Column("trading_day", sa.Date(), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_books")),
        comment="One row an account: whoever decides about the account locks it first.",
    )
    op.create_table(
        "broker_events",
        sa.Column("event_id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("broker_order_id", sa.BigInteger(), nullable=True),
        sa.Column("body", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_broker_events")),
        comment="What the gateway said, append-only, committed with what followed from it.",
    )
    op.create_index(op.f("ix_broker_events_broker_order_id"), "broker_events", ["broker_order_id"], unique=False)
    op.create_table(
        "collection_runs",
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("symbols", sa.BigInteger(), nullable=False),
        sa.Column("symbols_done", sa.BigInteger(), nullable=False),
        sa.Column("bars_received", sa.BigInteger(), nullable=False),
        sa.Column("bars_published", sa.BigInteger(), nullable=False),
        sa.Column("quarantined", sa.BigInteger(), nullable=False),
        sa.Column("gateway_requests", sa.BigInteger(), nullable=False),
        sa.Column("requests_saved", sa.BigInteger(), nullable=False),
        sa.Column("failures", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("event_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ingest_time", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_collection_runs")),
    )
    op.create_table(
        "commissions",
        sa.Column("execution_id", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("amount", sa.Numeric(precision=24, scale=8), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("realised_pnl", sa.Numeric(precision=24, scale=8), nullable=True),
        sa.Column("event_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ingest_time", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("execution_id", "revision", name=op.f("pk_commissions")),
    )
    op.create_table(
        "fills",
        sa.Column("execution_id", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("broker_order_id", sa.BigInteger(), nullable=True),
        sa.Column("permanent_id", sa.BigInteger(), nullable=True),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("strategy_id", sa.Text(), nullable=False),
        sa.Column("contract_id", sa.BigInteger(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=True),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.Column("side", sa.Text(), nullable=True),
        sa.Column("last_quantity", sa.Numeric(precision=24, scale=8), nullable=True),
        sa.Column("last_price", sa.Numeric(precision=24, scale=8), nullable=True),
        sa.Column("exchange", sa.Text(), nullable=True),
        sa.Column("event_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ingest_time", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "type = 'FillBusted' OR (last_quantity > 0 AND last_price IS NOT NULL)", name=op.f("ck_fills_amount")
        ),
        sa.CheckConstraint("type IN ('Fill', 'FillCorrected', 'FillBusted')", name=op.f("ck_fills_type")),
        sa.PrimaryKeyConstraint("execution_id", "revision", name=op.f("pk_fills")),
        comment="The newest revision of an execution counts, the others do not.",
    )
    op.create_index(op.f("ix_fills_account_id_contract_id"), "fills", ["account_id", "contract_id"], unique=False)
    op.create_index(op.f("ix_fills_order_id"), "fills", ["order_id"], unique=False)
    op.create_table(
        "inbox",
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("record_offset", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("service", "topic", "partition", name=op.f("pk_inbox")),
        comment="The last record of a partition whose effects are committed.",
        postgresql_with={"fillfactor": 50},
    )
    op.create_table(
        "intents",
        sa.Column("intent_id", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("strategy_id", sa.Text(), nullable=False),
        sa.Column("contract_id", sa.BigInteger(), nullable=True),
        sa.Column("order_id", sa.Text(), nullable=True),
        sa.Column("side", sa.Text(), nullable=True),
        sa.Column("quantity", sa.Numeric(precision=24, scale=8), nullable=True),
        sa.Column("limit_price", sa.Numeric(precision=24, scale=8), nullable=True),
        sa.Column("body", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("event_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("intent_id", name=op.f("pk_intents")),
    )
    op.create_index(op.f("ix_intents_account_id_received_at"), "intents", ["account_id", "received_at"], unique=False)
    op.create_table(
        "leases",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("acquired_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_leases")),
        comment="Who leads; the epoch grows with every change of holder, so that a paused former holder is recognised.",
    )
    op.create_table(
        "live_strategies",
        sa.Column("strategy_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("strategy", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("deployment", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("signals", sa.BigInteger(), nullable=False),
        sa.Column("intents", sa.BigInteger(), nullable=False),
        sa.Column("denied", sa.BigInteger(), nullable=False),
        sa.Column("positions", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("bars_seen", sa.BigInteger(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("event_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ingest_time", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("strategy_id", name=op.f("pk_live_strategies")),
    )
    op.create_table(
        "order_events",
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("decision_id", sa.Text(), nullable=True),
        sa.Column("body", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("event_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ingest_time", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("order_id", "sequence", name=op.f("pk_order_events")),
        sa.UniqueConstraint("decision_id", name=op.f("uq_order_events_decision_id")),
        comment="Every OrderUpdate, append-only; decision_id where a cancel or change spent an approval.",
    )
    op.create_table(
        "order_ids",
        sa.Column("client_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("next_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("client_id", name=op.f("pk_order_ids")),
        comment="The next order id of an API client: taken and committed before anything touches the socket.",
    )
    op.create_table(
        "orders",
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("decision_id", sa.Text(), nullable=True, comment="null: the order was not placed by SCIZOR"),
        sa.Column("client_id", sa.Integer(), nullable=False),
        sa.Column(
            "broker_order_id", sa.BigInteger(), nullable=True, comment="null: never sent, or bound to no API client"
        ),
        sa.Column("permanent_id", sa.BigInteger(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("strategy_id", sa.Text(), nullable=False),
        sa.Column("contract_id", sa.BigInteger(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("quantity", sa.Numeric(precision=24, scale=8), nullable=False),
        sa.Column("order_type", sa.Text(), nullable=False),
        sa.Column("limit_price", sa.Numeric(precision=24, scale=8), nullable=True),
        sa.Column("time_in_force", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("cumulative_quantity", sa.Numeric(precision=24, scale=8), nullable=False),
        sa.Column("average_price", sa.Numeric(precision=24, scale=8), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("code", sa.Integer(), nullable=False),
        sa.Column("lease_epoch", sa.BigInteger(), nullable=False),
        sa.Column(
            "intent",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=True,
            comment="null: the order was not placed by SCIZOR",
        ),
        sa.Column(
            "facts",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="what the broker has said about the order so far, from which the status follows",
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("cumulative_quantity >= 0", name=op.f("ck_orders_cumulative")),
        sa.PrimaryKeyConstraint("order_id", name=op.f("pk_orders")),
        sa.UniqueConstraint("client_id", "broker_order_id", name=op.f("uq_orders_client_id_broker_order_id")),
        sa.UniqueConstraint("decision_id", name=op.f("uq_orders_decision_id")),
        comment="Broker orders: a row in SENDING is committed before the order is sent, and is what spends the approval.",
    )
    op.create_index(op.f("ix_orders_permanent_id"), "orders", ["permanent_id"], unique=False)
    op.create_index(
        "ix_orders_working",
        "orders",
        ["account_id"],
        unique=False,
        postgresql_where=sa.text("status NOT IN ('FILLED', 'CANCELED', 'REJECTED', 'EXPIRED')"),
    )
    op.create_table(
        "outbox",
        sa.Column("sequence", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("aggregatetype", sa.Text(), nullable=False),
        sa.Column("aggregateid", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("headers", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("timestamp_ms", sa.BigInteger(), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_outbox")),
        comment="Events that follow from a commit and are not yet acknowledged by Kafka; Debezium's column names.",
    )
    op.create_index(op.f("ix_outbox_owner_sequence"), "outbox", ["owner", "sequence"], unique=False)
    op.create_table(
        "positions",
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("contract_id", sa.BigInteger(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("quantity", sa.Numeric(precision=24, scale=8), nullable=False),
        sa.Column("average_price", sa.Numeric(precision=24, scale=8), nullable=False),
        sa.Column("realised_pnl", sa.Numeric(precision=24, scale=8), nullable=False),
        sa.Column("commission", sa.Numeric(precision=24, scale=8), nullable=False),
        sa.Column("fills", sa.BigInteger(), nullable=False),
        sa.Column("event_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ingest_time", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "contract_id", name=op.f("pk_positions")),
    )
    op.create_table(
        "quarantine",
        sa.Column("quarantine_id", sa.Text(), nullable=False),
        sa.Column("contract_id", sa.BigInteger(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=True),
        sa.Column("rule", sa.Text(), nullable=True),
        sa.Column("severity", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("record", sa.Text(), nullable=True),
        sa.Column("event_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ingest_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("resolution", sa.Text(), nullable=True),
        sa.Column("resolved_by", sa.Text(), nullable=True),
        sa.Column("resolved_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("quarantine_id", name=op.f("pk_quarantine")),
    )
    op.create_index(op.f("ix_quarantine_contract_id"), "quarantine", ["contract_id"], unique=False)
    op.create_table(
        "reservations",
        sa.Column("order_id", sa.Text(), nullable=False, comment="ours: the intent's id, or external-<permanent id>"),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("strategy_id", sa.Text(), nullable=False),
        sa.Column("contract_id", sa.BigInteger(), nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("quantity", sa.Numeric(precision=24, scale=8), nullable=False),
        sa.Column(
            "told",
            sa.Numeric(precision=24, scale=8),
            nullable=False,
            comment="quantity that the broker says was filled",
        ),
        sa.Column(
            "filled",
            sa.Numeric(precision=24, scale=8),
            nullable=False,
            comment="quantity that has moved the position; fills and updates come in any order",
        ),
        sa.Column(
            "remaining", sa.Numeric(precision=24, scale=8), nullable=False, comment="what may still move the position"
        ),
        sa.Column("price", sa.Numeric(precision=24, scale=8), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False, comment="of the newest update that was folded"),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("released_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("state IN ('open', 'unknown', 'ended', 'released')", name=op.f("ck_reservations_state")),
        sa.CheckConstraint("remaining >= 0", name=op.f("ck_reservations_remaining")),
        sa.PrimaryKeyConstraint("order_id", name=op.f("pk_reservations")),
        comment="What an approved order may still do at its worst. It ends when the broker says so and is released when all that was filled has moved the position; time alone never releases it.",
    )
    op.create_index(
        op.f("ix_reservations_account_id_opened_at"), "reservations", ["account_id", "opened_at"], unique=False
    )
    op.create_index(
        "ix_reservations_held",
        "reservations",
        ["account_id", "contract_id"],
        unique=False,
        postgresql_where=sa.text("state <> 'released'"),
    )
    op.create_table(
        "risk_events",
        sa.Column("breach_id", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("strategy_id", sa.Text(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("event_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ingest_time", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("breach_id", name=op.f("pk_risk_events")),
    )
    op.create_index(
        op.f("ix_risk_events_account_id_event_time"), "risk_events", ["account_id", "event_time"], unique=False
    )
    op.create_table(
        "risk_limits",
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("limits", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("event_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ingest_time", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("scope", "version", name=op.f("pk_risk_limits")),
    )
    op.create_table(
        "sessions",
        sa.Column("exchange", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("opens", sa.DateTime(timezone=True), nullable=True),
        sa.Column("closes", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ingest_time", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "(opens IS NULL) = (closes IS NULL) AND (opens IS NULL OR opens < closes)", name=op.f("ck_sessions_order")
        ),
        sa.PrimaryKeyConstraint("exchange", "day", name=op.f("pk_sessions")),
        comment="Exchange calendar: trading hours of a day; a day without hours is closed.",
    )
    op.create_table(
        "signals",
        sa.Column("signal_id", sa.Text(), nullable=False),
        sa.Column("strategy_id", sa.Text(), nullable=False),
        sa.Column("contract_id", sa.BigInteger(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("target", sa.Float(precision=53), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("price", sa.Numeric(precision=24, scale=8), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("event_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ingest_time", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("signal_id", name=op.f("pk_signals")),
    )
    op.create_index(op.f("ix_signals_strategy_id_event_time"), "signals", ["strategy_id", "event_time"], unique=False)
    op.create_table(
        "strategies",
        sa.Column("code_hash", sa.Text(), nullable=False),
        sa.Column("strategy", sa.Text(), nullable=False),
        sa.Column("first_seen", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("code_hash", name=op.f("pk_strategies")),
        comment="Every code of a strategy that was ever evaluated; the view strategy_versions numbers them.",
    )
    op.create_index(op.f("ix_strategies_strategy"), "strategies", ["strategy"], unique=False)
    op.create_table(
        "symbols",
        sa.Column("symbol_id", sa.Text(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("security_type", sa.Text(), nullable=False),
        sa.Column("exchange", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("contract_id", sa.BigInteger(), nullable=True),
        sa.Column("contract", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("last_verified", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("event_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ingest_time", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("symbol_id", name=op.f("pk_symbols")),
    )
    op.create_index(op.f("ix_symbols_contract_id"), "symbols", ["contract_id"], unique=False)
    op.create_index(op.f("ix_symbols_symbol"), "symbols", ["symbol"], unique=False)
    op.create_table(
        "trades",
        sa.Column("trade_id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("strategy_id", sa.Text(), nullable=False),
        sa.Column("contract_id", sa.BigInteger(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("quantity", sa.Numeric(precision=24, scale=8), nullable=False),
        sa.Column("entry_price", sa.Numeric(precision=24, scale=8), nullable=False),
        sa.Column("exit_price", sa.Numeric(precision=24, scale=8), nullable=False),
        sa.Column("gross_pnl", sa.Numeric(precision=24, scale=8), nullable=False),
        sa.Column("commission", sa.Numeric(precision=24, scale=8), nullable=False),
        sa.Column("net_pnl", sa.Numeric(precision=24, scale=8), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("trade_id", name=op.f("pk_trades")),
        comment="Round trips: from flat to flat again, or to the other side.",
    )
    op.create_index(op.f("ix_trades_account_id_closed_at"), "trades", ["account_id", "closed_at"], unique=False)
    op.create_table(
        "trading_state",
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("event_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ingest_time", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("mode IN ('ACTIVE', 'REDUCING', 'HALTED')", name=op.f("ck_trading_state_mode")),
        sa.PrimaryKeyConstraint("scope", name=op.f("pk_trading_state")),
    )
    op.create_table(
        "trials",
        sa.Column("trial_id", sa.Text(), nullable=False),
        sa.Column("code_hash", sa.Text(), nullable=False),
        sa.Column("strategy", sa.Text(), nullable=False),
        sa.Column("parameters", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("symbols", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("data_digest", sa.Text(), nullable=False),
        sa.Column("sharpe", sa.Float(precision=53), nullable=True),
        sa.Column("total_return", sa.Float(precision=53), nullable=True),
        sa.Column("observations", sa.BigInteger(), nullable=False),
        sa.Column("event_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ingest_time", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("trial_id", name=op.f("pk_trials")),
    )
    op.create_index(op.f("ix_trials_code_hash"), "trials", ["code_hash"], unique=False)
    op.create_index(op.f("ix_trials_strategy"), "trials", ["strategy"], unique=False)
    op.create_table(
        "decisions",
        sa.Column("decision_id", sa.Text(), nullable=False),
        sa.Column("intent_id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("strategy_id", sa.Text(), nullable=False),
        sa.Column("approved", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column(
            "approved_fields",
            sa.Text(),
            nullable=True,
            comment="SHA-256 over the fields that were approved, and no others",
        ),
        sa.Column("body", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["intent_id"], ["intents.intent_id"], name=op.f("fk_decisions_intent_id")),
        sa.PrimaryKeyConstraint("decision_id", name=op.f("pk_decisions")),
        sa.UniqueConstraint("intent_id", name=op.f("uq_decisions_intent_id")),
    )
    op.create_index(op.f("ix_decisions_account_id_decided_at"), "decisions", ["account_id", "decided_at"], unique=False)
    for statement in beyond_tables.CREATE:
        op.execute(statement)


def downgrade() -> None:
    for statement in beyond_tables.DROP_BEFORE_TABLES:
        op.execute(statement)
    op.drop_index(op.f("ix_decisions_account_id_decided_at"), table_name="decisions")
    op.drop_table("decisions")
    op.drop_index(op.f("ix_trials_strategy"), table_name="trials")
    op.drop_index(op.f("ix_trials_code_hash"), table_name="trials")
    op.drop_table("trials")
    op.drop_table("trading_state")
    op.drop_index(op.f("ix_trades_account_id_closed_at"), table_name="trades")
    op.drop_table("trades")
    op.drop_index(op.f("ix_symbols_symbol"), table_name="symbols")
    op.drop_index(op.f("ix_symbols_contract_id"), table_name="symbols")
    op.drop_table("symbols")
    op.drop_index(op.f("ix_strategies_strategy"), table_name="strategies")
    op.drop_table("strategies")
    op.drop_index(op.f("ix_signals_strategy_id_event_time"), table_name="signals")
    op.drop_table("signals")
    op.drop_table("sessions")
    op.drop_table("risk_limits")
    op.drop_index(op.f("ix_risk_events_account_id_event_time"), table_name="risk_events")
    op.drop_table("risk_events")
    op.drop_index("ix_reservations_held", table_name="reservations", postgresql_where=sa.text("state <> 'released'"))
    op.drop_index(op.f("ix_reservations_account_id_opened_at"), table_name="reservations")
    op.drop_table("reservations")
    op.drop_index(op.f("ix_quarantine_contract_id"), table_name="quarantine")
    op.drop_table("quarantine")
    op.drop_table("positions")
    op.drop_index(op.f("ix_outbox_owner_sequence"), table_name="outbox")
    op.drop_table("outbox")
    op.drop_index(
        "ix_orders_working",
        table_name="orders",
        postgresql_where=sa.text("status NOT IN ('FILLED', 'CANCELED', 'REJECTED', 'EXPIRED')"),
    )
    op.drop_index(op.f("ix_orders_permanent_id"), table_name="orders")
    op.drop_table("orders")
    op.drop_table("order_ids")
    op.drop_table("order_events")
    op.drop_table("live_strategies")
    op.drop_table("leases")
    op.drop_index(op.f("ix_intents_account_id_received_at"), table_name="intents")
    op.drop_table("intents")
    op.drop_table("inbox")
    op.drop_index(op.f("ix_fills_order_id"), table_name="fills")
    op.drop_index(op.f("ix_fills_account_id_contract_id"), table_name="fills")
    op.drop_table("fills")
    op.drop_table("commissions")
    op.drop_table("collection_runs")
    op.drop_index(op.f("ix_broker_events_broker_order_id"), table_name="broker_events")
    op.drop_table("broker_events")
    op.drop_table("books")
    op.drop_table("book_positions")
    op.drop_index(op.f("ix_book_executions_order_id"), table_name="book_executions")
    op.drop_index(op.f("ix_book_executions_account_id_contract_id_executed_at"), table_name="book_executions")
    op.drop_table("book_executions")
    op.drop_index("ix_bars_start", table_name="bars", postgresql_using="brin")
    op.drop_table("bars")
    op.drop_index(op.f("ix_backtest_jobs_requested_at"), table_name="backtest_jobs")
    op.drop_table("backtest_jobs")
    op.drop_index(op.f("ix_audit_log_at"), table_name="audit_log")
    op.drop_table("audit_log")
    op.drop_table("api_keys")
    op.drop_table("account_states")
    for statement in beyond_tables.DROP_AFTER_TABLES:
        op.execute(statement)
