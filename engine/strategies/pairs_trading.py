"""Pairs trading."""

import math
from typing import Self

from pydantic import model_validator

from engine.facts import Bar
from engine.indicators import zscore
from engine.strategy import BaseStrategy, Decision, StrategyConfig, StrategySignal, searched


class PairsTrading(BaseStrategy):
    """Buy the cheaper and sell the dearer of two symbols when their ratio leaves its mean; leave when it is back.

    The score is that of the logarithm of first over second, the lower contract id being first. It is known once both
    bars of a moment have come; both legs are told then, and fill at the next opens.
    """

    class Config(StrategyConfig):
        """Window in bars, levels of the score. `balanced` trades fewer shares of the dearer, so that both legs are
        worth the same where a full position is a number of shares."""

        window: int = searched(60, "20:120:20", ge=3, le=5000)
        entry: float = searched(2.0, "1:3:0.5", gt=0, le=10)
        exit_level: float = searched(0.5, "0:1:0.25", ge=0, le=10)
        balanced: bool = True

        @model_validator(mode="after")
        def _leaves_nearer(self) -> Self:
            if self.exit_level >= self.entry:
                raise ValueError(f"exit_level={self.exit_level:g} must be smaller than entry={self.entry:g}")
            return self

    config: Config

    def on_start(self) -> None:
        self.score = zscore.live(self.config.window)
        self.moment_us = 0
        self.closes: dict[int, float] = {}  # of that moment
        self.way = 0  # +1: long the first, short the second

    def on_bar(self, bar: Bar) -> Decision:
        if len(self.positions) != 2:
            raise ValueError(f"a pair is two symbols, not {len(self.positions)}")
        if bar.end_us > self.moment_us:
            self.moment_us, self.closes = bar.end_us, {}
        self.closes[bar.contract_id] = bar.close
        if len(self.closes) < 2:
            return None
        return self._decide(*(self.closes[each] for each in sorted(self.closes)))

    def _decide(self, first: float, second: float) -> Decision:
        """What to hold after a moment at which the two closed at these prices."""
        score = self.score.update(math.log(first / second))
        if abs(score) > self.config.entry:
            way = -1 if score > 0 else 1
        elif self.way * score >= -self.config.exit_level:  # a long of the first was bought at a score below zero
            way = 0
        else:
            way = self.way
        if way == self.way:
            return None
        self.way = way
        smaller = min(first, second)
        shares = (smaller / first, smaller / second) if self.config.balanced else (1.0, 1.0)
        targets = zip(sorted(self.closes), (way * shares[0], -way * shares[1]), strict=True)
        why = "the ratio left its mean" if way else "the ratio is back"
        return [StrategySignal.target(contract_id, target, why) for contract_id, target in targets]
