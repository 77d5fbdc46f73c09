"""The rules of a backtest by name, from the command line to the engine's options."""

import pytest

from engine.options import BacktestError, rules_of
from infra.errors import UsageError
from producers.cli.run_rules import rules_from


def test_models_have_a_rate_of_their_own_or_the_one_that_is_written() -> None:
    written = rules_from(
        {"commission": "ib_fixed", "slippage": "half_spread=5", "sizing": ""}, ["fill=same_close", "latency-bars=2"]
    )

    assert rules_of(written) == {
        "commission": "ib_fixed",
        "commission_rate": 0.005,
        "slippage": "half_spread",
        "slippage_rate": 5.0,
        "fill": "same_close",
        "latency_bars": 2,
    }
    assert rules_from({"sizing": "percent_of_equity=50"}, []) == {"sizing": "percent_of_equity", "sizing_percent": 50.0}


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ({"fil": "x"}, r"no rule fil \(did you mean fill\?\)"),
        ({"cash": 5.0}, "no rule cash"),
        ({"latency_bars": "soon"}, "latency_bars=soon: write a whole number"),
        ({"commission": "per_share"}, "commission per_share needs a rate: commission_rate"),
        ({"commission": "ib_fix"}, r"no commission model ib_fix \(did you mean ib_fixed\?\)"),
    ],
)
def test_a_rule_that_cannot_be_says_why(rules: dict[str, str | float], said: str) -> None:
    with pytest.raises(BacktestError, match=said):
        rules_of(rules)


@pytest.mark.parametrize(("models", "rule"), [({"commission": "bps=ten"}, []), ({}, ["account"]), ({}, ["=cash"])])
def test_what_is_misspelt_on_the_command_line_is_shown_with_how_to_write_it(
    models: dict[str, str], rule: list[str]
) -> None:
    with pytest.raises(UsageError, match="write NAME"):
        rules_from(models, rule)
