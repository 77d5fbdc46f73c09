"""The event-driven backtest: every bar goes through the strategy, every signal through the exchange.

A signal at the close of a bar fills no earlier than the next open. Indicators are computed as columns and revealed
bar after bar, in chunks; the strategy is handed frozen structs; equity and round trips are computed afterwards.
"""

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import repeat
from operator import length_hint
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.columns import BarColumns, Floats
from engine.exchange import Exchange, Execution, Order, commission_model, slippage_model
from engine.facts import Bar, Fill
from engine.ledger import Curve, RoundTrip, curve, round_trips
from engine.sizing import order_quantity
from engine.statistics import StrategyMetrics, intervals, metrics, session_returns
from engine.statistics.benchmark import buy_and_hold
from engine.strategy import BaseStrategy, Slot, StrategyConfig, StrategySignal, Value

CHUNK = 4096
"""Bars turned from columns to lists at a time: few enough to stay in the processor's cache."""

_PROGRESS_CHUNKS = 16


class BacktestError(ValueError):
    """The backtest cannot be run: one line that says why."""


class StrategyFailedError(BacktestError):
    """The strategy itself raised an exception; says on which bar."""


@dataclass(frozen=True)
class BacktestOptions:
    """Money and rules of a run. Rates belong to the named models of `engine.exchange`.

    `quantity` is the size of a full position in shares, `lot` what it is rounded to. Raises BacktestError when one of
    them cannot be.
    """

    cash: float = 100_000.0
    quantity: float = 100.0
    lot: float = 1.0
    commission: str = "bps"
    commission_rate: float = 10.0
    slippage: str = "bps"
    slippage_rate: float = 0.0

    def __post_init__(self) -> None:
        for name in ("cash", "quantity", "lot"):
            if not 0 < getattr(self, name) < math.inf:
                raise BacktestError(f"{name} must be above zero, not {getattr(self, name)}")
        for name in ("commission_rate", "slippage_rate"):
            if not 0 <= getattr(self, name) < math.inf:
                raise BacktestError(f"{name} must be zero or more, not {getattr(self, name)}")
        if self.quantity < self.lot:
            raise BacktestError(f"quantity {self.quantity:g} is less than one lot of {self.lot:g}: nothing could trade")


@dataclass(frozen=True, eq=False)
class BacktestResult:
    """What happened. `executions` are in the order they happened, `curve` is the account at each end of a bar.

    Round trips, metrics and hashes are computed when first asked for.
    """

    strategy: str
    parameters: Mapping[str, Any]
    options: BacktestOptions
    columns: BarColumns
    executions: tuple[Execution, ...]
    curve: Curve
    unfilled: int
    """Orders that still waited for an open at the end."""
    warmup: int
    """Bars of a contract that the strategy needed before it was first asked."""

    @cached_property
    def round_trips(self) -> tuple[RoundTrip, ...]:
        """From flat to flat, in the order of their end, those still open last."""
        return round_trips(self.columns, self.executions)

    @cached_property
    def metrics(self) -> StrategyMetrics:
        """The figures."""
        return metrics(self.curve, self.round_trips, self.executions, self.columns, self.benchmark)

    @cached_property
    def benchmark(self) -> Floats:
        """What the starting cash would be worth at each of the curve's times, spread evenly over the contracts."""
        return buy_and_hold(self.columns, self.curve.times_us, self.curve.cash)

    @cached_property
    def confidence(self) -> dict[str, tuple[float, float]]:
        """95 % intervals of the main figures: see `engine.statistics.intervals`."""
        return intervals(session_returns(self.curve), self.metrics.periods_per_year)

    @cached_property
    def data_digest(self) -> str:
        """SHA-256 over the bars."""
        return self.columns.digest()

    @cached_property
    def result_hash(self) -> str:
        """SHA-256 over fills and equity alone: sums and products, whose bits do not depend on the processor."""
        whole = hashlib.sha256()
        for each in self.executions:
            amounts = " ".join(map(float.hex, (each.quantity, each.price, each.commission)))
            whole.update(f"{each.contract_id} {each.time_us} {amounts};".encode())
        whole.update(self.curve.times_us.astype("<i8").tobytes())
        whole.update(self.curve.equity.astype("<f8").tobytes())
        return whole.hexdigest()


def run(
    columns: BarColumns,
    strategy_class: type[BaseStrategy],
    config: StrategyConfig | None = None,
    options: BacktestOptions | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> BacktestResult:
    """Run `strategy_class` over `columns`. `on_progress(bars done, bars in all)` may raise to give up.

    Raises BacktestError without bars, CostModelError for an unknown cost model, StrategyFailedError when the strategy
    raises.
    """
    if not len(columns):
        raise BacktestError("there are no bars to run on")
    options = options or BacktestOptions()
    replay = _Replay(columns, _started(strategy_class, config), options)
    replay.play(on_progress or (lambda done, total: None))
    replay.let_go()
    executions = replay.exchange.executions
    return BacktestResult(
        strategy=strategy_class.__name__,
        parameters=replay.strategy.config.model_dump(mode="json"),
        options=options,
        columns=columns,
        executions=tuple(executions),
        curve=curve(columns, executions, options.cash),
        unfilled=len(replay.exchange.working),
        warmup=replay.strategy.warmup,
    )


def _started(strategy_class: type[BaseStrategy], config: StrategyConfig | None) -> BaseStrategy:
    try:
        strategy = strategy_class(config)
        strategy.on_start()
    except Exception as failure:
        raise StrategyFailedError(f"{strategy_class.__name__} failed at its start: {_told(failure)}") from failure
    return strategy


def _told(failure: Exception) -> str:
    return f"{type(failure).__name__}: {' '.join(str(failure).split())}"


class _Replay:
    """One pass of a strategy over columns."""

    def __init__(self, columns: BarColumns, strategy: BaseStrategy, options: BacktestOptions) -> None:
        self.columns = columns
        self.strategy = strategy
        self.options = options
        self.exchange = Exchange(
            commission_model(options.commission, options.commission_rate),
            slippage_model(options.slippage, options.slippage_rate),
        )
        self._listens = type(strategy).on_fill is not BaseStrategy.on_fill
        self._single = len(columns.contracts) == 1
        self._due: dict[int, tuple[int, int]] = {}  # by contract: when its working order's bar opens, and its row
        self._stop = 0
        self._rows: Iterator[bool] = iter(())
        self._shown: list[tuple[Value, Floats | None]] = []
        for contract_id in columns.contracts:
            strategy.positions[contract_id] = strategy.positions[contract_id]
        self._arrange()

    @property
    def row(self) -> int:
        """Which row is in hand: counted by how many the chunk's iterator has left, at no cost to the loop."""
        return self._stop - length_hint(self._rows) - 1

    def play(self, on_progress: Callable[[int, int], None]) -> None:
        total = len(self.columns)
        for number, first in enumerate(range(0, total, CHUNK)):
            stop = min(first + CHUNK, total)
            try:
                self._chunk(first, stop)
            except Exception as failure:
                row = max(self.row, first)
                bar = next(iter(self.columns.bars(row, row + 1)))
                where = f"{self.columns.symbol(bar.contract_id)}, {bar.end:%Y-%m-%d %H:%M:%S}"
                name = type(self.strategy).__name__
                raise StrategyFailedError(f"{name} failed at {where}: {_told(failure)}") from failure
            if number % _PROGRESS_CHUNKS == 0 or stop == total:
                on_progress(stop, total)

    def _chunk(self, first: int, stop: int) -> None:
        """The loop that everything else stays out of: two slots are set by the `for` itself, further ones in C."""
        working, on_bar = self.exchange.working, self.strategy.on_bar
        match = self._match_next if self._single else self._match_due
        (one, ones), (two, twos) = ((slot, self._cut(values, first, stop)) for slot, values in self._shown[:2])
        ready = self._ready[first:stop].tolist()
        self._stop, self._rows = stop, iter(ready)
        rest = self._setters(first, stop)
        for one.now, two.now, is_ready, bar, _ in zip(
            ones, twos, self._rows, self.columns.bars(first, stop), rest, strict=False
        ):
            if working:
                match(bar)
            if is_ready:
                signal = on_bar(bar)
                if signal is not None:
                    self._take(signal, bar)

    def _match_next(self, bar: Bar) -> None:
        """With one contract, an order fills in the very next bar."""
        self._execute(bar, self._stop - length_hint(self._rows) - 1)

    def _match_due(self, bar: Bar) -> None:
        """With several, in every bar that opened before the one in hand closed, even if it ends after that."""
        due = [(opens_us, contract_id) for contract_id, (opens_us, _) in self._due.items() if opens_us < bar.end_us]
        for _, contract_id in sorted(due):
            _, row = self._due.pop(contract_id)
            self._execute(next(iter(self.columns.bars(row, row + 1))), row)

    def _execute(self, bar: Bar, row: int) -> None:
        execution = self.exchange.match(bar, row)
        assert execution is not None, "an order met a bar that opened before its decision"
        self.strategy.positions[bar.contract_id].add(execution.quantity, execution.price)
        if self._listens:
            self.strategy.on_fill(
                Fill(bar.contract_id, execution.time_us, execution.quantity, execution.price, execution.commission)
            )

    def _take(self, signal: StrategySignal, bar: Bar) -> None:
        contract_id = signal.contract_id
        position = self.strategy.positions.get(contract_id)
        if position is None:
            raise LookupError(f"a signal for contract {contract_id}, which is not in this run")
        quantity = order_quantity(signal.value, position.quantity, self.options.quantity, self.options.lot)
        if quantity == 0:
            self.exchange.cancel(contract_id)
            self._due.pop(contract_id, None)
            return
        self.exchange.place(contract_id, Order(quantity, bar.end_us, signal.reason))
        if not self._single:
            self._expect_open(contract_id, bar.end_us)

    def _expect_open(self, contract_id: int, after_us: int) -> None:
        """Note when, and in which row, the contract opens next; without such a bar the order waits for ever."""
        own = self.columns.rows[contract_id]
        place = int(np.searchsorted(self.columns.start_us[own], after_us))
        if place < len(own):
            self._due[contract_id] = (int(self.columns.start_us[own[place]]), int(own[place]))

    def let_go(self) -> None:
        """Break the cycle of strategy and replay, so that the columns' memory is free at once."""
        for slot in self.strategy.slots:
            slot.forget()
        self._shown = []

    # what the loop reads, arranged before it

    def _arrange(self) -> None:
        columns, strategy = self.columns, self.strategy
        unready = max(strategy.warmup - 1, 0)
        self._ready: NDArray[np.bool_] = np.ones(len(columns), dtype=bool)
        for own in columns.rows.values():
            self._ready[own[:unready]] = False
        values: dict[int, Floats] = {}
        for slot in strategy.slots:
            values[id(slot)] = column = self._values(slot, values)
            if slot.shown:
                slot.remember(partial(self._past, column))
        self._shown = [(slot, values[id(slot)]) for slot in strategy.slots if slot.shown]
        self._shown += [(Value(), None)] * (2 - len(self._shown))
        strategy.position = strategy.positions[columns.contracts[0]]

    def _values(self, slot: Slot, values: Mapping[int, Floats]) -> Floats:
        """The slot's indicator, contract by contract, in the order of the rows."""
        given = [self._argument(each, values) for each in slot.arguments]
        if self._single:
            return slot.indicator(*given)
        column = np.empty(len(self.columns))
        for own in self.columns.rows.values():
            column[own] = slot.indicator(*(each[own] if isinstance(each, np.ndarray) else each for each in given))
        return column

    def _argument(self, given: Any, values: Mapping[int, Floats]) -> Any:
        if isinstance(given, Slot):
            return values[id(given)]
        return getattr(self.columns, given) if isinstance(given, str) else given

    def _past(self, column: Floats, back: int) -> float:
        row, places = self.row, self.columns.places
        place = int(places[row]) + back + 1
        if place < 0:
            raise IndexError(f"no value {back}: the contract has {places[row] + 1} bars so far")
        return float(column[self.columns.rows[int(self.columns.contract_id[row])][place]])

    @staticmethod
    def _cut(values: Floats | None, first: int, stop: int) -> Any:
        return repeat(math.nan) if values is None else values[first:stop].tolist()

    def _setters(self, first: int, stop: int) -> Any:
        """An iterator that sets the slots beyond two and, with several contracts, the position in hand."""
        set_now = vars(Value)["now"].__set__
        setters: list[Any] = [
            map(set_now, repeat(slot), self._cut(each, first, stop)) for slot, each in self._shown[2:]
        ]
        if not self._single:
            positions = map(self.strategy.positions.__getitem__, self.columns.contract_id[first:stop].tolist())
            setters.append(map(partial(setattr, self.strategy, "position"), positions))
        return zip(*setters, strict=False) if setters else repeat(None)
