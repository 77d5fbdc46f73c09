"""What a day has earned is in the account's base currency; what no rate was told for is kept by currency."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_TABLES = ("books", "book_holdings")


def upgrade() -> None:
    for table in _TABLES:
        op.add_column(table, sa.Column("unvalued", postgresql.JSONB(), nullable=False, server_default="{}"))
    op.add_column("book_executions", sa.Column("commission_currency", sa.Text(), nullable=False, server_default="USD"))
    # the broker charges in the currency of the contract; what was summed up before stays as it is
    op.execute(
        "UPDATE book_executions e SET commission_currency = p.currency FROM book_positions p"
        " WHERE p.account_id = e.account_id AND p.contract_id = e.contract_id"
    )


def downgrade() -> None:
    op.drop_column("book_executions", "commission_currency")
    for table in _TABLES:
        op.drop_column(table, "unvalued")
