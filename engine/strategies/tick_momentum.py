"""Tick momentum."""

from engine.facts import Bar, Tick
from engine.strategy import BaseStrategy, StrategySignal


class TickMomentum(BaseStrategy):
    """Long after an uptick, flat after a downtick: the shortest strategy that decides on single prints."""

    def on_start(self) -> None:
        self.last: dict[int, float] = {}

    def on_bar(self, bar: Bar) -> StrategySignal | None:
        return None

    def on_tick(self, tick: Tick) -> StrategySignal | None:
        before = self.last.get(tick.contract_id, tick.price)
        self.last[tick.contract_id] = tick.price
        if tick.price > before:
            return StrategySignal.long(tick.contract_id, reason="uptick")
        if tick.price < before:
            return StrategySignal.flat(tick.contract_id, reason="downtick")
        return None
