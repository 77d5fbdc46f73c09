"""What executions did to the money: equity and round trips, computed from columns after the run."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from engine.columns import BarColumns, Floats, Integers
from engine.exchange import Execution


@dataclass(frozen=True, eq=False)
class Curve:
    """The account at each distinct end of a bar; arrays of one shape `(times,)`.

    `equity` is cash plus the positions at their last closes, `gross` the sum of the positions' absolute values.
    """

    times_us: Integers
    equity: Floats
    gross: Floats
    cash: float
    """What the account began with."""


def curve(columns: BarColumns, executions: Sequence[Execution], cash: float) -> Curve:
    """The equity curve. Cash changes fill by fill, the book is summed contract after contract: the same bits always."""
    single = len(columns.contracts) == 1
    times = columns.end_us if single else np.unique(columns.end_us)
    executions = sorted(executions, key=lambda each: int(columns.end_us[each.row])) if not single else executions
    rows = np.array([each.row for each in executions], dtype=np.int64)
    quantities = np.array([each.quantity for each in executions])
    prices = np.array([each.price for each in executions])
    paid = quantities * prices + np.array([each.commission for each in executions])
    balances = np.subtract.accumulate(np.concatenate(([cash], paid)))
    equity = _carried(balances, np.searchsorted(times, columns.end_us[rows]), len(times))
    gross: Floats | None = None
    ids = np.array([each.contract_id for each in executions], dtype=np.int64)
    for contract_id, own in columns.rows.items():
        mine = ids == contract_id
        if not mine.any():
            continue
        held = np.concatenate(([0.0], np.cumsum(quantities[mine])))
        quantity = _carried(held, np.searchsorted(own, rows[mine]), len(own))
        if single:
            value = np.multiply(quantity, columns.close, out=quantity)
        else:
            value = quantity * columns.close[own]
            at = np.searchsorted(times, columns.end_us[own])
            value = _carried(np.concatenate(([0.0], value)), at, len(times))
        equity += value
        size = np.abs(value, out=value)
        gross = size if gross is None else np.add(gross, size, out=gross)
    return Curve(times, equity, np.zeros(len(times)) if gross is None else gross, cash)


def _carried(levels: Floats, at: Integers, length: int) -> Floats:
    """`levels[0]` up to position `at[0]`, then `levels[1]` up to `at[1]`, and so on: a step function of `length`."""
    return np.repeat(levels, np.diff(at, prepend=0, append=length))


class RoundTrip(msgspec.Struct, frozen=True, gc=False):
    """From flat to flat in one contract; a fill that passes zero ends one and begins the next.

    `quantity` is signed (negative: short) and counts all that was opened; prices are averages; `pnl` is net of
    `commission`, in money; `slippage` is already in the prices. An `open` trip is valued at the last close.
    """

    contract_id: int
    quantity: float
    entry_us: int
    exit_us: int
    entry_price: float
    exit_price: float
    bars: int
    commission: float
    slippage: float
    pnl: float
    open: bool

    @property
    def gain(self) -> float | None:
        """`pnl` as a fraction of what was put in; None for an entry at a price of zero."""
        put_in = abs(self.quantity * self.entry_price)
        return self.pnl / put_in if put_in else None


class _Trip:
    """A round trip that is under way."""

    __slots__ = ("closed", "commission", "entered", "entry_us", "left", "opened", "row", "slippage")

    def __init__(self, execution: Execution) -> None:
        self.row = execution.row
        self.entry_us = execution.time_us
        self.opened = self.closed = 0.0  # signed quantities
        self.entered = self.left = 0.0  # signed money
        self.commission = self.slippage = 0.0

    def take(self, execution: Execution, quantity: float) -> None:
        share = quantity / execution.quantity
        self.commission += execution.commission * share
        self.slippage += execution.slippage * abs(quantity)
        if self.opened * quantity >= 0:
            self.opened += quantity
            self.entered += quantity * execution.price
        else:
            self.closed += quantity
            self.left -= quantity * execution.price

    def end(self, contract_id: int, exit_us: int, bars: int, *, still_open: bool = False) -> RoundTrip:
        return RoundTrip(
            contract_id,
            self.opened,
            self.entry_us,
            exit_us,
            self.entered / self.opened,
            self.left / self.opened,
            bars,
            self.commission,
            self.slippage,
            self.left - self.entered - self.commission,
            still_open,
        )


def round_trips(columns: BarColumns, executions: Iterable[Execution]) -> tuple[RoundTrip, ...]:
    """All round trips in the order of their end, those still open last."""
    places = columns.places
    under_way: dict[int, _Trip] = {}
    ended: list[RoundTrip] = []
    for execution in executions:
        contract_id, rest = execution.contract_id, execution.quantity
        trip = under_way.get(contract_id)
        if trip is not None:
            held = trip.opened + trip.closed
            closing = rest if held * (held + rest) >= 0 else -held
            trip.take(execution, closing)
            rest -= closing
            if held + closing == 0:
                bars = int(places[execution.row] - places[trip.row])
                ended.append(trip.end(contract_id, execution.time_us, bars))
                del under_way[contract_id]
        if rest != 0:
            fresh = under_way[contract_id] = _Trip(execution)
            fresh.take(execution, rest)
    return (*ended, *(_valued(columns, places, contract_id, trip) for contract_id, trip in sorted(under_way.items())))


def _valued(columns: BarColumns, places: Integers, contract_id: int, trip: _Trip) -> RoundTrip:
    row = int(np.flatnonzero(columns.contract_id == contract_id)[-1])
    trip.left += (trip.opened + trip.closed) * float(columns.close[row])
    return trip.end(contract_id, int(columns.end_us[row]), int(places[row] - places[trip.row]) + 1, still_open=True)
