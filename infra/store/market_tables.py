"""Tables that are filled from topics by the persister: market, reference, strategy and research data."""

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    Date,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
)
from sqlalchemy.dialects.postgresql import ARRAY

from infra.store.columns_of_tables import double, exact, json, metadata, moment, text, whole

FIRST_YEAR, LAST_YEAR = 1990, 2040
"""Years of `start` with a partition of their own; what lies outside goes to the default partition."""

symbols = Table(
    "symbols",
    metadata,
    text("symbol_id", primary_key=True),
    text("symbol"),
    text("security_type"),
    text("exchange"),
    text("currency"),
    text("state"),
    whole("contract_id", nullable=True),
    json("contract", nullable=True),
    moment("last_verified", nullable=True),
    text("reason"),
    json("candidates"),
    text("kind"),
    text("name"),
    text("note"),
    Column("tags", ARRAY(Text), nullable=False),
    Column("collect", Boolean, nullable=False),
    moment("event_time"),
    moment("ingest_time"),
    Index(None, "symbol"),
    Index(None, "contract_id"),
)

removals = Table(
    "removals",
    metadata,
    whole("contract_id", primary_key=True),
    text("symbol_id"),
    text("symbol"),
    text("archive"),
    whole("bars"),
    text("requested_by"),
    moment("event_time"),
    moment("ingest_time"),
    comment="Bars and findings of the contract that were first seen up to event_time no longer count.",
)

sessions = Table(
    "sessions",
    metadata,
    text("exchange"),
    Column("day", Date, nullable=False),
    moment("opens", nullable=True),
    moment("closes", nullable=True),
    moment("ingest_time"),
    PrimaryKeyConstraint("exchange", "day"),
    CheckConstraint("(opens IS NULL) = (closes IS NULL) AND (opens IS NULL OR opens < closes)", name="order"),
    comment="Exchange calendar: trading hours of a day; a day without hours is closed.",
)

bars = Table(
    "bars",
    metadata,
    whole("contract_id"),
    Column("bar_size_seconds", Integer, nullable=False),
    moment("start"),
    text("source"),
    Column("revision", Integer, nullable=False),
    moment("end_time"),
    double("open"),
    double("high"),
    double("low"),
    double("close"),
    double("volume"),
    text("price_kind"),
    text("basis"),
    Column("late", Boolean, nullable=False),
    moment("ingest_time"),
    PrimaryKeyConstraint("contract_id", "bar_size_seconds", "start", "price_kind", "basis", "source", "revision"),
    CheckConstraint("low <= LEAST(open, close) AND high >= GREATEST(open, close)", name="ohlc"),
    # NaN counts as greater than every number, so these bounds refuse NaN and both infinities
    CheckConstraint("low > '-Infinity' AND high < 'Infinity'", name="finite"),
    CheckConstraint("volume >= 0 AND volume < 'Infinity'", name="volume"),
    CheckConstraint("end_time > start AND bar_size_seconds > 0", name="time"),
    Index("ix_bars_start", "start", postgresql_using="brin"),
    postgresql_partition_by="RANGE (start)",
    comment="Closed bars, one row a revision; a correction is a new row, what was known before stays.",
)

quarantine = Table(
    "quarantine",
    metadata,
    text("quarantine_id", primary_key=True),
    whole("contract_id"),
    text("symbol", nullable=True),
    text("rule", nullable=True),
    text("severity", nullable=True),
    text("reason", nullable=True),
    text("record", nullable=True),
    moment("event_time", nullable=True),
    moment("ingest_time"),
    text("resolution", nullable=True),
    text("resolved_by", nullable=True),
    moment("resolved_at", nullable=True),
    Index(None, "contract_id"),
)

collection_runs = Table(
    "collection_runs",
    metadata,
    text("run_id", primary_key=True),
    text("kind"),
    text("state"),
    whole("symbols"),
    whole("symbols_done"),
    whole("bars_received"),
    whole("bars_published"),
    whole("quarantined"),
    whole("gateway_requests"),
    whole("requests_saved"),
    json("failures"),
    moment("event_time"),
    moment("ingest_time"),
)

strategies = Table(
    "strategies",
    metadata,
    text("code_hash", primary_key=True),
    text("strategy"),
    moment("first_seen"),
    Index(None, "strategy"),
    comment="Every code of a strategy that was ever evaluated; the view strategy_versions numbers them.",
)

live_strategies = Table(
    "live_strategies",
    metadata,
    text("strategy_id", primary_key=True),
    text("state"),
    text("strategy"),
    text("account_id"),
    json("deployment"),
    whole("signals"),
    whole("intents"),
    whole("denied"),
    json("positions"),
    whole("bars_seen"),
    text("error"),
    moment("event_time"),
    moment("ingest_time"),
)

signals = Table(
    "signals",
    metadata,
    text("signal_id", primary_key=True),
    text("strategy_id"),
    whole("contract_id"),
    text("symbol"),
    double("target"),
    text("reason"),
    exact("price"),
    text("source"),
    moment("event_time"),
    moment("ingest_time"),
    Index(None, "strategy_id", "event_time"),
)

backtest_jobs = Table(
    "backtest_jobs",
    metadata,
    text("backtest_id", primary_key=True),
    text("strategy", nullable=True),
    json("parameters", nullable=True),
    Column("symbols", ARRAY(Text), nullable=True),
    json("request", nullable=True),
    text("requested_by", nullable=True),
    moment("requested_at", nullable=True),
    text("canceled_by", nullable=True),
    moment("canceled_at", nullable=True),
    moment("finished_at", nullable=True),
    Column("succeeded", Boolean, nullable=True),
    text("error", nullable=True),
    text("code_hash", nullable=True),
    whole("bars", nullable=True),
    text("data_digest", nullable=True),
    text("result_hash", nullable=True),
    json("metrics", nullable=True),
    json("fills", nullable=True),
    json("round_trips", nullable=True),
    json("equity", nullable=True),
    Column(
        "state",
        Text,
        # requests and results come on two topics, in any order: the state follows from what is there
        Computed(
            "CASE WHEN finished_at IS NOT NULL THEN CASE WHEN succeeded THEN 'done' ELSE 'failed' END "
            "WHEN canceled_at IS NOT NULL THEN 'canceled' ELSE 'requested' END",
            persisted=True,
        ),
        nullable=False,
    ),
    Index(None, "requested_at"),
)

trials = Table(
    "trials",
    metadata,
    text("trial_id", primary_key=True),
    text("code_hash"),
    text("strategy"),
    json("parameters"),
    Column("symbols", ARRAY(Text), nullable=False),
    text("data_digest"),
    double("sharpe", nullable=True),
    double("total_return", nullable=True),
    whole("observations"),
    moment("event_time"),
    moment("ingest_time"),
    Index(None, "strategy"),
    Index(None, "code_hash"),
)
