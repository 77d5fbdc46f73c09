"""Up to which order id a person has accepted that the gateway's count fell back."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("order_ids", sa.Column("accepted_id", sa.BigInteger(), server_default="0", nullable=False))
    op.alter_column("order_ids", "accepted_id", server_default=None)


def downgrade() -> None:
    op.drop_column("order_ids", "accepted_id")
