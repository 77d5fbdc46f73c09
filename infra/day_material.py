"""All that the report of a day is made of, as plain data: from the tables, and quotes of orders from their topic."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from infra.errors import UsageError
from infra.quotes_at import quotes_at
from infra.settings import Settings
from infra.store import daily
from infra.store.daily import Rows, Wanted
from infra.store.daily_lists import happened
from infra.store.database import Store

Material = dict[str, Any]
RATE_AGE_MAX = timedelta(hours=1)
"""An exchange rate that was told longer before, or after, the day's end is stale: nothing is converted by it."""
_PRICE_AGE_MAX = timedelta(days=10)
"""No holidays last longer: a newest price of longer ago is that of a market which lives in the past."""


class NothingKnownError(UsageError):
    def __init__(self, account_id: str, known: Sequence[str]) -> None:
        there = ", ".join(known) or "none: nothing has been traded, and the executor has told no account"
        super().__init__(f"no account {account_id!r} to report about; there is {there}")


class NothingHappenedError(UsageError):
    def __init__(self, account_id: str) -> None:
        super().__init__(
            f"nothing has been proposed or traded for {account_id} yet, and no price has told which day it is at the "
            "market: there is no day to report, unless --day names one"
        )


class UnknownTraderError(UsageError):
    def __init__(self, strategy_id: str, account_id: str, known: Sequence[str]) -> None:
        there = ", ".join(known) or "none"
        super().__init__(f"no strategy {strategy_id!r} has ever traded for {account_id}; there is {there}")
        self.strategy_id, self.account_id = strategy_id, account_id


class NotTradedYetError(UsageError):
    def __init__(self, strategy_id: str, account_id: str) -> None:
        super().__init__(
            f"strategy {strategy_id!r} is deployed, but has sent no order yet for {account_id}: there is nothing to "
            "report; `scizor live status` says how it stands"
        )


class NotBegunError(UsageError):
    def __init__(self, day: date, today: date) -> None:
        super().__init__(f"the day {day} has not begun: in New York it is {today}")


class MarketDayNotBegunError(UsageError):
    def __init__(self, day: date, market_today: date) -> None:
        super().__init__(
            f"the day {day} has not begun: at this market, which lives at another time than ours, it is {market_today}"
        )


async def accounts(store: Store) -> list[str]:
    """All of which something is known."""
    async with store.reading() as connection:
        return await daily.accounts(connection)


async def day_asked(store: Store, account_id: str, day: date | None, now: datetime) -> date | None:
    """The day that is asked for; else the last one on which something happened; while nothing has, the market's present
    day, or None where no price has told it.

    Raises NotBegunError, or MarketDayNotBegunError, for one of the future.
    """
    async with store.reading() as connection:
        newest = await daily.newest_day(connection, account_id)
        market_now = await daily.market_time(connection, now)
    if day is None:
        return newest or (market_now.astimezone(daily.ZONE).date() if market_now else None)
    refuse_future(day, newest, market_now, now)
    return day


def refuse_future(day: date, newest: date | None, market_now: datetime | None, now: datetime) -> None:
    """Raises NotBegunError, or MarketDayNotBegunError where a simulated market lives in the past."""
    today = now.astimezone(daily.ZONE).date()
    market_today = market_now.astimezone(daily.ZONE).date() if market_now else today
    if market_now is not None and now - market_now > _PRICE_AGE_MAX:
        if day > (latest := max(market_today, newest or market_today)):
            raise MarketDayNotBegunError(day, latest)
    # a simulated market may be ahead of us, too, and the newest price of a real one may be of last week
    elif day > (latest := max(today, market_today, newest or today)):
        raise NotBegunError(day, latest)


async def strategies(store: Store, account_id: str, day: date) -> list[str]:
    """Those that wanted or traded something on the day, or held something at its end."""
    async with store.reading() as connection:
        return await daily.strategies(connection, daily.day_of(account_id, day))


async def day_material(
    settings: Settings, store: Store, account_id: str, day: date, now: datetime, strategy_id: str | None = None
) -> Material:
    """For `engine.daily_document`. Raises NothingKnownError for an account that nobody has heard of, and
    UnknownTraderError for such a strategy."""
    if strategy_id is not None:
        async with store.reading() as connection:
            traders = await daily.traders(connection, account_id)
            known = await daily.accounts(connection)
        if account_id in known and strategy_id not in traders:
            raise UnknownTraderError(strategy_id, account_id, traders)
    (found,) = await materials(settings, store, daily.day_of(account_id, day), now, [strategy_id])
    return found


async def materials(
    settings: Settings, store: Store, wanted: Wanted, now: datetime, whose: Sequence[str | None]
) -> list[Material]:
    """For all reports of an account's day, in the order of `whose`: of strategies, None is the whole account. What they
    have in common is read once. Raises NothingKnownError."""
    async with store.reading() as connection:
        common = await _common(connection, wanted, now)
        found = []
        for strategy_id in whose:
            one = replace(wanted, strategy_id=strategy_id)
            lists = await happened(connection, one, common["wall"])
            ever_closed = _plain(await daily.round_trips(connection, one))
            found.append(
                common
                | {"strategy_id": strategy_id, "ever_closed": ever_closed, "most": daily.ROWS_MAX}
                | {name: _plain(rows) for name, rows in lists.items()}
            )
    orders = [row for each in found for row in each["orders"]]
    quotes = await quotes_at(settings, [(row["contract_id"], row["created_at"]) for row in orders])
    for row in orders:
        quote = quotes.get((row["contract_id"], row["created_at"]))
        row["bid"], row["ask"] = (quote.bid, quote.ask) if quote is not None else (None, None)
    return found


async def figures_material(store: Store, wanted: Wanted, now: datetime) -> Material:
    """What a day has earned, and the figures up to it, without the lists; how long two of them are is counted.

    Raises NothingKnownError.
    """
    async with store.reading() as connection:
        counts = await daily.counts(connection, wanted)
        return await _common(connection, wanted, now) | {
            "strategy_id": wanted.strategy_id,
            "ever_closed": _plain(await daily.round_trips(connection, wanted)),
            "trades_today": counts["trades"],
            "denials_today": counts["denials"],
        }


async def _common(connection: AsyncConnection, wanted: Wanted, now: datetime) -> Material:
    """What is the same for the account and all of its strategies."""
    account_id = wanted.account_id
    known = await daily.accounts(connection)
    if account_id not in known:
        raise NothingKnownError(account_id, known)
    told = await daily.executions(connection, account_id)
    contracts = sorted({event.contract_id for event in told if hasattr(event, "contract_id")})
    first = min((event.event_time for event in told), default=wanted.begins)
    wall = await daily.wall(connection, wanted)
    return {
        "account_id": account_id,
        "day": wanted.begins.date(),
        "begins": wanted.begins,
        "ends": wanted.ends,
        "made_at": now,
        "events": [event for event in told if event.event_time < wanted.ends],
        "later": [event for event in told if event.event_time >= wanted.ends],
        "account": _account(await daily.account(connection, account_id), wall.over, now),
        "closes": _plain(await daily.closes(connection, contracts, first)),
        "marks": _plain(await daily.marks(connection, contracts)),
        "wall": (wall.begun, wall.over or now),
    }


def _account(row: Any, wall_end: datetime | None, now: datetime) -> dict[str, Any] | None:
    """With `rates_stale`: whether its exchange rates are of another time than the day's end."""
    if row is None:
        return None
    told = row["told_at"]
    stale = told is None or abs(told - (wall_end or now)) > RATE_AGE_MAX
    return {**row, "rates": row["rates"] or {}, "rates_stale": stale}


def _plain(rows: Rows) -> list[dict[str, Any]]:
    return [dict(row) for row in rows]
