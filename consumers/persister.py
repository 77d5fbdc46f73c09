"""What the topics say about the market, symbols, strategies and backtests, kept in tables: each record once.

A poll is one transaction, and its offsets are committed after it. What comes again changes nothing, because every row
is found by its natural key.
"""

import asyncio
import gc
import itertools
import operator
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import polars as pl
from prometheus_client import Counter, Histogram
from sqlalchemy.ext.asyncio import AsyncConnection

from infra.columns import decode_bars
from infra.delivery import Failure, MalformedRecordError, Record, parse
from infra.service import Service
from infra.settings import Settings
from infra.store import backtests, collection, connection, quarantine, strategies, symbols
from infra.store.bars import Stored, add_bars
from infra.store.database import Store, StoreUnavailableError
from infra.topics import TopicSpec
from schemas.event import Event
from schemas.market import Bar, HistoricalBar

_PATIENCE_SECONDS = 60.0
_DELAY_MAX_SECONDS = 2.0
_COLLECT_AFTER = 50_000

Put = Callable[[AsyncConnection, Sequence[Any]], Awaitable[None]]

KEPT: dict[str, Put] = {
    "market.quarantine.v1": quarantine.put_findings,
    "reference.symbols.v1": symbols.put_symbols,
    "collection.runs.v1": collection.put_runs,
    "strategy.state.v1": strategies.put_states,
    "strategy.signals.v1": strategies.put_signals,
    "backtest.requests.v1": backtests.put_jobs,
    "backtest.results.v1": backtests.put_jobs,
    "research.trials.v1": backtests.put_trials,
}
"""How the events of a topic are stored; topics of bars go by column instead."""


class Persister:
    """Stores polls of records."""

    def __init__(self, service: Service, store: Store) -> None:
        self._service = service
        self._store = store
        registry = service.metrics.registry
        self._bars = Counter("scizor_bars_stored", "Bars that were new to the database", ("topic",), registry=registry)
        self._known = Counter(
            "scizor_bars_known", "Bars that were there before and changed nothing", ("topic",), registry=registry
        )
        self._events = Counter(
            "scizor_events_stored", "Events, other than bars, that were stored", ("topic",), registry=registry
        )
        self._duration = Histogram(
            "scizor_persist_seconds", "Time to store one poll, until its commit", registry=registry
        )

    async def on_records(self, records: Sequence[Record]) -> Sequence[Failure]:
        """Store what can be stored; the rest comes back with the reason. A lost database is waited for, a minute."""
        clock = self._service.clock
        deadline = clock.monotonic() + _PATIENCE_SECONDS
        delay = 0.05
        while True:
            try:
                with self._duration.time():
                    return await self._store_or_split(records)
            except StoreUnavailableError as error:
                if clock.monotonic() + delay > deadline:
                    raise
                self._service.log.warning("trying again", error=str(error))
            await asyncio.sleep(self._service.entropy.jitter(delay))
            delay = min(delay * 2, _DELAY_MAX_SECONDS)

    async def _store_or_split(self, records: Sequence[Record]) -> Sequence[Failure]:
        """Store together; when PostgreSQL refuses a value, find the record that holds it by halves."""
        try:
            return await self._store_together(records)
        except connection.STATEMENT_FAILURES as error:
            if not connection.is_about_data(error):
                raise
            if len(records) == 1:
                return [Failure(records[0], f"PostgreSQL refused it: {error}")]
        half = len(records) // 2
        return [*await self._store_or_split(records[:half]), *await self._store_or_split(records[half:])]

    async def _store_together(self, records: Sequence[Record]) -> Sequence[Failure]:
        failures: list[Failure] = []
        bars: dict[str, pl.DataFrame] = {}
        events: dict[str, list[Event]] = {}
        for topic, part in self._by_topic(records):
            if topic.name in KEPT:
                events[topic.name] = _parsed(topic, part, failures)
            else:
                decoded = decode_bars(topic, part)
                failures += [Failure(part[place], reason) for place, reason in decoded.failures]
                bars[topic.name] = decoded.frame
        stored: dict[str, Stored] = {}
        async with self._store.transaction() as transaction:
            for name, frame in bars.items():
                stored[name] = await add_bars(transaction.connection, frame)
            for name, some in events.items():
                await KEPT[name](transaction.connection, some)
        for name, outcome in stored.items():
            self._bars.labels(name).inc(outcome.new)
            self._known.labels(name).inc(outcome.known)
        for name, some in events.items():
            self._events.labels(name).inc(len(some))
        return failures

    def _by_topic(self, records: Sequence[Record]) -> list[tuple[TopicSpec, list[Record]]]:
        prefix = self._service.settings.topic_prefix
        parts: dict[str, list[Record]] = {}
        for name, part in itertools.groupby(records, operator.attrgetter("topic")):
            parts.setdefault(name, []).extend(part)
        catalogue = self._service.catalogue
        return [(catalogue.topic(name.removeprefix(prefix)), part) for name, part in parts.items()]


def _parsed(topic: TopicSpec, records: Sequence[Record], failures: list[Failure]) -> list[Event]:
    events = []
    for record in records:
        try:
            events.append(parse(topic, record))
        except MalformedRecordError as error:
            failures.append(Failure(record, str(error)))
    return events


def topics_of_bars(service: Service) -> tuple[str, ...]:
    """Those of the service's topics that hold bars and nothing else."""
    topics = (service.catalogue.topic(name) for name in service.spec.reads)
    return tuple(topic.name for topic in topics if set(topic.classes) <= {Bar, HistoricalBar})


def spare_the_collector() -> None:
    """Thousands of short-lived records a poll would have the garbage collector walk all imported modules again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER)


def build(settings: Settings) -> Service:
    """The service, wired."""
    service = Service("persister", settings)
    store = Store(settings, "persister", catalogue=service.catalogue, pool_size=2)
    persister = Persister(service, store)
    unknown = set(service.spec.reads) - set(topics_of_bars(service)) - set(KEPT)
    assert not unknown, f"nobody says how to store {sorted(unknown)}"
    service.relay(store)
    service.on_batch(service.spec.reads, persister.on_records)
    return service


def main() -> None:
    service = build(Settings())
    spare_the_collector()
    asyncio.run(service.run())


if __name__ == "__main__":
    main()
