"""Bollinger reversion."""

from engine.facts import Bar
from engine.indicators import bollinger, crossing, side
from engine.strategy import BaseStrategy, StrategyConfig, StrategySignal, searched


class BollingerReversion(BaseStrategy):
    """Buy when the close falls below the lower band, and leave when it is back at the middle; `short` mirrors it."""

    class Config(StrategyConfig):
        """Window in bars, width of the bands in standard deviations."""

        window: int = searched(20, "10:60:5", ge=2, le=5000)
        deviations: float = searched(2.0, "1:3:0.25", gt=0, le=10)
        short: bool = False

    config: Config

    def indicators(self) -> None:
        bands = (self.config.window, self.config.deviations)
        self.low = self.declare(crossing, "close", (bollinger.lower, "close", *bands))
        self.high = self.declare(crossing, "close", (bollinger.upper, "close", *bands))
        self.middle = self.declare(side, "close", (bollinger.middle, "close", *bands))

    def on_bar(self, bar: Bar) -> StrategySignal | None:
        if self.low.now < 0:
            return StrategySignal.long(bar.contract_id, reason="fell below the lower band")
        if self.config.short and self.high.now > 0:
            return StrategySignal.short(bar.contract_id, reason="rose above the upper band")
        held = self.position.quantity
        if held != 0 and held * self.middle.now >= 0:  # a long leaves at or above the middle, a short at or below
            return StrategySignal.flat(bar.contract_id, reason="back at the middle")
        return None
