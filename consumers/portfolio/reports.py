"""The report of each day, made when an exchange on which the account trades has closed.

The account has one, and each of its strategies.

A report that could not be made is tried again, and is no reason to stop counting positions, nor to make no other: each
account's are made apart, in a thread with a loop and a connection of its own.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any

from aiokafka.errors import KafkaError

from infra import day_material, day_reports
from infra.calendars.calendar import ExchangeCalendar, UnknownExchangeError, calendar_of
from infra.errors import ScizorError
from infra.service import Service
from infra.settings import Settings
from infra.store import daily as tables
from infra.store.database import Store

_ROUND_SECONDS = 30.0
_AGAIN_SECONDS = 300.0
"""After which an account's reports are tried again, all of whose executions were read in vain."""
_SETTLING = timedelta(minutes=5)
"""Commissions and the day's last bars come a little after the close."""
_NO_EXCHANGE = "SMART"


@dataclass(frozen=True)
class Due:
    """An account's day that has no reports yet."""

    account_id: str
    day: date
    close: datetime
    now: datetime


Make = Callable[[Due], Coroutine[Any, Any, int | None]]
"""Makes all reports of an account's day and says how many strategies have one; None where there is nothing to tell."""


class Reports:
    """Looks at the exchanges' calendars in market time, which a simulated gateway may set anywhere."""

    def __init__(self, service: Service, store: Store, make: Make | None = None) -> None:
        self._service = service
        self._store = store
        self._make = make or partial(_made, service.settings)
        self._not_before: dict[str, float] = {}

    async def run(self) -> None:
        """For ever."""
        while True:
            try:
                await self.make_due()
            except Exception as error:  # noqa: BLE001 - whatever it is, positions are counted on, and it is told
                self._tell("nobody knows which reports are due", error)
            await asyncio.sleep(_ROUND_SECONDS)

    async def make_due(self) -> None:
        """Make every report of a close that has none."""
        now = self._service.clock.now()
        async with self._store.reading() as connection:
            market_now = await tables.market_time(connection, now)
            exchanges = await tables.exchanges(connection)
        if market_now is not None:
            await self.make_of_each(exchanges, market_now, now)

    async def make_of_each(self, exchanges: Mapping[str, Sequence[str]], market_now: datetime, now: datetime) -> None:
        """Whatever is wrong with one account leaves the others their reports."""
        clock = self._service.clock
        for account_id, names in exchanges.items():
            if clock.monotonic() < self._not_before.get(account_id, 0.0):
                continue
            try:
                for due in self._due(account_id, names, market_now, now):
                    strategies = await asyncio.to_thread(self._make_apart, due)
                    if strategies is not None:
                        day = due.day.isoformat()
                        self._service.log.info("report made", account_id=account_id, day=day, strategies=strategies)
            except Exception as error:  # noqa: BLE001 - see above
                self._not_before[account_id] = clock.monotonic() + _AGAIN_SECONDS
                self._tell("the day's report was not made", error, account_id=account_id)

    def _make_apart(self, due: Due) -> int | None:
        return asyncio.run(self._make(due))

    def _due(self, account_id: str, names: Sequence[str], market_now: datetime, now: datetime) -> list[Due]:
        closes = {_last_close(calendar, market_now - _SETTLING) for calendar in _calendars(names)}
        last = {(close - timedelta(microseconds=1)).astimezone(tables.ZONE).date(): close for close in sorted(closes)}
        home = self._service.settings.home
        return [
            Due(account_id, day, close, now)
            for day, close in last.items()
            if day_reports.closed_at(home, account_id, day) < close
        ]

    def _tell(self, what: str, error: Exception, **about: str) -> None:
        """A failure of the world in a line; of a fault of ours also where it is."""
        fault = None if isinstance(error, ScizorError | KafkaError | OSError) else error  # a time-out is an OSError
        reason = str(error) or type(error).__name__
        self._service.log.error(what, reason=reason, **about, **({"exc_info": fault} if fault else {}))


async def _made(settings: Settings, due: Due) -> int | None:
    """The account's comes last: it says that all were made."""
    store = Store(settings, "portfolio", pool_size=1)
    try:
        whose: list[str | None] = [*await day_material.strategies(store, due.account_id, due.day), None]
        wanted = tables.day_of(due.account_id, due.day)
        materials = await day_material.materials(settings, store, wanted, due.now, whose)
    finally:
        await store.close()
    if not (materials[-1]["events"] or len(whose) > 1):
        return None  # the account had not begun to trade
    for material in materials:
        found, page = _rendered(material)
        day_reports.save(settings.home, found | {"closed_at": due.close.isoformat()}, page)
    return len(whose) - 1


def _rendered(material: day_material.Material) -> tuple[dict[str, Any], str]:
    from engine.daily_document import document  # once a day, hence not at import: it brings the libraries for figures
    from engine.report.daily import daily

    found = document(material)
    return found, daily(found)


def _calendars(exchanges: Sequence[str]) -> list[ExchangeCalendar]:
    """Each once; of exchanges without a calendar that of the United States."""
    found: dict[str, ExchangeCalendar] = {}
    for name in exchanges or [_NO_EXCHANGE]:
        try:
            calendar = calendar_of(name)
        except UnknownExchangeError:
            calendar = calendar_of(_NO_EXCHANGE)
        found[calendar.name] = calendar
    return list(found.values())


def _last_close(calendar: ExchangeCalendar, moment: datetime) -> datetime:
    """The end of the last session that was over by then."""
    session = calendar.latest(moment)
    while session.close > moment:
        session = calendar.latest(session.open - timedelta(microseconds=1))
    return session.close
