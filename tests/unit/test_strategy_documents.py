"""What docs/strategies.md and docs/indicators.md show works, and their table is that of the code."""

import inspect
import re
import textwrap

import pytest

import engine.indicators
from engine.registry import names
from engine.scrutiny import examine_source
from engine.strategy import BaseStrategy
from infra.settings import REPOSITORY
from producers.cli.indicator_table import indicator_table
from tests.examples import example


def _text(document: str) -> str:
    return (REPOSITORY / document).read_text(encoding="utf-8")


def test_the_table_of_indicators_is_what_the_command_prints() -> None:
    assert _text("docs/indicators.md").endswith(indicator_table()), "paste what `scizor docs indicators` prints"


@pytest.mark.parametrize(
    ("document", "name"), [("docs/strategies.md", "a strategy"), ("docs/indicators.md", "own indicator")]
)
def test_the_examples_pass_their_check(document: str, name: str) -> None:
    verdict = examine_source(example(document, name), "example", {})

    assert verdict.findings == ()
    assert verdict.decisions > 10


def test_the_declarations_shown_can_be_made() -> None:
    found: dict[str, object] = dict(vars(engine.indicators))
    exec(textwrap.dedent(example("docs/indicators.md", "declaring")), found)  # noqa: S102 # our own document

    strategy = type("Declaring", (BaseStrategy,), {"indicators": found["indicators"]})()

    assert [slot.indicator.name for slot in strategy.slots if slot.shown] == [
        "sma", "atr", "macd.signal", "relative_volume", "crossing", "crossing",
    ]  # fmt: skip


def test_every_shipped_strategy_handler_and_rule_is_in_the_document() -> None:
    text = _text("docs/strategies.md")
    handlers = [name for name in vars(BaseStrategy) if name.startswith("on_")]
    rules = set()
    for module in ("source", "lookahead", "warmup", "columns", "__init__"):
        source = _text(f"engine/scrutiny/{module}.py")
        rules |= set(re.findall(r'(?:Severity\.\w+,\s*|_error\(\s*\w+, )"([a-z-]+)"', source))

    assert len(rules) > 10
    assert [each for each in (*names(), *handlers, *sorted(rules)) if f"`{each}" not in text] == []
    assert all(inspect.getdoc(getattr(BaseStrategy, name)) for name in handlers)
