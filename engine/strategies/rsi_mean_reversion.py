"""RSI mean reversion."""

from typing import Self

from pydantic import model_validator

from engine.facts import Bar
from engine.indicators import crossing, rsi, side
from engine.strategy import BaseStrategy, StrategyConfig, StrategySignal, searched


class RsiMeanReversion(BaseStrategy):
    """Buy when the RSI falls below `oversold`, and leave when it is back at `exit_level`; `short` mirrors it."""

    class Config(StrategyConfig):
        """Window in bars, levels of the RSI from 0 to 100."""

        window: int = searched(14, "5:30:1", ge=2, le=5000)
        oversold: float = searched(30.0, "15:40:5", ge=0, le=100)
        exit_level: float = searched(50.0, "45:65:5", ge=0, le=100)
        overbought: float = searched(70.0, "70:85:5", ge=0, le=100)
        short: bool = False

        @model_validator(mode="after")
        def _levels_ascend(self) -> Self:
            if not self.oversold < self.exit_level < self.overbought:
                raise ValueError(
                    f"oversold={self.oversold:g}, exit_level={self.exit_level:g} and "
                    f"overbought={self.overbought:g} must ascend"
                )
            return self

    config: Config

    def indicators(self) -> None:
        strength = self.declare(rsi, "close", self.config.window)
        self.middle = self.declare(side, strength, self.config.exit_level)
        self.low = self.declare(crossing, strength, self.config.oversold)
        self.high = self.declare(crossing, strength, self.config.overbought)

    def on_bar(self, bar: Bar) -> StrategySignal | None:
        if self.low.now < 0:
            return StrategySignal.long(bar.contract_id, reason="RSI fell below oversold")
        if self.config.short and self.high.now > 0:
            return StrategySignal.short(bar.contract_id, reason="RSI rose above overbought")
        held = self.position.quantity
        if held != 0 and held * self.middle.now >= 0:  # a long leaves at or above the level, a short at or below
            return StrategySignal.flat(bar.contract_id, reason="RSI is back")
        return None
