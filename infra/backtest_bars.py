"""The bars that a backtest is about, from the topics or the database: also those of its benchmark, and what companies
did where prices are not adjusted for it."""

import difflib
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import cast

import numpy as np
import polars as pl

from infra.adjustment import Known, adjusted, in_force
from infra.bar_moments import bar_size_text
from infra.bar_replay import BarFilter, read_bars
from infra.bar_runs import Arrays
from infra.columns import BAR_SCHEMA
from infra.errors import UsageError
from infra.long_bars import LongBars
from infra.replay import fold
from infra.series_replay import Runs, read_series, read_series_or_runs
from infra.settings import Settings
from infra.store import bars as stored_bars
from infra.store import corporate
from infra.store.bar_portions import StoredBars
from infra.store.database import Store
from infra.symbol_meanings import the_one_meant
from infra.symbol_names import UNKNOWN_SYMBOL, parse_symbol
from schemas.backtest import NO_BARS, NO_BENCHMARK, BacktestRequested
from schemas.corporate import CorporateAction
from schemas.market import Basis
from schemas.moments import to_datetime, to_microseconds
from schemas.validation import Symbol, SymbolState

OnRead = Callable[[int], None]
_Read = tuple[Arrays, tuple[str, ...], Sequence[CorporateAction] | None]
_SYMBOLS = "reference.symbols.v1"
_ACTIONS = "reference.corporate_actions.v1"
_NAMED_MAX = 5
_SHOWN = ("contract_id", "start_us", "end_us", "open", "high", "low", "close", "volume")


class UnknownSymbolError(UsageError):
    def __init__(self, name: str, near: str) -> None:
        hint = f" (did you mean {near}?)" if near else ""
        super().__init__(f"{UNKNOWN_SYMBOL} {name}{hint}: `scizor symbols validate {name}` makes it known")


class NoBarsError(UsageError):
    """Says which bars there are, and which command collects those that were asked for."""

    def __init__(self, request: BacktestRequested, bar_size: timedelta, missing: Sequence[str], there: Arrays) -> None:
        size = bar_size_text(bar_size)
        words = ["scizor collect history", *missing[:_NAMED_MAX], "--bar-size", size]
        if request.start:
            words += ["--start-date", f"{request.start:%Y-%m-%d}"]
        if request.end:
            words += ["--end-date", f"{request.end - timedelta(microseconds=1):%Y-%m-%d}"]
        collect = f"collect them first, `{' '.join(words)}`"
        if len(there["start_us"]):
            first, last = to_datetime(int(there["start_us"].min())), to_datetime(int(there["end_us"].max()))
            collect = (
                f"there are {size} bars from {first:%Y-%m-%d} until {last:%Y-%m-%d}; widen the dates, or {collect}"
            )
        names = ", ".join(missing[:_NAMED_MAX]) + (" and others" if len(missing) > _NAMED_MAX else "")
        after = f" from {request.start:%Y-%m-%d}" if request.start else ""
        until = f" until {request.end:%Y-%m-%d}" if request.end else ""
        kind = f" of {size}" if request.larger_bar_sizes else ""
        super().__init__(f"{NO_BARS} {names}{kind}{after}{until}: {collect}")


@dataclass(frozen=True)
class Found:
    """Bars of all contracts by column, sorted by end and contract, and what they are."""

    arrays: Arrays
    sources: tuple[str, ...]
    symbols: Mapping[int, str]
    """By contract, those that the run trades."""
    benchmark: tuple[int, str] | None
    """Contract and name of the benchmark, when a symbol was asked for."""
    actions: Sequence[CorporateAction] | None
    """In force, where prices are raw; None where they are adjusted."""
    all_survived: bool
    """Several symbols, and each of them is still traded."""
    larger: Mapping[timedelta, Arrays]
    """By size, the bars of the traded contracts that are to be seen beside."""


async def find_searched_bars(settings: Settings, request: BacktestRequested) -> Found:
    """See `find_bars_or_runs`: all bars at once, for a search, whose runs know nothing of corporate actions and see
    bars of one size."""
    if request.basis == Basis.RAW.value:
        raise UsageError("a search runs on adjusted prices: raw ones are for a single backtest")
    if request.larger_bar_sizes:
        raise UsageError("a search runs on bars of one size: several are for a single backtest")
    found = await find_bars_or_runs(settings, request, None)
    assert isinstance(found, Found), "without a bound all bars come at once"
    return found


async def find_bars_or_runs(
    settings: Settings, request: BacktestRequested, at_once: int | None, on_read: OnRead = lambda _: None
) -> Found | LongBars:
    """One bar per contract and start, the newest revision, as known when the reading began; what companies did, as
    known when it was asked for. Where that would be more than `at_once` bars, what gives the same in portions.

    Raises UsageError, in one line, for symbols that are unknown, and for bars of a file.
    """
    if request.file:
        raise UsageError("bars of a file are read where it lies, `scizor backtest run --source FILE`: not from here")
    entries = await _registry(settings)
    meant = {name: _meant(name, entries) for name in request.symbols}
    symbols = {_contract_id(entry): name for name, entry in meant.items()}
    benchmark = None
    if request.benchmark not in ("", NO_BENCHMARK):
        benchmark = (_contract_id(_meant(request.benchmark, entries)), request.benchmark)
    wanted = BarFilter(
        contract_ids=sorted({*symbols, *((benchmark[0],) if benchmark else ())}),
        bar_size_seconds=int(request.bar_size.total_seconds()),
        start_us=_microseconds(request.start),
        end_us=_microseconds(request.end),
    )
    survived = len(meant) > 1 and all(each.state is not SymbolState.DELISTED for each in meant.values())
    read = await _read_or_runs(settings, request, wanted, at_once, on_read)
    if isinstance(read, Runs | StoredBars):
        await _refuse_missing(settings, request, wanted, symbols, read.counts)
        return LongBars(read, symbols, benchmark, survived)
    arrays, sources, actions = read
    await _refuse_missing(settings, request, wanted, symbols, _contracts(arrays))
    larger: dict[timedelta, Arrays] = {}
    for size in request.larger_bar_sizes:
        beside = replace(wanted, bar_size_seconds=int(size.total_seconds()), contract_ids=sorted(symbols))
        larger[size], more, _ = await _read(settings, request, beside, on_read)
        await _refuse_missing(settings, request, beside, symbols, _contracts(larger[size]))
        sources = tuple(sorted({*sources, *more}))
    return Found(arrays, sources, symbols, benchmark, actions, survived, larger)


async def _refuse_missing(
    settings: Settings,
    request: BacktestRequested,
    wanted: BarFilter,
    symbols: Mapping[int, str],
    there_are: Container[int],
) -> None:
    """Raises NoBarsError unless each of `symbols` has bars."""
    if missing := {number: name for number, name in symbols.items() if number not in there_are}:
        whole = replace(wanted, contract_ids=[*missing][:1], start_us=None, end_us=None)
        there, _, _ = await _read(settings, request, whole, lambda _: None)
        raise NoBarsError(request, timedelta(seconds=wanted.bar_size_seconds or 0), [*missing.values()], there)


async def _read_or_runs(
    settings: Settings, request: BacktestRequested, wanted: BarFilter, at_once: int | None, on_read: OnRead
) -> _Read | Runs | StoredBars:
    """Raw prices and bars of several sizes come at once, however many they are."""
    if at_once is not None and request.basis != Basis.RAW.value and not request.larger_bar_sizes:
        if request.source == "topic":
            found = await read_series_or_runs(settings, wanted, at_once, on_progress=on_read)
            return found if isinstance(found, Runs) else (*found, None)
        stored = await StoredBars.of(settings, wanted)
        if stored.counts.total() > at_once:
            return stored
    return await _read(settings, request, wanted, on_read)


async def _read(settings: Settings, request: BacktestRequested, wanted: BarFilter, on_read: OnRead) -> _Read:
    """From where the request says."""
    if request.basis == Basis.RAW.value:
        frame, actions = await _raw(settings, request, wanted, on_read)
        return *_columns(frame), actions
    if request.source == "topic":
        return *await read_series(settings, wanted, on_progress=on_read), None
    return *_columns((await _stored(settings, wanted))[0]), None


async def _registry(settings: Settings) -> list[Symbol]:
    found: dict[str, Symbol] = {}
    async for event, _ in fold(settings, [_SYMBOLS]):
        if isinstance(event, Symbol):
            found[event.symbol_id] = event
    return list(found.values())


def _most_like(name: str, known: list[str]) -> str:
    """Of those that are equally like it the one with the same first letter: people seldom mistype that one."""
    near = difflib.get_close_matches(name, known, n=10, cutoff=0.5)
    return max(
        near, key=lambda each: (difflib.SequenceMatcher(None, each, name).ratio(), each[0] == name[0]), default=""
    )


def _meant(name: str, entries: Iterable[Symbol]) -> Symbol:
    """The entry that a name means. Raises UnknownSymbolError."""
    entry = the_one_meant(parse_symbol(name), entries)
    if entry is None or entry.contract is None:
        known = [each.symbol for each in entries if each.contract is not None]
        raise UnknownSymbolError(name, _most_like(name, known))
    return entry


def _contract_id(entry: Symbol) -> int:
    assert entry.contract is not None, "what is meant has a contract"
    return entry.contract.contract_id


async def _stored(
    settings: Settings, wanted: BarFilter, actions_of: Iterable[int] = ()
) -> tuple[pl.DataFrame, list[CorporateAction]]:
    store = Store(settings, "backtester")
    try:
        async with store.reading() as connection:
            frame = await stored_bars.read_bars(connection, wanted)
            told = [each for number in actions_of for each in await corporate.actions_of(connection, number)]
            return frame, told
    finally:
        await store.close()


# prices as they were traded


async def _raw(
    settings: Settings, request: BacktestRequested, wanted: BarFilter, on_read: OnRead
) -> tuple[pl.DataFrame, list[CorporateAction]]:
    """Those that came raw, else made of adjusted ones; all of them are read, since a later split divides earlier
    prices."""
    whole = replace(wanted, start_us=None, end_us=None, basis=None)
    contracts = list(wanted.contract_ids or ())
    if request.source == "topic":
        frame = await read_bars(settings, wanted=whole, on_progress=on_read)
        told = [cast(CorporateAction, event) async for event, _ in fold(settings, [_ACTIONS])]
    else:
        frame, told = await _stored(settings, whole, contracts)
    frames, actions = [BAR_SCHEMA.to_frame()], list[CorporateAction]()
    for contract_id in contracts:
        own = frame.filter(pl.col("contract_id") == contract_id)
        known = in_force([each for each in told if each.contract_id == contract_id], request.ingest_time)
        frames.append(_undone(own, known).select(frames[0].columns))
        actions += known
    made = pl.concat(frames).filter(replace(wanted, basis=Basis.RAW.value).expression())
    return made.sort("end_us", "contract_id"), actions


def _undone(own: pl.DataFrame, known: Sequence[CorporateAction]) -> pl.DataFrame:
    """One contract's bars, raw."""
    for basis in (Basis.RAW, Basis.SPLIT_ADJUSTED):
        bars = own.filter(pl.col("basis") == basis.value)
        if len(bars):
            closes = bars.select("end_us", "ingest_us", "close")
            return adjusted(bars, Basis.RAW, Known(known, int(bars["end_us"].to_numpy().max()), closes))
    return own.clear()


def _columns(frame: pl.DataFrame) -> tuple[Arrays, tuple[str, ...]]:
    return {name: frame[name].to_numpy() for name in _SHOWN}, tuple(sorted(frame["source"].unique().to_list()))


def _microseconds(moment: datetime | None) -> int | None:
    return None if moment is None else to_microseconds(moment)


def _contracts(arrays: Arrays) -> list[int]:
    """The contracts that have rows, known by one comparison where that is one."""
    ids = arrays["contract_id"]
    one = len(ids) > 0 and bool((ids == ids[0]).all())
    return [int(ids[0])] if one else cast(list[int], np.unique(ids).tolist())
