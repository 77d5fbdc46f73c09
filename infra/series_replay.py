"""Series of bars from topics as arrays, through the cache: what a backtest runs on."""

import contextlib
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl
from aiokafka import TopicPartition

from infra.bar_replay import TOPICS, BarFilter
from infra.bar_runs import Arrays, Run, portions
from infra.columns import MANY, decode_bars
from infra.delivery import Record
from infra.errors import EnvironmentUnhealthyError
from infra.removals import REMOVALS, counts, read_removals
from infra.replay import read_to_end
from infra.replay_cache import COLUMNS, DTYPES, SOURCES, ReplayCache, Segment, Series, Span, digest
from infra.settings import Settings
from infra.topics import Catalogue, load_catalogue
from schemas.validation import SymbolRemoved

_SHOWN = ("start_us", "end_us", "open", "high", "low", "close", "volume")
_AT_ONCE = 100_000
"""Bars of a place that are gathered until they become a segment."""
_TRIES_MAX = 20
"""Each forgets one place that is of no use: more than there are."""
_GONE = "the replay's files went while they were read, as another process needed their room: ask again"

_DTYPES = {"contract_id": "<i8", **DTYPES}


class _UselessCacheError(Exception):
    """What is kept of a place cannot be read, or does not end with the place's record: the topic was made anew."""

    def __init__(self, place: TopicPartition) -> None:
        super().__init__(f"{place.topic}-{place.partition}")
        self.place = place


@dataclass
class _Place:
    """One partition: where it begins, what is kept of it, and what followed."""

    begin: int
    chain: list[Segment]
    verified: bool
    """That the log still has the last record that was kept of it."""
    waiting: list[pl.DataFrame] = field(default_factory=list)
    last: Record | None = None
    frames: list[pl.DataFrame] = field(default_factory=list)

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
    found = await read_series_or_runs(settings, wanted, None, catalogue=catalogue, on_progress=on_progress)
    assert not isinstance(found, Runs), "without a bound all bars come at once"
    return found


async def read_series_or_runs(
    settings: Settings,
    wanted: BarFilter,
    at_once: int | None,
    *,
    catalogue: Catalogue | None = None,
    on_progress: Callable[[int], None] = lambda _: None,
) -> "tuple[Arrays, tuple[str, ...]] | Runs":
    """As `read_series`; where that would be more than `at_once` bars, what gives the same in portions."""
    for _ in range(_TRIES_MAX):
        try:
            return await _Reading(settings, wanted, catalogue or load_catalogue(), on_progress).read(at_once)
        except _UselessCacheError as error:
            ReplayCache(settings).forget(error.place)
    raise EnvironmentUnhealthyError(_GONE)


@dataclass(frozen=True)
class Runs:
    """More bars than are wanted in memory: where they are, and what of them counts."""

    counts: Counter[int]
    """By contract, repetitions included."""
    sources: tuple[str, ...]
    _runs: Callable[[Collection[int]], list[Run]]
    _settle: Callable[[Arrays], Arrays]

    def portions(self, contract_ids: Collection[int]) -> Iterator[Arrays]:
        """The bars of some contracts, sorted by end and contract. Raises EnvironmentUnhealthyError when the files are
        gone meanwhile: nobody spares them for a reader of another process."""
        try:
            yield from portions(self._runs(contract_ids), self._settle)
        except (OSError, ValueError, _UselessCacheError) as error:
            raise EnvironmentUnhealthyError(_GONE) from error


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
        self._extent = 0

    async def read(self, at_once: int | None) -> tuple[Arrays, tuple[str, ...]] | Runs:
        await self._replay()
        if at_once is not None and (counts := self._counts()).total() > at_once:
            return Runs(+counts, self._sources(), self._runs, self._settled_by_end)
        return self._merged()

    async def _replay(self) -> None:
        count = 0
        topics = [*TOPICS, REMOVALS]
        replay = read_to_end(
            self._settings, topics, start=self._starts, on_extent=self._expect, catalogue=self._catalogue
        )
        async with contextlib.aclosing(replay):
            async for records in replay:
                place = TopicPartition(records[0].topic, records[0].partition)
                if place not in self._places:
                    spec = self._catalogue.topic(REMOVALS)
                    self._removed |= read_removals(spec, records)
                    continue
                self._take(place, records)
                count += len(records)
                self._on_progress(count)
        for place, kept in self._places.items():
            if not kept.verified:
                raise _UselessCacheError(place)
            self._gather(place)
            self._cache.used(place)

    def _expect(self, records: int) -> None:
        self._extent = records

    def _starts(self, begins: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
        removals = self._settings.topic_prefix + REMOVALS
        for place, begin in begins.items():
            if place.topic != removals:
                chain = self._cache.chain(place, begin)
                self._places[place] = _Place(begin, chain, verified=not chain)
        return {place: kept.start for place, kept in self._places.items() if kept.start is not None}

    def _take(self, place: TopicPartition, records: list[Record]) -> None:
        kept = self._places[place]
        if not kept.verified:
            if records[0].offset != kept.start or digest(records[0]) != kept.chain[-1].last:
                raise _UselessCacheError(place)
            kept.verified = True
            records = records[1:]
        if not records:
            return
        topic = self._catalogue.topic(place.topic.removeprefix(self._settings.topic_prefix))
        kept.waiting.append(decode_bars(topic, records, many=self._extent >= MANY).frame)
        kept.last = records[-1]
        if sum(map(len, kept.waiting)) >= _AT_ONCE:
            self._gather(place)

    def _gather(self, place: TopicPartition) -> None:
        """Keep what came when it is worth it."""
        kept = self._places[place]
        if kept.last is None:
            return
        frame = pl.concat(kept.waiting)
        first = kept.chain[-1].stop if kept.chain else kept.begin
        span = Span(first, kept.last.offset + 1, digest(kept.last))
        if not kept.frames and self._cache.keep(place, kept.chain, frame, span, self._read()):
            kept.chain = self._cache.chain(place, kept.begin)
            if not kept.chain or kept.chain[-1].stop < span.stop:  # another process needed its room already
                raise _UselessCacheError(place)
        else:
            code = pl.col("source").replace_strict(SOURCES, range(len(SOURCES)), return_dtype=pl.UInt8)
            kept.frames.append(frame.filter(self._wanted.expression()).with_columns(code))
        kept.waiting, kept.last = [], None

    def _read(self) -> list[TopicPartition]:
        """The places of which files are about to be read."""
        return [place for place, kept in self._places.items() if kept.chain]

    # from what is kept and what came to portions

    def _counts(self) -> Counter[int]:
        return Counter({each: sum(map(len, self._runs([each]))) for each in sorted(self._wanted.contract_ids or ())})

    def _runs(self, contract_ids: Collection[int]) -> list[Run]:
        bounds = (self._wanted.start_us, self._wanted.end_us)
        found = []
        for contract_id in sorted(contract_ids):
            file = self._series(contract_id).file
            for place in sorted(self._places):
                kept = self._places[place]
                try:
                    files = [each for each in kept.chain if file in each.files]
                    found += [Run.of_segment(contract_id, each, file, bounds) for each in files]
                except (OSError, ValueError) as error:
                    raise _UselessCacheError(place) from error
                for frame in kept.frames:
                    part = frame.filter(pl.col("contract_id") == contract_id)
                    found.append(Run.of_arrays(contract_id, {name: part[name].to_numpy() for name in COLUMNS}))
        return found

    def _sources(self) -> tuple[str, ...]:
        """Where prices come from, of every row."""
        codes: set[int] = set()
        for contract_id in self._wanted.contract_ids or ():
            for part in self._parts(contract_id):
                codes |= set(np.unique(part["source"]).tolist())
        return tuple(sorted(SOURCES[code] for code in codes))

    def _settled_by_end(self, rows: Arrays) -> Arrays:
        settled = self._settled([rows])
        return _by_time([{name: settled[name] for name in ("contract_id", *COLUMNS)}], sort=True)

    # from what is kept and what came to one array a column

    def _merged(self) -> tuple[Arrays, tuple[str, ...]]:
        contract_ids = sorted(self._wanted.contract_ids or ())
        parts = [part for each in contract_ids for part in self._parts(each) if len(part["start_us"])]
        if self._removed or self._wanted.known_by_us is not None or not _are_in_order(parts):
            settled = self._settled(parts)
            parts = [settled] if len(settled["start_us"]) else []
        found = [code for code in range(len(SOURCES)) if any((part["source"] == code).any() for part in parts)]
        return _by_time(parts), tuple(sorted(SOURCES[code] for code in found))

    def _parts(self, contract_id: int) -> Iterator[Arrays]:
        """A contract's bars in the wanted time, in the order of the places that hold them."""
        file = self._series(contract_id).file
        for place in sorted(self._places):
            for segment in self._places[place].chain:
                if file in segment.files:
                    yield self._bounded(contract_id, self._mapped(place, segment, file))
        for place in sorted(self._places):
            for frame in self._places[place].frames:
                part = frame.filter(pl.col("contract_id") == contract_id)
                yield {name: part[name].to_numpy() for name in ("contract_id", *COLUMNS)}

    def _mapped(self, place: TopicPartition, segment: Segment, file: str) -> Arrays:
        try:
            return segment.columns(file)
        except (OSError, ValueError) as error:  # another process needed the room, or a crash left half a file
            raise _UselessCacheError(place) from error

    def _bounded(self, contract_id: int, columns: Arrays) -> Arrays:
        """Rows of a file, which are sorted by start."""
        starts = columns["start_us"]
        first = 0 if self._wanted.start_us is None else int(np.searchsorted(starts, self._wanted.start_us))
        stop = len(starts) if self._wanted.end_us is None else int(np.searchsorted(starts, self._wanted.end_us))
        part = {name: values[first:stop] for name, values in columns.items()}
        return part | {"contract_id": np.broadcast_to(np.int64(contract_id), len(part["start_us"]))}

    def _series(self, contract_id: int) -> Series:
        wanted = self._wanted
        assert wanted.bar_size_seconds is not None, "a series has one size"
        assert wanted.price_kind is not None, "a series has one kind of price"
        assert wanted.basis is not None, "a series has one basis"
        return Series(contract_id, wanted.bar_size_seconds, wanted.price_kind, wanted.basis)

    def _settled(self, parts: Sequence[Arrays]) -> Arrays:
        """Of all parts what counts, the newest bar of each contract and start, sorted by those."""
        columns = {
            name: np.concatenate([np.empty(0, _DTYPES[name]), *(part[name] for part in parts)]) for name in _DTYPES
        }
        known = pl.lit(True) if self._wanted.known_by_us is None else pl.col("ingest_us") <= self._wanted.known_by_us
        frame = pl.DataFrame(columns).filter(known & counts(self._removed))
        frame = frame.sort("contract_id", "start_us", "revision", "ingest_us", maintain_order=True)
        frame = frame.unique(("contract_id", "start_us"), keep="last", maintain_order=True)
        return {name: frame[name].to_numpy() for name in frame.columns}


def _are_in_order(parts: Sequence[Arrays]) -> bool:
    """Whether each contract's bars begin one after the other, none twice."""
    before: dict[int, int] = {}
    for part in parts:
        starts = part["start_us"]
        contract_id = int(part["contract_id"][0])
        if starts[0] <= before.get(contract_id, starts[0] - 1) or not (starts[1:] > starts[:-1]).all():
            return False
        before[contract_id] = starts[-1]
    return True


def _by_time(parts: Sequence[Arrays], *, sort: bool = False) -> Arrays:
    """All parts, which are sorted by contract, by the bars' ends."""
    count = sum(len(part["start_us"]) for part in parts)
    block = np.empty((1 + len(_SHOWN), count), dtype=np.int64)  # in one piece, for which the system has large pages
    arrays = {name: row.view(_DTYPES[name]) for name, row in zip(("contract_id", *_SHOWN), block, strict=True)}
    if not count:
        return arrays
    together = np.empty(count, dtype=np.int64)
    order = None
    if sort or len({int(contract_id) for part in parts for contract_id in part["contract_id"][[0, -1]]}) > 1:
        np.concatenate([part["end_us"] for part in parts], out=together)
        order = np.argsort(together, kind="stable")
    for name, values in arrays.items():
        joined = values if order is None else together.view(values.dtype)
        np.concatenate([part[name] for part in parts], out=joined)
        if order is not None:
            np.take(joined, order, out=values, mode="clip")  # "raise" would copy once more
    return arrays
