"""The report of each day, made when an exchange on which the account trades has closed.

The account has one, and each of its strategies.

A report that could not be made is tried again, and is no reason to stop counting positions.
"""

import asyncio
from datetime import date, datetime, timedelta
from typing import Any

from aiokafka.errors import KafkaError

from infra import day_material, day_reports
from infra.calendars.calendar import ExchangeCalendar, UnknownExchangeError, calendar_of
from infra.errors import ScizorError
from infra.service import Service
from infra.store import daily as tables
from infra.store.database import Store

_ROUND_SECONDS = 30.0
_SETTLING = timedelta(minutes=5)
"""Commissions and the day's last bars come a little after the close."""
_NO_EXCHANGE = "SMART"


class Reports:
    """Looks at the exchanges' calendars in market time, which a simulated gateway may set anywhere."""

    def __init__(self, service: Service, store: Store) -> None:
        self._service = service
        self._store = store

    async def run(self) -> None:
        """For ever."""
        while True:
            try:
                await self.make_due()
            except (ScizorError, KafkaError, OSError) as error:  # a time-out is an OSError
                self._service.log.error("the day's report was not made", reason=str(error) or type(error).__name__)
            await asyncio.sleep(_ROUND_SECONDS)

    async def make_due(self) -> None:
        """Make every report of a close that has none."""
        now = self._service.clock.now()
        async with self._store.reading() as connection:
            market_now = await tables.market_time(connection, now)
            exchanges = await tables.exchanges(connection)
        if market_now is None:
            return
        for account_id, names in exchanges.items():
            for calendar in _calendars(names):
                close = _last_close(calendar, market_now - _SETTLING)
                day = (close - timedelta(microseconds=1)).astimezone(tables.ZONE).date()
                if day_reports.closed_at(self._service.settings.home, account_id, day) < close:
                    await self._make(account_id, day, close, now)

    async def _make(self, account_id: str, day: date, close: datetime, now: datetime) -> None:
        settings, store = self._service.settings, self._store
        whose: list[str | None] = [*await day_material.strategies(store, account_id, day), None]
        for strategy_id in whose:  # the account's comes last: it says that all were made
            material = await day_material.day_material(settings, store, account_id, day, now, strategy_id)
            if not (material["events"] or len(whose) > 1):
                return  # the account had not begun to trade
            found, page = await asyncio.to_thread(_rendered, material)
            day_reports.save(settings.home, found | {"closed_at": close.isoformat()}, page)
        self._service.log.info("report made", account_id=account_id, day=day.isoformat(), strategies=len(whose) - 1)


def _rendered(material: day_material.Material) -> tuple[dict[str, Any], str]:
    from engine.daily_document import document  # once a day, hence not at import: it brings the libraries for figures
    from engine.report.daily import daily

    found = document(material)
    return found, daily(found)


def _calendars(exchanges: list[str]) -> list[ExchangeCalendar]:
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
