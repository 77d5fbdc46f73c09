"""All that the report of a day is made of, as plain data: from the tables, and quotes of orders from their topic."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from infra.errors import UsageError
from infra.quotes_at import quotes_at
from infra.settings import Settings
from infra.store import daily
from infra.store.daily import Rows, Wanted
from infra.store.database import Store

Material = dict[str, Any]
RATE_AGE_MAX = timedelta(hours=1)
"""An exchange rate that was told longer before, or after, the day's end is stale: nothing is converted by it."""


class NothingKnownError(UsageError):
    def __init__(self, account_id: str, known: Sequence[str]) -> None:
        there = ", ".join(known) or "none: nothing has been traded, and the executor has told no account"
        super().__init__(f"no account {account_id!r} to report about; there is {there}")


class UnknownTraderError(UsageError):
    def __init__(self, strategy_id: str, account_id: str, known: Sequence[str]) -> None:
        there = ", ".join(known) or "none"
        super().__init__(f"no strategy {strategy_id!r} has ever traded for {account_id}; there is {there}")


async def accounts(store: Store) -> list[str]:
    """All of which something is known."""
    async with store.reading() as connection:
        return await daily.accounts(connection)


async def newest_day(store: Store, account_id: str, now: datetime) -> date:
    """The last day, in market time, on which something happened; today in New York when nothing ever did."""
    async with store.reading() as connection:
        return await daily.newest_day(connection, account_id) or now.astimezone(daily.ZONE).date()


async def strategies(store: Store, account_id: str, day: date) -> list[str]:
    """Those that wanted or traded something on the day, or held something at its end."""
    async with store.reading() as connection:
        return await daily.strategies(connection, daily.day_of(account_id, day))


async def day_material(
    settings: Settings, store: Store, account_id: str, day: date, now: datetime, strategy_id: str | None = None
) -> Material:
    """For `engine.daily_document`. Raises NothingKnownError for an account that nobody has heard of, and
    UnknownTraderError for such a strategy."""
    found = await without_quotes(store, daily.day_of(account_id, day, strategy_id), day, now)
    if strategy_id is not None:
        async with store.reading() as connection:
            traders = await daily.traders(connection, account_id)
        if strategy_id not in traders:
            raise UnknownTraderError(strategy_id, account_id, traders)
    places = [(row["contract_id"], row["created_at"]) for row in found["orders"]]
    quotes = await quotes_at(settings, places)
    for row in found["orders"]:
        quote = quotes.get((row["contract_id"], row["created_at"]))
        row["bid"], row["ask"] = (quote.bid, quote.ask) if quote is not None else (None, None)
    return found


async def without_quotes(store: Store, wanted: Wanted, day: date, now: datetime) -> Material:
    """The same, as far as tables tell it: what a day has earned, without what its orders were quoted at."""
    account_id = wanted.account_id
    async with store.reading() as connection:
        known = await daily.accounts(connection)
        if account_id not in known:
            raise NothingKnownError(account_id, known)
        events = await daily.executions(connection, wanted)
        happened = await daily.happened(connection, wanted, now)
        account = await daily.account(connection, account_id)
        return {
            "account_id": account_id,
            "strategy_id": wanted.strategy_id,
            "day": day,
            "begins": wanted.begins,
            "ends": wanted.ends,
            "made_at": now,
            "events": events,
            "account": _account(account, happened.wall_end, now),
            "held": _plain(await daily.held(connection, account_id)),
            **await _prices(connection, wanted, events),
            **{name: _plain(getattr(happened, name)) for name in daily.LISTS},
        }


async def _prices(connection: AsyncConnection, wanted: Wanted, events: Sequence[Any]) -> dict[str, Any]:
    contracts = sorted({event.contract_id for event in events if hasattr(event, "contract_id")})
    first = min((event.event_time for event in events), default=wanted.begins)
    closes = await daily.closes(connection, contracts, (first, wanted.ends))
    return {"closes": _plain(closes), "marks": _plain(await daily.marks(connection, contracts))}


def _account(row: Any, wall_end: datetime | None, now: datetime) -> dict[str, Any] | None:
    """With `rates_stale`: whether its exchange rates are of another time than the day's end."""
    if row is None:
        return None
    told = row["told_at"]
    stale = told is None or abs(told - (wall_end or now)) > RATE_AGE_MAX
    return {**row, "rates": row["rates"] or {}, "rates_stale": stale}


def _plain(rows: Rows) -> list[dict[str, Any]]:
    return [dict(row) for row in rows]
