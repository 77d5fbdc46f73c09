"""The monitor, wired: events, rounds and dead letters become open alerts, and those are told."""

import asyncio
from datetime import timedelta
from functools import partial
from pathlib import Path

from aiokafka import AIOKafkaConsumer, TopicPartition
from prometheus_client import Counter, Gauge

from consumers.monitor import happenings, rounds
from consumers.monitor.book import Book
from consumers.monitor.lags import lags_of
from consumers.monitor.telling import Telling
from engine.trading_state import KILL_SWITCH, follow
from infra import broker
from infra.alerts import Alert, Apprise, Channel, Severity
from infra.publish import Origin
from infra.service import Service
from infra.settings import Settings
from infra.topics import DEAD_LETTER_SUFFIX, Catalogue
from schemas.account import LimitBreached, TradingMode, TradingState
from schemas.event import Event
from schemas.strategy import StrategyState

ROUND_SECONDS = 10.0
_TELL_SECONDS = 1.0
_FRESH = timedelta(minutes=10)
"""An older breach is no news: nobody is woken for what a new monitor reads first."""
_CATCH_UP_SECONDS = 30.0
"""In this a state that is old by now is followed by the one that ended it, if there is one."""
_LETTERS_BACK = timedelta(minutes=1)


class Monitor:
    """Keeps the book, and tells what is due."""

    def __init__(self, service: Service, channel: Channel) -> None:
        settings = service.settings
        self._service = service
        self._clock = service.clock
        self._book = Book(settings.alert_repeat_minutes * 60)
        self._home = settings.home
        self._states: dict[str, TradingState] = {}
        registry = service.metrics.registry
        told = Counter("scizor_alerts", "Alerts, by what became of them", ("severity", "outcome"), registry=registry)
        self._telling = Telling(channel, service.clock, told, service.log)
        for severity in Severity:
            gauge = Gauge(f"scizor_alerts_open_{severity}", "Alerts that are open", registry=registry)
            gauge.set_function(partial(self._open, severity))
        self._healthy = Gauge("scizor_monitor_healthy", "1 when the service is well", ("service",), registry=registry)
        self._lag = Gauge(
            "scizor_monitor_lag", "Records a group has not taken", ("service", "topic"), registry=registry
        )

    def _open(self, severity: Severity) -> float:
        return float(self._book.open[severity])

    def wire(self) -> None:
        service = self._service
        service.on(LimitBreached, self._on_breach)
        service.on(TradingState, self._on_state)
        service.on(StrategyState, self._on_strategy)
        service.task("rounds", self._go_round)
        service.task("lag", self._watch_lag)
        service.task("letters", self._read_letters)
        service.task("telling", self._tell)

    # events

    async def _on_breach(self, told: LimitBreached, _: Origin) -> None:
        if self._is_news(told):
            self._book.report(happenings.of_breach(told), self._clock.monotonic())

    async def _on_state(self, told: TradingState, _: Origin) -> None:
        alert, after = happenings.of_state(told)
        stands = self._states[told.scope] = follow(self._states.get(told.scope), told)
        if alert is not None:
            self._lasts(told, alert, after)
            return
        if told.by == KILL_SWITCH:
            self._mend(happenings.kill_key(told))
        if stands.mode is TradingMode.ACTIVE:
            self._mend(happenings.state_key(told))

    async def _on_strategy(self, told: StrategyState, _: Origin) -> None:
        alert = happenings.of_strategy(told)
        if alert is None:
            self._mend(happenings.strategy_key(told))
        else:
            self._lasts(told, alert)

    def _lasts(self, told: Event, alert: Alert, after: float = 0.0) -> None:
        """However late it is heard of: it is so until something newer says otherwise, which may be right behind."""
        settles = after if self._is_news(told) else max(after, _CATCH_UP_SECONDS)
        self._book.report(alert, self._clock.monotonic(), after=settles, mends=True)

    def _is_news(self, event: Event) -> bool:
        return self._clock.now() - event.ingest_time < _FRESH

    def _mend(self, key: str) -> None:
        if (resolved := self._book.mend(key)) is not None:
            self._telling.add(resolved)

    # rounds

    async def _go_round(self) -> None:
        self._home.mkdir(parents=True, exist_ok=True)
        named = self._service.settings.monitor_targets
        file = Path(named) if named else self._home / "prometheus" / "targets.json"
        while True:
            for look in await asyncio.to_thread(self._looks, file):
                self._take(look)
            await asyncio.sleep(ROUND_SECONDS)

    def _looks(self, file: Path) -> list[rounds.Look]:
        looks = [rounds.of_disk(self._home)]
        try:
            found = rounds.targets(file)
        except FileNotFoundError:
            return looks  # the system is still starting
        except (OSError, ValueError, KeyError, IndexError) as error:
            broken = Alert("targets", Severity.WARNING, "the monitor does not know where services are", repr(error))
            return [*looks, rounds.Look("targets", broken)]
        for service, (host, port) in found.items():
            seen = rounds.see(service, host, port)
            self._healthy.labels(service).set(0 if seen.why_down or seen.reasons else 1)
            looks += rounds.of_service(seen)
        return [*looks, rounds.Look("targets", None)]

    def _take(self, look: rounds.Look) -> None:
        if look.alert is None:
            self._mend(look.key)
        else:
            self._book.report(look.alert, self._clock.monotonic(), after=look.after, mends=True)

    async def _watch_lag(self) -> None:
        records_max = self._service.settings.alert_lag_records
        async for service, topic, behind in lags_of(self._service.settings, self._service.catalogue, ROUND_SECONDS):
            self._lag.labels(service, topic).set(behind)
            self._take(rounds.of_lag(service, topic, behind, records_max))

    # dead letters

    async def _read_letters(self) -> None:
        """Those that come from now on; what came a moment before the start is read too."""
        consumer = broker.reader(self._service.settings)
        await consumer.start()
        try:
            await self._seek(consumer)
            prefix = self._service.settings.topic_prefix
            while True:
                for place, letters in (await consumer.getmany(timeout_ms=1000)).items():
                    topic = place.topic.removeprefix(prefix).removesuffix(DEAD_LETTER_SUFFIX)
                    for letter in letters:
                        self._book.report(happenings.of_letter(topic, letter.headers), self._clock.monotonic())
        finally:
            await consumer.stop()

    async def _seek(self, consumer: AIOKafkaConsumer) -> None:
        catalogue, prefix = self._service.catalogue, self._service.settings.topic_prefix
        places = [
            TopicPartition(f"{prefix}{name}{DEAD_LETTER_SUFFIX}", number)
            for name in catalogue.dead_letter_sources
            for number in range(catalogue.topic(name).partitions)
        ]
        consumer.assign(places)
        since = int((self._clock.now() - _LETTERS_BACK).timestamp() * 1000)
        found = await consumer.offsets_for_times(dict.fromkeys(places, since))
        ends = await consumer.end_offsets(places)
        for place in places:
            begin = found.get(place)
            consumer.seek(place, begin.offset if begin is not None else ends[place])

    # telling

    async def _tell(self) -> None:
        while True:
            for alert in self._book.due(self._clock.monotonic()):
                self._telling.add(alert)
            if not await self._telling.send_next():  # else look again first: what came meanwhile may be graver
                await asyncio.sleep(_TELL_SECONDS)


def build(settings: Settings, catalogue: Catalogue | None = None) -> Service:
    """The service, wired."""
    service = Service("monitor", settings, catalogue=catalogue)
    Monitor(service, Apprise(settings)).wire()
    return service
