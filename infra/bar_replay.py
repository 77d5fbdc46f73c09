"""Bars of topics, from the beginning to the present end, as columns: what a backtest replays."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import polars as pl

from infra.columns import BAR_SCHEMA, MANY, NATURAL_KEY, decode_bars, newest
from infra.removals import REMOVALS, counts, read_removals
from infra.replay import read_to_end
from infra.settings import Settings
from infra.topics import Catalogue, load_catalogue
from schemas.market import Basis, PriceKind
from schemas.validation import SymbolRemoved

TOPICS = ("market.history.v1", "market.bars.v1")
_SERIES = tuple(name for name in NATURAL_KEY if name != "start_us")


@dataclass(frozen=True)
class BarFilter:
    """Which bars are wanted; None means all. `start_us` and `end_us` bound the bar's start, end excluded.

    Unless asked for others, those that strategies see: bars of trades, adjusted for splits.
    """

    contract_ids: Collection[int] | None = None
    bar_size_seconds: int | None = None
    start_us: int | None = None
    end_us: int | None = None
    price_kind: str | None = PriceKind.TRADES.value
    basis: str | None = Basis.SPLIT_ADJUSTED.value
    known_by_us: int | None = None
    """Only what was known at this wall time: bars first seen later are left out."""

    def expression(self) -> pl.Expr:
        wanted = [pl.lit(True)]
        if self.contract_ids is not None:
            wanted.append(pl.col("contract_id").is_in(list(self.contract_ids)))
        if self.bar_size_seconds is not None:
            wanted.append(pl.col("bar_size_seconds") == self.bar_size_seconds)
        if self.start_us is not None:
            wanted.append(pl.col("start_us") >= self.start_us)
        if self.end_us is not None:
            wanted.append(pl.col("start_us") < self.end_us)
        if self.price_kind is not None:
            wanted.append(pl.col("price_kind") == self.price_kind)
        if self.basis is not None:
            wanted.append(pl.col("basis") == self.basis)
        if self.known_by_us is not None:
            wanted.append(pl.col("ingest_us") <= self.known_by_us)
        return pl.all_horizontal(wanted)


async def read_bars(
    settings: Settings,
    topics: Sequence[str] = TOPICS,
    wanted: BarFilter | None = None,
    *,
    catalogue: Catalogue | None = None,
    on_progress: Callable[[int], None] = lambda _: None,
) -> pl.DataFrame:
    """One bar per natural key, the newest revision, sorted by event time and contract.

    What cannot be decoded is left out: the persister sets it aside. So is what was first seen before its contract was
    removed. `on_progress` gets the records read so far.
    """
    catalogue = catalogue or load_catalogue()
    expression = (wanted or BarFilter()).expression()
    frames = [BAR_SCHEMA.to_frame()]
    count, extent = 0, 0
    removed: dict[int, SymbolRemoved] = {}

    def expect(records: int) -> None:
        nonlocal extent
        extent = records

    async for records in read_to_end(settings, [*topics, REMOVALS], on_extent=expect, catalogue=catalogue):
        topic = catalogue.topic(records[0].topic.removeprefix(settings.topic_prefix))
        if topic.name == REMOVALS:
            removed |= read_removals(topic, records)
            continue
        frame = decode_bars(topic, records, many=extent >= MANY).frame
        fit = frame.select(fit=expression).to_series()
        frames.append(frame if fit.all() else frame.filter(fit))
        count += len(records)
        on_progress(count)
    found = pl.concat(frames)
    return _in_order(found.filter(counts(removed)) if removed else found)


def _in_order(frame: pl.DataFrame) -> pl.DataFrame:
    """One bar per natural key, sorted by event time and contract, with as few sorts as the frame allows."""
    several = [name for name in _SERIES if not frame.is_empty() and not (frame[name] == frame[name][0]).all()]
    alone = several in ([], ["contract_id"])
    if not frame["revision"].max():
        if several or not frame["start_us"].is_sorted():
            frame = frame.sort("start_us", *several, maintain_order=True)
        repeated = pl.all_horizontal(pl.col(name) == pl.col(name).shift(-1) for name in ("start_us", *several))
        if frame.select(repeated.any()).item():
            frame = newest(frame)
    else:
        frame = newest(frame)
    if alone and frame["start_us"].is_sorted() and frame["end_us"].is_sorted():
        return frame  # bars of one size that start together end together: they are sorted by contract already
    return frame.sort("end_us", *_SERIES, maintain_order=True)
