"""Looks at what positions earn at the newest prices, once a second: a loss need not be realised to be one."""

import asyncio
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any

from consumers.risk.prices import Prices
from consumers.risk.stopping import Stopper
from engine import risk
from infra.delivery import is_transient
from infra.service import Service
from infra.store import book, book_rules, marks
from infra.store.book import Day
from infra.store.columns_of_tables import plain
from infra.store.database import Store
from schemas.account import TradingMode

_INTERVAL_SECONDS = 1.0
_VOLUMES_EVERY = 60
"""Looks between two counts of daily volumes."""
_NEW_MARKET = timedelta(days=7)


class Watch:
    """The background task of the service."""

    def __init__(self, service: Service, store: Store, prices: Prices, stopper: Stopper) -> None:
        self._service = service
        self._store = store
        self._prices = prices
        self._stopper = stopper

    async def run(self) -> None:
        """For ever. A database that is away is asked again: until then decisions are not possible either."""
        number = 0
        while True:
            try:
                await self.look()
                if number % _VOLUMES_EVERY == 0:
                    await marks.count_volumes(self._store)
                number += 1
            except Exception as error:
                if not is_transient(error):
                    raise
                self._service.log.warning("the books cannot be looked at", error=repr(error))
            await asyncio.sleep(_INTERVAL_SECONDS)

    async def look(self) -> None:
        """Begin the days of accounts at the prices of before, write down those that have come since, and stop accounts
        whose day has gone too badly."""
        new = self._prices.unsaved()
        if new:
            await self._begin_days(max(row.event_time for row in new))
            await self._prices.save(new)
        await self._judge()

    async def _begin_days(self, market_time: datetime) -> None:
        """Nothing of the new day is in the tables yet: what came over night belongs to the new day."""
        day = risk.trading_day(market_time)
        latest = risk.trading_day(self._prices.market_time or market_time)
        for each in await self._standings():
            seen = max(latest, risk.trading_day(each.market_time)) if each.market_time else latest
            again = begins_again(each.marked_day, seen)
            if (again or begins(each.marked_day, day)) and not each.unvalued:
                await self._begin(each, seen if again else day, again=again)

    async def _judge(self) -> None:
        for each in await self._standings():
            if each.marked_day is None:
                if each.market_time is not None and not each.unvalued:  # what was held before has no morning
                    await self._begin(each, risk.trading_day(each.market_time))
                continue
            day = max(each.marked_day, each.realised_day or each.marked_day)
            pnl = Day(plain(each.realised_pnl_today), each.realised_day).on(day)
            pnl += plain(each.unrealised) - plain(each.unrealised_before)
            async with self._store.transaction() as tx:
                await self._stopper.judge_day(tx, each.account_id, pnl, TradingMode(each.loss_mode))

    async def _begin(self, each: Any, day: date, *, again: bool = False) -> None:
        async with self._store.transaction() as tx:
            await book.lock(tx.connection, each.account_id, self._service.clock.now())
            await book_rules.begin_day(tx.connection, each.account_id, day, plain(each.unrealised))
            if again:
                await book_rules.forget_day(tx.connection, each.account_id)

    async def _standings(self) -> Sequence[Any]:
        async with self._store.looking() as connection:
            return await book_rules.standings(connection)


def begins(known: date | None, day: date) -> bool:
    """Whether prices of `day` begin it for an account whose day was `known`: an earlier one never does."""
    return known is None or day > known


def begins_again(known: date | None, day: date) -> bool:
    """Whether market time has fallen back so far that it is another market's: a simulator began again."""
    return known is not None and known - day > _NEW_MARKET
