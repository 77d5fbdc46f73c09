"""Bars of a topic as columns, decoded many at a time, and the one digest of a set of bars.

Our own writers always write the same fields in the same order, so a poll of them is cut at the commas by polars' CSV
reader. Every row whose text is not exactly of that shape goes through the schema, one by one: it decides what is a bar.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
from pydantic import TypeAdapter, ValidationError

from infra.delivery import MalformedRecordError, Record, parse
from infra.topics import TopicSpec
from schemas.market import Bar, Basis, HistoricalBar, Source

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
        "basis": pl.String,
        "revision": pl.Int64,
        "late": pl.Boolean,
    }
)
"""One row a bar; `_us` are microseconds since 1970 UTC."""

NATURAL_KEY = ("contract_id", "bar_size_seconds", "start_us")

_PRICES = ("open", "high", "low", "close")
_FIELDS = tuple(Bar.model_fields)
_TEXT = pl.Schema(dict.fromkeys((*_FIELDS, "beyond"), pl.String))
_ODD = b"-"
"""Stands for a value that must not reach the CSV reader."""
_NAME = re.compile(r'"symbol":"[A-Za-z0-9][A-Za-z0-9._:/ -]{0,127}"')
_BAR_SIZE: TypeAdapter[timedelta] = TypeAdapter(Bar.model_fields["bar_size"].rebuild_annotation())
_SECOND = timedelta(seconds=1)
_SECONDS = "%Y-%m-%dT%H:%M:%S"


@dataclass(frozen=True)
class Decoded:
    """What a poll held: the bars in their order, and the places in the poll of what is none, with the reason."""

    frame: pl.DataFrame
    failures: tuple[tuple[int, str], ...]


def decode_bars(topic: TopicSpec, records: Sequence[Record]) -> Decoded:
    """Bars of one topic of bars as a frame of BAR_SCHEMA."""
    if not records:
        return Decoded(BAR_SCHEMA.to_frame(), ())
    values = [_ODD if record.value is None or record.headers else record.value for record in records]
    if max(map(len, values)) > topic.message_max_bytes:
        values = [_ODD if len(value) > topic.message_max_bytes else value for value in values]
    text = b"\n".join(values)
    if text.count(b"\n") != len(values) - 1 or b"" in values or not text.isascii():
        values = [value if value and value.isascii() and b"\n" not in value else _ODD for value in values]
        text = b"\n".join(values)
    frame, odd = _cut(text, topic.classes[0].__name__)
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
        "start_us": _microseconds(bar.start),
        "end_us": _microseconds(bar.event_time),
        "ingest_us": _microseconds(bar.ingest_time),
        **{name: getattr(bar, name) for name in (*_PRICES, "volume")},
        "source": bar.source.value,
        "basis": bar.basis.value,
        "revision": bar.revision,
        "late": bar.late,
    }


def frame_of(bars: Iterable[Bar | HistoricalBar]) -> pl.DataFrame:
    """Events as a frame of BAR_SCHEMA; raises MalformedRecordError for a bar that is not of whole seconds."""
    return pl.DataFrame([_row(bar) for bar in bars], schema=BAR_SCHEMA)


def _microseconds(moment: Any) -> int:
    return int(moment.timestamp()) * 1_000_000 + int(moment.microsecond)


def _whole_seconds(size: timedelta) -> int:
    if size % _SECOND:
        raise MalformedRecordError(f"bar_size: {size} is not a whole number of seconds")
    return size // _SECOND


# the quick way: each column is text like `"open":440.5`, prefix and all


def _cut(text: bytes, event_type: str) -> tuple[pl.DataFrame, list[int]]:
    """A row for each line, and which rows are not exactly of our shape: nothing in those means anything."""
    cut = pl.read_csv(
        text,
        separator=",",
        quote_char=None,
        has_header=False,
        schema=_TEXT,
        truncate_ragged_lines=True,
        missing_columns="insert",
    )
    found = cut.select(_SURVEY).row(0, named=True)
    frame = cut.select(
        **_NUMBERS,
        **{name: _TIMES[name].reading(found[f"{name} min"], found[f"{name} max"]) for name in _TIMES},
        **{name: _meanings(name, found[name], meaning, BAR_SCHEMA[column]) for name, column, meaning in _FEW},
        right=pl.all_horizontal(
            _SHAPE,
            _meanings("symbol", found["symbol"], _is_name, pl.Boolean()),
            pl.col("type") == f'"type":"{event_type}"}}',
        ),
    )
    frame = frame.select(_NAMED)
    # asking each column as a whole is cheap; only when one of them says no, each row is asked
    if not any(column.null_count() for column in frame) and frame.select(_ALL_RULES).item():
        return frame.drop("right"), []
    odd = frame.select(pl.all_horizontal(*_RULES).fill_null(value=False)).to_series().not_()
    return frame.drop("right"), odd.arg_true().to_list()


def _prefix(name: str) -> str:
    return ("{" if name == _FIELDS[0] else "") + f'"{name}":'


def _number(name: str) -> pl.Expr:
    return pl.col(name).str.slice(len(_prefix(name))).cast(BAR_SCHEMA[name], strict=False)


class _Time:
    """Microseconds of `"start":"2013-02-28T17:00:05Z"`, also with six digits of a fraction before the Z."""

    def __init__(self, name: str) -> None:
        begin = len(_prefix(name)) + 1
        self._short, self._long = begin + 21, begin + 28
        text = pl.col(name)
        whole = text.str.slice(begin, 19).str.to_datetime(_SECONDS, time_unit="us", strict=False).cast(pl.Int64)
        fraction = pl.when(text.str.slice(begin + 19, 1) == ".").then(
            text.str.slice(begin + 20, 6).cast(pl.Int64, strict=False)
        )
        size = text.str.len_bytes()
        self._whole = whole
        self._fractional = whole + fraction
        self._either = pl.when(size == self._short).then(whole).when(size == self._long).then(whole + fraction)

    def reading(self, size_min: int | None, size_max: int | None) -> pl.Expr:
        """The quickest expression for texts of these sizes."""
        if size_min != size_max:
            return self._either
        return {self._short: self._whole, self._long: self._fractional}.get(size_min or 0, pl.lit(None, pl.Int64))


def _seconds_of(text: str) -> int | None:
    try:
        return _whole_seconds(_BAR_SIZE.validate_json(text.removeprefix(_prefix("bar_size"))))
    except (ValidationError, MalformedRecordError):
        return None


def _is_name(text: str) -> bool:
    return _NAME.fullmatch(text) is not None


def _meanings(name: str, texts: Sequence[str | None], meaning: Callable[[str], Any], dtype: pl.DataType) -> pl.Expr:
    """What each of a column's few different texts means; null where it means nothing."""
    known = {text: meaning(text) for text in texts if text is not None}
    if len(texts) == 1:
        return pl.lit(known.get(texts[0] or ""), dtype=dtype)
    return pl.col(name).replace_strict(known, default=None, return_dtype=dtype)


_NUMBERS = {name: _number(name) for name in ("contract_id", *_PRICES, "volume", "revision")}
_TIMES = {name: _Time(name) for name in ("start", "event_time", "ingest_time")}
_FEW: tuple[tuple[str, str, Callable[[str], Any]], ...] = (
    ("bar_size", "bar_size_seconds", _seconds_of),
    ("source", "source", {f'"source":"{each}"': each.value for each in Source}.get),
    ("basis", "basis", {f'"basis":"{each}"': each.value for each in Basis}.get),
    ("late", "late", {'"late":false': False, '"late":true': True}.get),
)
_SURVEY = [
    *(pl.col(name).unique().implode() for name in ("symbol", *(name for name, _, _ in _FEW))),
    *(pl.col(name).str.len_bytes().min().alias(f"{name} min") for name in _TIMES),
    *(pl.col(name).str.len_bytes().max().alias(f"{name} max") for name in _TIMES),
]
_RENAMED = {"bar_size_seconds": "bar_size", "start_us": "start", "end_us": "event_time", "ingest_us": "ingest_time"}
_NAMED = [*(pl.col(_RENAMED.get(name, name)).alias(name) for name in BAR_SCHEMA), pl.col("right")]
_SHAPE = pl.all_horizontal(
    *(pl.col(name).str.starts_with(_prefix(name)) for name in _NUMBERS),
    *(pl.col(name).str.starts_with(_prefix(name) + '"') & pl.col(name).str.ends_with('Z"') for name in _TIMES),
    pl.col("beyond").is_null(),
)
_RULES = (
    *(pl.col(name).is_finite() for name in (*_PRICES, "volume")),
    *(pl.col(name).is_not_null() for name in BAR_SCHEMA),
    pl.col("contract_id").is_between(1, 2**53 - 1),
    pl.col("low") <= pl.min_horizontal("open", "close"),
    pl.col("high") >= pl.max_horizontal("open", "close"),
    pl.col("volume") >= 0,
    pl.col("end_us") > pl.col("start_us"),
    pl.col("revision").is_between(0, 2**31 - 1),
    pl.col("right"),
)
"""The schema's rules, by column; null where a field is missing or is not what it has to be."""
_ALL_RULES = pl.all_horizontal(*(rule.all(ignore_nulls=False) for rule in _RULES))


# one set of bars, one digest

_DIGESTED = (*NATURAL_KEY, *_PRICES, "volume")
_PACKED = np.dtype([(name, ">i8" if name in NATURAL_KEY else ">f8") for name in _DIGESTED])


def newest(frame: pl.DataFrame) -> pl.DataFrame:
    """One row per natural key (contract, bar size, start), sorted by it: the highest revision, then the latest seen."""
    ranking = [name for name in ("revision", "ingest_us") if name in frame.columns]
    return frame.sort(*NATURAL_KEY, *ranking, maintain_order=True).unique(NATURAL_KEY, keep="last", maintain_order=True)


def bar_digest(frame: pl.DataFrame) -> str:
    """SHA-256 over the newest bar of each natural key, in the order of the keys.

    Each bar counts with 64 bytes, all big-endian: contract_id, bar_size_seconds and start_us as int64, then open, high,
    low, close and volume as float64. Where the bars come from, and in which order, makes no difference.
    """
    bars = newest(frame)
    packed = np.empty(len(bars), dtype=_PACKED)
    for name in _DIGESTED:
        column = bars[name].to_numpy()
        packed[name] = column if name in NATURAL_KEY else column + 0.0  # -0.0 is 0.0
    return hashlib.sha256(packed.tobytes()).hexdigest()
