"""Tables of strategies that somebody uploaded: who owns which name, and every version of its text."""

from sqlalchemy import CheckConstraint, Column, ForeignKeyConstraint, Index, LargeBinary, PrimaryKeyConstraint, Table
from sqlalchemy import text as sql

from infra.store.columns_of_tables import json, metadata, moment, text, whole

uploads = Table(
    "uploads",
    metadata,
    text("name", primary_key=True),
    text("owner"),
    moment("created_at"),
    moment("deleted_at", nullable=True),
    Index(None, "owner"),
    comment="A name belongs to whoever uploaded it first, also after it was deleted.",
)

uploaded_versions = Table(
    "uploaded_versions",
    metadata,
    text("name"),
    whole("version"),
    text("code_sha256"),
    Column("source", LargeBinary, nullable=False),
    text("uploaded_by"),
    moment("uploaded_at"),
    text("description"),
    json("parameters"),
    json("parameter_schema"),
    text("unread", server_default=sql("''")),
    PrimaryKeyConstraint("name", "version"),
    ForeignKeyConstraint(["name"], ["uploads.name"]),
    Index(None, "name", "code_sha256"),
    CheckConstraint("code_sha256 = encode(sha256(source), 'hex')", name="code_sha256"),
    comment="Never changed; `unread` says why a text could not be looked at in the sandbox.",
)
