"""Daily collection by the exchange's clock: asked for once after each session, also over restarts."""

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from infra.calendars.calendar import Session, calendar_of
from infra.errors import ScizorError
from infra.gateway import Connection, Market, hours
from infra.service import Service
from producers.data_farmer.registry import Registry
from schemas.collection import CollectDaily
from schemas.validation import SymbolState

CALENDARS = ("XNYS", "XASX")
_LOOK_SECONDS = 5.0


def run_id_of(calendar: str, session: Session) -> str:
    """The same for the same session, whoever asks and however often."""
    return f"daily-{calendar}-{session.day}"


class Scheduler:
    """Looks at the market's clock now and then. A run id that was asked for before is not asked for again."""

    def __init__(self, service: Service, connection: Connection, market: Market, registry: Registry) -> None:
        self._service = service
        self._connection = connection
        self._market = market
        self._registry = registry
        self._delay = timedelta(minutes=service.settings.collect_daily_delay_minutes)
        self._since: dict[str, datetime] = {}
        """Sessions that were over by then are nobody's business any more."""

    def recall(self, asked: Iterable[CollectDaily]) -> None:
        """Go on after the last sessions that were asked for: those that ended while nobody looked come next."""
        for each in asked:
            if each.exchange in CALENDARS and each.session is not None:
                calendar = calendar_of(each.exchange)
                if (session := calendar.session(each.session)) is not None:
                    before = self._since.get(each.exchange, datetime.min.replace(tzinfo=UTC))
                    self._since[each.exchange] = max(before, session.close + self._delay)

    async def run(self) -> None:
        """For `Service.task`."""
        while True:
            if self._connection.state.usable:
                try:
                    await self.look(await self._market.now())
                except ScizorError as error:  # a gateway that does not tell the time now does so later
                    self._service.log.warning("the schedule waits", error=str(error))
            await asyncio.sleep(_LOOK_SECONDS)

    async def look(self, now: datetime) -> None:
        """Ask for what has become due by `now`, in market time."""
        for name in CALENDARS:
            if name not in self._since:
                self._since[name] = now  # a first start has nothing to make up for
                continue
            session = self._last_over(name, now)
            if session is not None and self._has_symbols(name):
                await self._ask(name, session, now)
                self._since[name] = session.close + self._delay

    def _last_over(self, name: str, now: datetime) -> Session | None:
        """The last session that is over and was not asked for; it makes up for those before it."""
        session = calendar_of(name).latest(now - self._delay)
        if session.close + self._delay > now:
            session = calendar_of(name).latest(session.open - timedelta(seconds=1))
        return session if session.close + self._delay > self._since[name] else None

    def _has_symbols(self, name: str) -> bool:
        wanted = (each for each in self._registry.entries() if each.state is SymbolState.VALID and each.collect)
        calendars = (hours.calendar(entry.contract) for entry in wanted if entry.contract is not None)
        return any(calendar is not None and calendar.name == name for calendar in calendars)

    async def _ask(self, name: str, session: Session, now: datetime) -> None:
        request = CollectDaily(
            event_time=now,
            ingest_time=self._service.clock.now(),
            run_id=run_id_of(name, session),
            exchange=name,
            session=session.day,
            requested_by="schedule",
        )
        await self._service.publish(request)
        self._service.log.info("daily collection is due", exchange=name, session=str(session.day))
