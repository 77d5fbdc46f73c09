"""A proven sandbox, and strategies as strangers write them."""

import functools
import textwrap

from consumers.backtester.uploaded import Text, run_inside
from engine.backtest import BacktestOptions, BacktestResult
from engine.columns import BarColumns
from infra.clock import SystemClock
from infra.sandbox.canary import proven_sandbox
from infra.sandbox.conversation import Limits
from infra.sandbox.sandbox import Sandbox
from infra.settings import REPOSITORY
from tests.bars import columns_of, random_bars

FEW = Limits(turn_seconds=60.0, cpu_seconds=1, turn_bytes=200_000)
"""Small limits, so that an attack ends soon; of the time on the wall a busy machine may take what it needs."""

_HEAD = """\
from engine.facts import Bar
from engine.strategy import BaseStrategy, StrategySignal


class Mine(BaseStrategy):
    def on_bar(self, bar: Bar) -> StrategySignal | None:
"""
_REACH = "import_ = __import__; os = import_('os'); sys = import_('sys')"


@functools.cache
def the_sandbox() -> Sandbox:
    return proven_sandbox(SystemClock(), REPOSITORY)


@functools.cache
def some_bars() -> BarColumns:
    return columns_of(random_bars(3, 120))


def on_every_bar(code: str) -> str:
    """A strategy that does this on every bar, with `os` and `sys` at hand past the list of imports."""
    return _HEAD + textwrap.indent(f"{_REACH}\n{textwrap.dedent(code).strip()}\n", " " * 8)


def at_import(code: str) -> str:
    """A strategy's file that does this before it defines anything."""
    return f"{_REACH}\n{textwrap.dedent(code).strip()}\n{_HEAD}        return None\n"


def shipped(name: str) -> str:
    """The text of a strategy that comes with the engine."""
    return (REPOSITORY / "engine" / "strategies" / f"{name}.py").read_text(encoding="utf-8")


def run(source: str, limits: Limits | None = FEW, **parameters: object) -> BacktestResult:
    """Inside, over a few bars."""
    return run_inside(the_sandbox(), Text("mine", source, parameters), some_bars(), BacktestOptions(), limits=limits)
