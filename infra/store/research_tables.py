"""Searches for parameters, from request to result."""

from sqlalchemy import ARRAY, Boolean, Column, Computed, Index, Table, Text

from infra.store.columns_of_tables import double, json, metadata, moment, text

optimizations = Table(
    "optimizations",
    metadata,
    text("optimization_id", primary_key=True),
    text("strategy", nullable=True),
    Column("symbols", ARRAY(Text), nullable=True),
    text("method", nullable=True),
    json("request", nullable=True),
    text("requested_by", nullable=True),
    moment("requested_at", nullable=True),
    text("canceled_by", nullable=True),
    moment("canceled_at", nullable=True),
    moment("finished_at", nullable=True),
    Column("succeeded", Boolean, nullable=True),
    text("error", nullable=True),
    text("code_hash", nullable=True),
    text("data_digest", nullable=True),
    text("trials_hash", nullable=True),
    double("seconds", nullable=True),
    json("result", nullable=True),
    json("warnings", nullable=True),
    Column(
        "state",
        Text,
        Computed(  # as of backtests: whatever comes first
            "CASE WHEN finished_at IS NOT NULL THEN CASE WHEN succeeded THEN 'done' ELSE 'failed' END "
            "WHEN canceled_at IS NOT NULL THEN 'canceled' ELSE 'requested' END",
            persisted=True,
        ),
        nullable=False,
    ),
    Index(None, "requested_at"),
)
