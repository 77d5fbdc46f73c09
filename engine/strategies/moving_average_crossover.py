"""Moving average crossover."""

from typing import Self

from pydantic import model_validator

from engine.column_path.shown import Shown
from engine.columns import Floats
from engine.crossing_rule import Average, CrossingRule
from engine.facts import Bar
from engine.indicators import crossing, sma
from engine.strategy import BaseStrategy, StrategyConfig, StrategySignal, searched


class MovingAverageCrossover(BaseStrategy):
    """Long when the fast average of closes crosses above the slow one; flat, or short, when it crosses below."""

    class Config(StrategyConfig):
        """Windows in bars; `short` sells below instead of going flat."""

        fast: int = searched(10, "5:50:5", ge=1, le=5000)
        slow: int = searched(30, "20:200:10", ge=2, le=5000)
        short: bool = False

        @model_validator(mode="after")
        def _fast_is_faster(self) -> Self:
            if self.fast >= self.slow:
                raise ValueError(f"fast={self.fast} must be smaller than slow={self.slow}")
            return self

    config: Config
    rule = CrossingRule(Average(sma, "close", ("fast",)), Average(sma, "close", ("slow",)), short="short")

    def indicators(self) -> None:
        self.crossed = self.declare(crossing, (sma, "close", self.config.fast), (sma, "close", self.config.slow))

    def on_bar(self, bar: Bar) -> StrategySignal | None:
        crossed = self.crossed.now
        if not crossed:
            return None
        if crossed > 0:
            return StrategySignal.long(bar.contract_id, reason="fast crossed above slow")
        if self.config.short:
            return StrategySignal.short(bar.contract_id, reason="fast crossed below slow")
        return StrategySignal.flat(bar.contract_id, reason="fast crossed below slow")

    def targets(self, columns: Shown) -> Floats:
        return columns.on_crossing(self.crossed, above=1.0, below=-1.0 if self.config.short else 0.0)
