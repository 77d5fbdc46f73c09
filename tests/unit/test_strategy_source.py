"""A text becomes a strategy, or says in which line it does not."""

import pytest

from engine.strategy_source import StrategySourceError, strategy_from

GOOD = """\
from dataclasses import dataclass

from engine.strategy import BaseStrategy


@dataclass
class Note:
    text: "str"


class Base(BaseStrategy):
    pass


class Mine(Base):
    class Config(BaseStrategy.Config):
        window: int = 20
"""


def test_the_last_in_a_line_of_classes_is_the_strategy() -> None:
    found = strategy_from(GOOD, "a_good_one")

    assert (found.__name__, found.Config.parse({"window": "5"}).model_dump()) == ("Mine", {"window": 5})


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("x = 1\n", "bad.py: one class derives from engine.strategy.BaseStrategy, here: none"),
        (GOOD + "class Other(BaseStrategy): pass\n", "here: Mine, Other"),
        ("\nimport socket\n", "bad.py, line 2: a strategy cannot import socket"),
        ("from os import path\n", "bad.py, line 1: a strategy cannot import os"),
        ("from . import other\n", "bad.py, line 1: a strategy cannot import ."),
        ("x = (\n", "bad.py, line 1: '(' was never closed"),
        ("x = 1\ny = x / 0\n", r"ZeroDivisionError: division by zero \(bad.py, line 2\)"),
    ],
)
def test_what_is_no_strategy_says_where(text: str, why: str) -> None:
    with pytest.raises(StrategySourceError, match=why.replace("'('", r"'\('")):
        strategy_from(text, "bad")
