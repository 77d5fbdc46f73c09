"""Bars of quotes beside bars of trades, and the same bar in several bases: both are part of the key."""

import sqlalchemy as sa
from alembic import op

from infra.migrations.beyond_tables import DAILY_PRICES

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_KEY = ["contract_id", "bar_size_seconds", "start", "price_kind", "basis", "source", "revision"]
_OLD_KEY = ["contract_id", "bar_size_seconds", "start", "source", "revision"]

DAILY_PRICES_OF_TRADES = """
CREATE VIEW daily_prices AS
SELECT DISTINCT ON (bars.contract_id, bars.start, bars.basis, bars.source)
  bars.contract_id, symbols.symbol, bars.start, bars.end_time, bars.open, bars.high, bars.low, bars.close, bars.volume,
  bars.source, bars.basis, bars.revision, bars.ingest_time
FROM bars
LEFT JOIN LATERAL (
  SELECT symbol FROM symbols WHERE symbols.contract_id = bars.contract_id ORDER BY symbol_id LIMIT 1
) AS symbols ON true
WHERE bars.bar_size_seconds = 86400 AND bars.price_kind = 'trades'
ORDER BY bars.contract_id, bars.start, bars.basis, bars.source, bars.revision DESC
"""


def upgrade() -> None:
    op.execute("DROP VIEW daily_prices")
    op.add_column("bars", sa.Column("price_kind", sa.Text(), server_default="trades", nullable=False))
    op.alter_column("bars", "price_kind", server_default=None)
    op.drop_constraint(op.f("pk_bars"), "bars", type_="primary")
    op.create_primary_key(op.f("pk_bars"), "bars", _KEY)
    op.execute(DAILY_PRICES_OF_TRADES)


def downgrade() -> None:
    """Only bars of trades fit the old key; the others are in the topics."""
    op.execute("DROP VIEW daily_prices")
    op.execute("DELETE FROM bars WHERE price_kind <> 'trades' OR basis <> 'split_adjusted'")
    op.drop_constraint(op.f("pk_bars"), "bars", type_="primary")
    op.create_primary_key(op.f("pk_bars"), "bars", _OLD_KEY)
    op.drop_column("bars", "price_kind")
    op.execute(DAILY_PRICES)
