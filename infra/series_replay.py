"""Series of bars from topics as arrays, through the cache: what a backtest runs on."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from aiokafka import TopicPartition
from numpy.typing import NDArray

from infra.bar_replay import TOPICS, BarFilter
from infra.columns import BAR_SCHEMA, decode_bars
from infra.delivery import Record
from infra.removals import REMOVALS, counts, read_removals
from infra.replay import read_to_end
from infra.replay_cache import COLUMNS, SOURCES, ReplayCache, Segment, Series, Span, digest
from infra.settings import Settings
from infra.topics import Catalogue, load_catalogue
from schemas.validation import SymbolRemoved

_SHOWN = ("start_us", "end_us", "open", "high", "low", "close", "volume")
_WITHOUT_INGEST = (*_SHOWN, "source")
_AT_ONCE = 500_000
"""Records of a place that are gathered until they become a segment."""

Arrays = dict[str, NDArray[Any]]
"""By column; ids and times are int64, prices and volume float64."""


class _AnotherLogError(Exception):
    """The place's record is not the one that the cache ends with: the topic was made anew."""

    def __init__(self, place: TopicPartition) -> None:
        super().__init__(f"{place.topic}-{place.partition}")
        self.place = place


@dataclass
class _Place:
    """One partition: where it begins, what is kept of it, and what followed."""

    begin: int
    chain: list[Segment]
    records: list[Record] = field(default_factory=list)
    frames: list[pl.DataFrame] = field(default_factory=list)
    verified: bool = False

    @property
    def start(self) -> int | None:
        """The last record that is kept is read again, to see that it is the same."""
        return self.chain[-1].stop - 1 if self.chain else None


async def read_series(
    settings: Settings,
    wanted: BarFilter,
    *,
    catalogue: Catalogue | None = None,
    on_progress: Callable[[int], None] = lambda _: None,
) -> tuple[Arrays, tuple[str, ...]]:
    """One bar per contract and start, the newest revision, sorted by end and contract; and the sources of prices.

    `wanted` names contracts, one size, one kind of price and one basis. The same bars as `read_bars` finds: what
    was replayed before is read from files.
    """
    while True:
        try:
            return await _Reading(settings, wanted, catalogue or load_catalogue(), on_progress).read()
        except _AnotherLogError as error:
            ReplayCache(settings).forget(error.place)


class _Reading:
    def __init__(
        self, settings: Settings, wanted: BarFilter, catalogue: Catalogue, on_progress: Callable[[int], None]
    ) -> None:
        self._settings = settings
        self._wanted = wanted
        self._catalogue = catalogue
        self._cache = ReplayCache(settings)
        self._places: dict[TopicPartition, _Place] = {}
        self._removed: dict[int, SymbolRemoved] = {}
        self._on_progress = on_progress

    async def read(self) -> tuple[Arrays, tuple[str, ...]]:
        count = 0
        topics = [*TOPICS, REMOVALS]
        async for records in read_to_end(self._settings, topics, start=self._starts, catalogue=self._catalogue):
            place = TopicPartition(records[0].topic, records[0].partition)
            if place not in self._places:
                spec = self._catalogue.topic(REMOVALS)
                self._removed |= read_removals(spec, records)
                continue
            self._take(place, records)
            count += len(records)
            self._on_progress(count)
        for place, kept in self._places.items():
            if kept.chain and not kept.verified:
                raise _AnotherLogError(place)
            self._gather(place)
            self._cache.used(place)
        return self._merged()

    def _starts(self, begins: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
        removals = self._settings.topic_prefix + REMOVALS
        self._places = {
            place: _Place(begin, self._cache.chain(place, begin))
            for place, begin in begins.items()
            if place.topic != removals
        }
        return {place: kept.start for place, kept in self._places.items() if kept.start is not None}

    def _take(self, place: TopicPartition, records: list[Record]) -> None:
        kept = self._places[place]
        if kept.chain and not kept.verified:
            if records[0].offset != kept.start or digest(records[0]) != kept.chain[-1].last:
                raise _AnotherLogError(place)
            kept.verified = True
            records = records[1:]
        kept.records += records
        if len(kept.records) >= _AT_ONCE:
            self._gather(place)

    def _gather(self, place: TopicPartition) -> None:
        """Decode what came; keep it when it is worth it."""
        kept = self._places[place]
        if not kept.records:
            return
        topic = self._catalogue.topic(place.topic.removeprefix(self._settings.topic_prefix))
        frame = decode_bars(topic, kept.records).frame
        first = kept.chain[-1].stop if kept.chain else kept.begin
        span = Span(first, kept.records[-1].offset + 1, digest(kept.records[-1]))
        if not kept.frames and self._cache.keep(place, kept.chain, frame, span):
            kept.chain = self._cache.chain(place, kept.begin)
        else:
            kept.frames.append(frame.filter(self._wanted.expression()))
        kept.records = []

    # from what is kept and what came to one array a column

    def _merged(self) -> tuple[Arrays, tuple[str, ...]]:
        rest = self._removed or self._wanted.known_by_us is not None
        frame = self._collected(COLUMNS if rest else _WITHOUT_INGEST)
        if not _is_in_order(frame):
            frame = self._collected(COLUMNS)
            frame = frame.sort("contract_id", "start_us", "revision", "ingest_us", maintain_order=True)
            frame = frame.unique(("contract_id", "start_us"), keep="last", maintain_order=True)
        arrays: Arrays = {name: frame[name].to_numpy() for name in ("contract_id", *_SHOWN)}
        if len(frame) and arrays["contract_id"][0] != arrays["contract_id"][-1]:
            order = np.argsort(arrays["end_us"], kind="stable")
            arrays = {name: np.take(values, order) for name, values in arrays.items()}
        found = np.flatnonzero(np.bincount(frame["source"].to_numpy(), minlength=len(SOURCES)))
        return arrays, tuple(sorted(SOURCES[each] for each in found))

    def _collected(self, names: Sequence[str]) -> pl.DataFrame:
        """All wanted bars, contract after contract, each in the order of the places that hold them."""
        places = [self._places[place] for place in sorted(self._places)]
        code = pl.col("source").replace_strict(SOURCES, range(len(SOURCES)), return_dtype=pl.UInt8)
        fresh = pl.concat([BAR_SCHEMA.to_frame(), *(frame for kept in places for frame in kept.frames)])
        fresh = fresh.with_columns(code).select("contract_id", *names)
        parts = [fresh.clear().lazy()]
        for contract_id in sorted(self._wanted.contract_ids or ()):
            series = self._series(contract_id)
            number = pl.lit(contract_id, dtype=pl.Int64).alias("contract_id")
            parts += [
                pl.scan_ipc(segment.folder / series.file).select(number, *names)
                for kept in places
                for segment in kept.chain
                if series.file in segment.files
            ]
            if len(fresh):
                parts.append(fresh.lazy().filter(pl.col("contract_id") == contract_id))
        return pl.concat(parts).filter(self._expression()).collect()

    def _series(self, contract_id: int) -> Series:
        wanted = self._wanted
        assert wanted.bar_size_seconds is not None, "a series has one size"
        assert wanted.price_kind is not None, "a series has one kind of price"
        assert wanted.basis is not None, "a series has one basis"
        return Series(contract_id, wanted.bar_size_seconds, wanted.price_kind, wanted.basis)

    def _expression(self) -> pl.Expr:
        """What the files do not say by their names."""
        wanted = pl.lit(True)
        if self._wanted.start_us is not None:
            wanted &= pl.col("start_us") >= self._wanted.start_us
        if self._wanted.end_us is not None:
            wanted &= pl.col("start_us") < self._wanted.end_us
        if self._wanted.known_by_us is not None:
            wanted &= pl.col("ingest_us") <= self._wanted.known_by_us
        return wanted & counts(self._removed)


def _is_in_order(frame: pl.DataFrame) -> bool:
    """Whether each contract's bars begin one after the other, none twice."""
    contracts, starts = frame["contract_id"].to_numpy(), frame["start_us"].to_numpy()
    return bool(((starts[1:] > starts[:-1]) | (contracts[1:] != contracts[:-1])).all())
