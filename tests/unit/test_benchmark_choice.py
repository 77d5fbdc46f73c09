"""What a run is held against, and what is told of the bars it ran on."""

from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from engine import answer
from engine.columns import COLUMNS, BarColumns
from engine.material import FRAMES, RAW, RAW_WITHOUT_ACTIONS, SURVIVORS, material_from, material_of
from engine.report import page
from infra.backtest_bars import Found, find_searched_bars
from infra.errors import UsageError
from infra.settings import Settings
from schemas.backtest import BacktestFinished
from schemas.corporate import ActionOrigin, CorporateAction, Dividend, Split, SymbolChanged
from tests.bars import APPLE, IBM, bars_of, columns_of
from tests.builders import SEEN
from tests.unit.test_answer import a_request

HELD = bars_of([100.0, 110.0, 121.0])
OTHER = bars_of([50.0, 50.0, 75.0], contract_id=IBM)
BOTH = columns_of(HELD, OTHER)


def run_against(benchmark: str, bars: BarColumns | None = None) -> BacktestFinished:
    request = a_request(strategy="buy_and_hold", benchmark=benchmark)
    result = answer.answer(request, columns_of(HELD))
    return answer.finished(request, answer.held_against(request, result, bars), code_hash="c0de", now=SEEN)


@pytest.mark.parametrize(
    ("benchmark", "worth", "change", "said"),
    [
        ("", (100_000.0, 110_000.0, 121_000.0), 0.21, "AAPL bought and held"),
        ("IBM", (100_000.0, 100_000.0, 150_000.0), 0.5, "IBM bought and held"),
        ("none", (), None, "<td>Benchmark</td><td>none</td>"),
    ],
)
def test_the_benchmark_is_the_callers_choice_and_the_report_names_it(
    benchmark: str, worth: tuple[float, ...], change: float | None, said: str
) -> None:
    done = run_against(benchmark, BOTH.select([IBM]))

    assert done.benchmark == pytest.approx(worth)
    assert done.metrics["benchmark_return"] == pytest.approx(change)
    assert (done.metrics["beta"] is None) is (benchmark == "none")
    assert said in page(done)


def test_the_benchmark_changes_no_fill_and_no_equity() -> None:
    assert len({run_against(each, BOTH.select([IBM])).result_hash for each in ("", "IBM", "none")}) == 1


@pytest.mark.parametrize("bars", [None, columns_of(bars_of([1.0], first=datetime(2012, 1, 3, tzinfo=ZoneInfo("UTC"))))])
def test_a_benchmark_without_bars_in_the_runs_time_is_told(bars: BarColumns | None) -> None:
    with pytest.raises(ValueError, match="no bars of the benchmark IBM: collect them first, or name another one"):
        run_against("IBM", bars)


def an_action(kind: type[CorporateAction], day: date, **terms: object) -> CorporateAction:
    return kind(
        event_time=datetime(day.year, day.month, day.day, tzinfo=ZoneInfo("America/New_York")),
        ingest_time=SEEN,
        contract_id=APPLE,
        symbol="AAPL",
        ex_date=day,
        origin=ActionOrigin.PERSON,
        by="tests",
        **terms,
    )


ACTIONS = (
    an_action(Split, date(2013, 1, 9), new_shares=2, old_shares=1),
    an_action(Dividend, date(2013, 1, 8), amount=0.5, currency="USD"),
    an_action(Split, date(2012, 6, 1), new_shares=3, old_shares=1),
    an_action(SymbolChanged, date(2013, 1, 8), old_symbol="APL", new_symbol="AAPL"),
)


def test_what_companies_did_within_the_run_reaches_the_engine_when_prices_are_raw() -> None:
    traded = columns_of(bars_of([100.0, 100.0, 50.0], [100.0, 100.0, 50.0]), OTHER)
    material = material_of(traded, {APPLE: "AAPL"}, IBM, ACTIONS)
    request = a_request(strategy="buy_and_hold", basis="raw", commission_bps=0)

    result = answer.answer(request, material.columns, market=material.market)

    assert material.columns.contracts == (APPLE,)
    assert material.benchmark is not None
    assert material.benchmark.contracts == (IBM,)
    assert [type(each).__name__ for each in material.market.actions] == ["Dividend", "Split"]
    assert [flow.amount for flow in result.turns.flows] == []  # bought at the open of the ex-date: too late for it
    assert result.curve.equity.tolist() == [100_000.0, 100_000.0, 100_000.0]
    assert material.notes == (RAW,)
    assert material_of(traded, {APPLE: "AAPL"}, actions=()).notes == (RAW_WITHOUT_ACTIONS,)


def test_a_universe_of_survivors_is_told_first() -> None:
    material = material_of(BOTH, {APPLE: "AAPL", IBM: "IBM"}, all_survived=True)
    request = a_request(strategy="buy_and_hold", symbols=("AAPL", "IBM"))
    result = answer.answer(request, material.columns)

    done = answer.finished(request, result, code_hash="", now=SEEN, notes=material.notes)

    assert done.warnings[0] == SURVIVORS
    assert material_of(BOTH, {APPLE: "AAPL", IBM: "IBM"}).notes == ()


def test_what_was_read_is_cut_into_what_is_traded_what_it_is_held_against_and_what_is_seen_beside() -> None:
    arrays = {name: getattr(BOTH, name) for name in COLUMNS}
    larger = {timedelta(days=7): {name: getattr(columns_of(HELD), name) for name in COLUMNS}}
    found = Found(arrays, ("real",), {APPLE: "AAPL"}, (IBM, "IBM"), None, all_survived=True, larger=larger)

    material = material_from(found)

    assert material.columns.contracts == (APPLE,)
    assert material.columns.sources == ("real",)
    assert material.benchmark is not None
    assert (material.benchmark.contracts, material.benchmark.symbols[IBM]) == ((IBM,), "IBM")
    assert [each.contracts for each in material.market.larger.values()] == [(APPLE,)]
    assert material.notes == (SURVIVORS, FRAMES)


@pytest.mark.parametrize(
    ("changes", "why"),
    [({"basis": "raw"}, "on adjusted prices"), ({"larger_bar_sizes": (timedelta(days=7),)}, "on bars of one size")],
)
async def test_a_search_is_refused_what_its_runs_would_not_see(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(UsageError, match=f"^a search runs {why}"):
        await find_searched_bars(Settings(), a_request(**changes))
