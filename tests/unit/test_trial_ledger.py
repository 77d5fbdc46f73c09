"""Every run is on record, and the gate judges by the record: from price files to pass or fail."""

import csv
import json
from datetime import timedelta
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.columns import Floats
from engine.ledger import Curve
from engine.research.judging import CodeChangedError, NoCandidateError, candidate_of, evidence_of
from engine.research.ledger import STRETCHES_MAX, compact, looks, once_each, series_of
from infra.errors import UsageError
from infra.trial_book import TrialBook
from producers.cli.gate import GateClosedError, gate
from producers.cli.optimize import optimize
from schemas.backtest import Trial
from schemas.moments import to_datetime
from tests.bars import DAY
from tests.builders import SEEN

DAY_US = 86_400_000_000


def a_trial(**changes: Any) -> Trial:
    given: dict[str, Any] = {
        "event_time": SEEN,
        "ingest_time": SEEN,
        "trial_id": "t1",
        "code_hash": "c0de",
        "strategy": "idea",
        "symbols": ("AAPL",),
        "data_digest": "d",
        "sharpe": 1.0,
        "total_return": 0.1,
        "observations": 2520,
        "periods_per_year": 252.0,
    }
    return Trial.model_validate({**given, **changes})


def _curve(returns: Floats, first_day: int = 10_000) -> Curve:
    ends = (first_day + np.arange(len(returns)) + 1) * DAY_US
    return Curve(ends, np.asarray(100 * np.cumprod(1 + returns), dtype=np.float64), np.ones(len(returns)), 100.0)


@pytest.mark.parametrize(("sessions", "days"), [(100, 1), (1_500, 7), (10_000, 28), (40_000, 112)])
def test_returns_are_added_up_over_the_shortest_stretch_that_keeps_them_few(sessions: int, days: int) -> None:
    returns = np.random.default_rng(1).normal(0, 0.01, sessions)

    found, first, ppm = compact(_curve(returns).times_us, returns)

    assert found == days
    assert first == 10_000 // days
    assert len(ppm) <= STRETCHES_MAX
    assert sum(ppm) / 1e6 == pytest.approx(returns.sum(), abs=1e-3)


def test_series_of_different_stretches_and_times_come_onto_one_grid() -> None:
    daily = a_trial(trial_id="a", returns_days=1, returns_first=70, returns_ppm=tuple(range(1, 15)))
    weekly = a_trial(trial_id="b", returns_days=7, returns_first=11, returns_ppm=(100, 200))

    table = series_of([daily, a_trial(trial_id="none"), weekly]) * 1e6

    assert table.T.tolist() == [
        pytest.approx([sum(range(1, 8)), sum(range(8, 15)), 0]),
        pytest.approx([0, 100, 200]),
    ]


def test_a_repetition_counts_once() -> None:
    later = a_trial(event_time=SEEN + DAY, sharpe=9.0)

    assert [each.sharpe for each in once_each([later, a_trial(), a_trial(trial_id="t2")])] == [1.0, 1.0]


FAST = {"fast": 5}
WHOLE = a_trial(trial_id="whole", purpose="search", study_id="s1", parameters=FAST)
PART = a_trial(trial_id="part", purpose="train", study_id="s1", parameters=FAST)


@pytest.mark.parametrize(
    ("entries", "chances"),
    [
        ([WHOLE, PART], 1),
        ([WHOLE.revised(purpose="backtest", study_id=""), WHOLE, PART], 1),
        ([WHOLE, PART, WHOLE.revised(study_id="s2"), PART.revised(study_id="s2", trial_id="another part")], 1),
        ([PART.revised(study_id="killed"), WHOLE, PART], 1),
        ([WHOLE, PART, PART.revised(study_id="killed", trial_id="another part")], 2),
        ([WHOLE, PART, PART.revised(parameters={"fast": 9}, trial_id="never run over all")], 2),
        ([WHOLE, PART, PART.revised(purpose="search", study_id="s2")], 2),
        ([WHOLE, PART, PART.revised(purpose="backtest", study_id="")], 2),
        ([WHOLE, PART.revised(purpose="test"), PART.revised(purpose="backtest", study_id="")], 2),
        ([WHOLE, PART.revised(purpose="test")], 1),
    ],
    ids=[
        "the folds of a walk",
        "a backtest of what a walk ran",
        "two walks with other folds",
        "a fold that a killed search ran too",
        "a fold of a killed search alone",
        "a set that only a fold ran",
        "a fold's time searched by itself",
        "a fold's time run by itself",
        "a test's time run by itself",
        "a test",
    ],
)
def test_a_run_counts_as_what_it_was_run_for_however_often_and_in_whichever_order(
    entries: list[Trial], chances: int
) -> None:
    for told in permutations(entries):
        dated = [each.revised(event_time=SEEN + number * DAY) for number, each in enumerate(told)]

        assert len(evidence_of(candidate_of(dated), dated).ratios) == chances


def test_a_look_is_any_run_that_saw_one_of_the_symbols_after_the_day() -> None:
    since = to_datetime(15_000 * DAY_US)
    before, after = since - timedelta(days=1), since + timedelta(days=1)
    seen = a_trial(trial_id="seen", end=after)
    others = [a_trial(end=before), a_trial(trial_id="other", symbols=("IBM",), end=after), a_trial(trial_id="old")]

    assert looks([*others, seen], ["MSFT", "AAPL"], since) == [seen]


def test_judged_is_the_trial_that_stands_farthest_above_zero_of_the_present_code() -> None:
    short = a_trial(trial_id="short", sharpe=1.5, observations=100)
    long = a_trial(trial_id="long", sharpe=1.2)
    old = a_trial(trial_id="old", sharpe=9.0, code_hash="before")
    test = a_trial(trial_id="test", sharpe=9.0, purpose="test")

    assert candidate_of([short, long, old, test], "c0de") is long
    assert candidate_of([short, long, old, test]) is old
    with pytest.raises(CodeChangedError, match="its 2 trials ran before the engine or its own text changed") as changed:
        candidate_of([a_trial(trial_id="older", code_hash="before"), old], "c0de")
    assert changed.value.best is old
    with pytest.raises(NoCandidateError, match="scizor optimize"):
        candidate_of([a_trial(sharpe=None)])


def test_the_book_keeps_trials_passes_over_a_torn_line_and_is_emptied_only_once_they_were_taken(
    tmp_path: Path,
) -> None:
    book = TrialBook(tmp_path / "home")
    book.append([a_trial(), a_trial(trial_id="t2")])
    with book.path.open("ab") as file:
        file.write(b'{"type": "Trial", "trial')

    def refuse(trials: object) -> None:
        raise OSError("no broker")

    assert [each.trial_id for each in book.trials()] == ["t1", "t2"]
    book.append([a_trial(trial_id="t3")])
    with pytest.raises(OSError, match="no broker"):
        book.hand_over(refuse)
    taken: list[Trial] = []
    assert book.hand_over(taken.extend) == 3
    assert [each.trial_id for each in taken] == ["t1", "t2", "t3"]
    assert book.trials() == []


def _prices(path: Path, drift: float) -> str:
    """Eight years of days; the drift turns its sign every 80 days, which an average of averages can follow."""
    generator = np.random.default_rng(11)
    turns = np.where(np.arange(2_000) // 80 % 2 == 0, drift, -drift)
    closes = 100 * np.exp(np.cumsum(turns + generator.normal(0, 0.01, 2_000)))
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["time", "open", "high", "low", "close", "volume"])
        for number, close in enumerate(closes):
            opening = closes[max(number - 1, 0)]
            day = to_datetime((15_000 + number) * DAY_US).date()
            rows.writerow([day, opening, max(opening, close), min(opening, close), close, 1000])
    return str(path)


def _search(source: str, **options: Any) -> None:
    options = {"param": ["fast=5:20:5", "slow=30:60:10"], "quantity": 500.0, "workers": 1, "as_json": True, **options}
    optimize("moving_average_crossover", source=[source], **options)


def test_from_prices_to_the_gate_an_edge_passes_and_its_absence_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    trend, noise = _prices(tmp_path / "trend.csv", 0.003), _prices(tmp_path / "noise.csv", 0.0)

    monkeypatch.setenv("SCIZOR_HOME", str(tmp_path / "one"))
    _search(trend)
    told = json.loads(capsys.readouterr().out)
    gate("moving_average_crossover", as_json=True)
    passed = json.loads(capsys.readouterr().out)
    monkeypatch.setenv("SCIZOR_HOME", str(tmp_path / "two"))
    _search(noise)
    capsys.readouterr()
    with pytest.raises(GateClosedError) as closed:
        gate("moving_average_crossover", as_json=True)
    failed = json.loads(capsys.readouterr().out)

    assert passed["passed"], passed["reasons"]
    assert passed["trials"] == told["trials_run"] == 16
    assert passed["candidate"]["parameters"].items() >= told["best"]["parameters"].items()
    assert closed.value.exit_code == 4
    assert not failed["passed"]
    assert failed["reasons"]
    assert failed["trials"] == 16


def test_a_search_that_was_killed_goes_on_by_its_id_and_ends_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SCIZOR_HOME", str(tmp_path / "home"))
    source = _prices(tmp_path / "noise.csv", 0.0)
    options = {"method": "tpe", "trials": 24, "batch": 8, "param": ["fast=2:25", "slow=30:90"]}
    _search(source, **options)
    whole = json.loads(capsys.readouterr().out)
    journal = tmp_path / "home" / "searches" / f"{whole['id']}.journal"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[: len(lines) * 2 // 3]))  # as a kill leaves it

    optimize(resume=whole["id"], workers=1, as_json=True)

    resumed = json.loads(capsys.readouterr().out)
    assert resumed["trials_hash"] == whole["trials_hash"]
    assert resumed["best"] == whole["best"]


def test_lengths_of_a_walk_that_nobody_asked_for_are_refused(tmp_path: Path) -> None:
    source = _prices(tmp_path / "noise.csv", 0.0)

    with pytest.raises(UsageError, match="--train is of a walk: add --walk-forward rolling") as refused:
        _search(source, train=100)
    assert refused.value.exit_code == 2


def test_the_gate_says_what_to_run_again_once_the_code_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCIZOR_HOME", str(tmp_path / "home"))
    name = "moving_average_crossover"
    before = a_trial(strategy=name, code_hash="before", parameters={"fast": 5, "slow": 30}, symbols=("AAPL", "IBM"))
    TrialBook(tmp_path / "home").append([before])

    with pytest.raises(UsageError, match="its 1 trials ran before the engine") as refused:
        gate(name)
    assert f"`scizor backtest run {name} --symbols AAPL,IBM --param fast=5 --param slow=30" in str(refused.value)
