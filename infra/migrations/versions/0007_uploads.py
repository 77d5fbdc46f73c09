"""Strategies that are uploaded: names with their owners, and every version of a text."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "uploads",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_uploads")),
        comment="A name belongs to whoever uploaded it first, also after it was deleted.",
    )
    op.create_index(op.f("ix_uploads_owner"), "uploads", ["owner"])
    op.create_table(
        "uploaded_versions",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("code_sha256", sa.Text(), nullable=False),
        sa.Column("source", sa.LargeBinary(), nullable=False),
        sa.Column("uploaded_by", sa.Text(), nullable=False),
        sa.Column("uploaded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("parameters", postgresql.JSONB(), nullable=False),
        sa.Column("parameter_schema", postgresql.JSONB(), nullable=False),
        sa.Column("unread", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.CheckConstraint(
            "code_sha256 = encode(sha256(source), 'hex')", name=op.f("ck_uploaded_versions_code_sha256")
        ),
        sa.ForeignKeyConstraint(["name"], ["uploads.name"], name=op.f("fk_uploaded_versions_name")),
        sa.PrimaryKeyConstraint("name", "version", name=op.f("pk_uploaded_versions")),
        comment="Never changed; `unread` says why a text could not be looked at in the sandbox.",
    )
    op.create_index(op.f("ix_uploaded_versions_name_code_sha256"), "uploaded_versions", ["name", "code_sha256"])


def downgrade() -> None:
    op.drop_table("uploaded_versions")
    op.drop_table("uploads")
