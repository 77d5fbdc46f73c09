"""What a reader of a result must know before believing its figures, as sentences."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine.backtest import BacktestOptions, BacktestResult
from engine.columns import BarColumns, Floats, Integers
from schemas.market import Source
from schemas.moments import to_datetime

UNSAID = "Nobody said where the prices come from"
UNKNOWN_SOURCE = f"{UNSAID}: a file says it in a column `source`, which is {', '.join(Source)}."

FILLS_MAX = 10_000
ROUND_TRIPS_MAX = 5_000
"""So many fit in a record: the last ones."""
JUMPS_TOLD = 3
_TRADES_FEW = 30
_JUMP = 0.4


@dataclass(frozen=True)
class Circumstances:
    """What warnings are made of."""

    options: BacktestOptions
    sources: Sequence[str]
    shortest: int
    """Bars of the symbol that has the fewest."""
    warmup: int
    jumps: Sequence[str]
    trades: float
    open_trades: float
    fills: int
    denied: int
    first_denied: str
    unfilled: int
    lowest: float
    """The least equity."""


def circumstances_of(result: BacktestResult) -> Circumstances:
    found = result.metrics
    return Circumstances(
        result.options,
        result.columns.sources,
        min(len(own) for own in result.columns.rows.values()),
        result.warmup,
        _jumps(result.columns),
        found.trades or 0,
        found.open_trades or 0,
        len(result.executions),
        len(result.denied),
        result.denied[0].reason if result.denied else "",
        result.unfilled,
        result.curve.equity.min(),
    )


def warnings(given: Circumstances) -> list[str]:
    """What a reader must know, the gravest first."""
    sources = given.sources
    said: list[tuple[object, str]] = [
        (Source.SYNTHETIC in sources, "The prices are synthetic: invented from a seed, they say nothing of a market."),
        (Source.DERIVED in sources, "Prices inside the day are derived: invented so that they add up to real days."),
        (not sources, UNKNOWN_SOURCE),
        (
            given.shortest < given.warmup,
            f"{given.warmup} bars pass before the first decision; one symbol has {given.shortest}.",
        ),
        *((True, sentence) for sentence in given.jumps),
        (not given.options.slippage_rate, "No slippage is assumed: every order filled at the open, as if alone."),
        (not given.options.commission_rate, "No commission is assumed."),
        (
            given.trades < _TRADES_FEW,
            f"Only {_count(given.trades, 'closed trade')}: figures about trades rest on very little.",
        ),
        (
            given.open_trades,
            f"Still open at the end, valued at the last close: {_count(given.open_trades, 'position')}.",
        ),
        (
            given.options.fill == "same_close",
            "Market orders filled at the close they were decided on: that price is gone when it is known.",
        ),
        (given.denied, _denied(given)),
        (given.unfilled, f"Still waiting for an open at the end: {_count(given.unfilled, 'order')}."),
        (given.lowest <= 0, "The account was ruined on the way: equity fell to zero or below."),
        (given.fills > FILLS_MAX or given.trades + given.open_trades > ROUND_TRIPS_MAX, _kept(given)),
    ]
    return [sentence for holds, sentence in said if holds]


def _count(number: float | None, noun: str) -> str:
    return f"{number or 0:.0f} {noun}{'' if number == 1 else 's'}"


def _denied(given: Circumstances) -> str:
    first = f" The first: {given.first_denied}." if given.denied else ""
    return f"The account could not carry {_count(given.denied, 'order')}.{first}"


def _kept(given: Circumstances) -> str:
    fills, trips = given.fills, int(given.trades + given.open_trades)
    kept = f"Only the last {FILLS_MAX:,} of {fills:,} fills and the last {ROUND_TRIPS_MAX:,} of {trips:,} round trips"
    return f"{kept} are kept here; the figures count them all."


def _jumps(columns: BarColumns) -> list[str]:
    """Moves from a close to the next open that look like a split nobody adjusted for."""
    found = []
    for contract_id, own in columns.rows.items():
        moves = moves_of(columns.close[own[:-1]], columns.open[own[1:]])
        for place in jumps_in(moves)[:JUMPS_TOLD]:
            told = told_jump(columns.symbol(contract_id), int(columns.start_us[own[place + 1]]), moves[place])
            found.append(told)
    return found[:JUMPS_TOLD]


def moves_of(closes: Floats, opens: Floats) -> Floats:
    """The opens as multiples of the closes before them."""
    return np.divide(opens, closes, out=np.ones(len(closes)), where=closes > 0)


def jumps_in(moves: Floats) -> Integers:
    """Where they are larger than a market's."""
    return np.flatnonzero((moves > 0) & ((moves < 1 - _JUMP) | (moves > 1 / (1 - _JUMP))))


def told_jump(symbol: str, opened_us: int, move: float) -> str:
    """One sentence about an open that is `move` times the close before."""
    change = f"{move - 1:+.0%}".replace("-", "\N{MINUS SIGN}")
    return f"{symbol} opened {change} on {to_datetime(opened_us):%Y-%m-%d}: perhaps a split not adjusted for."
