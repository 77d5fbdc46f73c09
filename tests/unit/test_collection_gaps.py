"""What is missing of a series, by the exchange's calendar, and in which requests it is asked for."""

import itertools
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.gateway import Series, Span
from infra.gateway.past import DAY
from producers.data_farmer.coverage import Coverage, Stretches
from producers.data_farmer.gaps import Wanted, chunks_of, gaps_of, lacks, sessions_of
from schemas.collection import ChunkCollected, CollectDaily, CollectHistory
from schemas.validation import SymbolRemoved
from tests.builders import SEEN, a_contract

NOW = datetime(2013, 2, 28, 14, 30, tzinfo=UTC)
DAYS = Series()
MINUTES = Series(timedelta(minutes=1))
FIVES = Series(timedelta(seconds=5))
HOURS = Series(timedelta(hours=1))
APPLE = a_contract(primary_exchange="NASDAQ", time_zone="US/Eastern")
SYDNEY = a_contract(primary_exchange="ASX", exchange="ASX", currency="AUD", time_zone="Australia/Sydney")


def a_request(**changes: object) -> CollectHistory:
    fields: dict[str, object] = {"run_id": "run-1", "symbols": ("AAPL",), "requested_by": "test"}
    return CollectHistory.model_validate({"event_time": SEEN, "ingest_time": SEEN, **fields, **changes})


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type] # year, month, day, hour, minute


def everything(span: Span) -> Sequence[Span]:
    return [span]


def asked(series: Series, stored: Mapping[date, int] | None = None, **request: object) -> list[Span]:
    """The chunks of a request of which nothing was answered yet."""
    sessions = sessions_of(APPLE, Wanted.by(a_request(**request), NOW), series)
    return chunks_of(lacks(sessions, series, stored or {}, everything), series)


# what is wanted


def test_days_are_those_of_the_exchange() -> None:
    wanted = Wanted.by(a_request(first_day="2013-02-04", last_day="2013-02-05"), NOW)

    assert [s.open for s in sessions_of(SYDNEY, wanted, MINUTES)] == [utc(2013, 2, 3, 23), utc(2013, 2, 4, 23)]
    assert [s.open for s in sessions_of(APPLE, wanted, MINUTES)] == [utc(2013, 2, 4, 14, 30), utc(2013, 2, 5, 14, 30)]


def test_holidays_are_not_wanted_and_half_days_end_early() -> None:
    wanted = Wanted.by(a_request(first_day="2012-11-21", last_day="2012-11-26"), NOW)

    sessions = sessions_of(APPLE, wanted, DAYS)

    assert [session.day.day for session in sessions] == [21, 23, 26]
    assert sessions[1].close == utc(2012, 11, 23, 18)


def test_a_session_that_is_not_over_has_no_daily_bar_yet_and_is_cut_for_smaller_ones() -> None:
    wanted = Wanted.by(a_request(first_day="2013-02-27"), NOW + timedelta(hours=1))

    assert [session.day.day for session in sessions_of(APPLE, wanted, DAYS)] == [27]
    assert sessions_of(APPLE, wanted, MINUTES)[-1].close == NOW + timedelta(hours=1)


def test_years_count_back_from_the_end() -> None:
    wanted = Wanted.by(a_request(years=3), NOW)

    assert (wanted.first_day, wanted.end, wanted.begins) == (date(2010, 2, 28), NOW, True)
    assert not Wanted.by(a_request(), NOW).begins


def test_a_daily_collection_looks_back_over_some_days() -> None:
    request = CollectDaily(event_time=SEEN, ingest_time=SEEN, run_id="daily", days=7, requested_by="test")

    sessions = sessions_of(APPLE, Wanted.by(request, NOW), DAYS)

    assert [session.day.day for session in sessions] == [21, 22, 25, 26, 27]


# chunks


def test_daily_bars_are_asked_for_by_years_of_the_calendar() -> None:
    chunks = asked(DAYS, first_day="2010-06-01", last_day="2012-01-10")

    assert [(chunk.start.date(), chunk.end.date()) for chunk in chunks] == [
        (date(2010, 6, 1), date(2010, 12, 31)),
        (date(2011, 1, 3), date(2011, 12, 30)),
        (date(2012, 1, 3), date(2012, 1, 10)),
    ]


def test_smaller_bars_are_asked_for_by_months_sessions_and_pieces_of_them() -> None:
    hours = asked(HOURS, first_day="2012-01-10", last_day="2012-02-10")
    minutes = asked(MINUTES, first_day="2013-02-04", last_day="2013-02-05")
    fives = asked(FIVES, first_day="2013-02-04", last_day="2013-02-04")

    assert [(chunk.start.date().day, chunk.end.date().day) for chunk in hours] == [(10, 31), (1, 10)]
    assert [chunk.end - chunk.start for chunk in minutes] == [timedelta(hours=6.5)] * 2
    assert [chunk.end - chunk.start for chunk in fives] == [timedelta(hours=1)] * 6 + [timedelta(minutes=30)]


def test_only_what_is_missing_is_asked_for() -> None:
    stored = {date(2013, 2, day): 1 for day in (1, 4, 5, 8)}

    (chunk,) = asked(DAYS, stored, first_day="2013-02-01", last_day="2013-02-08")

    assert (chunk.start, chunk.end) == (utc(2013, 2, 6, 14, 30), utc(2013, 2, 7, 21))


def test_a_session_with_some_of_its_bars_is_not_complete() -> None:
    stored = {date(2013, 2, 4): 390, date(2013, 2, 5): 389}

    (chunk,) = asked(MINUTES, stored, first_day="2013-02-04", last_day="2013-02-05")

    assert chunk.start == utc(2013, 2, 5, 14, 30)


# coverage

moments = st.integers(0, 200).map(lambda hour: utc(2013, 1, 1) + timedelta(hours=hour))


@given(spans=st.lists(st.tuples(moments, moments), max_size=12), wanted=st.tuples(moments, moments))
def test_stretches_know_exactly_which_moments_they_hold(
    spans: list[tuple[datetime, datetime]], wanted: tuple[datetime, datetime]
) -> None:
    stretches, held = Stretches(), set()
    for start, end in spans:
        stretches.add(start, end)
        held |= {hour for hour in range(201) if start <= utc(2013, 1, 1) + timedelta(hours=hour) < end}
    start, end = min(wanted), max(wanted)

    left = list(stretches.without(start, end))

    missing = {
        hour for hour in range(201) if start <= utc(2013, 1, 1) + timedelta(hours=hour) < end and hour not in held
    }
    told = {
        hour for hour in range(201) for part in left if part.start <= utc(2013, 1, 1) + timedelta(hours=hour) < part.end
    }
    assert told == missing
    assert all(before.end < after.start for before, after in itertools.pairwise(left))


def an_answer(run_id: str = "run-1", **changes: object) -> ChunkCollected:
    fields: dict[str, object] = {
        "run_id": run_id,
        "contract_id": 265598,
        "symbol": "AAPL",
        "bar_size": DAY,
        "start": utc(2013, 2, 4),
        "end": utc(2013, 2, 8),
        "known_until": utc(2013, 2, 8),
    }
    return ChunkCollected.model_validate({"event_time": SEEN, "ingest_time": SEEN, **fields, **changes})


WEEK = Span(utc(2013, 2, 4), utc(2013, 2, 8))


def test_what_was_answered_is_not_missing_for_that_series_of_that_contract() -> None:
    coverage = Coverage({})
    coverage.add(an_answer())

    assert coverage.missing(265598, DAYS, WEEK, run_id="run-2") == []
    assert coverage.missing(265598, MINUTES, WEEK, run_id="run-2") == [WEEK]
    assert coverage.missing(8314, DAYS, WEEK, run_id="run-2") == [WEEK]


def test_what_may_still_come_is_asked_for_again_but_not_by_the_same_run() -> None:
    coverage = Coverage({})
    coverage.add(an_answer(known_until=utc(2013, 2, 6)))

    assert coverage.missing(265598, DAYS, WEEK, run_id="run-1") == []
    assert coverage.missing(265598, DAYS, WEEK, run_id="run-2") == [Span(utc(2013, 2, 6), utc(2013, 2, 8))]
    coverage.finished("run-1")
    assert coverage.missing(265598, DAYS, WEEK, run_id="run-1") == [Span(utc(2013, 2, 6), utc(2013, 2, 8))]


def test_to_refresh_believes_only_what_the_run_itself_was_told() -> None:
    coverage = Coverage({})
    coverage.add(an_answer("run-1"))

    assert coverage.missing(265598, DAYS, WEEK, run_id="run-2", refresh=True) == [WEEK]
    assert coverage.missing(265598, DAYS, WEEK, run_id="run-1", refresh=True) == []


def test_what_was_answered_before_a_symbol_was_removed_counts_no_longer() -> None:
    removed: dict[int, SymbolRemoved] = {}
    coverage = Coverage(removed)
    coverage.add(an_answer())
    removed[265598] = SymbolRemoved(
        event_time=SEEN, ingest_time=SEEN, contract_id=265598, symbol_id="id", symbol="AAPL", requested_by="test"
    )

    assert coverage.missing(265598, DAYS, WEEK, run_id="run-2") == [WEEK]
    coverage.add(an_answer("run-2", ingest_time=SEEN + timedelta(seconds=1)))
    assert coverage.missing(265598, DAYS, WEEK, run_id="run-3") == []


# what is missing in the end


@pytest.mark.parametrize(
    ("counts", "reasons", "complete", "told"),
    [
        ({4: 1, 5: 1, 6: 1, 7: 1}, {}, 4, []),
        ({4: 1, 7: 1}, {}, 2, [(5, 6, 2, "nothing")]),
        ({5: 1}, {4: "late"}, 1, [(4, 4, 1, "late"), (6, 7, 2, "nothing")]),
        ({}, {5: "late"}, 0, [(4, 4, 1, "nothing"), (5, 5, 1, "late"), (6, 7, 2, "nothing")]),
    ],
)
def test_missing_sessions_in_a_row_with_one_reason_are_one_gap(
    counts: dict[int, int], reasons: dict[int, str], complete: int, told: list[tuple[int, int, int, str]]
) -> None:
    wanted = Wanted.by(a_request(first_day="2013-02-04", last_day="2013-02-07"), NOW)
    sessions = sessions_of(APPLE, wanted, DAYS)
    stored = {date(2013, 2, day): count for day, count in counts.items()}

    found, gaps = gaps_of(sessions, DAYS, stored, lambda session, _: reasons.get(session.day.day, "nothing"))

    assert found == complete
    assert [(gap.first_day.day, gap.last_day.day, gap.sessions, gap.reason) for gap in gaps] == told


def test_fewer_bars_than_there_is_room_for_are_complete_when_that_is_all_there_is() -> None:
    wanted = Wanted.by(a_request(first_day="2013-02-04", last_day="2013-02-05"), NOW)
    sessions = sessions_of(APPLE, wanted, MINUTES)
    stored = {date(2013, 2, 4): 390, date(2013, 2, 5): 120}

    complete, gaps = gaps_of(sessions, MINUTES, stored, lambda _, count: None if count else "nothing")

    assert (complete, gaps) == (2, [])
