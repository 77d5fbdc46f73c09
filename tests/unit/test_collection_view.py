"""What a person is told of a collection run, while it goes on and when it is done."""

from datetime import date

from rich.console import Console

from producers.cli.collection import Collected
from producers.cli.collection_view import document, monitor_table, report
from schemas.collection import CollectionRun, Gap, RunState, SymbolCollected, SymbolOutcome
from tests.builders import SEEN

WHEN = {"event_time": SEEN, "ingest_time": SEEN, "run_id": "run-1"}


def a_run(**changes: object) -> CollectionRun:
    fields = {"kind": "history", "state": RunState.RUNNING, "symbols": 3, "symbols_done": 2, "what": "1 day trades"}
    return CollectionRun.model_validate({**WHEN, **fields, **changes})


def told() -> Collected:
    gaps = tuple(
        Gap(first_day=date(2012, 1, day), last_day=date(2012, 1, day + 1), sessions=2, reason="the gateway has no bars")
        for day in range(3, 24, 3)
    )
    outcomes = [
        SymbolCollected.model_validate(
            {**WHEN, "symbol": "IBM", "outcome": "collected", "bars_received": 740, "sessions": 754, "gaps": gaps}
        ),
        SymbolCollected.model_validate({**WHEN, "symbol": "NOSUCH", "outcome": "failed", "reason": "unknown symbol"}),
    ]
    return Collected(a_run(sessions=754, sessions_complete=740), {each.symbol: each for each in outcomes})


def test_the_report_names_gaps_with_their_reasons_and_not_too_many() -> None:
    lines = list(report(told()))

    assert lines[1] == "50.0% of 2 symbols failed"
    assert lines[2] == "  IBM: collected, 740 bars, 0 of 754 sessions"
    assert lines[3] == "    2012-01-03 to 2012-01-04: 2 sessions missing, the gateway has no bars"
    assert lines[8] == "    and 2 gaps more: --json tells all of them"
    assert lines[9] == "  NOSUCH: failed, 0 bars, 0 of 0 sessions: unknown symbol"


def test_the_document_has_every_gap() -> None:
    whole = document(told())

    assert (whole["error_rate"], whole["what"]) == (0.5, "1 day trades")
    assert [len(each["gaps"]) for each in whole["outcomes"]] == [7, 0]
    assert whole["outcomes"][1]["outcome"] == SymbolOutcome.FAILED.value


def test_the_monitor_shows_first_what_failed() -> None:
    console = Console(width=160, record=True, file=None, quiet=False, force_terminal=False)
    with console.capture() as captured:
        console.print(monitor_table(told()))

    text = captured.get()
    assert text.index("NOSUCH") < text.index("IBM")
    assert "50.0% failed" in text
