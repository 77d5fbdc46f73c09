"""Tables of the machinery: who may do what, who did what, who leads, what was handled, what is to be published."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Identity,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Uuid,
)
from sqlalchemy import text as sql

from infra.store.columns_of_tables import json, metadata, moment, text, whole

_NOW = sql("clock_timestamp()")

api_keys = Table(
    "api_keys",
    metadata,
    text("key_id", primary_key=True),
    Column("key_hash", LargeBinary, nullable=False, unique=True),
    text("label"),
    text("role"),
    moment("created_at", server_default=_NOW),
    moment("expires_at", nullable=True),
    moment("revoked_at", nullable=True),
    CheckConstraint("role IN ('viewer', 'trader', 'admin')", name="role"),
)

audit_log = Table(
    "audit_log",
    metadata,
    Column("sequence", BigInteger, primary_key=True, autoincrement=False, server_default=sql("0")),
    moment("at", server_default=_NOW),
    text("actor"),
    text("role"),
    text("action"),
    text("target"),
    text("outcome"),
    text("request_id"),
    json("detail"),
    Column("previous_hash", LargeBinary, nullable=False, server_default=sql("''")),
    Column("hash", LargeBinary, nullable=False, server_default=sql("''")),
    Index(None, "at"),
    comment="Append-only: a trigger refuses changes, numbers the rows without gaps and chains their hashes.",
)

leases = Table(
    "leases",
    metadata,
    text("name", primary_key=True),
    text("holder"),
    whole("epoch"),
    moment("expires_at"),
    moment("acquired_at"),
    comment="Who leads; the epoch grows with every change of holder, so that a paused former holder is recognised.",
)

inbox = Table(
    "inbox",
    metadata,
    text("service"),
    text("topic"),
    Column("partition", Integer, nullable=False),
    whole("record_offset"),
    PrimaryKeyConstraint("service", "topic", "partition"),
    # one row a partition: records of a partition are handled in order, so the last one handled says it all
    postgresql_with={"fillfactor": 50},
    comment="The last record of a partition whose effects are committed.",
)

outbox = Table(
    "outbox",
    metadata,
    Column("sequence", BigInteger, Identity(always=True), primary_key=True),
    Column("id", Uuid, nullable=False),
    text("owner"),
    text("aggregatetype"),
    text("aggregateid"),
    text("type"),
    Column("payload", LargeBinary, nullable=False),
    text("topic"),
    Column("key", LargeBinary, nullable=False),
    json("headers"),
    whole("timestamp_ms"),
    moment("created_at", server_default=_NOW),
    Index(None, "owner", "sequence"),
    comment="Events that follow from a commit and are not yet acknowledged by Kafka; Debezium's column names.",
)
