"""What a kill has taken the place of, so that it comes back once the kill is lifted."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_COLUMNS = ("reduced_by", "reduced_reason")


def upgrade() -> None:
    for name in _COLUMNS:
        op.add_column("trading_state", sa.Column(name, sa.Text(), nullable=False, server_default=""))


def downgrade() -> None:
    for name in _COLUMNS:
        op.drop_column("trading_state", name)
