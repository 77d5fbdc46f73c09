"""Which bars are known already, so that only new or changed ones are published."""

import asyncio
from collections import OrderedDict
from typing import Any

import polars as pl
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from infra import bar_replay, broker
from infra.bar_replay import BarFilter
from infra.columns import BAR_SCHEMA, NATURAL_KEY, decode_bars, newest
from infra.replay import read_to_end
from infra.service import Service
from infra.store.bars import read_bars
from infra.store.database import Store, StoreUnavailableError

_ROWS_MAX = 1_000_000
_ATTEMPTS = 40
_RETRY_SECONDS = 0.5
_TOPICS = ("market.history.v1", "market.bars.v1")
_STORED_BY = "persister"
_CONTENT = ("open", "high", "low", "close", "volume")


class Shelf:
    """Known bars: the database's, and those of the topics that the database may not have yet.

    Without a database the topics are read instead, once for each contract.
    """

    def __init__(self, service: Service, store: Store | None) -> None:
        self._service = service
        self._store = store
        self._published: OrderedDict[int, pl.DataFrame] = OrderedDict()
        self._replayed: set[int] = set()
        """Contracts whose bars were all read from the topics."""

    async def recover(self) -> None:
        """Take up what was published and not yet stored: the records that the persister has still before it."""
        if self._store is None:
            return
        settings, catalogue = self._service.settings, self._service.catalogue
        start = await self._stored_up_to()
        async for records in read_to_end(settings, _TOPICS, start=start, catalogue=catalogue):
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
        known = (await self._known(contract_id, bars)).select(*NATURAL_KEY, *_CONTENT, "revision")
        both = bars.join(known, on=NATURAL_KEY, how="left", suffix="_known", maintain_order="left")
        changed = pl.any_horizontal(pl.col(name) != pl.col(f"{name}_known") for name in _CONTENT)
        return (
            both.filter(pl.col("revision_known").is_null() | changed)
            .with_columns(revision=(pl.col("revision_known") + 1).fill_null(0))
            .select(BAR_SCHEMA.names())
        )

    def put(self, contract_id: int, bars: pl.DataFrame) -> None:
        """Remember what the broker has acknowledged."""
        before = self._published.get(contract_id, BAR_SCHEMA.to_frame())
        self._published[contract_id] = newest(pl.concat([before, bars]))
        self._published.move_to_end(contract_id)
        while len(self._published) > 1 and sum(map(len, self._published.values())) > _ROWS_MAX:
            forgotten, _ = self._published.popitem(last=False)
            self._replayed.discard(forgotten)

    async def _known(self, contract_id: int, bars: pl.DataFrame) -> pl.DataFrame:
        wanted = BarFilter(
            contract_ids=[contract_id],
            bar_size_seconds=bars["bar_size_seconds"][0],
            start_us=bars["start_us"].min(),  # type: ignore[arg-type] # polars types min() by no column type
            end_us=bars["start_us"].max() + 1,  # type: ignore[arg-type, operator] # the same
            price_kind=None,
            basis=None,
        )
        stored = await self._stored(wanted)
        if stored is None and contract_id not in self._replayed:
            everything = BarFilter(contract_ids=[contract_id], price_kind=None, basis=None)
            self.put(contract_id, await bar_replay.read_bars(self._service.settings, wanted=everything))
            self._replayed.add(contract_id)
        published = self._published.get(contract_id, BAR_SCHEMA.to_frame()).filter(wanted.expression())
        return published if stored is None else newest(pl.concat([stored.select(BAR_SCHEMA.names()), published]))

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
