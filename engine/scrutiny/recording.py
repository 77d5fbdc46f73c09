"""What a strategy saw and said, bar by bar, over bars that can be cut at either end."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from engine.backtest import BacktestOptions, run
from engine.columns import COLUMNS, BarColumns
from engine.facts import Bar
from engine.host import LiveOrderError, StrategyHost
from engine.live.desk import LiveDesk
from engine.strategy import BaseStrategy, StrategyConfig

SAME = 1e-9
"""Values nearer than this, relatively, are the same."""

OPTIONS = BacktestOptions(cash=1e9)
"""Of every run: money enough that none is refused."""

_ORDERS = ("order", "bracket", "aim", "cancel", "modify", "timer")


@dataclass(frozen=True)
class Row:
    """One bar on which the strategy was asked: what its indicators showed, and what it said."""

    end_us: int
    contract_id: int
    values: tuple[float, ...]
    told: str


@dataclass(frozen=True)
class Trial:
    """A strategy with its parameters, ready to be run over several bars."""

    strategy: type[BaseStrategy]
    config: StrategyConfig

    def names(self) -> list[str]:
        """The shown indicators by the attribute that holds them."""
        built = self.strategy(self.config)
        kept = {id(value): name for name, value in vars(built).items()}
        shown = [slot for slot in built.slots if slot.shown]
        return [kept.get(id(slot), slot.indicator.name) for slot in shown]

    def backtested(self, columns: BarColumns) -> list[Row]:
        """What it saw and said in a backtest."""
        rows: list[Row] = []
        run(columns, self._watched(rows), self.config, OPTIONS)
        return rows

    def lived(self, columns: BarColumns) -> list[Row]:
        """What its indicators show where bars come one by one, as live; it is not asked for decisions."""
        rows: list[Row] = []

        def on_bar(self: BaseStrategy, bar: Bar) -> None:
            rows.append(Row(bar.end_us, bar.contract_id, _shown(self), "None"))

        deaf = {name: method for name, method in vars(BaseStrategy).items() if name.startswith("on_")}
        silent = type(self.strategy.__name__, (self.strategy,), {**deaf, "on_bar": on_bar})
        host = StrategyHost(silent, self.config, {each: columns.symbol(each) for each in columns.contracts})
        for bar in columns.bars():
            host.on_bar(bar)
        return rows

    def not_live(self, columns: BarColumns) -> str:
        """Why live trading would refuse it, as far as its handlers tell."""
        desk = LiveDesk(OPTIONS.cash)
        desk.full = dict.fromkeys(columns.contracts, OPTIONS.quantity)
        symbols = {each: columns.symbol(each) for each in columns.contracts}
        try:
            StrategyHost(self.strategy, self.config, symbols, desk=desk)
        except LiveOrderError as error:
            return str(error)
        return ""

    def _watched(self, rows: list[Row]) -> type[BaseStrategy]:
        """The strategy, with what it is shown and what it says written down."""
        original, orders = self.strategy, list[str]()

        def on_bar(self: BaseStrategy, bar: Bar) -> Any:
            decision = original.on_bar(self, bar)
            rows.append(Row(bar.end_us, bar.contract_id, _shown(self), "; ".join([*orders, repr(decision)])))
            orders.clear()
            return decision

        def noting(name: str) -> Any:
            def noted(self: BaseStrategy, *given: Any, **terms: Any) -> Any:
                orders.append(f"{name}{given}{terms}")
                return getattr(original, name)(self, *given, **terms)

            return noted

        methods = {name: noting(name) for name in _ORDERS if hasattr(original, name)}
        return type(original.__name__, (original,), {"on_bar": on_bar, **methods})


def _shown(strategy: BaseStrategy) -> tuple[float, ...]:
    return tuple(slot.now for slot in strategy.slots if slot.shown)


def until(columns: BarColumns, end_us: int) -> BarColumns:
    """The bars that ended by then."""
    return _slice(columns, 0, int(np.searchsorted(columns.end_us, end_us, side="right")))


def since(columns: BarColumns, end_us: int) -> BarColumns:
    """The bars that ended after it."""
    return _slice(columns, int(np.searchsorted(columns.end_us, end_us, side="right")), len(columns))


def _slice(columns: BarColumns, first: int, stop: int) -> BarColumns:
    return replace(columns, **{name: getattr(columns, name)[first:stop] for name in COLUMNS})


def unlike(one: Sequence[float], other: Sequence[float], scales: Sequence[float] | None = None) -> int | None:
    """Which value differs first, relative to itself or to `scales`."""
    for place, (left, right) in enumerate(zip(one, other, strict=True)):
        scale = max(abs(left), abs(right)) if scales is None else scales[place]
        same = left == right or (left != left and right != right) or abs(left - right) <= SAME * scale
        if not same:
            return place
    return None
