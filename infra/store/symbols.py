"""The symbol registry, and the exchange calendar that comes with it."""

from collections.abc import Collection, Sequence
from datetime import UTC, date, datetime
from operator import itemgetter
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlalchemy import case, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from infra.store.newest import Row, put_newest
from infra.store.tables import sessions, symbols
from schemas.validation import Contract, Symbol, SymbolState, SymbolValidated, Validation

_CLOSED = "CLOSED"


async def put_symbols(connection: AsyncConnection, events: Sequence[Symbol]) -> None:
    """The registry's newest state of each symbol, and the sessions that its contract's hours tell."""
    await put_newest(connection, symbols, [_symbol_row(event) for event in events])
    await _put_sessions(connection, [event.contract for event in events])


async def put_hours(connection: AsyncConnection, events: Sequence[Validation]) -> None:
    """The sessions that the gateway told with its answers."""
    await _put_sessions(connection, [event.contract for event in events if isinstance(event, SymbolValidated)])


async def _put_sessions(connection: AsyncConnection, contracts: Sequence[Contract | None]) -> None:
    told = sorted((row for each in contracts for row in _session_rows(each)), key=itemgetter("ingest_time"))
    await put_newest(connection, sessions, list({(row["exchange"], row["day"]): row for row in told}.values()))


def _symbol_row(event: Symbol) -> Row:
    return {
        "symbol_id": event.symbol_id,
        "symbol": event.symbol,
        "security_type": event.security_type,
        "exchange": event.exchange,
        "currency": event.currency,
        "state": event.state.value,
        "contract_id": event.contract.contract_id if event.contract else None,
        "contract": event.contract.model_dump(mode="json") if event.contract else None,
        "last_verified": event.last_verified,
        "reason": event.reason,
        "candidates": [candidate.model_dump() for candidate in event.candidates],
        "kind": event.kind,
        "name": event.name,
        "note": event.note,
        "tags": list(event.tags),
        "collect": event.collect,
        "event_time": event.event_time,
        "ingest_time": event.ingest_time,
    }


def _session_rows(contract: Contract | None) -> list[Row]:
    """One row a day of IB's `20130228:0930-20130228:1600;20130302:CLOSED`; hours that cannot be read give none."""
    if contract is None:
        return []
    try:
        zone = ZoneInfo(contract.time_zone)
        hours = [_hours(part, zone) for part in contract.liquid_hours.split(";") if part]
    except (ValueError, ZoneInfoNotFoundError):
        return []
    whole: dict[date, tuple[datetime | None, datetime | None]] = {}
    for day, opens, closes in hours:
        earlier = whole.get(day, (None, None))
        # a day with a break is one session, from its first opening to its last close
        whole[day] = (earlier[0] or opens, closes or earlier[1])
    exchange = contract.primary_exchange or contract.exchange
    return [
        {"exchange": exchange, "day": day, "opens": opens, "closes": closes, "ingest_time": contract.ingest_time}
        for day, (opens, closes) in sorted(whole.items())
        if opens is None or (closes is not None and opens < closes)
    ]


def _hours(part: str, zone: ZoneInfo) -> tuple[date, datetime | None, datetime | None]:
    first, _, last = part.partition("-")
    day, _, opening = first.partition(":")
    if opening == _CLOSED:
        return _day(day), None, None
    closing_day, _, closing = last.rpartition(":")
    return _day(closing_day or day), _moment(day, opening, zone), _moment(closing_day or day, closing, zone)


def _day(text: str) -> date:
    return date(int(text[:4]), int(text[4:6]), int(text[6:8]))


def _moment(day: str, clock: str, zone: ZoneInfo) -> datetime:
    on = _day(day)
    local = datetime(on.year, on.month, on.day, int(clock[:2]), int(clock[2:4]), tzinfo=zone)
    return local.astimezone(UTC)


async def contract_ids(connection: AsyncConnection, names: Collection[str]) -> dict[str, int]:
    """Contract id by symbol; one that is not known, or has no contract, is missing from the answer."""
    valid_last = case((symbols.c.state == SymbolState.VALID.value, 1), else_=0)
    rows = await connection.execute(
        select(symbols.c.symbol, symbols.c.contract_id)
        .where(symbols.c.symbol.in_(list(names)), symbols.c.contract_id.is_not(None))
        .order_by(valid_last, symbols.c.last_verified)
    )
    return {row.symbol: row.contract_id for row in rows}


async def symbol_names(connection: AsyncConnection) -> dict[int, str]:
    """Symbol by contract id."""
    rows = await connection.execute(
        select(symbols.c.contract_id, func.min(symbols.c.symbol).label("symbol"))
        .where(symbols.c.contract_id.is_not(None))
        .group_by(symbols.c.contract_id)
    )
    return {row.contract_id: row.symbol for row in rows}
