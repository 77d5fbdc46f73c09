"""Donchian breakout with a trailing stop."""

from engine.facts import Bar
from engine.indicators import atr, crossing, donchian, lag
from engine.strategy import BaseStrategy, StrategyConfig, StrategySignal, searched


class DonchianBreakout(BaseStrategy):
    """Buy when the close leaves the channel of the bars before; leave at a stop that trails the best close by ATRs.

    The stop is decided at closes: it moves with the best close since the entry, never back. `short` mirrors it.
    """

    class Config(StrategyConfig):
        """Windows in bars; `multiple` is the stop's distance in average true ranges."""

        channel: int = searched(20, "10:100:10", ge=2, le=5000)
        range_window: int = searched(14, "7:28:7", ge=1, le=5000)
        multiple: float = searched(3.0, "1:6:0.5", gt=0, le=100)
        short: bool = False

    config: Config

    def indicators(self) -> None:
        channel = self.config.channel
        before = {side: (lag, (getattr(donchian, side), "high", "low", channel), 1) for side in ("upper", "lower")}
        self.above = self.declare(crossing, "close", before["upper"])
        self.below = self.declare(crossing, "close", before["lower"])
        self.range = self.declare(atr, "high", "low", "close", self.config.range_window)

    def on_start(self) -> None:
        self.stops: dict[int, float] = {}

    def on_bar(self, bar: Bar) -> StrategySignal | None:
        held = self.position.quantity
        if held == 0:
            self.stops.pop(bar.contract_id, None)
        elif self._stopped(bar, 1.0 if held > 0 else -1.0):
            return StrategySignal.flat(bar.contract_id, reason="the stop was reached")
        if self.above.now > 0 and held <= 0:
            return StrategySignal.long(bar.contract_id, reason="left the channel upwards")
        if self.config.short and self.below.now < 0 and held >= 0:
            return StrategySignal.short(bar.contract_id, reason="left the channel downwards")
        return None

    def _stopped(self, bar: Bar, way: float) -> bool:
        """Move the stop behind the close, and tell whether the close has reached it. Distances are those of a long."""
        nearer = way * bar.close - self.config.multiple * self.range.now
        stop = max(self.stops.get(bar.contract_id, nearer), nearer)
        self.stops[bar.contract_id] = stop
        return way * bar.close <= stop
