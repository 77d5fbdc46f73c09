"""Orders of every type: what triggers them, and what other orders they hang on."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("orders", sa.Column("stop_price", sa.Numeric(24, 8), nullable=True))
    op.add_column("orders", sa.Column("parent_id", sa.Text(), nullable=True, comment=_PARENT))
    op.add_column("orders", sa.Column("oca_group", sa.Text(), server_default="", nullable=False))
    op.alter_column("orders", "oca_group", server_default=None)
    op.alter_column("orders", "intent", comment=_INTENT, existing_comment=_INTENT_BEFORE)


def downgrade() -> None:
    for name in ("oca_group", "parent_id", "stop_price"):
        op.drop_column("orders", name)
    op.alter_column("orders", "intent", comment=_INTENT_BEFORE, existing_comment=_INTENT)


_PARENT = "our id of the order that has to fill first"
_INTENT = "with the changes the broker took; null: not placed by SCIZOR"
_INTENT_BEFORE = "null: the order was not placed by SCIZOR"
