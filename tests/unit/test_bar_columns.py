"""Bars by column: the quick way reads what the schema reads, and never accepts what the schema refuses."""

import re
import string
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import cast

import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from infra import columns
from infra.columns import BAR_SCHEMA, bar_digest, decode_bars, frame_of, newest
from infra.delivery import MalformedRecordError, parse
from infra.topics import load_catalogue
from schemas.market import Basis, HistoricalBar, PriceKind, Source
from tests.builders import APPLE, NOON, a_bar, a_historical_bar

Reader = Callable[[Sequence[bytes], str], tuple[pl.DataFrame, list[int]]]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
HISTORY = load_catalogue().topic("market.history.v1")


@dataclass
class OneRecord:
    """A record of the history topic as aiokafka gives it."""

    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]] = ()
    topic: str = "scizor.market.history.v1"
    partition: int = 0
    offset: int = 0
    timestamp: int = 0
    key: bytes | None = b"1"
    unused: None = field(default=None)


def records(*values: bytes | None) -> list[OneRecord]:
    return [OneRecord(value) for value in values]


READERS = {"by column": columns._cut, "compiled": columns._parsed}
WAYS = pytest.mark.parametrize("many", [False, True], ids=list(READERS))
"""Each reads as the schema does."""


@pytest.fixture(params=READERS.values(), ids=list(READERS))
def reader(request: pytest.FixtureRequest) -> Reader:
    """A quick way alone: it makes of values the frame and the rows it leaves to the schema."""
    return cast(Reader, request.param)


prices = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False, width=64),
    st.decimals(-10_000, 10_000, places=2).map(float),
    st.integers(-(10**6), 10**6).map(float),
)
moments = st.integers(-62_000_000_000, 250_000_000_000).map(lambda n: EPOCH + timedelta(seconds=n)) | st.integers(
    -62_000_000_000_000_000, 250_000_000_000_000_000
).map(lambda n: EPOCH + timedelta(microseconds=n))


@st.composite
def bars(draw: st.DrawFn) -> HistoricalBar:
    opening, high, low, close = (draw(prices) for _ in range(4))
    start = draw(moments)
    return a_historical_bar(
        contract_id=draw(st.integers(1, 2**53 - 1)),
        symbol=draw(st.text(string.ascii_letters + string.digits, min_size=1, max_size=40)),
        bar_size=draw(st.sampled_from([timedelta(seconds=n) for n in (1, 5, 60, 3600, 86_400, 2_678_400)])),
        start=start,
        event_time=draw(
            moments.filter(lambda end: end > start) if start.year < 9999 else st.just(datetime.max.replace(tzinfo=UTC))
        ),
        ingest_time=draw(moments),
        open=opening,
        high=max(opening, high, low, close),
        low=min(opening, high, low, close),
        close=close,
        volume=abs(draw(prices)),
        source=draw(st.sampled_from(Source)),
        price_kind=draw(st.sampled_from(PriceKind)),
        basis=draw(st.sampled_from(Basis)),
        revision=draw(st.integers(0, 2**31 - 1)),
        late=draw(st.booleans()),
    )


@WAYS
@given(some=st.lists(bars(), min_size=1, max_size=8))
def test_what_is_written_is_read_to_the_last_bit(some: list[HistoricalBar], many: bool) -> None:
    decoded = decode_bars(HISTORY, records(*(bar.to_json() for bar in some)), many=many)
    assert decoded.failures == ()
    assert decoded.frame.equals(frame_of(some))
    assert [value.hex() for value in decoded.frame["close"]] == [bar.close.hex() for bar in some]


ORDINARY = [
    a_historical_bar(
        start=NOON + timedelta(minutes=n), open=440.0 + n / 100, volume=float(10**n), contract_id=APPLE + n
    )
    for n in range(8)
]


def test_ordinary_bars_never_need_the_schema(reader: Reader) -> None:
    frame, odd = reader([bar.to_json() for bar in ORDINARY], "HistoricalBar")
    assert odd == []
    assert frame.equals(frame_of(ORDINARY))


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])  # a reader has no state
@given(data=st.data())
def test_a_changed_text_is_read_as_the_schema_reads_it_or_left_to_it(reader: Reader, data: st.DataObject) -> None:
    text = bytearray(data.draw(bars()).to_json())
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(text) - 1))
        change = data.draw(
            st.sampled_from([b"", b"0", b".", b"-", b",", b'"', b"Z", b"e5", b"\n", b" ", b"9", b"{", b"\xff", b":"])
        )
        text[place : place + data.draw(st.integers(0, 2))] = change
    changed = bytes(text)
    neighbour = ORDINARY[0].to_json()
    frame, odd = reader([neighbour, changed, neighbour], "HistoricalBar")
    assert set(odd) <= {1}, "a neighbour suffers"
    if not odd:
        assert frame[1:2].equals(frame_of([HistoricalBar.model_validate_json(changed)]))


BROKEN = {
    "no value": None,
    "nothing": b"",
    "no JSON": b"{not json",
    "not UTF-8": b"\xff\xfe\x00",
    "only commas": b"," * 16,
    "another type": a_bar().to_json(),
    "high below close": ORDINARY[0].to_json().replace(b'"high":441.5', b'"high":1.0'),
    "not a number": ORDINARY[0].to_json().replace(b'"volume":1.0', b'"volume":NaN'),
    "negative volume": ORDINARY[0].to_json().replace(b'"volume":1.0', b'"volume":-1.0'),
    "ends before it starts": ORDINARY[0].to_json().replace(b'"event_time":"2013', b'"event_time":"2012'),
    "no such day": ORDINARY[0].to_json().replace(b'"start":"2013-02-28', b'"start":"2013-02-29'),
    "part of a second": a_historical_bar(bar_size=timedelta(milliseconds=500)).to_json(),
    "two bars in one value": ORDINARY[0].to_json() + b"\n" + ORDINARY[1].to_json(),
    "a name with a comma": ORDINARY[0].to_json().replace(b"AAPL", b"AA,PL"),
    "too large": ORDINARY[0].to_json() + b" " * 1_100_000,
}


@WAYS
@pytest.mark.parametrize("value", BROKEN.values(), ids=BROKEN.keys())
def test_a_malformed_record_is_told_with_its_place_and_its_neighbours_are_kept(value: bytes | None, many: bool) -> None:
    first, last = ORDINARY[0], ORDINARY[1]
    decoded = decode_bars(HISTORY, records(first.to_json(), value, last.to_json()), many=many)
    assert decoded.frame.equals(frame_of([first, last]))
    ((place, reason),) = decoded.failures
    assert place == 1
    assert reason


def test_a_record_with_a_broken_header_is_malformed_and_with_good_ones_is_a_bar() -> None:
    good = ORDINARY[0].to_json()
    decoded = decode_bars(HISTORY, [OneRecord(good, [("a", b"\xff")]), OneRecord(good, [("a", b"b")]), OneRecord(good)])
    assert [place for place, _ in decoded.failures] == [0]
    assert decoded.frame.equals(frame_of([ORDINARY[0]] * 2))


@pytest.mark.parametrize(
    "text",
    [
        ORDINARY[0].to_json().replace(b',"type"', b',"added_later":[1,2],"type"'),
        ORDINARY[0].to_json().replace(b'":', b'": ').replace(b',"', b', "'),
        ORDINARY[0].to_json().replace(b'"volume":1.0', b'"volume":1'),
        ORDINARY[0].to_json().replace(b'"volume":1.0', b'"volume":1e0'),
        ORDINARY[0].to_json().replace(b"17:00:00Z", b"18:00:00+01:00"),
        b'{"type":"HistoricalBar",' + ORDINARY[0].to_json()[1:].replace(b',"type":"HistoricalBar"', b""),
    ],
    ids=["a new field", "spaces", "an integer", "an exponent", "another time zone", "another order"],
)
@WAYS
def test_what_others_write_in_their_way_is_a_bar_too(text: bytes, many: bool) -> None:
    decoded = decode_bars(HISTORY, records(text, ORDINARY[1].to_json()), many=many)
    assert decoded.failures == ()
    assert decoded.frame.equals(frame_of(ORDINARY[:2]))


def test_the_schema_and_the_columns_refuse_for_the_same_reasons() -> None:
    for value in BROKEN.values():
        if value != BROKEN["part of a second"]:
            with pytest.raises(MalformedRecordError):
                parse(HISTORY, OneRecord(value))


@WAYS
def test_more_than_is_read_at_once_keeps_its_order_and_places(monkeypatch: pytest.MonkeyPatch, many: bool) -> None:
    monkeypatch.setattr(columns, "_AT_ONCE", 3)
    values = [bar.to_json() for bar in ORDINARY]
    decoded = decode_bars(HISTORY, records(*values[:4], b"{", *values[4:], b"["), many=many)
    assert decoded.frame.equals(frame_of(ORDINARY))
    assert [place for place, _ in decoded.failures] == [4, 9]


# every one of these is a bar whose open is that number
NUMBERS = [
    "0.0", "-0.0", "0.1", "-440.25", "9007199254740992.0", "9007199254740993.0", "900719925474099.3",
    "0.30000000000000004",
    "97.27285714285714", "63.272857142857141", "0.0000000000000000000001", "0.00000000000000000000001", "1e5", "1.5E-7",
    "123456789012345.0", "1234567890123456.0", "12345678901234567890.5", "4.35", "2.675", "1.0000000000000000",
]  # fmt: skip


@WAYS
def test_a_number_is_the_nearest_there_is(many: bool) -> None:
    pattern = rb'"(open|high|low|close)":[^,]*'
    values = [re.sub(pattern, rb'"\1":' + text.encode(), ORDINARY[0].to_json()) for text in NUMBERS]
    decoded = decode_bars(HISTORY, records(*values), many=many)
    assert [value.hex() for value in decoded.frame["open"]] == [float(text).hex() for text in NUMBERS]
    assert decoded.failures == ()


@given(digits=st.integers(0, 2**53 + 2), places=st.integers(1, 23), negative=st.booleans())
def test_a_compiled_number_is_exact_however_many_places_it_has(digits: int, places: int, negative: bool) -> None:
    text = str(digits).rjust(places + 1, "0")
    number = f"{'-' * negative}{text[:-places]}.{text[-places:]}"
    value = re.sub(rb'"(open|high|low|close)":[^,]*', rb'"\1":' + number.encode(), ORDINARY[0].to_json())
    frame, odd = columns._parsed([value], "HistoricalBar")
    assert odd or frame["open"][0].hex() == float(number).hex()
    assert bool(odd) == (digits > 2**53 or places > 22 or len(text) - places > 15)


def test_more_texts_than_are_told_apart_are_left_to_the_schema(reader: Reader) -> None:
    some = [ORDINARY[0].revised(bar_size=timedelta(seconds=1 + n)) for n in range(20)]
    _, odd = reader([bar.to_json() for bar in some], "HistoricalBar")
    assert odd == [16, 17, 18, 19]
    for many in (False, True):
        assert decode_bars(HISTORY, records(*(bar.to_json() for bar in some)), many=many).frame.equals(frame_of(some))


def test_what_reads_little_does_not_load_the_compiler() -> None:
    program = (
        "import sys; import consumers.persister, infra.bar_replay, infra.series_replay; "
        "from tests.unit.test_bar_columns import HISTORY, ORDINARY, decode_bars, records; "
        "assert len(decode_bars(HISTORY, records(*(bar.to_json() for bar in ORDINARY))).frame) == 8; "
        "sys.exit(' '.join(each for each in sys.modules if each.startswith('numba')) or 0)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_nothing_is_an_empty_frame() -> None:
    assert decode_bars(HISTORY, []).frame.schema == BAR_SCHEMA
    assert frame_of([]).schema == BAR_SCHEMA


@settings(max_examples=10)
@given(st.permutations(ORDINARY))
@example(ORDINARY)
def test_the_digest_knows_no_order_and_no_repeats(some: list[HistoricalBar]) -> None:
    assert bar_digest(frame_of([*some, *some[:3]])) == bar_digest(frame_of(ORDINARY))


def test_the_digest_tells_every_value_and_key_apart() -> None:
    plain = ORDINARY[0]
    others = [
        plain.revised(contract_id=1),
        plain.revised(bar_size=timedelta(minutes=1)),
        plain.revised(start=plain.start - timedelta(microseconds=1)),
        plain.revised(open=440.0000000001),
        plain.revised(volume=2.0),
        plain.revised(price_kind=PriceKind.MIDPOINT),
        plain.revised(basis=Basis.TOTAL_RETURN),
    ]
    assert len({bar_digest(frame_of([bar])) for bar in [plain, *others]}) == 8
    assert bar_digest(frame_of([plain.revised(source=Source.IB)])) == bar_digest(frame_of([plain]))


def test_the_newest_revision_counts() -> None:
    corrected = ORDINARY[0].revised(revision=2, volume=5.0)
    frame = frame_of([corrected, ORDINARY[0].revised(revision=1), ORDINARY[0]])
    assert newest(frame)["volume"].to_list() == [5.0]
    assert bar_digest(frame) == bar_digest(frame_of([corrected]))
