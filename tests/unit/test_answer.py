"""A backtest as a request and as the event that answers it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from engine import answer, circumstances
from engine.columns import BarColumns
from engine.ledger import Curve
from schemas.backtest import BacktestRequested
from tests.bars import APPLE, IBM, bars_of, columns_of, random_bars, real_daily
from tests.builders import SEEN


def a_request(**changes: Any) -> BacktestRequested:
    fields = {
        "event_time": SEEN,
        "ingest_time": SEEN,
        "backtest_id": "backtest-1",
        "strategy": "moving_average_crossover",
        "symbols": ("AAPL",),
        "requested_by": "tests",
    }
    return BacktestRequested(**(fields | changes))


def a_result(request: BacktestRequested | None = None, columns: BarColumns | None = None) -> Any:
    request = request or a_request()
    result = answer.answer(request, columns or real_daily("AAPL"))
    return answer.finished(request, result, code_hash="c0de", now=SEEN + timedelta(seconds=1))


def test_the_event_carries_the_run_and_reads_back_as_it_was_written() -> None:
    request = a_request(parameters={"fast": 5, "slow": 20})
    result = answer.answer(request, real_daily("AAPL"))

    done = answer.finished(request, result, code_hash="c0de", now=SEEN)

    assert done.succeeded
    assert (done.bars, done.data_digest, done.result_hash) == (3270, result.data_digest, result.result_hash)
    assert done.metrics["trades"] == result.metrics.trades
    assert len(done.fills) == len(result.executions)
    assert done.fills[0] == {
        "time": "2000-05-01T14:30:00Z",
        "symbol": "AAPL",
        "side": "BUY",
        "quantity": "100",
        "price": done.fills[0]["price"],
        "commission": done.fills[0]["commission"],
        "slippage": "0",
        "reason": "fast crossed above slow",
    }
    assert done.equity[-1] == ("2013-03-01T21:00:00Z", result.curve.equity[-1])
    assert done.sources == ("real",)
    assert type(done).model_validate_json(done.to_json()) == done


def test_times_bound_the_bars_and_the_end_is_excluded() -> None:
    request = a_request(
        strategy="buy_and_hold", start=datetime(2012, 1, 1, tzinfo=UTC), end=datetime(2013, 1, 1, tzinfo=UTC)
    )

    done = a_result(request)

    assert (done.bars, done.equity[0][0][:10], done.equity[-1][0][:10]) == (250, "2012-01-03", "2012-12-31")


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"strategy": "moving_average"}, "no strategy moving_average (did you mean moving_average_crossover?)"),
        ({"parameters": {"fats": 1}}, "unknown parameter fats (did you mean fast?)"),
        ({"symbols": ("AAPL", "IBM")}, "no bars of IBM: collect them first"),
        ({"symbols": tuple(f"S{n}" for n in range(9))}, "no bars of S0, S1, S2, S3, S4 and others:"),
        (
            {"start": datetime(2020, 1, 1, tzinfo=UTC)},
            "no bars of AAPL from 2020-01-01: there are some of AAPL from 2000-03-01 until 2013-03-01",
        ),
        (
            {"start": datetime(2012, 1, 1, tzinfo=UTC), "end": datetime(2011, 1, 1, tzinfo=UTC)},
            "the end 2011-01-01 is not after the start 2012-01-01",
        ),
        ({"quantity": 0.5}, "quantity 0.5 is less than one lot of 1"),
    ],
)
def test_a_request_that_cannot_be_is_refused_in_one_line(changes: dict[str, Any], line: str) -> None:
    with pytest.raises(ValueError) as failure:
        answer.answer(a_request(**changes), real_daily("AAPL"))

    assert str(failure.value).startswith(line)
    assert "\n" not in str(failure.value)
    failed = answer.failed(a_request(**changes), str(failure.value), now=SEEN)
    assert (failed.succeeded, failed.error, failed.backtest_id) == (False, str(failure.value), "backtest-1")


def test_what_the_reader_must_know_comes_with_the_figures() -> None:
    invented = replace(columns_of(bars_of([100.0, 40.0, 41.0])), sources=("derived", "synthetic"))

    said = a_result(a_request(strategy="buy_and_hold", slippage_bps=0, commission_bps=0), invented).warnings

    assert [sentence.split(":")[0] for sentence in said] == [
        "The prices are synthetic",
        "Prices inside the day are derived",
        "No slippage is assumed",
        "No commission is assumed.",
        "Only 0 closed trades",
        "Still open at the end, valued at the last close",
    ]
    assert "31 bars pass before the first decision; one symbol has 3." in a_result(columns=invented).warnings
    jump = columns_of(bars_of([100.0, 41.0], [100.0, 40.0]))
    assert "AAPL opened −60% on 2013-01-08: perhaps a split not adjusted for." in a_result(columns=jump).warnings


def test_a_long_run_is_thinned_to_what_a_record_can_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (answer, circumstances):
        monkeypatch.setattr(module, "FILLS_MAX", 10)
        monkeypatch.setattr(module, "ROUND_TRIPS_MAX", 5)
    monkeypatch.setattr(answer, "POINTS_MAX", 50)
    request = a_request(parameters={"fast": 2, "slow": 3})
    result = answer.answer(request, real_daily("AAPL"))

    done = answer.finished(request, result, code_hash="", now=SEEN)

    assert (len(done.fills), len(done.round_trips), len(done.equity)) == (10, 5, 50)
    assert done.fills[-1]["time"] == answer.finished(request, result, code_hash="", now=SEEN).fills[-1]["time"]
    assert done.metrics["fills"] == len(result.executions) > 1000
    assert any("Only the last 10 of" in sentence for sentence in done.warnings)
    assert done.equity[0][0] == "2000-03-01T21:00:00Z"
    assert done.equity[-1][0] == "2013-03-01T21:00:00Z"


def test_few_sessions_show_every_bar() -> None:
    curve = Curve(np.arange(1, 401) * 60_000_000, np.linspace(100, 101, 400), np.zeros(400), 100.0)
    points = answer._points(curve, curve.equity)

    assert len(points) == 400


def test_a_trial_is_the_same_trial_when_it_is_run_again_and_another_when_anything_differs() -> None:
    columns = columns_of(random_bars(1, 200), random_bars(2, 200, contract_id=IBM))

    def trial_of(**changes: Any) -> str:
        request = a_request(symbols=("AAPL", "IBM"), **changes)
        result = answer.answer(request, columns)
        return answer.trial(answer.finished(request, result, code_hash="c0de", now=SEEN), result).trial_id

    first = trial_of(backtest_id="one")
    assert first == trial_of(backtest_id="two", parameters={"fast": 10, "slow": 30})
    others = [trial_of(parameters={"fast": 9}), trial_of(commission_bps=0), trial_of(strategy="buy_and_hold")]
    assert len({first, *others}) == 4
    assert columns.symbol(APPLE) == "AAPL"
