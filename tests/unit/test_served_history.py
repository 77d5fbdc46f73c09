"""Parts of serving history: moments as people write them, larger bars of smaller ones, files made batch by batch."""

import io
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.bar_aggregation import aggregated, source_size
from infra.bar_files import CSV_HEADER, WRITERS, typed
from infra.bar_moments import MomentUnreadableError, first_moment, last_moment
from infra.calendars.calendar import calendar_of
from infra.columns import frame_of
from infra.served_history import COLUMNS
from tests.builders import SEEN, a_historical_bar

NEW_YORK = ZoneInfo("America/New_York")
LATEST = datetime(2013, 3, 31, 20, tzinfo=UTC)
OPENING = datetime(2013, 2, 28, 14, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("2013-02-28", "2013-02-28T05:00Z", "2013-03-01T05:00Z"),
        ("20130228", "2013-02-28T05:00Z", "2013-03-01T05:00Z"),
        ("2013-03-10", "2013-03-10T05:00Z", "2013-03-11T04:00Z"),
        ("2012-02", "2012-02-01T05:00Z", "2012-03-01T05:00Z"),
        ("2012", "2012-01-01T05:00Z", "2013-01-01T05:00Z"),
        ("2013-02-28T14:30:00Z", "2013-02-28T14:30Z", "2013-02-28T14:30Z"),
        ("2013-02-28 09:30", "2013-02-28T14:30Z", "2013-02-28T14:30Z"),
        ("30d", "2013-03-01T20:00Z", "2013-03-01T20:00Z"),
        ("1mo", "2013-02-28T20:00Z", "2013-02-28T20:00Z"),
        ("3y", "2010-03-31T20:00Z", "2010-03-31T20:00Z"),
        ("48h", "2013-03-29T20:00Z", "2013-03-29T20:00Z"),
    ],
)
def test_a_moment_can_be_written_in_many_ways(text: str, first: str, last: str) -> None:
    assert first_moment("start", text, NEW_YORK, LATEST) == datetime.fromisoformat(first)
    assert last_moment("end", text, NEW_YORK, LATEST) == datetime.fromisoformat(last)


@pytest.mark.parametrize(
    "text",
    ["", "yesterday", "2013-02-30", "0001-01-01", "9999", "-3d", "99999y", "30m", "1;DROP", "9" * 99],
)
def test_what_is_no_moment_is_told_with_examples(text: str) -> None:
    with pytest.raises(MomentUnreadableError, match=r"start: .*2013-02-28"):
        first_moment("start", text, NEW_YORK, LATEST)


@given(st.text(max_size=30))
def test_no_text_surprises(text: str) -> None:
    try:
        found = first_moment("start", text, NEW_YORK, LATEST)
    except MomentUnreadableError:
        return
    assert found.tzinfo is not None


def minutes(count: int, first: datetime = OPENING) -> pl.DataFrame:
    return frame_of(
        a_historical_bar(
            start=first + timedelta(minutes=n),
            bar_size=timedelta(minutes=1),
            open=100.0 + n,
            high=101.5 + n,
            low=99.0 + n,
            close=101.0 + n,
            volume=10.0,
            ingest_time=SEEN + timedelta(seconds=n),
        )
        for n in range(count)
    )


def test_the_smallest_step_to_a_size_is_taken_from_the_largest_that_divides_it() -> None:
    assert source_size(3600, [5, 60, 86_400]) == 60
    assert source_size(60, [5, 60]) == 60
    assert source_size(90, [60]) is None
    assert source_size(5, [60]) is None
    assert source_size(7 * 86_400, [86_400]) is None


def test_hours_are_counted_from_the_opening_and_the_last_one_ends_with_the_session() -> None:
    hours = aggregated(minutes(390), 3600, calendar_of("NASDAQ"))

    assert hours["start_us"].diff().drop_nulls().unique().to_list() == [3_600_000_000]
    assert hours["end_us"][-1] == minutes(390)["end_us"][-1]
    assert hours.row(0, named=True)["open"] == 100.0
    assert (hours["high"][0], hours["low"][0], hours["close"][0], hours["volume"][0]) == (160.5, 99.0, 160.0, 600.0)
    assert hours["ingest_us"][0] == minutes(60)["ingest_us"][-1]


def test_a_day_is_its_session_even_when_some_of_it_is_missing() -> None:
    day = aggregated(minutes(30, OPENING + timedelta(hours=1)), 86_400, calendar_of("NASDAQ"))

    assert (day["start_us"][0], day["end_us"][0]) == (minutes(390)["start_us"][0], minutes(390)["end_us"][-1])
    assert len(day) == 1


def test_without_a_calendar_bars_begin_at_whole_multiples() -> None:
    assert aggregated(minutes(60), 3600, None)["start_us"].to_list() == [
        minutes(60)["start_us"][0] - 1_800_000_000,
        minutes(60)["start_us"][30],
    ]


@pytest.mark.parametrize("sizes", [[], [1], [40, 2, 300]])
@pytest.mark.parametrize("kind", WRITERS)
def test_a_file_of_many_batches_is_the_file_of_all_bars(kind: str, sizes: list[int]) -> None:
    whole = minutes(sum(sizes)).select(COLUMNS)
    writer = WRITERS[kind](whole.head(0))
    first, written = 0, b""
    for size in sizes:
        written += writer.batch(whole[first : first + size])
        first += size
    written += b"".join(writer.rest())

    if kind == "csv":
        read = pl.read_csv(io.BytesIO(written))
        assert tuple(read.columns) == CSV_HEADER
        assert read["close"].to_list() == whole["close"].to_list()
        assert not sizes or read["time"][0] == "2013-02-28T14:30:00Z"
        return
    read = pl.read_ipc_stream(io.BytesIO(written)) if kind == "arrow" else pl.read_parquet(io.BytesIO(written))
    assert read.equals(typed(whole))
