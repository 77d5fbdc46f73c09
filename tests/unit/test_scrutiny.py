"""Examining a strategy finds those that know the future, forget the past or carry state from run to run."""

import textwrap

import pytest

from engine.registry import names, strategy_class
from engine.scrutiny import CONTRACTS_MAX, Severity, Verdict, examine, examine_source, example_market
from engine.scrutiny.source import read
from tests.bars import real_daily

HEAD = '''
"""A strategy."""
import numpy as np
from engine.facts import Bar
from engine.indicators import Indicator, crossing, ema, obv, sma
from engine.strategy import BaseStrategy, StrategySignal


'''
TWIN = '''
class Twin:
    """The value itself, which is all that can be known."""

    def update(self, *values):
        return values[0]


def bars(*sizes):
    return 1


'''


SHORT = example_market(600)


def _examined(body: str, *, head: str = HEAD) -> Verdict:
    return examine_source(head + textwrap.dedent(body), "examined", {}, SHORT)


def _found(body: str) -> dict[str, list[int]]:
    """Lines by rule, of errors."""
    found: dict[str, list[int]] = {}
    for each in _examined(body).findings:
        if each.severity is Severity.ERROR:
            found.setdefault(each.rule, []).append(each.line)
    return found


def _line(body: str, piece: str) -> int:
    """Where a piece of the body stands in the whole text."""
    lines = (HEAD + textwrap.dedent(body)).splitlines()
    return next(number for number, line in enumerate(lines, start=1) if piece in line)


HONEST = """
class Honest(BaseStrategy):
    def indicators(self):
        self.crossed = self.declare(crossing, "close", (sma, "close", 20))

    def on_bar(self, bar):
        return StrategySignal.target(bar.contract_id, max(self.crossed.now, 0.0)) if self.crossed.now else None
"""


def test_an_honest_strategy_has_no_findings() -> None:
    verdict = _examined(HONEST)

    assert verdict.findings == ()
    assert verdict.passed
    assert verdict.decisions > 20


@pytest.mark.parametrize("name", names())
def test_every_strategy_that_ships_passes(name: str) -> None:
    verdict = examine(strategy_class(name), {})

    assert [each for each in verdict.findings if each.severity is not Severity.NOTE and each.rule != "silent"] == []
    assert verdict.decisions or name == "tick_momentum"


def test_strategies_that_ship_pass_on_real_prices_too() -> None:
    for name in ("moving_average_crossover", "donchian_breakout"):
        assert examine(strategy_class(name), {}, real_daily("IBM").select(end_us=1_000_000_000_000_000)).passed


PEEKING = """
class Peeking(BaseStrategy):
    def indicators(self):
        self.tomorrow = self.declare(peek, "close")

    def on_bar(self, bar):
        return StrategySignal.target(bar.contract_id, float(self.tomorrow.now > bar.close))
"""


@pytest.mark.parametrize(
    "column",
    [
        "lambda close: np.roll(close, -1)",
        "lambda close: np.concatenate((close[1:], close[-1:]))",
        "lambda close: (close - close.mean()) / close.std()",
        "lambda close: close / close.max()",
        "lambda close: np.convolve(close, [0.5, 0.5], 'same')[::-1][::-1] + 0 * close + np.gradient(close)",
    ],
    ids=["negative shift", "hidden shift", "whole mean", "whole maximum", "centred difference"],
)
def test_an_indicator_that_reads_later_bars_is_found_where_it_is_declared(column: str) -> None:
    body = f'{TWIN}peek = Indicator("peek", ("close",), (), "tomorrow", {column}, Twin, bars, bars)\n{PEEKING}'

    found = _found(body)

    assert _line(body, "self.tomorrow =") in found["lookahead"]


def test_a_column_caught_in_a_global_and_read_ahead_is_found() -> None:
    body = f"""
{TWIN}
SEEN = {{}}

def caught(close):
    SEEN["close"] = close
    return close

peek = Indicator("peek", ("close",), (), "today", caught, Twin, bars, bars)

class Global(BaseStrategy):
    def indicators(self):
        self.today = self.declare(peek, "close")

    def on_start(self):
        self.row = {{}}

    def on_bar(self, bar):
        row = self.row[bar.contract_id] = self.row.get(bar.contract_id, -1) + 1
        close = SEEN["close"]
        return StrategySignal.target(bar.contract_id, float(close[min(row + 1, len(close) - 1)] > bar.close))
"""
    found = _found(body)

    assert found["shared"] == [_line(body, 'SEEN["close"] = close')]
    assert found["lookahead"] == [_line(body, "def on_bar")] * len(found["lookahead"])


def test_state_of_the_class_that_outlives_a_run_is_found_by_reading_and_by_running() -> None:
    body = """
class Remembering(BaseStrategy):
    learnt = dict()

    def on_bar(self, bar):
        self.learnt[bar.contract_id, bar.end_us] = bar.close
        later = self.learnt.get((bar.contract_id, bar.end_us + 86_400_000_000), bar.close)
        return StrategySignal.target(bar.contract_id, float(later > bar.close))
"""
    found = _found(body)

    assert _line(body, "learnt = dict()") in found["shared"]
    assert "lookahead" in found or len(found["shared"]) > 1


def test_what_the_engine_keeps_to_itself_is_not_for_strategies() -> None:
    body = """
class Private(BaseStrategy):
    def indicators(self):
        self.mean = self.declare(sma, "close", 1)

    def on_bar(self, bar):
        try:
            later = self.mean._past(1)
        except IndexError:
            later = bar.close
        return StrategySignal.target(bar.contract_id, float(later > bar.close))
"""
    found = _found(body)

    assert found["private"] == [_line(body, "_past(1)")]
    assert "lookahead" in found


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("import time", "clock"),
        ("from datetime import datetime; NOW = datetime.now()", "clock"),
        ("import random", "chance"),
        ("DRAWN = np.random.default_rng(1)", "chance"),
        ("from numpy import random as drawn", "chance"),
        ("from datetime import datetime as clock; NOW = clock.now()", "clock"),
        ("def kept(seen=[]): return seen", "shared"),
        ("PAST = getattr(sma, '_past', None)", "private"),
        ("import os", "outside"),
        ("from socket import socket", "outside"),
        ("import pandas as pd", "outside"),
        ("PRICES = np.load('prices.npy')", "outside"),
        ("with open('/etc/hostname') as file: TEXT = file.read()", "outside"),
        (f"TABLE = {list(range(150))}", "table"),
        ("def broken(:", "syntax"),
    ],
)
def test_clocks_chance_and_the_world_outside_are_found_with_their_line(line: str, rule: str) -> None:
    found = _found(f"{line}\n{HONEST}")

    assert found[rule] == [_line(line, line[:20])]


def test_a_strategy_that_fails_is_told_with_its_line() -> None:
    body = HONEST.replace("if self.crossed.now else None", "if 1 / (bar.contract_id - 1) else None")

    verdict = _examined(body)

    (failure,) = verdict.findings
    assert (failure.rule, failure.line) == ("failed", _line(body, "1 / (bar"))
    assert "ZeroDivisionError" in failure.text
    assert not verdict.passed


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("LIMIT = 3", "one class derives from engine.strategy.BaseStrategy"),
        ("class Odd(BaseStrategy):\n    def indicators(self):\n        self.x = self.declare(sma, 'clsoe')", "clsoe"),
        ("class Odd(BaseStrategy):\n    def indicators(self):\n        self.x = self.declare(sma, 'close', 0)", "size"),
        ("UNKNOWN + 1", "NameError"),
    ],
)
def test_what_does_not_load_or_start_is_told(body: str, text: str) -> None:
    (failure,) = _examined(body).findings

    assert failure.severity is Severity.ERROR
    assert text in failure.text


def test_an_indicator_that_settles_later_than_it_says_is_found() -> None:
    body = """
short = Indicator(
    "short", ("values",), ema.parameters, "an average that forgets too late", ema.columns_of, ema.twin_of,
    ema.ready_at, ema.ready_at,
)

class Late(BaseStrategy):
    def indicators(self):
        self.mean = self.declare(short, "close", 100)

    def on_bar(self, bar):
        return StrategySignal.target(bar.contract_id, float(bar.close > self.mean.now))
"""
    found = _found(body)

    assert found == {"warm-up": [_line(body, "self.mean =")]}


def test_what_counts_from_the_first_bar_and_what_never_settles_is_a_warning() -> None:
    body = """
class Counting(BaseStrategy):
    def indicators(self):
        self.volume = self.declare(obv, "close", "volume")

    def on_start(self):
        self.bars = 0

    def on_bar(self, bar):
        self.bars += 1
        return StrategySignal.target(bar.contract_id, (self.bars % 11) / 11)
"""
    verdict = _examined(body)

    assert verdict.passed
    assert [each.severity for each in verdict.findings] == [Severity.WARNING] * 2
    texts = " ".join(each.text for each in verdict.findings)
    assert "obv counts from the first bar" in texts
    assert "depend on where history begins" in texts


ORDERING = """
from datetime import UTC, datetime, timedelta
from engine.indicators import atr

class Ordering(BaseStrategy):
    def indicators(self):
        self.turn = self.declare(crossing, "close", (ema, "close", 10))
        self.week = self.declare(sma, "close", 3, frame="7d")
        self.range = self.declare(atr, "high", "low", "close", 14)

    def on_bar(self, bar):
        if self.turn.now > 0 and self.position.quantity == 0 and not self.working():
            reach = 2 * self.range.now
            self.bracket(100, stop=bar.close - reach, target=bar.close + reach)
            self.timer("later", bar.end + timedelta(days=3))
"""


@pytest.mark.parametrize(
    ("handler", "noted"),
    [
        ("on_session_open(self, session)", []),
        ("on_start(self)", []),
        ("on_corporate_action(self, action)", [("backtest", Severity.NOTE)]),
    ],
)
def test_orders_larger_frames_timers_and_sessions_are_examined_and_what_is_not_live_is_noted(
    handler: str, noted: list[tuple[str, Severity]]
) -> None:
    verdict = _examined(f"{ORDERING}\n    def {handler}:\n        self.timer('now', datetime.fromtimestamp(0, UTC))\n")

    assert verdict.passed
    assert verdict.decisions > 10
    assert [(each.rule, each.severity) for each in verdict.findings if each.rule != "warm-up"] == noted


def test_an_order_that_knows_the_future_is_found() -> None:
    body = f"""
{TWIN}
peek = Indicator("peek", ("close",), (), "tomorrow", lambda close: np.append(close[1:], close[-1]), Twin, bars, bars)

class Ahead(BaseStrategy):
    def indicators(self):
        self.hidden = self.declare(crossing, "close", (peek, "close"))

    def on_bar(self, bar):
        if self.hidden.now:
            self.order(-100 * self.hidden.now)
"""
    assert _found(body)["lookahead"]


COLUMNS = """
class Columns(BaseStrategy):
    def indicators(self):
        self.side = self.declare(crossing, "close", (sma, "close", 5))

    def on_bar(self, bar):
        return StrategySignal.target(bar.contract_id, max(self.side.now, 0.0)) if self.side.now else None

    def targets(self, columns):
        side = columns[self.side]
        return np.where(side == 0, np.nan, np.maximum(side, 0.0))
"""


def test_targets_by_columns_must_be_what_bars_say() -> None:
    assert _examined(COLUMNS).passed

    ahead = COLUMNS.replace("side = columns[self.side]", "side = np.append(columns[self.side][1:], 0.0)")
    assert _found(ahead) == {"columns": [_line(ahead, "def targets")]}


def test_a_strategy_that_says_nothing_and_wrong_parameters_are_told() -> None:
    (silent,) = _examined("class Silent(BaseStrategy):\n    pass").findings
    assert (silent.severity, silent.rule) == (Severity.WARNING, "silent")

    (wrong,) = examine(strategy_class("moving_average_crossover"), {"fsat": 3}).findings
    assert "did you mean fast?" in wrong.text


def test_the_example_market_repeats_and_has_ties_gaps_and_days_without_movement() -> None:
    market = example_market(500, 3)

    assert market.digest() == example_market(500, 3).digest() != example_market(500, 3, seed=8).digest()
    moves = market.close[market.rows[1]][1:] / market.close[market.rows[1]][:-1]
    assert (moves == 1.0).any()
    assert moves.max() > 1.04
    assert len(market.contracts) == 3
    with pytest.raises(ValueError, match="contracts"):
        example_market(10, CONTRACTS_MAX + 1)


@pytest.mark.parametrize(
    ("method", "text"),
    [
        ("on_bars", "on_bars is called by nobody: did you mean on_bar?"),
        ("onbar", "onbar is called by nobody: did you mean on_bar?"),
        ("on_Fill", "on_Fill is called by nobody: did you mean on_fill?"),
        ("indicator", "indicator is called by nobody: did you mean indicators?"),
    ],
)
def test_a_misspelt_handler_is_found_with_its_line(method: str, text: str) -> None:
    source = f"class Mine(BaseStrategy):\n    def {method}(self, bar):\n        return None\n"

    assert [(each.rule, each.line, each.text) for each in read(source)] == [("handler", 2, text)]


@pytest.mark.parametrize("name", ["on_bar", "on_session_open", "indicators", "rank", "_on_bars"])
def test_a_method_of_ones_own_is_no_misspelt_handler(name: str) -> None:
    assert read(f"class Mine(BaseStrategy):\n    def {name}(self):\n        return None\n") == []


def test_a_method_that_the_text_calls_itself_is_none_either() -> None:
    lines = ["class Mine(BaseStrategy):", "    def on_bars(self): ...", "    def on_bar(self, bar): self.on_bars()"]

    assert read("\n".join(lines)) == []
