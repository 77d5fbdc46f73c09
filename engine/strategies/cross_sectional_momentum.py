"""Cross-sectional momentum."""

from typing import Self

from pydantic import model_validator

from engine.facts import Bar
from engine.indicators import lag, roc
from engine.strategy import BaseStrategy, StrategyConfig, StrategySignal, searched


class CrossSectionalMomentum(BaseStrategy):
    """Long the strongest of many symbols, and with `short` short the weakest, chosen anew each month.

    Strength is the return over `lookback` bars, the last `skip` left out: what rose most in the last weeks often falls
    back. After Jegadeesh and Titman, Returns to Buying Winners and Selling Losers (1993). The ranks are those of the
    last moment of a month, known once the next month has begun; each symbol is told on its first bar of that month.
    """

    class Config(StrategyConfig):
        """Windows in bars; `hold` symbols on each side, at least one and at most half of those that have a rank."""

        lookback: int = searched(126, "63:252:21", ge=2, le=5000)
        skip: int = searched(21, "0:21:7", ge=0, le=1000)
        hold: int = searched(3, "1:20:1", ge=1, le=1000)
        short: bool = False

        @model_validator(mode="after")
        def _skips_less(self) -> Self:
            if self.skip >= self.lookback:
                raise ValueError(f"skip={self.skip} must be smaller than lookback={self.lookback}")
            return self

    config: Config

    def indicators(self) -> None:
        settings = self.config
        recent = (lag, "close", settings.skip) if settings.skip else "close"
        self.strength = self.declare(roc, recent, settings.lookback - settings.skip)

    def on_start(self) -> None:
        self.moment_us = 0
        self.month = 0
        self.strengths: dict[int, float] = {}  # at that moment
        self.wanted: dict[int, float] = {}
        self.told: dict[int, float] = {}

    def on_bar(self, bar: Bar) -> StrategySignal | None:
        if bar.end_us > self.moment_us:
            self._next_moment(bar)
        self.strengths[bar.contract_id] = self.strength.now
        target = self.wanted.get(bar.contract_id, 0.0)
        if target == self.told.get(bar.contract_id, 0.0):
            return None
        self.told[bar.contract_id] = target
        return StrategySignal.target(bar.contract_id, target, "among the ranks held" if target else "no longer held")

    def _next_moment(self, bar: Bar) -> None:
        month = bar.end.month
        if month != self.month and self.strengths:
            self._choose()
        self.month, self.moment_us = month, bar.end_us
        self.strengths = {}

    def _choose(self) -> None:
        """Rank by strength, ties by contract id."""
        ranked = sorted(self.strengths, key=lambda contract_id: (-self.strengths[contract_id], contract_id))
        hold = min(self.config.hold, max(len(ranked) // 2, 1))
        self.wanted = dict.fromkeys(ranked[:hold], 1.0)
        if self.config.short and len(ranked) > 1:
            self.wanted |= dict.fromkeys(ranked[-hold:], -1.0)
