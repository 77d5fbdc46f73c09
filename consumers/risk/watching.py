"""Looks at what positions earn at the newest prices, once a second: a loss need not be realised to be one."""

import asyncio

from consumers.risk.prices import Prices
from consumers.risk.stopping import Stopper
from engine import risk
from infra.delivery import is_transient
from infra.service import Service
from infra.store import book_rules, marks
from infra.store.book import Day
from infra.store.columns_of_tables import plain
from infra.store.database import Store
from schemas.account import TradingMode

_INTERVAL_SECONDS = 1.0
_VOLUMES_EVERY = 60
"""Looks between two counts of daily volumes."""


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
                await self._prices.save()
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
        """Begin the days of accounts, and stop those whose day has gone too badly."""
        async with self._store.looking() as connection:
            found = await book_rules.standings(connection)
        for each in found:
            if each.market_time is None:
                continue  # nothing is held, or nothing of it has a price: nothing is unrealised
            day = risk.trading_day(each.market_time)
            unrealised = plain(each.unrealised)
            async with self._store.transaction() as tx:
                if each.marked_day != day:
                    await book_rules.begin_day(tx.connection, each.account_id, day, unrealised)
                    continue
                pnl = Day(plain(each.realised_pnl_today), each.realised_day).on(day) + unrealised
                pnl -= plain(each.unrealised_before)
                await self._stopper.judge_day(tx, each.account_id, pnl, TradingMode(each.loss_mode))
