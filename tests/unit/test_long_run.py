"""A run piece after piece is the run over all bars at once, to the last bit."""

import random
import subprocess
import sys
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.backtest import run
from engine.columns import BarColumns
from engine.facts import Bar, Dividend, Session, Split
from engine.indicators import ema, sma
from engine.long_run import LongResult, pieces_of, run_pieces
from engine.market import Market, Rates
from engine.options import BacktestOptions, StrategyFailedError
from engine.sizing import SizingError
from engine.strategies.moving_average_crossover import MovingAverageCrossover
from engine.strategy import BaseStrategy, Decision, StrategySignal
from tests.bars import APPLE, IBM, columns_of
from tests.unit.test_order_matching import FIRST_US, HOUR_US


def a_few_days(seed: int, contracts: tuple[int, ...], days: int) -> BarColumns:
    chance = random.Random(seed)
    bars = []
    for contract_id in contracts:
        price = 20.0
        for day in range(days):
            for hour in range(0, 6, chance.choice((1, 2))):
                start = FIRST_US + day * 24 * HOUR_US + hour * HOUR_US
                moves = [round(price + chance.randint(-20, 20) / 100, 2) for _ in range(4)]
                bars.append(Bar(contract_id, start, start + HOUR_US, moves[0], max(moves), min(moves), moves[1], 500.0))
                price = moves[1]
    return columns_of(
        [each for each in bars if each.contract_id == APPLE], [each for each in bars if each.contract_id == IBM]
    )


class Busy(BaseStrategy):
    """Targets, brackets, limits that rest for days, a timer, and a look far back."""

    def indicators(self) -> None:
        self.smooth = self.declare(ema, "close", 5)
        self.mean = self.declare(sma, (ema, "high", 3), 4)

    def on_start(self) -> None:
        self.timer("tick", datetime.fromisoformat("2013-01-08T18:30:00Z"), timedelta(hours=30))
        self.count = 0

    def on_bar(self, bar: Bar) -> Decision:
        self.count += 1
        if self.count % 7 == 0:
            self.buy(10, kind="LMT", limit=bar.close - 0.3, tif="GTC", contract_id=bar.contract_id)
        if self.count % 11 == 0:
            self.bracket(-20, stop=bar.close + 0.4, target=bar.close - 0.4)
        if self.count % 5 == 0 and self.count > 40:
            change = self.smooth.now - self.smooth[-15]
            return StrategySignal.target(bar.contract_id, max(-1.0, min(1.0, change + 0.1 * (self.equity > 99_990))))
        return None

    def on_timer(self, name: str, time: datetime) -> Decision:
        self.sell(3, kind="MOC", contract_id=APPLE)
        return None


def _fills(result: LongResult) -> list[tuple[Any, ...]]:
    fills = result.fills
    return list(
        zip(fills.row, fills.contract_id, fills.time_us, fills.quantity, fills.price, fills.commission, strict=True)
    )


@given(
    seed=st.integers(0, 10**6),
    size=st.sampled_from((1, 13, 40)),
    contracts=st.sampled_from(((APPLE,), (APPLE, IBM))),
    rules=st.sampled_from(
        ({}, {"fill": "volume_participation", "participation": 0.02}, {"account": "margin"}, {"borrow_percent": 5.0})
    ),
)
@settings(max_examples=40, deadline=None)
def test_pieces_of_any_size_give_the_fills_the_equity_and_the_hash_of_the_whole(
    seed: int, size: int, contracts: tuple[int, ...], rules: dict[str, Any]
) -> None:
    columns = a_few_days(seed, contracts, 12)
    options = BacktestOptions(**rules)
    split, dividend = FIRST_US + 4 * 24 * HOUR_US, FIRST_US + 6 * 24 * HOUR_US
    market = Market(actions=(Split(APPLE, split, 2.0), Dividend(APPLE, dividend, 0.1)))

    whole = run(columns, Busy, options=options, market=market)
    pieces = list(pieces_of(columns, size))
    part = run_pieces(pieces, Busy, options=options, market=market)

    assert len(pieces) > 3 or size == 40
    assert _fills(part) == [
        (each.row, each.contract_id, each.time_us, each.quantity, each.price, each.commission)
        for each in whole.executions
    ]
    assert len(part.fills) > 10
    ends = dict(zip(whole.curve.times_us.tolist(), whole.curve.equity.tolist(), strict=True))
    assert [ends[each] for each in part.curve.times_us.tolist()] == part.curve.equity.tolist()
    assert (part.result_hash, part.bars, part.unfilled) == (whole.result_hash, len(columns), whole.unfilled)


class Mornings(BaseStrategy):
    """Decides when a session opens, and of one contract at the bars of another."""

    def on_start(self) -> None:
        self.count = 0

    def _wants(self) -> Decision:
        self.count += 1
        contract_id = sorted(self.positions)[self.count % len(self.positions)]
        if self.count % 3 == 0:
            self.buy(5, kind="LMT", limit=19.9, tif="GTC", contract_id=contract_id)
        return StrategySignal.target(contract_id, (0.5, 0.25)[self.count // 2 % 2])

    def on_session_open(self, session: Session) -> Decision:
        return self._wants()

    def on_bar(self, bar: Bar) -> Decision:
        return self._wants() if bar.contract_id == IBM else None


@pytest.mark.parametrize("contracts", [(APPLE,), (APPLE, IBM)])
@pytest.mark.parametrize(
    "rules",
    [
        {"sizing": "percent_of_equity", "sizing_percent": 50.0},
        {"sizing": "kelly_fraction", "sizing_percent": 50.0},
        {"limit_fill": "queue"},
        {"financing_percent": 5.0, "borrow_percent": 5.0, "account": "margin"},
    ],
)
def test_before_a_contracts_first_bar_of_a_piece_its_last_one_before_counts(
    contracts: tuple[int, ...], rules: dict[str, Any]
) -> None:
    columns, options = a_few_days(5, contracts, 30), BacktestOptions(cash=9_000.0, **rules)
    times = np.arange(FIRST_US, FIRST_US + 30 * 24 * HOUR_US, HOUR_US)
    rates = Rates(times, 1.0 + np.random.default_rng(3).random(len(times)))
    split = Split(contracts[-1], FIRST_US + 4 * 24 * HOUR_US + 1, 2.0)
    for market in (Market(actions=(split,)), Market(currencies={contracts[-1]: "EUR"}, rates={"EUR": rates})):
        whole = run(columns, Mornings, options=options, market=market)
        part = run_pieces(pieces_of(columns, 1), Mornings, options=options, market=market)

        assert len(whole.executions) > 20
        assert part.result_hash == whole.result_hash


def test_an_order_between_two_pieces_queues_behind_the_last_bar_before() -> None:
    class Queues(BaseStrategy):
        """Asks in the first morning's stead on the second."""

        def on_session_open(self, session: Session) -> Decision:
            self.buy(5, kind="LMT", limit=20.0, tif="GTC", contract_id=APPLE)
            return None

    times = [FIRST_US + day * 24 * HOUR_US + hour * HOUR_US for day in range(4) for hour in range(6)]
    columns = columns_of([Bar(APPLE, each, each + HOUR_US, 20.5, 21.0, 20.0, 20.5, 300.0) for each in times])
    options = BacktestOptions(limit_fill="queue", queue_share=2.5)

    whole = run(columns, Queues, options=options)
    part = run_pieces(pieces_of(columns, 1), Queues, options=options)

    assert [each.row for each in whole.executions] == [0, 8, 14, 20]
    assert list(part.fills.row) == [0, 8, 14, 20]


def test_what_needs_all_bars_at_once_says_so() -> None:
    class Framed(BaseStrategy):
        """Looks at days."""

        def indicators(self) -> None:
            self.day = self.declare(sma, "close", 2, frame="1d")

    pieces = list(pieces_of(a_few_days(1, (APPLE,), 3), 1))
    with pytest.raises(StrategyFailedError, match="larger frames need all bars at once"):
        run_pieces(pieces, Framed)
    with pytest.raises(SizingError, match="needs all bars at once"):
        run_pieces(pieces, BaseStrategy, options=BacktestOptions(sizing="risk_per_trade", sizing_percent=1.0))


_MEMORY = """
import re, sys
import numpy as np
from engine.columns import BarColumns
from engine.long_run import run_pieces
from engine.strategies.moving_average_crossover import MovingAverageCrossover

def pieces(days, bars=1440):
    chance, price, minute = np.random.default_rng(1), 100.0, 60_000_000
    for day in range(0, days, 45):
        count = bars * min(45, days - day)
        close = np.round(price + np.cumsum(chance.integers(-5, 6, count)) / 100, 2)
        opening = np.concatenate(([price], close[:-1]))
        start = (day * bars + np.arange(count)) * minute
        price = float(close[-1])
        high, low = np.maximum(opening, close) + 0.02, np.minimum(opening, close) - 0.02
        yield BarColumns(np.full(count, 1), start, start + minute, opening, high, low, close, np.full(count, 1000.0))

result = run_pieces(pieces(int(sys.argv[1])), MovingAverageCrossover)
status = open("/proc/self/status").read()  # getrusage may tell of the process that started this one
print(result.bars, len(result.fills), int(re.search("VmHWM:[^0-9]*([0-9]+) kB", status)[1]) // 1024)
"""


def test_memory_does_not_grow_with_the_bars() -> None:
    found = []
    for days in (90, 360):
        told = subprocess.run([sys.executable, "-c", _MEMORY, str(days)], capture_output=True, text=True, check=True)
        found.append([int(each) for each in told.stdout.split()])

    (few, _, small), (many, fills, large) = found
    assert (few, many) == (129_600, 518_400)
    assert fills > 10_000
    assert large < 200
    assert large - small < 15  # MB: the fills as columns, and the ends of sessions


def test_the_crossover_too() -> None:
    columns = a_few_days(3, (APPLE,), 60)

    assert (
        run_pieces(pieces_of(columns, 50), MovingAverageCrossover).result_hash
        == run(columns, MovingAverageCrossover).result_hash
    )
