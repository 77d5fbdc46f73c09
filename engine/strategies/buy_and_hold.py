"""Buy and hold."""

from pydantic import Field

from engine.facts import Bar
from engine.strategy import BaseStrategy, StrategyConfig, StrategySignal


class BuyAndHold(BaseStrategy):
    """Buy each contract at its first bar and keep it: what every other strategy has to beat."""

    class Config(StrategyConfig):
        """How much of the full position."""

        strength: float = Field(1.0, gt=0, le=1)

    config: Config

    def on_start(self) -> None:
        self.bought: set[int] = set()

    def on_bar(self, bar: Bar) -> StrategySignal | None:
        if bar.contract_id in self.bought:
            return None
        self.bought.add(bar.contract_id)
        return StrategySignal.long(bar.contract_id, self.config.strength, "buy and hold")
