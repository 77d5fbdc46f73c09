"""A long run's answer is that of the ordinary one."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from engine import answer, long_answer, long_survey
from engine.backtest import run
from engine.columns import COLUMNS, BarColumns
from engine.facts import Dividend, Split
from engine.indicators import sma
from engine.long_run import regrouped
from engine.market import Market
from engine.material import Material
from engine.options import BacktestError
from engine.strategies.buy_and_hold import BuyAndHold
from engine.strategies.moving_average_crossover import MovingAverageCrossover
from engine.strategy import BaseStrategy
from schemas.backtest import BacktestFinished, BacktestRequested, Trial
from tests.bars import APPLE, IBM, bars_of, columns_of, random_bars, real_daily
from tests.builders import SEEN
from tests.unit.test_answer import a_request
from tests.unit.test_long_run import Busy, Mornings, a_few_days
from tests.unit.test_order_matching import FIRST_US, HOUR_US


@dataclass(frozen=True)
class Portions:
    """Columns in portions of some rows."""

    columns: BarColumns
    size: int

    @property
    def symbols(self) -> Mapping[int, str]:
        return self.columns.symbols

    @property
    def sources(self) -> tuple[str, ...]:
        return self.columns.sources

    def chunks(self) -> Iterator[Mapping[str, NDArray[Any]]]:
        for first in range(0, len(self.columns), self.size):
            yield {name: getattr(self.columns, name)[first : first + self.size] for name in COLUMNS}

    def column(self, name: str) -> Iterator[NDArray[Any]]:
        return (each[name] for each in self.chunks())


def both_ways(
    request: BacktestRequested,
    columns: BarColumns,
    strategy: type[BaseStrategy],
    material: Material | None = None,
    size: int = 50,
) -> tuple[tuple[BacktestFinished, Trial], tuple[BacktestFinished, Trial]]:
    material = material or Material(columns)
    config = strategy.Config.parse(request.parameters)
    ran = run(columns, strategy, config, answer.options_of(request), market=material.market)
    ran = answer.held_against(request, ran, material.benchmark)
    done = answer.finished(request, ran, code_hash="c0de", now=SEEN)
    beside = None if material.benchmark is None else Portions(material.benchmark, size)
    asked = long_answer.Long(request, strategy, Portions(columns, size), beside, material.market)
    return (done, answer.trial(done, ran)), long_answer.answer_long(
        asked, lambda done, total: None, code_hash="c0de", now=lambda: SEEN
    )


def _same(one: tuple[BacktestFinished, Trial], other: tuple[BacktestFinished, Trial]) -> None:
    (whole, trial), (part, noted) = one, other
    assert noted == trial
    for name in type(whole).model_fields:
        if name != "metrics":
            assert getattr(part, name) == getattr(whole, name), name
    nothing = [name for name, value in whole.metrics.items() if value is None]
    assert [name for name, value in part.metrics.items() if value is None] == nothing
    known = {name: value for name, value in whole.metrics.items() if value is not None}
    assert {name: part.metrics[name] for name in known} == pytest.approx(known, rel=1e-9, abs=1e-12)


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long_answer, "pieces", lambda bars: long_survey.pieces(bars, 40))


@given(
    seed=st.integers(0, 10**6),
    size=st.sampled_from((1, 7, 60)),
    contracts=st.sampled_from(((APPLE,), (APPLE, IBM))),
    rules=st.sampled_from(
        ({}, {"account": "cash"}, {"account": "margin"}, {"latency_bars": 1}, {"latency_seconds": 5000.0})
    ),
)
@settings(max_examples=25, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
def test_every_word_of_it_over_orders_splits_and_several_symbols(
    seed: int, size: int, contracts: tuple[int, ...], rules: dict[str, Any]
) -> None:
    columns = a_few_days(seed, contracts, 12)
    columns = BarColumns(**{each: getattr(columns, each) for each in COLUMNS}, symbols={APPLE: "AAPL", IBM: "IBM"})
    split, dividend = FIRST_US + 4 * 24 * HOUR_US, FIRST_US + 6 * 24 * HOUR_US
    market = Market(actions=(Split(APPLE, split, 2.0), Dividend(APPLE, dividend, 0.1)))
    request = a_request(symbols=tuple(columns.symbol(each) for each in contracts), rules=rules)

    _same(*both_ways(request, columns, Busy, Material(columns, market=market), size))


def test_years_of_days_of_two_symbols_of_which_one_begins_later_against_a_third() -> None:
    long, late = real_daily("AAPL"), real_daily("IBM", IBM)
    bars = [*long.bars(), *list(late.bars())[1000:]]
    columns = BarColumns.of(bars, {APPLE: "AAPL", IBM: "IBM"}, ["real"])
    other = BarColumns.of(list(real_daily("GOOG", 3).bars()), {3: "GOOG"}, ["real"])
    request = a_request(symbols=("AAPL", "IBM"), parameters={"fast": 5, "slow": 20}, benchmark="GOOG")

    whole, part = both_ways(request, columns, MovingAverageCrossover, Material(columns, other))

    _same(whole, part)
    assert len(part[0].fills) > 300
    assert part[0].metrics["beta"] is not None
    assert part[0].confidence


@pytest.mark.parametrize("benchmark", ["", "none"])
def test_jumps_ruin_and_a_position_that_stays_open(benchmark: str) -> None:
    closes = [20.0, 20.5, 9.0, 9.1, 30.0, 30.5, *[30.0 + n / 10 for n in range(60)], 0.5]
    columns = columns_of(bars_of(closes, [20.0, 20.1, 9.0, 9.0, 30.0, 30.1, *closes[6:]]))
    request = a_request(strategy="buy_and_hold", cash=2000.0, quantity=200, benchmark=benchmark)

    whole, part = both_ways(request, columns, BuyAndHold, size=9)

    _same(whole, part)
    assert any("opened" in each for each in part[0].warnings)
    assert any("ruined" in each for each in part[0].warnings)


def test_pieces_are_cut_between_days_and_never_between_bars_that_end_together() -> None:
    columns = a_few_days(3, (APPLE, IBM), 9)

    found = list(regrouped(Portions(columns, 5).chunks(), columns.symbols, columns.sources, 8))

    assert [each.digest() for each in found] == [
        each.digest() for each in regrouped(Portions(columns, 10_000).chunks(), columns.symbols, columns.sources, 8)
    ]
    assert sum(map(len, found)) == len(columns)
    assert all(before.end_us[-1] < after.end_us[0] for before, after in pairwise(found))
    assert len(found) > 5


def test_what_needs_all_bars_is_known_before() -> None:
    class Framed(BaseStrategy):
        """Looks at days."""

        def indicators(self) -> None:
            self.day = self.declare(sma, "close", 2, frame="7d")

    assert long_answer.why_not(a_request(parameters={}), Framed) == "indicators on larger frames"
    sized = a_request(rules={"sizing": "risk_per_trade", "sizing_percent": 1.0})
    assert long_answer.why_not(sized, MovingAverageCrossover) == "sizing risk_per_trade"
    at_close = a_request(parameters={}, rules={"fill": "same_close"})
    assert long_answer.why_not(at_close, Busy) == "timers with fill=same_close or limit_fill=queue"
    assert long_answer.why_not(at_close, Mornings) == "orders at the opening with fill=same_close"
    assert long_answer.why_not(a_request(parameters={}), Mornings) == ""
    assert long_answer.why_not(a_request(), MovingAverageCrossover) == ""


def test_bars_that_are_not_there_are_told() -> None:
    columns = columns_of(random_bars(1, 30))
    short = Portions(BarColumns(**{each: getattr(columns, each)[:0] for each in COLUMNS}), 5)
    with pytest.raises(BacktestError, match="there are no bars"):
        long_answer.answer_long(long_answer.Long(a_request(), BuyAndHold, short), print, code_hash="", now=lambda: SEEN)
    late = Portions(columns_of(bars_of([1.0, 2.0], first=SEEN)), 5)
    both = long_answer.Long(a_request(parameters={}, benchmark="IBM"), BuyAndHold, Portions(columns, 5), late)
    with pytest.raises(BacktestError, match="no bars of the benchmark IBM"):
        long_answer.answer_long(both, print, code_hash="", now=lambda: SEEN)
