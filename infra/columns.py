"""Bars of a topic as columns, decoded many at a time, and the one digest of a set of bars.

Our own writers always write a bar in the same way, so a poll of them is read by column (bar_text). Every row whose
text is not exactly of that shape goes through the schema, one by one: it decides what is a bar.
"""

import functools
import hashlib
import operator
import string
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from infra import bar_text
from infra.bar_text import Fields, Frames, Numbers
from infra.delivery import MalformedRecordError, Record, parse
from infra.topics import TopicSpec
from schemas.market import Bar, Basis, HistoricalBar, PriceKind, Source
from schemas.moments import to_microseconds

if TYPE_CHECKING:
    from infra import bar_parser

MANY = 50_000
"""From so many bars on, what reads them in compiled code is worth loading."""

BAR_SCHEMA = pl.Schema(
    {
        "contract_id": pl.Int64,
        "bar_size_seconds": pl.Int64,
        "start_us": pl.Int64,
        "end_us": pl.Int64,
        "ingest_us": pl.Int64,
        "open": pl.Float64,
        "high": pl.Float64,
        "low": pl.Float64,
        "close": pl.Float64,
        "volume": pl.Float64,
        "source": pl.String,
        "price_kind": pl.String,
        "basis": pl.String,
        "revision": pl.Int64,
        "late": pl.Boolean,
    }
)
"""One row a bar; `_us` are microseconds since 1970 UTC."""

NATURAL_KEY = ("contract_id", "bar_size_seconds", "start_us", "price_kind", "basis")
"""Of one key a reader wants one bar: the newest revision, whichever source it has. A table keeps them all."""

_PRICES = ("open", "high", "low", "close")
_FIELDS = tuple(Bar.model_fields)
_AT_ONCE = 5_000
"""Records whose text, and what is read of it, stays in a processor's cache."""
_ODD = b"-"
"""Stands for a value that the quick way must not see."""
_VALUE, _HEADERS = operator.attrgetter("value"), operator.attrgetter("headers")
_BAR_SIZE: TypeAdapter[timedelta] = TypeAdapter(Bar.model_fields["bar_size"].rebuild_annotation())
_SECOND = timedelta(seconds=1)


@dataclass(frozen=True)
class Decoded:
    """What a poll held: the bars in their order, and the places in the poll of what is none, with the reason."""

    frame: pl.DataFrame
    failures: tuple[tuple[int, str], ...]


def decode_bars(topic: TopicSpec, records: Sequence[Record], *, many: bool = False) -> Decoded:
    """Bars of one topic of bars as a frame of BAR_SCHEMA; `many` when these are some of at least MANY bars."""
    read, at_once = (_parsed, 2 * _AT_ONCE) if many else (_cut, _AT_ONCE)
    if len(records) <= at_once:
        return _decode(topic, records, read)
    parts = [_decode(topic, records[first : first + at_once], read) for first in range(0, len(records), at_once)]
    failures = [
        (number * at_once + place, reason) for number, part in enumerate(parts) for place, reason in part.failures
    ]
    return Decoded(pl.concat([part.frame for part in parts]), tuple(failures))


def _decode(topic: TopicSpec, records: Sequence[Record], read: "_Read") -> Decoded:
    if not records:
        return Decoded(BAR_SCHEMA.to_frame(), ())
    values: list[Any] = list(map(_VALUE, records))
    if None in values or any(map(_HEADERS, records)):
        values = [_ODD if record.value is None or record.headers else record.value for record in records]
    if max(map(len, values)) > topic.message_max_bytes:
        values = [_ODD if len(value) > topic.message_max_bytes else value for value in values]
    frame, odd = read(values, topic.classes[0].__name__)
    return _with_odd_ones(topic, records, frame, odd) if odd else Decoded(frame, ())


def _with_odd_ones(topic: TopicSpec, records: Sequence[Record], frame: pl.DataFrame, odd: Sequence[int]) -> Decoded:
    """Let the schema decide about the rows that are not exactly of our shape."""
    rows: list[dict[str, Any]] = []
    places: list[int] = []
    failures: list[tuple[int, str]] = []
    for place in odd:
        try:
            bar = parse(topic, records[place])
            assert isinstance(bar, Bar | HistoricalBar), f"{topic.name} is no topic of bars"
            rows.append(_row(bar))
            places.append(place)
        except MalformedRecordError as error:
            failures.append((place, str(error)))
    good = frame.with_row_index("place").filter(~pl.col("place").is_in(odd))
    slow = pl.DataFrame(rows, schema=BAR_SCHEMA).insert_column(0, pl.Series("place", places, dtype=pl.UInt32))
    return Decoded(pl.concat([good, slow]).sort("place").drop("place"), tuple(failures))


def _row(bar: Bar | HistoricalBar) -> dict[str, Any]:
    return {
        "contract_id": bar.contract_id,
        "bar_size_seconds": _whole_seconds(bar.bar_size),
        "start_us": to_microseconds(bar.start),
        "end_us": to_microseconds(bar.event_time),
        "ingest_us": to_microseconds(bar.ingest_time),
        **{name: getattr(bar, name) for name in (*_PRICES, "volume")},
        "source": bar.source.value,
        "price_kind": bar.price_kind.value,
        "basis": bar.basis.value,
        "revision": bar.revision,
        "late": bar.late,
    }


def frame_of(bars: Iterable[Bar | HistoricalBar]) -> pl.DataFrame:
    """Events as a frame of BAR_SCHEMA; raises MalformedRecordError for a bar that is not of whole seconds."""
    return pl.DataFrame([_row(bar) for bar in bars], schema=BAR_SCHEMA)


def _whole_seconds(size: timedelta) -> int:
    if size % _SECOND:
        raise MalformedRecordError(f"bar_size: {size} is not a whole number of seconds")
    return size // _SECOND


# the quick ways: a row for each value, and which of them are not exactly of our shape: nothing in those rows means
# anything

_Read = Callable[[Sequence[bytes], str], tuple[pl.DataFrame, list[int]]]


def _parsed(values: Sequence[bytes], event_type: str) -> tuple[pl.DataFrame, list[int]]:
    """Row by row, in compiled code."""
    from infra import bar_parser  # numba is loaded where there is much to read

    rows = bar_parser.read(values, _shape(event_type))
    columns: dict[str, Any] = dict(zip(_DECIMAL, rows.floats, strict=True))
    columns |= dict(zip((name for name in _FIELDS if name in _INTEGERS), rows.integers, strict=True))
    for name, texts in zip((name for name in _FIELDS if name in _FEW), rows.kinds, strict=True):
        columns[name], good = _meanings(name, columns[name], texts)
        rows.right[~good] = False
    return _checked(columns, rows.right)


def _cut(values: Sequence[bytes], event_type: str) -> tuple[pl.DataFrame, list[int]]:
    """Column by column."""
    fields, wrong = Fields.cut(values, len(_FIELDS))
    right = fields.framed(_FRAMES)
    right[wrong] = False
    begins, ends = fields.inside(_FRAMES)
    columns: dict[str, Any] = {}
    for names, read in ((_TIMES, bar_text.times), (_WHOLE, bar_text.whole_numbers), (_DECIMAL, bar_text.decimals)):
        rows = [_FIELDS.index(name) for name in names]
        found, good = read(fields, begins[rows], ends[rows])
        columns |= dict(zip(names, found, strict=True))
        right &= good.all(axis=0)
    for name in _FEW:
        row = _FIELDS.index(name)
        columns[name], good = _meanings(name, *bar_text.kinds(fields, begins[row], ends[row], _KINDS_MAX))
        right &= good
    row = _FIELDS.index("symbol")
    right &= bar_text.names(fields, begins[row], ends[row], _FIRST, _OTHERS)
    right &= fields.equal(begins[-1], event_type.encode()) & (ends[-1] - begins[-1] == len(event_type))
    return _checked(columns, right)


def _checked(columns: dict[str, Any], right: NDArray[np.bool_]) -> tuple[pl.DataFrame, list[int]]:
    right &= _obeys_rules(columns)
    frame = pl.DataFrame(
        [pl.Series(name, columns[_FIELD_OF.get(name, name)], dtype=dtype) for name, dtype in BAR_SCHEMA.items()]
    )
    return frame, np.flatnonzero(~right).tolist()


def _meanings(name: str, numbers: Numbers, texts: Sequence[bytes]) -> tuple[pl.Series, NDArray[np.bool_]]:
    """What the texts of a field mean, as a column, and which rows have a text with a meaning."""
    meanings = [_FEW[name](text) for text in texts]
    if len(meanings) == 1 and meanings[0] is not None and not numbers.any():
        return pl.Series(meanings).new_from_index(0, len(numbers)), np.ones(len(numbers), dtype=bool)
    known = np.array([meaning is not None for meaning in meanings] + [False])
    return pl.Series([*meanings, None]).gather(np.where(numbers < 0, len(meanings), numbers)), known[numbers]


def _seconds_of(text: bytes) -> int | None:
    try:
        return _whole_seconds(_BAR_SIZE.validate_json(b'"' + text + b'"'))
    except (ValidationError, MalformedRecordError):
        return None


def _obeys_rules(columns: dict[str, Any]) -> NDArray[np.bool_]:
    """What the schema demands beyond types."""
    opening, high, low, close = (columns[name] for name in _PRICES)
    obeys: NDArray[np.bool_] = (low <= np.minimum(opening, close)) & (high >= np.maximum(opening, close))
    obeys &= (columns["volume"] >= 0) & (columns["event_time"] > columns["start"])
    obeys &= (columns["contract_id"] > 0) & (columns["contract_id"] < 2**53) & (columns["revision"] < 2**31)
    return obeys


_KINDS_MAX = 16
_FIRST = (string.ascii_letters + string.digits).encode()
_OTHERS = _FIRST + b"._:/ -"
"""Characters of names."""
_TIMES = ("start", "event_time", "ingest_time")
_WHOLE = ("contract_id", "revision")
_DECIMAL = (*_PRICES, "volume")
_FEW: dict[str, Callable[[bytes], Any]] = {
    "bar_size": _seconds_of,
    "source": {each.value.encode(): each.value for each in Source}.get,
    "price_kind": {each.value.encode(): each.value for each in PriceKind}.get,
    "basis": {each.value.encode(): each.value for each in Basis}.get,
    "late": {b"false": False, b"true": True}.get,
}
_INTEGERS = {*_TIMES, *_WHOLE, *_FEW}
_FIELD_OF = {"bar_size_seconds": "bar_size", "start_us": "start", "end_us": "event_time", "ingest_us": "ingest_time"}


def _frame_of_field(name: str) -> tuple[bytes, bytes]:
    """What stands before and after a field's value."""
    quote = b"" if name in (*_WHOLE, *_DECIMAL, "late") else b'"'
    before = (b"{" if name == _FIELDS[0] else b"") + f'"{name}":'.encode() + quote
    return before, quote + (b"}" if name == _FIELDS[-1] else b"")


_FRAMES = Frames([_frame_of_field(name) for name in _FIELDS])


@functools.cache
def _shape(event_type: str) -> "bar_parser.Shape":
    from infra import bar_parser

    sorts = {
        **dict.fromkeys(_TIMES, bar_parser.TIME),
        **dict.fromkeys(_WHOLE, bar_parser.WHOLE),
        **dict.fromkeys(_DECIMAL, bar_parser.DECIMAL),
        **dict.fromkeys(_FEW, bar_parser.KIND),
        "symbol": bar_parser.NAME,
    }
    fields = [name for name in _FIELDS if name != "type"]
    before = [_frame_of_field(name)[0] for name in _FIELDS]
    after = [b"", *(_frame_of_field(name)[1] + b"," for name in fields)]
    frames = [last + first for last, first in zip(after, before, strict=True)]
    frames[-1] += event_type.encode() + _frame_of_field("type")[1]
    return bar_parser.Shape([sorts[name] for name in fields], frames, _FIRST, _OTHERS)


# one set of bars, one digest

_WORDS = {"price_kind": [each.value for each in PriceKind], "basis": [each.value for each in Basis]}
_PACKED = np.dtype(
    [
        *((name, "u1" if name in _WORDS else ">i8") for name in NATURAL_KEY),
        *((name, ">f8") for name in (*_PRICES, "volume")),
    ]
)


def newest(frame: pl.DataFrame) -> pl.DataFrame:
    """One row per natural key, sorted by it: the highest revision, then the latest seen."""
    ranking = [name for name in ("revision", "ingest_us") if name in frame.columns]
    return frame.sort(*NATURAL_KEY, *ranking, maintain_order=True).unique(NATURAL_KEY, keep="last", maintain_order=True)


def bar_digest(frame: pl.DataFrame) -> str:
    """SHA-256 over the newest bar of each natural key, in the order of the keys.

    Each bar counts with 66 bytes, numbers big-endian: contract_id, bar_size_seconds and start_us as int64, the places
    of price_kind and basis in their enumerations as a byte each, then open, high, low, close and volume as float64.
    Where the bars come from, and in which order, makes no difference.
    """
    bars = newest(frame)
    packed = np.empty(len(bars), dtype=_PACKED)
    for name in _PACKED.names or ():
        column = bars[name]
        if name in _WORDS:
            packed[name] = column.replace_strict(_WORDS[name], range(len(_WORDS[name])), return_dtype=pl.UInt8)
        else:
            packed[name] = column if name in NATURAL_KEY else column.to_numpy() + 0.0  # -0.0 is 0.0
    return hashlib.sha256(packed.tobytes()).hexdigest()
