"""The newest price of each contract that risk has seen, and how much of it is traded a day."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

import orjson
from sqlalchemy import Text, bindparam
from sqlalchemy import text as sql

from infra.store.database import Store

_SAVE = sql("""
INSERT INTO marks (contract_id, symbol, price, event_time, received_at)
SELECT * FROM jsonb_to_recordset(CAST(:rows AS jsonb))
    AS row (contract_id bigint, symbol text, price numeric, event_time timestamptz, received_at timestamptz)
ON CONFLICT (contract_id) DO UPDATE SET symbol = excluded.symbol, price = excluded.price,
    event_time = excluded.event_time, received_at = excluded.received_at
WHERE marks.received_at <= excluded.received_at
""").bindparams(bindparam("rows", type_=Text))
_COUNT_VOLUME = sql("""
UPDATE marks SET volume_day = (marks.event_time AT TIME ZONE 'UTC')::date, average_volume = (
    SELECT avg(volume)::numeric(24, 8) FROM (
        SELECT DISTINCT ON (start) start, volume FROM bars
        WHERE bars.contract_id = marks.contract_id AND bar_size_seconds = 86400 AND start < marks.event_time
          AND price_kind = 'trades'
        ORDER BY start DESC, revision DESC, ingest_time DESC LIMIT 20) daily)
WHERE average_volume IS NULL OR volume_day IS DISTINCT FROM (event_time AT TIME ZONE 'UTC')::date
""")


class MarkRow(NamedTuple):
    """One price; `event_time` is market time, `received_at` wall time."""

    contract_id: int
    symbol: str
    price: Decimal
    event_time: datetime
    received_at: datetime


async def save(store: Store, rows: Sequence[MarkRow]) -> None:
    """Keep the newest; what was lost in a crash comes again with the next price, so nobody waits for the disk."""
    told = [{**row._asdict(), "price": str(row.price)} for row in rows]
    async with store.transaction() as tx:
        await tx.connection.execute(sql("SET LOCAL synchronous_commit TO off"))
        await tx.connection.execute(_SAVE, {"rows": orjson.dumps(told).decode()})


async def count_volumes(store: Store) -> None:
    """Average the volume of the last twenty sessions, once a market day for each contract."""
    async with store.transaction() as tx:
        await tx.connection.execute(_COUNT_VOLUME)
