"""What a person sees of a run: how far it is, and what became of many symbols."""

from typing import Any

import pytest

from infra.clock import ManualClock
from producers.cli.collection import Collected
from producers.cli.collection_view import report
from producers.cli.progress import ProgressLine, progress
from schemas.collection import CollectionRun, Gap, RunState, SymbolCollected, SymbolOutcome
from tests.builders import NOON, SEEN

TOLD = {"run_id": "r", "event_time": NOON, "ingest_time": SEEN}
COUNTS = dict.fromkeys(("symbols", "symbols_done", "bars_received", "bars_published"), 0)


def a_run(**fields: Any) -> CollectionRun:
    return CollectionRun.model_validate({**TOLD, "kind": "history", "state": RunState.RUNNING, **COUNTS, **fields})


def an_outcome(symbol: str, **fields: Any) -> SymbolCollected:
    return SymbolCollected.model_validate({**TOLD, "symbol": symbol, "outcome": SymbolOutcome.COLLECTED, **fields})


def test_a_run_is_told_in_a_line_that_fits_a_terminal() -> None:
    run = a_run(symbols=1, chunks=754, chunks_done=583, bars_received=227_010, chunks_per_minute=463, eta_seconds=22)

    assert progress(run) == "running: 0 of 1 symbols, 583 of 754 requests, 227,010 bars, 463 requests/min, 0:00:22 left"


def test_a_run_that_does_not_know_its_symbols_yet_tells_no_count() -> None:
    assert progress(a_run(state=RunState.STARTED)) == "started"


def test_a_log_gets_a_line_every_ten_seconds_and_at_each_change_of_state(capsys: pytest.CaptureFixture[str]) -> None:
    clock = ManualClock(NOON)
    with ProgressLine(clock) as line:
        for done, seconds in ((1, 4.0), (2, 4.0), (3, 4.0), (4, 0.0)):
            line(a_run(symbols=9, symbols_done=done))
            clock.advance(seconds)
        line(a_run(symbols=9, symbols_done=9, state=RunState.DONE))

    told = capsys.readouterr().err.splitlines()
    assert told == ["running: 1 of 9 symbols", "running: 4 of 9 symbols", "done: 9 of 9 symbols"]


def test_of_many_symbols_only_those_are_named_that_somebody_should_look_at() -> None:
    whole = {f"S{n}": an_outcome(f"S{n}", sessions=2, sessions_complete=2) for n in range(30)}
    gap = Gap(first_day=NOON.date(), last_day=NOON.date(), sessions=1, reason="the gateway has no bars")
    lacking = an_outcome("GAP", sessions=2, sessions_complete=1, gaps=(gap,))

    told = list(report(Collected(a_run(symbols=31), {**whole, "GAP": lacking})))

    assert told[1:3] == ["30 of 31 symbols have all their sessions", "  GAP: collected, 0 bars, 1 of 2 sessions"]
    assert len(told) == 4
