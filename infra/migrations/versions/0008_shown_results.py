"""What a backtest's report shows beside its figures."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

NAMES = ("confidence", "benchmark", "prices", "by_symbol", "sources", "warnings")


def upgrade() -> None:
    for name in NAMES:
        op.add_column("backtest_jobs", sa.Column(name, postgresql.JSONB(), nullable=True))


def downgrade() -> None:
    for name in NAMES:
        op.drop_column("backtest_jobs", name)
