"""Strategies by name."""

import pytest

from engine.registry import UnknownStrategyError, listing, names, strategy_class
from engine.strategies.buy_and_hold import BuyAndHold


def test_every_name_leads_to_a_strategy_with_a_description_and_defaults() -> None:
    assert {"buy_and_hold", "moving_average_crossover", "rsi_mean_reversion"} <= set(names())
    assert list(names()) == sorted(names())
    for each in listing():
        assert each.description.startswith(("Buy", "Long"))
        strategy_class(each.name)()
    assert {each.name: each.parameters for each in listing()}["moving_average_crossover"] == {
        "fast": 10,
        "slow": 30,
        "short": False,
    }
    assert strategy_class("buy_and_hold") is BuyAndHold


def test_a_wrong_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownStrategyError, match=r"no strategy buy_hold \(did you mean buy_and_hold\?\)"):
        strategy_class("buy_hold")
