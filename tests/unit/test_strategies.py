"""The strategies that ship: what they do in markets built for it, and on thirteen years of real prices."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest

from engine.backtest import BacktestOptions, BacktestResult, StrategyFailedError, run
from engine.columns import BarColumns
from engine.facts import Bar
from engine.registry import names, strategy_class
from engine.research.space import Axis
from engine.strategies.bollinger_reversion import BollingerReversion
from engine.strategies.cross_sectional_momentum import CrossSectionalMomentum
from engine.strategies.donchian_breakout import DonchianBreakout
from engine.strategies.pairs_trading import PairsTrading
from engine.strategy import ParameterError
from tests.bars import APPLE, IBM, bars_of, columns_of, real_daily

FREE = BacktestOptions(commission_rate=0, slippage_rate=0, cash=1_000_000)
SYMBOLS = {"AAPL": 11, "GOOG": 12, "IBM": 13, "MSFT": 14, "FB": 15}


def _traded(result: BacktestResult) -> list[tuple[int, float]]:
    return [(each.row, each.quantity) for each in result.executions]


def _calm_then(*rest: float) -> list[float]:
    """Forty closes that swing by a cent around 10, then what is given."""
    return [10.0 + 0.01 * (-1) ** number for number in range(40)] + list(rest)


def test_bollinger_buys_below_the_band_and_leaves_at_the_middle() -> None:
    closes = _calm_then(9.5, 9.6, 9.8, 10.2, 10.2)

    result = run(columns_of(bars_of(closes)), BollingerReversion, options=FREE)

    assert _traded(result) == [(41, 100.0), (44, -100.0)]  # at the opens after 9.5 and after 10.2


def test_bollinger_short_is_the_mirror() -> None:
    closes = _calm_then(10.5, 10.4, 10.2, 9.8, 9.8)

    assert _traded(run(columns_of(bars_of(closes)), BollingerReversion, options=FREE)) == []
    config = BollingerReversion.Config(short=True)
    assert _traded(run(columns_of(bars_of(closes)), BollingerReversion, config, FREE)) == [(41, -100.0), (44, 100.0)]


def test_a_breakout_leaves_where_the_stop_trails_the_best_close_and_not_before() -> None:
    rise, back = [10.2 + 0.2 * number for number in range(12)], [12.3, 12.2, 12.0, 11.6, 11.0, 10.9]
    closes = _calm_then(*rise, *back)
    columns = columns_of(bars_of(closes))
    config = DonchianBreakout.Config(channel=20, range_window=14, multiple=3.0)

    entry, leave = _traded(run(columns, DonchianBreakout, config, FREE))

    assert entry == (41, 100.0)  # 10.2 lies above the channel of the bars before it
    ranges = _average_true_ranges(list(columns.bars()), 14)
    stop, stopped = -math.inf, None
    for row in range(41, len(closes)):
        stop = max(stop, closes[row] - 3.0 * ranges[row])
        if closes[row] <= stop:
            stopped = row
            break
    assert stopped is not None
    assert leave == (stopped + 1, -100.0)


def _average_true_ranges(bars: Sequence[Bar], size: int) -> list[float]:
    """Wilder's, by his own steps."""
    true = [
        max(bar.high - bar.low, abs(bar.high - before.close), abs(bar.low - before.close))
        for before, bar in pairwise(bars)
    ]
    ranges = [math.nan] * size + [sum(true[:size]) / size]
    for each in true[size:]:
        ranges.append((ranges[-1] * (size - 1) + each) / size)
    return ranges


def test_a_pair_is_traded_in_opposite_legs_of_equal_worth_and_let_go_together() -> None:
    first = [20.0 + 0.01 * (-1) ** number for number in range(70)]
    second = [10.0] * 70
    first[60:64] = [22.0] * 4  # IBM's id is the lower one
    columns = columns_of(bars_of(second, contract_id=APPLE), bars_of(first, contract_id=IBM))

    result = run(columns, PairsTrading, PairsTrading.Config(window=30), FREE)

    moments = {int(end_us): number for number, end_us in enumerate(np.unique(columns.end_us))}
    ends = {each.row: moments[int(columns.end_us[each.row])] for each in result.executions}
    legs = [(ends[each.row], each.contract_id, each.quantity) for each in result.executions]
    # 10 / 22 of the dearer for each of the cheaper, filled at the opens after bar 60; both let go after bar 64
    assert legs == [(61, IBM, -45.0), (61, APPLE, 100.0), (65, IBM, 45.0), (65, APPLE, -100.0)]


def test_a_pair_has_two_symbols() -> None:
    with pytest.raises(StrategyFailedError, match="a pair is two symbols, not 1"):
        run(columns_of(bars_of([1.0, 2.0])), PairsTrading)


def _five() -> BarColumns:
    bars = [bar for symbol, number in SYMBOLS.items() for bar in real_daily(symbol, number).bars()]
    return BarColumns.of(bars, {number: symbol for symbol, number in SYMBOLS.items()}, ["real"])


def _momentum_by_hand(columns: BarColumns, lookback: int, skip: int, hold: int) -> list[tuple[datetime, int, float]]:
    """Which contract is told what, and when: month by month from the dates and closes alone."""
    closes: dict[int, list[float]] = {number: [] for number in SYMBOLS.values()}
    strengths: dict[int, float] = {}
    held: set[int] = set()
    told: dict[int, float] = {}
    found, moment, month = [], 0, 0
    for bar in columns.bars():
        if bar.end_us > moment:
            if strengths and month != bar.end.month:
                ranked = sorted(strengths, key=lambda number: (-strengths[number], number))
                held = set(ranked[: min(hold, max(1, len(ranked) // 2))])
            strengths, moment, month = {}, bar.end_us, bar.end.month
        own = closes[bar.contract_id]
        own.append(bar.close)
        if len(own) > lookback:
            strengths[bar.contract_id] = own[-1 - skip] / own[-1 - lookback] - 1
            target = float(bar.contract_id in held)
            if target != told.get(bar.contract_id, 0.0):
                told[bar.contract_id] = target
                found.append((bar.end, bar.contract_id, target))
    return found


def test_momentum_holds_the_strongest_of_five_real_symbols_month_by_month() -> None:
    columns = _five()

    result = run(columns, CrossSectionalMomentum, CrossSectionalMomentum.Config(hold=2), FREE)

    expected = _momentum_by_hand(columns, 126, 21, 2)
    assert len(expected) > 60
    sides = [(each.contract_id, 1.0 if each.quantity > 0 else 0.0) for each in result.executions]
    assert sides == [(number, target) for _, number, target in expected][: len(sides)]
    for execution, (told, _, _) in zip(result.executions, expected, strict=False):
        assert timedelta(0) < execution_time(execution.time_us) - told < timedelta(days=8)
    assert len(expected) - len(sides) <= 1  # the last may have no bar left to fill on


def execution_time(time_us: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time_us)


def test_momentum_short_holds_as_many_weak_as_strong() -> None:
    columns = _five()
    config = CrossSectionalMomentum.Config(hold=2, short=True)

    result = run(columns, CrossSectionalMomentum, config, FREE)

    quantities: dict[int, float] = {}
    for each in result.executions:
        quantities[each.contract_id] = quantities.get(each.contract_id, 0.0) + each.quantity
        assert quantities[each.contract_id] in (-100.0, 0.0, 100.0)
    assert sorted(quantities.values()).count(-100.0) == sorted(quantities.values()).count(100.0) == 2


@pytest.mark.parametrize("name", [name for name in names() if name not in ("pairs_trading", "tick_momentum")])
def test_every_strategy_trades_thirteen_years_of_apple_and_adds_up(name: str) -> None:
    result = run(real_daily("AAPL"), strategy_class(name), options=BacktestOptions(cash=1_000_000))

    assert result.executions
    assert sum(each.pnl for each in result.round_trips) == pytest.approx(result.curve.equity[-1] - 1_000_000)


@pytest.mark.parametrize("name", names())
def test_every_strategy_says_what_to_search_within_its_bounds(name: str) -> None:
    config = strategy_class(name).Config
    numbers = [key for key, field in config.model_fields.items() if field.annotation in (int, float)]

    assert set(config.ranges()) == {key for key in numbers if key != "strength"}
    for key, text in config.ranges().items():
        axis = Axis.parse(f"{key}={text}")
        assert len(axis.values) > 3
        for value in axis.values:
            try:
                config.parse({key: value})
            except ParameterError as error:
                assert "must" in str(error), error  # a rule between parameters, not the bound of one  # noqa: PT017


@pytest.mark.parametrize(
    ("name", "parameters", "line"),
    [
        ("bollinger_reversion", {"window": 1}, "parameter window=1: input should be greater than or equal to 2"),
        ("donchian_breakout", {"multiple": 0}, "parameter multiple=0: input should be greater than 0"),
        ("donchian_breakout", {"chanel": 5}, "unknown parameter chanel (did you mean channel?)"),
        ("pairs_trading", {"entry": 1, "exit_level": 1}, "exit_level=1 must be smaller than entry=1"),
        ("cross_sectional_momentum", {"skip": 126}, "skip=126 must be smaller than lookback=126"),
    ],
)
def test_parameters_out_of_range_are_told(name: str, parameters: dict[str, object], line: str) -> None:
    with pytest.raises(ParameterError) as failure:
        strategy_class(name).Config.parse(parameters)

    assert str(failure.value).startswith(line)
