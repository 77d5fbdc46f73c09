"""What the routes about risk read beside the books: events, restrictions, accounts, past closes."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, Select, select
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from infra.store.queries import Slice
from infra.store.tables import acknowledgements, book_accounts, marks, restrictions, risk_events

_ROWS_MAX = 1000
_CLOSES = sql("""
SELECT contract_id, to_char(start, 'YYYY-MM-DD') AS day, close FROM (
    SELECT DISTINCT ON (contract_id, start) contract_id, start, close FROM bars
    WHERE contract_id = ANY(:contracts) AND bar_size_seconds = 86400 AND price_kind = 'trades'
      AND basis = 'split_adjusted' AND start >= :since AND start < :until
    ORDER BY contract_id, start, revision DESC, ingest_time DESC) newest
""")
_DENIALS = sql(
    "SELECT rule, count(*) AS denials FROM risk_events WHERE account_id = :account AND ingest_time >= :since"
    " GROUP BY rule ORDER BY count(*) DESC, rule"
)


async def _rows(connection: AsyncConnection, statement: Select[Any]) -> Sequence[RowMapping]:
    rows: Sequence[RowMapping] = (await connection.execute(statement)).mappings().all()
    return rows


async def event_page(
    connection: AsyncConnection, part: Slice, *, acknowledged: bool | None = None, **wanted: str | None
) -> Sequence[RowMapping]:
    """Risk events, the newest first, each with who has taken note of it."""
    noted = (acknowledgements.c.by, acknowledgements.c.note, acknowledgements.c.at)
    statement = select(risk_events, *noted).outerjoin(
        acknowledgements, acknowledgements.c.breach_id == risk_events.c.breach_id
    )
    for name, value in wanted.items():
        if value is not None:
            statement = statement.where(risk_events.c[name] == value)
    if acknowledged is not None:
        known = acknowledgements.c.breach_id.is_not(None)
        statement = statement.where(known if acknowledged else ~known)
    newest = (risk_events.c.ingest_time.desc(), risk_events.c.breach_id)
    return await _rows(connection, part.of(statement.order_by(*newest)))


async def event_exists(connection: AsyncConnection, breach_id: str) -> bool:
    return (
        await connection.scalar(select(risk_events.c.breach_id).where(risk_events.c.breach_id == breach_id)) is not None
    )


async def acknowledge(connection: AsyncConnection, breach_id: str, by: str, note: str, at: datetime) -> bool:
    """Whether it was new: who came first stays."""
    statement = insert(acknowledgements).values(breach_id=breach_id, by=by, note=note, at=at)
    return bool((await connection.execute(statement.on_conflict_do_nothing())).rowcount)


async def restricted(connection: AsyncConnection) -> Sequence[RowMapping]:
    statement = select(restrictions).where(restrictions.c.restricted).order_by(restrictions.c.symbol)
    return await _rows(connection, statement.limit(_ROWS_MAX))


async def accounts(connection: AsyncConnection) -> Sequence[RowMapping]:
    """What risk knows of every account by the broker's word."""
    return await _rows(connection, select(book_accounts).order_by(book_accounts.c.account_id).limit(_ROWS_MAX))


async def market_time(connection: AsyncConnection) -> datetime | None:
    """The newest market time that risk has seen a price of."""
    found: datetime | None = await connection.scalar(
        select(marks.c.event_time).order_by(marks.c.received_at.desc()).limit(1)
    )
    return found


async def daily_closes(
    connection: AsyncConnection, contracts: Sequence[int], since: datetime, until: datetime
) -> dict[int, dict[str, float]]:
    """Closes of past sessions by contract and day."""
    found: dict[int, dict[str, float]] = {}
    values = {"contracts": list(contracts), "since": since, "until": until}
    for row in await connection.execute(_CLOSES, values):
        found.setdefault(row.contract_id, {})[row.day] = row.close
    return found


async def denials_since(connection: AsyncConnection, account_id: str, since: datetime) -> dict[str, int]:
    """How many events of each rule there were."""
    rows = await connection.execute(_DENIALS, {"account": account_id, "since": since})
    return {row.rule: row.denials for row in rows}
