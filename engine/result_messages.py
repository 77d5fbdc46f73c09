"""A result as messages over a line, and a result out of messages that nobody vouches for."""

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, get_type_hints

import msgspec
import numpy as np

from engine.backtest import BacktestOptions, BacktestResult
from engine.columns import BarColumns

HANDED_IN = ("strategy", "parameters", "options", "columns")
"""Fields of a result that whoever hears it has already."""

_BATCH = 200
_KINDS = {"<f8": np.float64, "<i8": np.int64}
_NEAR = 1e-6


class NonsenseError(ValueError):
    """What was told is no result of these bars."""


def told_result(result: BacktestResult) -> Iterator[Any]:
    """`{"field", "value"}`, `{"field", "items"}` in batches, or `{"field", "array", "length"}` before raw bytes."""
    for each in fields(result):
        if each.name not in HANDED_IN:
            yield from _told_field(each.name, getattr(result, each.name))
    yield {"done": True, "class": result.strategy, "parameters": dict(result.parameters)}


def _told_field(name: str, value: Any) -> Iterator[Any]:
    if isinstance(value, np.ndarray):
        yield {"field": name, "array": value.dtype.str, "length": len(value)}
        yield np.ascontiguousarray(value)
    elif is_dataclass(value):
        yield {"field": name, "value": {}}
        for each in fields(value):
            yield from _told_field(f"{name}.{each.name}", getattr(value, each.name))
    elif isinstance(value, tuple | list):
        yield {"field": name, "items": []}
        for first in range(0, len(value), _BATCH):
            yield {"field": name, "items": msgspec.to_builtins(list(value[first : first + _BATCH]))}
    else:
        yield {"field": name, "value": msgspec.to_builtins(value)}


class Heard:
    """Gathers what is told of a run over `columns`. Everything raises NonsenseError for what cannot be."""

    def __init__(self, columns: BarColumns, options: BacktestOptions) -> None:
        self._columns = columns
        self._options = options
        self._told: dict[str, Any] = {}
        self._series = bytearray()
        self._awaited: tuple[str, type[Any], int] | None = None

    def take(self, message: Mapping[str, Any] | bytes) -> BacktestResult | None:
        """One message; the result with the last."""
        try:
            if isinstance(message, bytes):
                self._piece(message)
            elif message.get("done"):
                return self._result(message)
            else:
                self._field(message)
        except NonsenseError:
            raise
        except Exception as error:
            raise NonsenseError(f"the strategy's process told no result: {type(error).__name__} {error}") from error
        return None

    def _field(self, message: Mapping[str, Any]) -> None:
        place, name = self._place(message["field"])
        if "items" in message:
            place.setdefault(name, []).extend(message["items"])
        elif "array" in message:
            length = message["length"]
            if not 0 <= length <= len(self._columns):
                raise NonsenseError("the strategy's process told a series longer than there are bars")
            if self._awaited is not None:
                raise NonsenseError("the strategy's process began a series within another")
            self._awaited = (message["field"], _KINDS[message["array"]], length * 8) if length else None
            place[name] = np.empty(0, _KINDS[message["array"]])
        else:
            place[name] = message["value"]

    def _place(self, path: str) -> tuple[dict[str, Any], str]:
        place = self._told
        *outer, name = path.split(".")
        for each in outer:
            place = place[each]
        return place, name

    def _piece(self, piece: bytes) -> None:
        if self._awaited is None:
            raise NonsenseError("the strategy's process told a series without its name")
        path, kind, size = self._awaited
        self._series += piece
        if len(self._series) < size:
            return
        place, name = self._place(path)
        place[name] = series = np.frombuffer(bytes(self._series), kind)
        if len(self._series) > size or not np.isfinite(series).all():
            raise NonsenseError("the strategy's process told a series that is none")
        self._awaited, self._series = None, bytearray()

    def _result(self, last: Mapping[str, Any]) -> BacktestResult:
        hints = get_type_hints(BacktestResult)
        given = {
            name: msgspec.convert(value, hints[name], dec_hook=_as_array)
            for name, value in self._told.items()
            if name not in HANDED_IN
        }
        result = BacktestResult(
            strategy=str(last["class"])[:128],
            parameters=dict(last["parameters"]),
            options=self._options,
            columns=self._columns,
            **given,
        )
        self._look_at(result)
        return result

    def _look_at(self, result: BacktestResult) -> None:
        """Executions happened in a bar of the run; the account was told for as many moments as there are."""
        columns, told = self._columns, result.executions
        row = np.array([each.row for each in told], np.int64)
        if ((row < 0) | (row >= len(columns))).any():
            raise NonsenseError("the strategy's process told an execution in a bar which there is not")
        quantity, price, slippage, commission = (
            np.array([getattr(each, name) for each in told], np.float64)
            for name in ("quantity", "price", "slippage", "commission")
        )
        when = np.array([each.time_us for each in told], np.int64)
        beyond = np.abs(slippage) + _NEAR * np.maximum(1.0, np.abs(price))
        possible = (
            (columns.contract_id[row] == np.array([each.contract_id for each in told], np.int64))
            & ((columns.start_us[row] <= when) & (when <= columns.end_us[row]))
            & ((columns.low[row] - beyond <= price) & (price <= columns.high[row] + beyond))
            & ((quantity != 0) & np.isfinite(quantity) & np.isfinite(commission))
        )
        if not possible.all():
            number = int(np.argmin(possible))
            raise NonsenseError(f"the strategy's process told an execution that cannot be: {told[number]}"[:500])
        curve, moments = result.curve, len(np.unique(columns.end_us))
        if not len(curve.times_us) == len(curve.equity) == len(curve.gross) == moments:
            raise NonsenseError(f"the strategy's process told an account of {len(curve.times_us)} moments")


def _as_array(kind: type[Any], value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value
    raise NonsenseError(f"the strategy's process told {type(value).__name__} for a {kind}")
