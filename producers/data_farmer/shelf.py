"""Which bars are known already, so that only new or changed ones are published."""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import polars as pl
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from infra import bar_replay, broker
from infra.bar_replay import BarFilter
from infra.calendars.calendar import Session
from infra.columns import BAR_SCHEMA, NATURAL_KEY, decode_bars, newest
from infra.gateway import Series
from infra.removals import Removals, counts
from infra.replay import read_to_end
from infra.service import Service
from infra.store.bars import read_bars
from infra.store.collection import bars_by_session
from infra.store.database import Store, StoreUnavailableError
from schemas.moments import to_microseconds

_ROWS_MAX = 1_000_000
_ATTEMPTS = 40
_RETRY_SECONDS = 0.5
_TOPICS = ("market.history.v1", "market.bars.v1")
_STORED_BY = "persister"
_WEEKS_US = 45 * 86_400_000_000
_CONTENT = ("open", "high", "low", "close", "volume")


@dataclass(frozen=True)
class _Part:
    """Bars that were published together, and between which moments they begin."""

    bars: pl.DataFrame
    first: int
    last: int

    @classmethod
    def of(cls, bars: pl.DataFrame) -> "_Part":
        return cls(bars, *_range_of(bars))


class Shelf:
    """Known bars: the database's, and those of the topics that the database may not have yet.

    Without a database the topics are read instead, once for each contract.
    """

    def __init__(self, service: Service, store: Store | None, removed: Removals) -> None:
        self._service = service
        self._store = store
        self._removed = removed
        self._published: OrderedDict[int, list[_Part]] = OrderedDict()
        """In the order in which they came; put together when they are looked at."""
        self._rows = 0
        self._replayed: set[int] = set()
        """Contracts whose bars were all read from the topics."""

    async def recover(self) -> None:
        """Take up what was published and not yet stored: the records that the persister has still before it."""
        if self._store is None:
            return
        settings, catalogue = self._service.settings, self._service.catalogue
        stored = await self._stored_up_to()
        async for records in read_to_end(settings, _TOPICS, start=lambda _: stored, catalogue=catalogue):
            topic = catalogue.topic(records[0].topic.removeprefix(settings.topic_prefix))
            for contract, frame in decode_bars(topic, records).frame.group_by("contract_id"):
                self.put(int(str(contract[0])), frame)

    async def _stored_up_to(self) -> dict[TopicPartition, int]:
        settings, catalogue = self._service.settings, self._service.catalogue
        places = [
            TopicPartition(settings.topic_prefix + topic, number)
            for topic in _TOPICS
            for number in range(catalogue.topic(topic).partitions)
        ]
        client = broker.admin(settings)
        await client.start()
        try:
            committed = await self._committed(client, settings.topic_prefix + _STORED_BY, places)
        finally:
            await client.close()
        return {place: max(0, known.offset) for place, known in committed.items()}

    async def _committed(self, client: AIOKafkaAdminClient, group: str, places: list[TopicPartition]) -> dict[Any, Any]:
        """A broker that never had a group takes a moment to find the coordinator of one."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return dict(await client.list_consumer_group_offsets(group, partitions=places))
            except KafkaError as error:
                if not error.retriable or attempt == _ATTEMPTS:
                    raise
                await asyncio.sleep(self._service.entropy.jitter(_RETRY_SECONDS))
        raise AssertionError("the last attempt returns or raises")

    async def fresh(self, contract_id: int, bars: pl.DataFrame) -> pl.DataFrame:
        """Those of a contract's bars that are new, and those that changed, with their next revision."""
        if bars.is_empty():
            return bars
        counted = counts(self._removed)
        known = (await self.known(contract_id, bars)).select(*NATURAL_KEY, *_CONTENT, "revision", gone=~counted)
        both = bars.join(known, on=NATURAL_KEY, how="left", suffix="_known", maintain_order="left")
        changed = pl.any_horizontal(pl.col(name) != pl.col(f"{name}_known") for name in _CONTENT)
        return (
            both.filter(pl.col("revision_known").is_null() | changed | pl.col("gone"))
            .with_columns(revision=(pl.col("revision_known") + 1).fill_null(0))
            .select(BAR_SCHEMA.names())
        )

    async def counted(self, contract_id: int, series: Series, sessions: Sequence[Session]) -> dict[date, int]:
        """How many bars of a series are known of each session."""
        if not sessions:
            return {}
        removal = self._removed.get(contract_id)
        wanted = BarFilter(
            contract_ids=[contract_id],
            bar_size_seconds=int(series.bar_size.total_seconds()),
            start_us=to_microseconds(sessions[0].open),
            end_us=to_microseconds(sessions[-1].close),
            price_kind=series.price_kind.value,
            basis=series.basis.value,
        )
        stored = await self._counted_in_store(wanted, sessions, since=removal.event_time if removal else None)
        published = await self._published_of(contract_id, everything=stored is None)
        found = published.filter(wanted.expression() & counts(self._removed))["start_us"].unique()
        opens = pl.Series([to_microseconds(session.open) for session in sessions])
        places = opens.search_sorted(found, side="right").value_counts()
        total = dict(stored or {})
        for place, count in places.iter_rows():
            day = sessions[place - 1].day
            total[day] = max(total.get(day, 0), count)
        return total

    def put(self, contract_id: int, bars: pl.DataFrame) -> None:
        """Remember what the broker has acknowledged."""
        if bars.is_empty():
            return
        self._published.setdefault(contract_id, []).append(_Part.of(bars))
        self._published.move_to_end(contract_id)
        self._rows += len(bars)
        while len(self._published) > 1 and self._rows > _ROWS_MAX:
            forgotten, parts = self._published.popitem(last=False)
            self._rows -= sum(len(part.bars) for part in parts)
            self._replayed.discard(forgotten)

    def may_have_published(self, contract_id: int, bars: pl.DataFrame) -> bool:
        """Whether any of these may be among what this process has published."""
        if bars.is_empty():
            return False
        first, last = _range_of(bars)
        return any(part.first <= last and first <= part.last for part in self._published.get(contract_id, ()))

    def _together(self, contract_id: int) -> pl.DataFrame:
        parts = self._published.get(contract_id, [])
        if len(parts) > 1:
            whole = newest(pl.concat([part.bars for part in parts]))
            self._rows += len(whole) - sum(len(part.bars) for part in parts)
            parts[:] = [_Part.of(whole)]
        return parts[0].bars if parts else BAR_SCHEMA.to_frame()

    async def known(self, contract_id: int, bars: pl.DataFrame) -> pl.DataFrame:
        """What is known of the contract in the time of these bars of one size; the newest of each key."""
        wanted = BarFilter(
            contract_ids=[contract_id],
            bar_size_seconds=bars["bar_size_seconds"][0],
            start_us=bars["start_us"].min(),  # type: ignore[arg-type] # polars types min() by no column type
            end_us=bars["start_us"].max() + 1,  # type: ignore[arg-type, operator] # the same
            price_kind=None,
            basis=None,
        )
        return await self._matching(contract_id, wanted)

    async def before(self, contract_id: int, bars: pl.DataFrame) -> pl.DataFrame:
        """What is known of the same series in the weeks before these bars; the newest of each key."""
        first, _ = _range_of(bars)
        return await self._same_series(contract_id, bars, first - _WEEKS_US, first)

    async def after(self, contract_id: int, bars: pl.DataFrame) -> pl.DataFrame:
        """What is known of the same series in the weeks after these bars; the newest of each key."""
        _, last = _range_of(bars)
        return await self._same_series(contract_id, bars, last + 1, last + _WEEKS_US)

    async def _same_series(self, contract_id: int, bars: pl.DataFrame, start_us: int, end_us: int) -> pl.DataFrame:
        wanted = BarFilter(
            contract_ids=[contract_id],
            bar_size_seconds=bars["bar_size_seconds"][0],
            start_us=start_us,
            end_us=end_us,
            price_kind=bars["price_kind"][0],
            basis=bars["basis"][0],
        )
        return (await self._matching(contract_id, wanted)).filter(counts(self._removed)).sort("start_us")

    async def _matching(self, contract_id: int, wanted: BarFilter) -> pl.DataFrame:
        stored = await self._stored(wanted)
        known = await self._published_of(contract_id, everything=stored is None)
        published = known.filter(wanted.expression())
        return published if stored is None else newest(pl.concat([stored.select(BAR_SCHEMA.names()), published]))

    async def _published_of(self, contract_id: int, *, everything: bool) -> pl.DataFrame:
        """What this process knows from the topics: what the database may not have yet, or everything."""
        if everything and contract_id not in self._replayed:
            wanted = BarFilter(contract_ids=[contract_id], price_kind=None, basis=None)
            self.put(contract_id, await bar_replay.read_bars(self._service.settings, wanted=wanted))
            self._replayed.add(contract_id)
        return self._together(contract_id)

    async def _counted_in_store(
        self, wanted: BarFilter, sessions: Sequence[Session], *, since: datetime | None
    ) -> dict[date, int] | None:
        """None without a database."""
        if self._store is None:
            return None
        try:
            async with self._store.reading() as connection:
                places = await bars_by_session(connection, wanted, [each.open for each in sessions], since=since)
        except StoreUnavailableError as error:
            self._service.log.warning("the database is away, reading the topics instead", error=str(error))
            return None
        return {sessions[place].day: count for place, count in places.items()}

    async def _stored(self, wanted: BarFilter) -> pl.DataFrame | None:
        """What the database has; None without a database."""
        if self._store is None:
            return None
        try:
            async with self._store.reading() as connection:
                return await read_bars(connection, wanted)
        except StoreUnavailableError as error:
            self._service.log.warning("the database is away, reading the topics instead", error=str(error))
            return None


def _range_of(bars: pl.DataFrame) -> tuple[int, int]:
    starts = bars["start_us"]
    return starts.min(), starts.max()  # type: ignore[return-value] # polars types them by no column type
