"""Records of topics into tables, a poll at a time: what the persister does, and a rebuild does again."""

import itertools
import operator
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl
from sqlalchemy.ext.asyncio import AsyncConnection

from infra.columns import decode_bars
from infra.delivery import Failure, MalformedRecordError, Record, parse
from infra.store import (
    backtests,
    collection,
    connection,
    corporate,
    optimizations,
    quarantine,
    removals,
    strategies,
    symbols,
)
from infra.store.bars import Stored, add_bars
from infra.store.database import Store
from infra.topics import Catalogue, TopicSpec
from schemas.event import Event
from schemas.market import Bar, HistoricalBar

Put = Callable[[AsyncConnection, Sequence[Any]], Awaitable[None]]

_EVENTS_OF: dict[str, Put] = {
    "reference.removals.v1": removals.put_removals,
    "market.quarantine.v1": quarantine.put_findings,
    "reference.validations.v1": symbols.put_hours,
    "reference.corporate_actions.v1": corporate.put_actions,
    "reference.symbols.v1": symbols.put_symbols,
    "collection.runs.v1": collection.put_runs,
    "collection.chunks.v1": collection.put_outcomes,
    "strategy.state.v1": strategies.put_states,
    "strategy.signals.v1": strategies.put_signals,
    "backtest.requests.v1": backtests.put_jobs,
    "backtest.results.v1": backtests.put_jobs,
    "research.requests.v1": optimizations.put_optimizations,
    "research.results.v1": optimizations.put_optimizations,
    "research.trials.v1": backtests.put_trials,
}


def can_be_kept(topic: TopicSpec) -> bool:
    """Whether there is a table for what the topic says."""
    return topic.name in _EVENTS_OF or _holds_bars(topic)


def _holds_bars(topic: TopicSpec) -> bool:
    return set(topic.classes) <= {Bar, HistoricalBar}


@dataclass
class Kept:
    """What became of some records; counts are by topic."""

    failures: list[Failure] = field(default_factory=list)
    bars: dict[str, Stored] = field(default_factory=dict)
    events: dict[str, int] = field(default_factory=dict)


class Keeper:
    """Stores records of the topics that can be kept."""

    def __init__(self, store: Store, catalogue: Catalogue, topic_prefix: str) -> None:
        self._store = store
        self._catalogue = catalogue
        self._prefix = topic_prefix

    async def keep(self, records: Sequence[Record]) -> list[Kept]:
        """Store together; when PostgreSQL refuses a value, find the record that holds it by halves."""
        try:
            return [await self._keep_together(records)]
        except connection.STATEMENT_FAILURES as error:
            if not connection.is_about_data(error):
                raise
            if len(records) == 1:
                return [Kept(failures=[Failure(records[0], f"PostgreSQL refused it: {error}")])]
        half = len(records) // 2
        return [*await self.keep(records[:half]), *await self.keep(records[half:])]

    async def _keep_together(self, records: Sequence[Record]) -> Kept:
        kept = Kept()
        frames: dict[str, pl.DataFrame] = {}
        events: dict[str, list[Event]] = {}
        for topic, part in self._by_topic(records):
            if _holds_bars(topic):
                decoded = decode_bars(topic, part)
                kept.failures += [Failure(part[place], reason) for place, reason in decoded.failures]
                frames[topic.name] = decoded.frame
            else:
                events[topic.name] = _parsed(topic, part, kept.failures)
        async with self._store.transaction() as transaction:
            for name, frame in frames.items():
                kept.bars[name] = await add_bars(transaction.connection, frame)
            for name, some in events.items():
                await _EVENTS_OF[name](transaction.connection, some)
        kept.events = {name: len(some) for name, some in events.items()}
        return kept

    def _by_topic(self, records: Sequence[Record]) -> list[tuple[TopicSpec, list[Record]]]:
        parts: dict[str, list[Record]] = {}
        for name, part in itertools.groupby(records, operator.attrgetter("topic")):
            parts.setdefault(name, []).extend(part)
        return [(self._catalogue.topic(name.removeprefix(self._prefix)), part) for name, part in parts.items()]


def _parsed(topic: TopicSpec, records: Sequence[Record], failures: list[Failure]) -> list[Event]:
    events = []
    for record in records:
        try:
            events.append(parse(topic, record))
        except MalformedRecordError as error:
            failures.append(Failure(record, str(error)))
    return events
