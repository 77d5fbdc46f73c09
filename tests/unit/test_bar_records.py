"""Columns become the same records that the events would."""

from datetime import UTC, datetime, timedelta

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.bar_records import encode_bars
from infra.columns import frame_of
from schemas.market import Bar, Basis, HistoricalBar, PriceKind, Source
from tests.builders import a_bar, a_historical_bar

prices = st.floats(-1e12, 1e12, allow_nan=False) | st.integers(0, 10**7).map(lambda cents: cents / 100)
FIRST, LAST = datetime.fromisoformat("1970-01-02"), datetime.fromisoformat("2100-01-01")
instants = st.datetimes(FIRST, LAST, timezones=st.just(UTC))
moments = instants | instants.map(lambda moment: moment.replace(microsecond=0))


@st.composite
def bars(draw: st.DrawFn) -> HistoricalBar:
    low, opening, close, high = sorted(draw(st.lists(prices, min_size=4, max_size=4)))
    return a_historical_bar(
        contract_id=draw(st.sampled_from([1, 265598, 2**52])),
        start=draw(moments),
        bar_size=draw(
            st.sampled_from([timedelta(seconds=5), timedelta(hours=1), timedelta(days=1), timedelta(days=7)])
        ),
        low=low,
        open=opening,
        close=close,
        high=high,
        volume=draw(st.floats(0, 1e15)),
        ingest_time=draw(moments),
        source=draw(st.sampled_from(Source)),
        price_kind=draw(st.sampled_from(PriceKind)),
        basis=draw(st.sampled_from(Basis)),
        revision=draw(st.integers(0, 3)),
        late=draw(st.booleans()),
    )


@settings(deadline=None)
@given(st.lists(bars(), min_size=1, max_size=40))
def test_a_frame_is_written_byte_for_byte_like_its_events(events: list[HistoricalBar]) -> None:
    symbols = {event.contract_id: "AAPL" for event in events}

    written = encode_bars(HistoricalBar, frame_of(events), symbols).to_list()

    assert [HistoricalBar.model_validate_json(value) for value in written] == events
    plain = [event.to_json() for event in events]
    assert [value for value, wanted in zip(written, plain, strict=True) if b"e" not in _numbers(wanted)] == [
        wanted for wanted in plain if b"e" not in _numbers(wanted)
    ]


def _numbers(value: bytes) -> bytes:
    return (
        value[value.index(b'"open"') + 6 : value.index(b'"source"')].replace(b'"close"', b"").replace(b'"volume"', b"")
    )


def test_live_bars_are_written_too() -> None:
    frame = frame_of([a_bar(), a_bar(late=True)])

    assert encode_bars(Bar, frame, {265598: "AAPL"}).to_list() == [a_bar().to_json(), a_bar(late=True).to_json()]


def test_an_empty_frame_has_no_records() -> None:
    assert encode_bars(Bar, frame_of([]), {}).to_list() == pl.Series("value", [], dtype=pl.Binary).to_list()
