"""What a strategy is made of: parameters, signals, positions, slots."""

import math
from typing import Any

import pytest
from pydantic import Field, ValidationError

from engine.indicators import IndicatorError, bollinger, crossing, rsi, sma
from engine.strategies.moving_average_crossover import MovingAverageCrossover
from engine.strategies.rsi_mean_reversion import RsiMeanReversion
from engine.strategy import BaseStrategy, ParameterError, Position, StrategyConfig, StrategySignal


class Nothing(BaseStrategy):
    """Declares an average and does nothing."""

    class Config(StrategyConfig):
        """One window."""

        window: int = Field(5, ge=1)

    config: Config

    def indicators(self) -> None:
        self.mean = self.declare(sma, "close", self.config.window)


@pytest.mark.parametrize(
    ("parameters", "line"),
    [
        ({"fsat": 3}, "unknown parameter fsat (did you mean fast?): it takes fast, slow, short"),
        ({"zzz": 3}, "unknown parameter zzz: it takes fast, slow, short"),
        ({"fast": "many"}, "parameter fast='many': input should be a valid integer"),
        ({"fast": 0}, "parameter fast=0: input should be greater than or equal to 1"),
        ({"fast": 30, "slow": 20}, "fast=30 must be smaller than slow=20"),
    ],
)
def test_a_wrong_parameter_is_one_clear_line(parameters: dict[str, object], line: str) -> None:
    with pytest.raises(ParameterError) as failure:
        MovingAverageCrossover.Config.parse(parameters)

    assert str(failure.value).startswith(line)
    assert "\n" not in str(failure.value)


def test_parameters_may_come_as_text_and_cannot_be_changed_afterwards() -> None:
    config = MovingAverageCrossover.Config.parse({"fast": "5", "slow": "20", "short": "true"})

    assert (config.fast, config.slow, config.short) == (5, 20, True)
    with pytest.raises(ValidationError, match="frozen"):
        config.fast = 6  # type: ignore[misc] # what is tested
    with pytest.raises(ParameterError, match="finite"):
        RsiMeanReversion.Config.parse({"oversold": "nan"})


def test_a_signal_is_a_target_or_a_direction_with_strength() -> None:
    assert StrategySignal.long(1) == StrategySignal.target(1, 1.0)
    assert StrategySignal.short(1, 0.5) == StrategySignal.target(1, -0.5)
    assert StrategySignal.flat(1, "enough").reason == "enough"
    assert (StrategySignal.short(1, 0.5).direction, StrategySignal.short(1, 0.5).strength) == (-1, 0.5)
    with pytest.raises(AttributeError):
        StrategySignal.flat(1).value = 1.0  # type: ignore[misc] # what is tested


@pytest.mark.parametrize("value", [1.01, -1.01, math.nan, math.inf])
def test_a_target_beyond_the_full_position_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match=r"\[-1, 1\]"):
        StrategySignal.target(1, value)


@pytest.mark.parametrize("strength", [-0.1, 1.1])
def test_a_strength_has_no_sign_of_its_own(strength: float) -> None:
    for direction in (StrategySignal.long, StrategySignal.short):
        with pytest.raises(ValueError, match="lies in"):
            direction(1, strength)


def test_a_position_averages_what_adds_keeps_what_reduces_and_begins_anew_beyond_zero() -> None:
    position = Position()
    seen = []
    for quantity, price in [(100, 10.0), (100, 20.0), (-50, 99.0), (-250, 30.0), (100, 1.0)]:
        position.add(quantity, price)
        seen.append((position.quantity, position.average_price))

    assert seen == [(100, 10.0), (200, 15.0), (150, 15.0), (-100, 30.0), (0, 0.0)]


def test_warmup_is_what_the_indicators_need_one_upon_the_other() -> None:
    class Nested(Nothing):
        def indicators(self) -> None:
            self.mean = self.declare(sma, "close", 5)
            self.strength = self.declare(rsi, self.mean, 14)
            self.crossed = self.declare(crossing, self.strength, (sma, self.strength, 3))

    strategy = Nested()

    assert [slot.ready for slot in strategy.slots] == [5, 5 + 14, 5 + 14 + 2, 5 + 14 + 2 + 1]
    assert strategy.warmup == 22
    assert strategy.settled > 22 * 14
    assert MovingAverageCrossover().warmup == 31
    assert BaseStrategy().warmup == 1


def test_an_indicator_of_an_unknown_column_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ValueError, match=r"no column clsoe \(did you mean close\?\)"):
        Nothing().declare(sma, "clsoe", 5)


def test_what_is_no_indicator_is_refused_with_what_to_declare() -> None:
    def mine(close: float) -> float:
        return close

    own: Any = mine
    lines: Any = bollinger
    with pytest.raises(IndicatorError, match=r"takes an Indicator, not mine: docs/indicators\.md tells how to make"):
        Nothing().declare(own, "close")
    with pytest.raises(IndicatorError, match="not mine"):
        Nothing().declare(sma, (own, "close"), 5)
    with pytest.raises(IndicatorError, match=r"several lines: declare one of them: \.lower, \.middle"):
        Nothing().declare(lines, "close", 20)


def test_a_slot_shows_nothing_before_the_first_bar_and_never_the_future() -> None:
    slot = Nothing().mean

    assert math.isnan(slot[-1])
    with pytest.raises(IndexError, match="no bar has come yet"):
        slot[-2]
    for back in (0, 1, -513):
        with pytest.raises(IndexError, match="look back from -1"):
            slot[back]
