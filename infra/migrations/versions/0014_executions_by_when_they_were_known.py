"""What has filled since the broker last told the buying power is found by when it was known."""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_INDEX = "ix_book_executions_account_id_known_at"


def upgrade() -> None:
    op.create_index(_INDEX, "book_executions", ["account_id", "known_at"])


def downgrade() -> None:
    op.drop_index(_INDEX, "book_executions")
