"""A backtest over more bars than memory holds: piece after piece, each forgotten before the next but one is read.

Fills, equity and hash are those of `engine.backtest.run` over all bars at once, to the last bit; kept are the fills as
columns and the account at the end of each session.
"""

from array import array
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from engine.backtest import stillborn
from engine.carried import Carried, Memory
from engine.columns import COLUMNS, BarColumns, Floats, Integers
from engine.exchange import Execution
from engine.ledger import Curve, SplitDone
from engine.market import DAY_US, Market
from engine.options import BacktestError, BacktestOptions
from engine.order_requests import OrderNews
from engine.replay import Replay
from engine.result_hash import ResultHash
from engine.revealing import Revealed
from engine.strategy import BaseStrategy, StrategyConfig

PIECE = 65_536
"""Bars of a piece: 5 MB of columns, and as fast as any other size."""


def pieces_of(columns: BarColumns, size: int = PIECE) -> Iterator[BarColumns]:
    """Cut at the ends of UTC days, so that no session is in two pieces: about `size` bars each, a day at least."""
    ends = np.append(_nights(columns.start_us, columns.end_us), len(columns))
    first = 0
    while first < len(columns):
        wanted = np.searchsorted(ends, first + size, side="right") - 1
        stop = int(ends[wanted]) if wanted >= 0 and ends[wanted] > first else int(ends[ends > first][0])
        rows = {name: getattr(columns, name)[first:stop] for name in COLUMNS}
        yield replace(columns, **rows)
        first = stop


def _nights(start_us: Integers, end_us: Integers) -> Integers:
    """Before which rows a UTC day begins; never between two that end together, which have one point of the curve."""
    days = np.maximum.accumulate(start_us // DAY_US)
    return np.flatnonzero((np.diff(days) > 0) & (np.diff(end_us) > 0)) + 1


def regrouped(
    chunks: Iterable[Mapping[str, NDArray[Any]]],
    symbols: Mapping[int, str],
    sources: Sequence[str] = (),
    size: int = PIECE,
) -> Iterator[BarColumns]:
    """Pieces as `pieces_of` cuts them out of rows that come in any portions, sorted by end and contract."""
    held: dict[str, NDArray[Any]] = {}

    def made(stop: int | None) -> BarColumns:
        return BarColumns(**{name: held[name][:stop] for name in COLUMNS}, symbols=symbols, sources=tuple(sources))

    for chunk in chunks:
        held = {name: np.concatenate((held[name], chunk[name])) if held else chunk[name] for name in COLUMNS}
        while len(held["start_us"]) > size and len(nights := _nights(held["start_us"], held["end_us"])):
            within = nights[nights <= size]
            stop = int(within[-1] if len(within) else nights[0])
            yield made(stop)
            held = {name: held[name][stop:] for name in COLUMNS}
    if held and len(held["start_us"]):
        yield made(None)


class FillColumns:
    """Fills, as columns that grow: 64 bytes each."""

    def __init__(self) -> None:
        self.contract_id, self.row, self.time_us = array("q"), array("q"), array("q")
        self.quantity, self.price, self.commission = array("d"), array("d"), array("d")
        self.slippage, self.rate = array("d"), array("d")

    def __len__(self) -> int:
        return len(self.row)

    def take(self, executions: Iterable[Execution], offset: int) -> None:
        """Append executions of a piece that began at row `offset`."""
        for each in executions:
            for name in ("contract_id", "time_us", "quantity", "price", "commission", "slippage", "rate"):
                getattr(self, name).append(getattr(each, name))
            self.row.append(each.row + offset)


@dataclass(frozen=True, eq=False)
class LongResult:
    """What happened. `curve` is the account at the end of each session."""

    bars: int
    fills: FillColumns
    curve: Curve
    result_hash: str
    unfilled: int
    warmup: int

    @property
    def final_equity(self) -> float:
        """Cash and positions at their last closes."""
        return float(self.curve.equity[-1])


@dataclass(frozen=True, eq=False)
class Played:
    """What came of one piece. Rows of `executions` and `splits` are those of its `columns`, the first of which is row
    `first` of the run."""

    columns: BarColumns
    first: int
    executions: Sequence[Execution]
    splits: Sequence[SplitDone]
    times_us: Integers
    equity: Floats
    gross: Floats
    revealed: Revealed
    denied: Sequence[OrderNews]


class Watch(Protocol):
    """Is told what came of each piece."""

    @property
    def contracts(self) -> Collection[int]:
        """All that the run will come upon."""

    def take(self, played: Played) -> None:
        """Called after each piece; may raise to give up."""


class _Account:
    """The equity curve, piece after piece, in the order of arithmetic of `engine.ledger.curve`."""

    def __init__(self, cash: float, market: Market) -> None:
        self.cash = cash
        self._began_with = cash
        self._market = market
        self._held: dict[int, float] = {}
        self._value: dict[int, float] = {}
        self._kept: list[tuple[int, float, float]] = []

    def curve(self) -> Curve:
        times, equity, gross = zip(*self._kept, strict=True)
        return Curve(np.array(times, dtype=np.int64), np.array(equity), np.array(gross), self._began_with)

    def take(self, columns: BarColumns, replay: Replay) -> tuple[Integers, Floats, Floats]:
        """The piece's times, equity and gross positions."""
        times = np.unique(columns.end_us)
        equity = self._cash(columns, replay, times)
        gross = np.zeros(len(times))
        for contract_id in sorted({*self._held, *(each.contract_id for each in replay.exchange.executions)}):
            value = self._values(contract_id, columns, replay, times)
            equity += value
            gross += np.abs(value)
        last = int(times[-1])
        days = np.append(np.flatnonzero(np.diff((times - 1) // DAY_US)), len(times) - 1)
        self._kept += zip(times[days].tolist(), equity[days].tolist(), gross[days].tolist(), strict=True)
        assert self._kept[-1][0] == last
        return times, equity, gross

    def _cash(self, columns: BarColumns, replay: Replay, times: Integers) -> Floats:
        """Each payment at its time, flows of money before executions."""
        payments = [(self._at(times, each.time_us, after=True), 0, -each.amount) for each in replay.flows]
        for each in replay.exchange.executions:
            paid = each.quantity * each.price + each.commission
            at = self._at(times, int(columns.end_us[each.row]), after=False)
            payments.append((at, 1, paid * each.rate if self._market.currencies else paid))
        payments.sort(key=lambda each: each[:2])
        levels = [self.cash]
        for _, _, paid in payments:
            levels.append(levels[-1] - paid)
        self.cash = levels[-1]
        return _carried(levels, [at for at, _, _ in payments], len(times))

    @staticmethod
    def _at(times: Integers, moment: int, *, after: bool) -> int:
        return min(int(np.searchsorted(times, moment, side="right" if after else "left")), len(times) - 1)

    def _values(self, contract_id: int, columns: BarColumns, replay: Replay, times: Integers) -> Floats:
        own = columns.rows.get(contract_id)
        if own is None:
            return np.full(len(times), self._value.get(contract_id, 0.0))
        steps: list[tuple[int, int, float]] = []  # at which of its bars, splits first, what is held or how it changes
        splits: list[SplitDone] = [each for each in replay.splits if each.contract_id == contract_id]
        steps += [(int(np.searchsorted(own, each.row)), 0, each.held) for each in splits]
        for each in replay.exchange.executions:
            if each.contract_id == contract_id:
                steps.append((int(np.searchsorted(own, each.row)), 1, each.quantity))
        steps.sort(key=lambda each: each[:2])
        levels = [self._held.get(contract_id, 0.0)]
        for _, kind, amount in steps:
            levels.append(levels[-1] + amount if kind else amount)
        self._held[contract_id] = levels[-1]
        held = _carried(levels, [at for at, _, _ in steps], len(own))
        worth = self._market.worth_column(contract_id, columns.end_us[own])
        values = held * (columns.close[own] if worth is None else columns.close[own] * worth)
        before = self._value.get(contract_id, 0.0)
        self._value[contract_id] = float(values[-1])
        return _carried(np.concatenate(([before], values)), np.searchsorted(times, columns.end_us[own]), len(times))


def _carried(levels: Sequence[float] | Floats, at: Sequence[int] | Integers, length: int) -> Floats:
    """`levels[0]` up to position `at[0]`, then `levels[1]` up to `at[1]`, and so on: a step function of `length`."""
    edges = np.concatenate(([0], np.asarray(at, dtype=np.int64), [length]))
    return np.repeat(np.asarray(levels, dtype=np.float64), edges[1:] - edges[:-1])


def run_pieces(
    pieces: Iterable[BarColumns],
    strategy_class: type[BaseStrategy],
    config: StrategyConfig | None = None,
    options: BacktestOptions | None = None,
    on_progress: Callable[[int], None] | None = None,
    market: Market | None = None,
    watch: Watch | None = None,
) -> LongResult:
    """Run over `pieces` in the order of time, none of which ends within a session (`pieces_of` cuts so).

    Unless a `watch` names the contracts, the first piece has a bar of each. What a watch is told is not kept in
    `fills`. Raises as `engine.backtest.run` does, and for what needs all bars at once: indicators on larger frames,
    sizing by ranges or volatility.
    """
    options, market = options or BacktestOptions(), market or Market()
    fills, hashes, account = FillColumns(), ResultHash(), _Account(options.cash, market)
    replay: Replay | None = None
    bars, reached_us = 0, -(2**63)
    for columns in pieces:
        if columns.end_us[0] <= reached_us:
            raise BacktestError(f"pieces come in the order of time: {columns.bar(0).end} is not after the one before")
        reached_us = int(columns.end_us[-1])
        if replay is None:
            replay, memory = _started(columns, strategy_class, config, options, market)
            replay.know(columns.contracts if watch is None else watch.contracts)
            _begin(replay)
        else:
            replay.go_on(columns, Carried(columns, memory))
        replay.play(lambda done, total: None)
        assert isinstance(replay.revealed, Carried)
        replay.revealed.remember()
        executions = replay.exchange.executions
        times, equity, gross = account.take(columns, replay)
        hashes.fills(executions)
        hashes.equity(times, equity)
        if watch is None:
            fills.take(executions, bars)
        else:
            denied = replay.denied
            watch.take(Played(columns, bars, executions, replay.splits, times, equity, gross, replay.revealed, denied))
        replay.flows.clear()
        replay.denied.clear()
        bars += len(columns)
        if on_progress is not None:
            on_progress(bars)
    if replay is None:
        raise BacktestError("there are no bars to run on")
    replay.let_go()
    unfilled = len(replay.exchange.placed())
    return LongResult(bars, fills, account.curve(), hashes.hexdigest(), unfilled, replay.strategy.warmup)


def _started(
    columns: BarColumns,
    strategy_class: type[BaseStrategy],
    config: StrategyConfig | None,
    options: BacktestOptions,
    market: Market,
) -> tuple[Replay, Memory]:
    try:
        strategy = strategy_class(config)
        memory = Memory(strategy)
        return Replay(columns, strategy, options, market, Carried(columns, memory)), memory
    except Exception as failure:
        raise stillborn(strategy_class, failure) from failure


def _begin(replay: Replay) -> None:
    try:
        replay.strategy.on_start()
    except Exception as failure:
        raise stillborn(type(replay.strategy), failure) from failure
