"""Which bars were published before, so that only new or changed ones are published again."""

from collections import OrderedDict
from collections.abc import Iterable
from datetime import datetime, timedelta

import msgspec
from aiokafka import TopicPartition
from aiokafka.partitioner import DefaultPartitioner

from infra import broker
from infra.service import Service
from schemas.market import HistoricalBar

_TOPIC = "market.history.v1"
_BARS_MAX = 500_000
_POLL_MS = 500
_POLL_RECORDS = 20_000


class _Published(msgspec.Struct):
    """What of a published bar tells whether a new one says anything else."""

    contract_id: int
    bar_size: timedelta
    start: datetime
    open: float
    high: float
    low: float
    close: float
    volume: float
    revision: int = 0


_Seen = tuple[int, int]
"""Revision, and hash of the prices and the volume."""


class Shelf:
    """Published bars by contract: read from the topic when a contract is first asked for, kept for a while."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._contracts: OrderedDict[int, dict[tuple[timedelta, float], _Seen]] = OrderedDict()

    async def fresh(self, contract_id: int, bars: Iterable[HistoricalBar]) -> list[HistoricalBar]:
        """Those that are new, and those that changed with their next revision; the others are known already."""
        seen = await self._seen(contract_id)
        found = []
        for bar in bars:
            known = seen.get(_place(bar))
            if known is None:
                found.append(bar)
            elif known[1] != _content(bar):
                found.append(bar.revised(revision=known[0] + 1))
        return found

    def put(self, bars: Iterable[HistoricalBar]) -> None:
        """Remember what the broker has acknowledged."""
        for bar in bars:
            self._contracts[bar.contract_id][_place(bar)] = (bar.revision, _content(bar))

    async def _seen(self, contract_id: int) -> dict[tuple[timedelta, float], _Seen]:
        if contract_id not in self._contracts:
            while self._contracts and sum(map(len, self._contracts.values())) > _BARS_MAX:
                self._contracts.popitem(last=False)
            self._contracts[contract_id] = await self._read(contract_id)
        self._contracts.move_to_end(contract_id)
        return self._contracts[contract_id]

    async def _read(self, contract_id: int) -> dict[tuple[timedelta, float], _Seen]:
        """The newest revision of every bar of the contract, from its partition of the topic."""
        settings = self._service.settings
        key = str(contract_id).encode()
        numbers = list(range(self._service.catalogue.topic(_TOPIC).partitions))
        place = TopicPartition(settings.topic_prefix + _TOPIC, DefaultPartitioner()(key, numbers, numbers))
        decode = msgspec.json.Decoder(_Published).decode
        seen: dict[tuple[timedelta, float], _Seen] = {}
        consumer = broker.reader(settings, max_partition_fetch_bytes=4 * 1024 * 1024)
        await consumer.start()
        try:
            consumer.assign([place])
            end = (await consumer.end_offsets([place]))[place]
            await consumer.seek_to_beginning(place)
            while await consumer.position(place) < end:
                polled = await consumer.getmany(place, timeout_ms=_POLL_MS, max_records=_POLL_RECORDS)
                for record in polled.get(place, ()):
                    if record.key != key:
                        continue
                    try:
                        bar = decode(record.value)
                    except msgspec.MsgspecError:
                        continue  # not ours: whoever reads the topic in a group sets it aside
                    known = seen.get(_place(bar))
                    if known is None or known[0] <= bar.revision:
                        seen[_place(bar)] = (bar.revision, _content(bar))
        finally:
            await consumer.stop()
        return seen


def _place(bar: HistoricalBar | _Published) -> tuple[timedelta, float]:
    return bar.bar_size, bar.start.timestamp()


def _content(bar: HistoricalBar | _Published) -> int:
    return hash((bar.open, bar.high, bar.low, bar.close, bar.volume))
