"""Bars that were missed: the data farmer is asked for them by topic, and they are read back from history."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import polars as pl
from aiokafka import TopicPartition

from infra import broker
from infra.bar_replay import BarFilter, read_bars
from infra.columns import BAR_SCHEMA, decode_bars, newest
from infra.errors import ScizorError
from infra.publish import Origin
from infra.replay import read_to_end
from infra.service import Service
from schemas.collection import CollectHistory, CollectionRun, RunState
from schemas.market import LIVE_BAR, Bar, Basis, PriceKind, Source
from schemas.moments import to_datetime, to_microseconds

_HISTORY = "market.history.v1"
_FINISHED = frozenset({RunState.DONE, RunState.FAILED})
_CLOCKS_DIFFER = timedelta(minutes=1)
_ATTEMPTS = 3
_RETRY_SECONDS = 2.0
LOOKS_MAX = 500
"""Who comes when so many wait already is refused at once: its gap is told, and live goes on."""


class BarsMissingError(ScizorError):
    """The data farmer could not bring them."""


@dataclass(frozen=True)
class Stretch:
    """A time of one contract of which live bars are missing."""

    contract_id: int
    start: datetime
    end: datetime
    since: datetime
    """Wall time before which nobody can have asked for these bars."""

    def filter(self) -> BarFilter:
        return BarFilter(
            contract_ids=[self.contract_id],
            bar_size_seconds=int(LIVE_BAR.total_seconds()),
            start_us=to_microseconds(self.start),
            end_us=to_microseconds(self.end),
        )


@dataclass(frozen=True)
class _Look:
    """Somebody waits for what history has of a stretch."""

    stretch: Stretch
    found: "asyncio.Future[pl.DataFrame]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class MissingBars:
    """Asks and reads back; many that are done together are read together."""

    def __init__(self, service: Service, name_of: Callable[[int], str]) -> None:
        self._service = service
        self._name_of = name_of
        self._runs: dict[str, asyncio.Future[CollectionRun]] = {}
        self._looks: asyncio.Queue[_Look] = asyncio.Queue(LOOKS_MAX)

    def attach(self) -> None:
        self._service.on(CollectionRun, self.on_run)
        self._service.task("history", self._read)

    async def on_run(self, run: CollectionRun, origin: Origin) -> None:
        waiting = self._runs.get(run.run_id)
        if waiting is not None and run.state in _FINISHED and not waiting.done():
            waiting.set_result(run)

    async def fetch(self, stretch: Stretch) -> list[Bar]:
        """The bars of a stretch, oldest first, flagged late. BarsMissingError with the farmer's reason.

        The caller bounds how long it waits. The newest bars reach the gateway's past with a delay: for those it is
        asked again.
        """
        found: list[Bar] = []
        start = stretch.start
        for attempt in range(_ATTEMPTS):
            if attempt:
                await asyncio.sleep(_RETRY_SECONDS)
            rest = Stretch(stretch.contract_id, start, stretch.end, stretch.since)
            found += await self._once(rest)
            start = found[-1].event_time if found else start
            if start >= stretch.end:
                break
        return found

    async def _once(self, stretch: Stretch) -> list[Bar]:
        run = await self._asked(stretch)
        symbol = self._name_of(stretch.contract_id)
        if run.state is RunState.FAILED:
            raise BarsMissingError("; ".join(f"{what}: {why}" for what, why in sorted(run.failures.items())))
        frame = await self.look_up(stretch)
        if frame.is_empty() and not run.bars_published:  # somebody had collected them before
            settings, catalogue = self._service.settings, self._service.catalogue
            frame = await read_bars(settings, [_HISTORY], stretch.filter(), catalogue=catalogue)
        now = self._service.clock.now()
        return [_late(row, symbol, now) for row in frame.iter_rows(named=True)]

    async def _asked(self, stretch: Stretch) -> CollectionRun:
        now, run_id = self._service.clock.now(), self._service.entropy.new_id()
        request = CollectHistory(
            event_time=now,
            ingest_time=now,
            run_id=run_id,
            symbols=(self._name_of(stretch.contract_id),),
            bar_size=LIVE_BAR,
            start=stretch.start,
            end=stretch.end,
            urgency="live",
            requested_by=self._service.name,
        )
        done: asyncio.Future[CollectionRun] = asyncio.get_running_loop().create_future()
        self._runs[run_id] = done
        try:
            await self._service.publish(request)
            return await done
        finally:
            del self._runs[run_id]

    # reading back

    async def look_up(self, stretch: Stretch) -> pl.DataFrame:
        """What history has of a stretch by now; BarsMissingError at once when too many ask."""
        look = _Look(stretch)
        try:
            self._looks.put_nowait(look)
        except asyncio.QueueFull:
            raise BarsMissingError(f"{LOOKS_MAX} others wait already to read back from history") from None
        return await look.found

    async def _read(self) -> None:
        """Look for all who wait at once: one pass over the end of the topic."""
        while True:
            looks = [await self._looks.get()]
            while not self._looks.empty():
                looks.append(self._looks.get_nowait())
            wanted = [each for each in looks if not each.found.done()]
            if not wanted:
                continue
            frame = await self._published_since(min(each.stretch.since for each in wanted) - _CLOCKS_DIFFER)
            for look in wanted:
                if not look.found.done():
                    look.found.set_result(frame.filter(look.stretch.filter().expression()).sort("start_us"))

    async def _published_since(self, since: datetime) -> pl.DataFrame:
        settings, topic = self._service.settings, self._service.catalogue.topic(_HISTORY)
        places = [TopicPartition(settings.topic_prefix + _HISTORY, number) for number in range(topic.partitions)]
        start = await self._offsets(places, since)
        only_live = pl.col("bar_size_seconds") == int(LIVE_BAR.total_seconds())
        frames = [BAR_SCHEMA.to_frame()]
        async for records in read_to_end(
            settings, [_HISTORY], start=lambda _: start, catalogue=self._service.catalogue
        ):
            frame = decode_bars(topic, records).frame
            frames.append(frame.filter(only_live))
        return newest(pl.concat(frames))

    async def _offsets(self, places: Sequence[TopicPartition], since: datetime) -> dict[TopicPartition, int]:
        consumer = broker.reader(self._service.settings)
        await consumer.start()
        try:
            moment = int(since.timestamp() * 1000)
            found = await consumer.offsets_for_times(dict.fromkeys(places, moment))
            ends = await consumer.end_offsets(list(places))
        finally:
            await consumer.stop()
        return {place: known.offset if (known := found.get(place)) else ends[place] for place in places}


def _late(row: dict[str, Any], symbol: str, now: datetime) -> Bar:
    prices = {name: row[name] for name in ("contract_id", "open", "high", "low", "close", "volume", "revision")}
    return Bar.model_validate(
        {
            **prices,
            "symbol": symbol.partition(":")[0],
            "bar_size": LIVE_BAR,
            "start": to_datetime(row["start_us"]),
            "event_time": to_datetime(row["end_us"]),
            "ingest_time": now,
            "source": Source(str(row["source"])),
            "price_kind": PriceKind(str(row["price_kind"])),
            "basis": Basis(str(row["basis"])),
            "late": True,
        }
    )
