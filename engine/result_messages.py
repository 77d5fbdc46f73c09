"""A result as messages over a line, and a result out of messages that nobody vouches for.

What happened is told: orders that filled or were denied, splits, flows of money. What it did to the account is computed
by whoever hears it, so that no code inside can make up a curve.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from engine.backtest import BacktestOptions, BacktestResult
from engine.columns import BarColumns, Floats, Integers
from engine.exchange import Execution
from engine.exchange.account import CashFlow
from engine.executions import ExecutionColumns
from engine.facts import CorporateAction, Split
from engine.ledger import SplitDone, Turns, curve
from engine.market import Market
from engine.order_requests import OrderNews

SERIES_MAX = 16
"""Indicators whose values are told, as far as SERIES_BYTES_MAX go: a chart of a very long run does without."""
SERIES_BYTES_MAX = 128 * 2**20

_BATCH = 200
_REASON_MAX = 200
_NAME_MAX = 128
_NEAR = 1e-6
_AMOUNT_MAX = 1e18
_DEPTH_MAX = 5
_LISTS: dict[str, Any] = {
    "executions": list[Execution],
    "denied": list[OrderNews],
    "flows": list[CashFlow],
    "splits": list[SplitDone],
}


class NonsenseError(ValueError):
    """What was told is no result of these bars."""

    def __init__(self, why: str) -> None:
        super().__init__(f"the strategy's process told no result: {why}"[:500])


def told_result(result: BacktestResult) -> Iterator[Any]:
    """`{"list", "items"}` in batches, as JSON already; `{"series"}` before raw bytes, and `{"done", ...}` at last."""
    lists = {
        "executions": result.executions,
        "denied": result.denied,
        "flows": result.turns.flows,
        "splits": result.turns.splits,
    }
    for name, items in lists.items():
        for first in range(0, len(items), _BATCH):
            batch = [_short(each) for each in items[first : first + _BATCH]]
            yield msgspec.json.encode({"list": name, "items": batch}).decode()
    few = min(SERIES_MAX, SERIES_BYTES_MAX // (8 * len(result.columns)))
    for name, values in list(result.indicators.items())[:few]:
        yield {"series": name[:_NAME_MAX]}
        yield np.ascontiguousarray(values, np.float64)
    yield {
        "done": True,
        "class": result.strategy[:_NAME_MAX],
        "parameters": dict(result.parameters),
        "unfilled": result.unfilled,
        "warmup": result.warmup,
    }


def _short(item: Any) -> Any:
    """A message has a bound, and a strategy's reasons have none."""
    reason = getattr(item, "reason", "")
    return msgspec.structs.replace(item, reason=reason[:_REASON_MAX]) if len(reason) > _REASON_MAX else item


class _End(msgspec.Struct, forbid_unknown_fields=True):
    """The last message."""

    done: bool
    name: str = msgspec.field(name="class")
    parameters: dict[str, Any]
    unfilled: int
    warmup: int


class Heard:
    """Gathers what is told of a run over `columns` in a `market`. Raises NonsenseError for what cannot be."""

    def __init__(self, columns: BarColumns, options: BacktestOptions, market: Market | None = None) -> None:
        self._columns = columns
        self._options = options
        self._market = market or Market()
        self._lists: dict[str, list[Any]] = {name: [] for name in _LISTS}
        self._series: dict[str, bytearray] = {}
        self._awaited = 0

    def take(self, message: Mapping[str, Any] | bytes) -> BacktestResult | None:
        """One message or piece of a series; the result with the last."""
        if isinstance(message, bytes):
            self._piece(message)
            return None
        try:
            if "done" in message:
                return self._result(msgspec.convert(message, _End))
            if "series" in message:
                self._begin(str(message["series"])[:_NAME_MAX])
            else:
                name = message["list"]
                self._lists[name] += msgspec.convert(message["items"], _LISTS[name])
        except (KeyError, TypeError, OverflowError, msgspec.ValidationError) as error:
            raise NonsenseError(f"{type(error).__name__} {error}") from error
        return None

    def _begin(self, name: str) -> None:
        if self._awaited or name in self._series or len(self._series) >= SERIES_MAX:
            raise NonsenseError("a series too many")
        self._series[name] = bytearray()
        self._awaited = 8 * len(self._columns)

    def _piece(self, piece: bytes) -> None:
        if len(piece) > self._awaited:
            raise NonsenseError("more values than there are bars")
        self._series[next(reversed(self._series))] += piece
        self._awaited -= len(piece)

    def _result(self, end: _End) -> BacktestResult:
        if self._awaited:
            raise NonsenseError("fewer values than there are bars")
        if not _is_shallow(end.parameters, _DEPTH_MAX):
            raise NonsenseError("parameters within parameters without end")
        executions = tuple(self._lists["executions"])
        done = ExecutionColumns.of(executions)
        self._look_at(done, executions)
        try:
            return self._summed_up(executions, done, end)
        except NonsenseError:
            raise
        except (ArithmeticError, LookupError, ValueError) as error:
            raise NonsenseError(f"it does not add up: {type(error).__name__} {error}") from error

    def _summed_up(self, executions: tuple[Execution, ...], done: ExecutionColumns, end: _End) -> BacktestResult:
        turns = Turns(tuple(self._lists["flows"]), tuple(self._lists["splits"]), self._market)
        self._look_at_splits(executions, turns.splits)
        if any(abs(each.amount) > _AMOUNT_MAX for each in turns.flows):
            raise NonsenseError("a flow of money beyond reason")
        account = curve(self._columns, done, self._options.cash, turns)
        return BacktestResult(
            strategy=end.name,
            parameters=end.parameters,
            options=self._options,
            columns=self._columns,
            executions=executions,
            curve=account,
            unfilled=end.unfilled,
            warmup=end.warmup,
            turns=turns,
            denied=tuple(self._lists["denied"]),
            indicators={name: _floats(values) for name, values in self._series.items()},
        )

    def _look_at(self, done: ExecutionColumns, executions: Sequence[Execution]) -> None:
        """Each happened in a bar of the run, within its time and its prices."""
        columns, row, when, price = self._columns, done.row, done.time_us, done.price
        if ((row < 0) | (row >= len(columns))).any():
            raise NonsenseError("an execution in a bar which there is not")
        beyond = np.abs(done.slippage) + _NEAR * np.maximum(1.0, np.abs(price))
        worth = self._worth(done.contract_id, when)
        possible = (
            (columns.contract_id[row] == done.contract_id)
            & ((columns.start_us[row] <= when) & (when <= columns.end_us[row]))
            & ((columns.low[row] - beyond <= price) & (price <= columns.high[row] + beyond))
            & (np.abs(done.rate - worth) <= _NEAR * worth)
            & ((done.quantity != 0) & (np.abs(done.quantity * price) < _AMOUNT_MAX))
            & (np.abs(done.commission) < _AMOUNT_MAX)
        )
        if not possible.all():
            raise NonsenseError(f"it has an execution that cannot be: {executions[int(np.argmin(possible))]}")

    def _worth(self, contract_id: Integers, when: Integers) -> Floats:
        """What a unit of each contract's currency was worth then."""
        worth = np.ones(len(when))
        for each in self._market.currencies:
            mine = contract_id == each
            known = self._market.worth_column(each, when[mine])
            worth[mine] = 1.0 if known is None else known
        return worth

    def _look_at_splits(self, executions: tuple[Execution, ...], splits: Sequence[SplitDone]) -> None:
        """Each is one that was handed in, at its bar, and makes of what was held what it makes of it."""
        columns, open_ = self._columns, [each for each in self._market.actions if isinstance(each, Split)]
        for number, told in enumerate(splits):
            mine = [each for each in open_ if (each.contract_id, each.ratio) == (told.contract_id, told.ratio)]
            found = next((each for each in mine if first_after(columns, each) == told.row), None)
            exact = _held_before(told, executions, splits[:number]) * told.ratio
            adds_up = abs(told.held + told.fraction - exact) <= _NEAR * max(1.0, abs(exact))
            fair = abs(told.fraction) < self._options.lot and told.price == columns.open[told.row]
            if found is None or not (adds_up and fair):
                raise NonsenseError(f"it has a split that cannot be: {told}")
            open_.remove(found)


def _held_before(split: SplitDone, executions: Iterable[Execution], earlier: Sequence[SplitDone]) -> float:
    """What was held of its contract when it came; what fills at its own bar comes after it."""
    before = [each for each in earlier if each.contract_id == split.contract_id]
    since, held = (before[-1].row, before[-1].held) if before else (-1, 0.0)
    mine = (each for each in executions if each.contract_id == split.contract_id and since <= each.row < split.row)
    return held + sum(each.quantity for each in mine)


def first_after(columns: BarColumns, action: CorporateAction) -> int:
    """The row of the contract's first bar after an action; -1 when there is none."""
    own = columns.rows.get(action.contract_id)
    place = 0 if own is None else int(np.searchsorted(columns.start_us[own], action.time_us))
    return -1 if own is None or place >= len(own) else int(own[place])


def _is_shallow(value: Any, levels: int) -> bool:
    """Whether lists and dicts nest no deeper than `levels`."""
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels >= 0 and all(_is_shallow(each, levels - 1) for each in inside)


def _floats(raw: bytearray) -> Floats:
    return np.frombuffer(bytes(raw), np.float64)
