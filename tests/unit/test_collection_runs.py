"""What a collection run tells: how far it is, how long it will take, and what became of each symbol."""

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

from infra.clock import ManualClock
from infra.gateway import History, Series, Span
from infra.gateway.market import PAST_SCHEMA
from producers.data_farmer.coverage import Coverage
from producers.data_farmer.fields import Field
from producers.data_farmer.gaps import Wanted, sessions_of
from producers.data_farmer.runs import Run
from schemas.collection import CollectHistory, RunState, SymbolOutcome
from schemas.moments import to_microseconds
from tests.builders import SEEN, a_contract

NOW = datetime(2013, 2, 28, 14, 30, tzinfo=UTC)


def a_run(*symbols: str, **changes: object) -> Run:
    fields = {"event_time": SEEN, "ingest_time": SEEN, "run_id": "run-1", "requested_by": "test"}
    request = CollectHistory.model_validate({**fields, "symbols": symbols or ("AAPL",), **changes})
    run = Run(request, ManualClock(SEEN))
    run.now = NOW
    return run


def a_field(run: Run) -> Field:
    contract = a_contract()
    return Field(run, "AAPL", contract, Series(), sessions_of(contract, Wanted.by(run.request, NOW), Series()))


def an_answer(*days: date) -> History:
    """Daily bars of some days."""
    starts = [to_microseconds(datetime(day.year, day.month, day.day, 14, 30, tzinfo=UTC)) for day in days]
    rows = [(start, start + 23_400 * 1_000_000, 1.0, 2.0, 1.0, 2.0, 10.0) for start in starts]
    return History(pl.DataFrame(rows, schema=PAST_SCHEMA, orient="row"), [], NOW)


def whole(field: Field) -> Span:
    return Span(field.sessions[0].open, field.sessions[-1].close)


def test_the_eta_follows_from_the_rate_of_this_process_and_counts_symbols_that_were_not_looked_at() -> None:
    run = a_run("AAPL", "IBM", "MSFT", "GOOG", first_day=date(2013, 2, 4), last_day=date(2013, 2, 8))
    assert run.told(RunState.STARTED).eta_seconds is None

    field = a_field(run)
    run.symbols_planned, run.chunks = 2, 20
    for _ in range(10):
        run.count(field.brought(whole(field), an_answer(), 0))
    assert isinstance(run.clock, ManualClock)
    run.clock.advance(60)

    told = run.told(RunState.RUNNING)
    assert (told.chunks_per_minute, told.chunks, told.chunks_done) == (10.0, 20, 10)
    assert told.eta_seconds == pytest.approx(180.0), "20 chunks of two symbols make 40 of four, 30 of them to come"
    assert told.what == "1 day trades"
    assert run.told(RunState.DONE).eta_seconds is None


def test_what_a_former_process_did_is_counted_but_not_in_the_rate() -> None:
    before = a_run(first_day=date(2013, 2, 4), last_day=date(2013, 2, 5))
    field = a_field(before)
    chunk = field.brought(whole(field), an_answer(date(2013, 2, 4), date(2013, 2, 5)), 2)

    run = a_run(first_day=date(2013, 2, 4), last_day=date(2013, 2, 5))
    run.go_on_after([chunk])
    again = a_field(run)
    again.go_on_after(run.earlier)

    told = run.told(RunState.RUNNING)
    assert (told.chunks, told.chunks_done, told.bars_received, told.chunks_per_minute) == (1, 1, 2, 0.0)
    assert again.told(Coverage({})).bars_received == 2


def test_progress_is_told_now_and_then() -> None:
    run = a_run()
    assert run.wants_telling
    run.told(RunState.RUNNING)
    assert not run.wants_telling
    assert isinstance(run.clock, ManualClock)
    run.clock.advance(1)
    assert run.wants_telling


def test_an_answer_long_after_the_sessions_settles_them_also_where_there_were_no_bars() -> None:
    run = a_run(first_day=date(2013, 2, 4), last_day=date(2013, 2, 8))
    field, coverage = a_field(run), Coverage({})
    chunk = field.brought(whole(field), an_answer(date(2013, 2, 4), date(2013, 2, 6)), 2)
    coverage.add(chunk)

    told = field.told(coverage)

    assert chunk.known_until == chunk.end
    assert (told.outcome, told.sessions, told.sessions_complete) == (SymbolOutcome.COLLECTED, 5, 2)
    assert [(gap.first_day.day, gap.last_day.day, gap.reason) for gap in told.gaps] == [
        (5, 5, "the gateway has no bars"),
        (7, 8, "the gateway has no bars"),
    ]


def test_an_answer_soon_after_the_sessions_settles_only_what_came() -> None:
    run = a_run(first_day=date(2013, 2, 25), last_day=date(2013, 2, 27))
    field, coverage = a_field(run), Coverage({})
    chunk = field.brought(whole(field), an_answer(date(2013, 2, 25), date(2013, 2, 26)), 2)
    coverage.add(chunk)

    (gap,) = field.told(coverage).gaps

    assert chunk.known_until == datetime(2013, 2, 26, 21, tzinfo=UTC)
    assert gap.reason == "the gateway does not have them yet: a later run asks again"
    assert field.chunks_missing(coverage, refresh=False) == []
    coverage.finished("run-1")
    assert [span.start.day for span in field.chunks_missing(coverage, refresh=False)] == [27]


def test_what_failed_is_a_gap_with_its_cause_and_the_rest_is_collected() -> None:
    run = a_run(first_day=date(2012, 12, 27), last_day=date(2013, 1, 3))
    field, coverage = a_field(run), Coverage({})
    early, late = field.chunks_missing(coverage, refresh=False)
    field.failed.append((early, "the IB gateway answered 162: invalid step"))
    coverage.add(field.brought(late, an_answer(date(2013, 1, 2), date(2013, 1, 3)), 2))

    told = field.told(coverage)

    assert (told.outcome, told.sessions_complete, told.sessions) == (SymbolOutcome.COLLECTED, 2, 5)
    assert told.reason == "1 of 2 requests failed: the IB gateway answered 162: invalid step"
    assert [gap.reason for gap in told.gaps] == ["not collected: the IB gateway answered 162: invalid step"]


@pytest.mark.parametrize(
    ("answered", "failed", "outcome"),
    [(False, False, "up_to_date"), (True, False, "no_data"), (False, True, "failed")],
)
def test_a_symbol_without_bars_is_up_to_date_or_unknown_to_the_gateway_or_failed(
    answered: bool, failed: bool, outcome: str
) -> None:
    run = a_run(first_day=date(2013, 2, 4), last_day=date(2013, 2, 8))
    field, coverage = a_field(run), Coverage({})
    if answered:
        coverage.add(field.brought(whole(field), an_answer(), 0))
    if failed:
        field.failed.append((whole(field), "no permission"))

    assert field.told(coverage).outcome == outcome


def test_bars_of_which_none_was_known_need_no_comparison() -> None:
    run = a_run(first_day=date(2013, 2, 4), last_day=date(2013, 2, 8))
    field = a_field(run)
    assert field.knows_nothing_of(whole(field))
    field.stored = {date(2013, 2, 6): 1}
    assert not field.knows_nothing_of(whole(field))
    assert field.knows_nothing_of(Span(whole(field).start, whole(field).start + timedelta(days=1)))
