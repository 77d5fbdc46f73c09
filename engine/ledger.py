"""What executions did to the money: equity and round trips, computed from columns after the run."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import msgspec
import numpy as np

from engine.columns import BarColumns, Floats, Integers
from engine.exchange import Execution
from engine.exchange.account import CashFlow
from engine.executions import ExecutionColumns
from engine.market import Market


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


class SplitDone(msgspec.Struct, frozen=True, gc=False):
    """A split that came before the open of `row`: what is held since, and the part of a share sold at that `price`."""

    row: int
    contract_id: int
    ratio: float
    held: float
    fraction: float
    price: float


@dataclass(frozen=True, eq=False)
class Turns:
    """What changed cash and positions beside executions: flows of money and splits in their order; and the market whose
    rates price contracts of other currencies."""

    flows: tuple[CashFlow, ...] = ()
    splits: tuple[SplitDone, ...] = ()
    market: Market = field(default_factory=Market)


def curve(columns: BarColumns, executions: Sequence[Execution], cash: float, turns: Turns | None = None) -> Curve:
    """The equity curve. Cash changes fill by fill, the book is summed contract after contract: the same bits always."""
    single = len(columns.contracts) == 1
    times = columns.end_us if single else columns.end_us[columns.stops - 1]
    done = ExecutionColumns.of(executions)
    if not single:
        done = done.taken(np.argsort(columns.end_us[done.row], kind="stable"))
    paid = done.quantity * done.price + done.commission
    turns = turns or Turns()
    if turns.market.currencies:
        paid = paid * done.rate
    at = np.searchsorted(times, columns.end_us[done.row])
    if turns.flows:
        paid, at = _with_flows(paid, at, turns.flows, times)
    balances = np.subtract.accumulate(np.concatenate(([cash], paid)))
    equity = _carried(balances, at, len(times))
    if len(columns) < len(times) * len(columns.contracts):  # a contract without a bar is worth what it was
        at = columns.arranged(np.repeat(np.arange(len(times)), np.diff(columns.stops, prepend=0)))
    gross: Floats | None = None
    for own, held in _values(columns, done, turns):
        here = held if len(held) == len(times) else _carried(np.concatenate(([0.0], held)), at[own], len(times))
        equity += here
        size = np.abs(here, out=here)
        gross = size if gross is None else np.add(gross, size, out=gross)
    return Curve(times, equity, np.zeros(len(times)) if gross is None else gross, cash)


def _values(columns: BarColumns, done: ExecutionColumns, turns: Turns) -> Iterator[tuple[slice, Floats]]:
    """Of each contract that was traded, in their order: which part of `columns.order` is its own, and what was held of
    it at the ends of its bars, in money."""
    close = columns.arranged(columns.close)
    order = np.argsort(done.contract_id, kind="stable")
    quantities, places = done.quantity[order], done.row[order]
    if len(columns.contracts) > 1:
        places = columns.places[places]
    numbers = np.array(columns.contracts)
    first, last = (np.searchsorted(done.contract_id[order], numbers, side=side) for side in ("left", "right"))
    edges = zip(first.tolist(), last.tolist(), pairwise(columns.offsets.tolist()), strict=True)
    for contract_id, (begin, end, part) in zip(columns.contracts, edges, strict=True):
        if begin == end:
            continue
        own = slice(*part)
        splits = [each for each in turns.splits if each.contract_id == contract_id]
        steps = [(int(np.searchsorted(columns.rows[contract_id], each.row)), each.held) for each in splits]
        quantity = _carried(*_levels(quantities[begin:end], places[begin:end], steps), own.stop - own.start)
        ends = columns.end_us[columns.rows[contract_id]] if turns.market.currencies else columns.end_us[:0]
        worth = turns.market.worth_column(contract_id, ends)
        yield own, np.multiply(quantity, close[own] if worth is None else close[own] * worth, out=quantity)


def _with_flows(paid: Floats, at: Integers, flows: Sequence[CashFlow], times: Integers) -> tuple[Floats, Integers]:
    """Payments with the flows among them, each before what is paid at the same time or later."""
    flow_at = np.searchsorted(times, np.array([each.time_us for each in flows]), side="right")
    flow_at = np.minimum(flow_at, len(times) - 1)
    whole = np.concatenate((-np.array([each.amount for each in flows]), paid))
    places = np.concatenate((flow_at, at))
    order = np.argsort(places, kind="stable")
    return whole[order], places[order]


def _levels(quantities: Floats, at: Integers, splits: Sequence[tuple[int, float]]) -> tuple[Floats, Integers]:
    """What is held before and after each change, and at which of the contract's bars it changes; after a split it is
    what the split says."""
    if not splits:
        return np.concatenate(([0.0], np.cumsum(quantities))), at
    done = list(splits)
    held, levels, places = 0.0, [0.0], []
    for place, change in zip(at.tolist(), quantities.tolist(), strict=True):
        while done and done[0][0] <= place:
            places.append(done[0][0])
            held = done.pop(0)[1]
            levels.append(held)
        held += change
        places.append(place)
        levels.append(held)
    for place, after in done:
        places.append(place)
        levels.append(after)
    return np.array(levels), np.array(places, dtype=np.int64)


def _carried(levels: Floats, at: Integers, length: int) -> Floats:
    """`levels[0]` up to position `at[0]`, then `levels[1]` up to `at[1]`, and so on: a step function of `length`."""
    edges = np.empty(len(at) + 2, dtype=np.int64)
    edges[0], edges[1:-1], edges[-1] = 0, at, length
    return np.repeat(levels, edges[1:] - edges[:-1])


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


class Trip:
    """A round trip that is under way."""

    __slots__ = ("closed", "commission", "earned", "entered", "entry_us", "left", "opened", "row", "slippage")

    def __init__(self, execution: Execution) -> None:
        self.row = execution.row
        self.entry_us = execution.time_us
        self.opened = self.closed = 0.0  # signed quantities
        self.entered = self.left = 0.0  # signed money
        self.commission = self.slippage = 0.0
        self.earned = 0.0  # in the account's currency; of a contract in that currency `left - entered` says it

    def take(self, execution: Execution, quantity: float) -> None:
        share = quantity / execution.quantity
        self.commission += execution.commission * share
        self.slippage += execution.slippage * abs(quantity)
        self.earned -= (quantity * execution.price + execution.commission * share) * execution.rate
        if self.opened * quantity >= 0:
            self.opened += quantity
            self.entered += quantity * execution.price
        else:
            self.closed += quantity
            self.left -= quantity * execution.price

    def split(self, done: SplitDone) -> None:
        self.opened *= done.ratio
        self.closed *= done.ratio
        self.closed -= done.fraction
        self.left += done.fraction * done.price
        self.earned += done.fraction * done.price

    def end(
        self, contract_id: int, exit_us: int, bars: int, *, still_open: bool = False, foreign: bool = False
    ) -> RoundTrip:
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
            self.earned if foreign else self.left - self.entered - self.commission,
            still_open,
        )


def round_trips(
    columns: BarColumns, executions: Iterable[Execution], turns: Turns | None = None
) -> tuple[RoundTrip, ...]:
    """All round trips in the order of their end, those still open last; profits in the account's currency."""
    turns = turns or Turns()
    foreign, splits = turns.market.currencies, list(turns.splits)
    places = columns.places
    under_way: dict[int, Trip] = {}
    ended: list[RoundTrip] = []
    for execution in executions:
        _split_until(under_way, splits, execution.row)
        contract_id, rest = execution.contract_id, execution.quantity
        trip = under_way.get(contract_id)
        if trip is not None:
            held = trip.opened + trip.closed
            closing = rest if held * (held + rest) >= 0 else -held
            trip.take(execution, closing)
            rest -= closing
            if held + closing == 0:
                bars = int(places[execution.row] - places[trip.row])
                ended.append(trip.end(contract_id, execution.time_us, bars, foreign=contract_id in foreign))
                del under_way[contract_id]
        if rest != 0:
            fresh = under_way[contract_id] = Trip(execution)
            fresh.take(execution, rest)
    _split_until(under_way, splits, len(columns))
    return (*ended, *(_valued(columns, contract_id, trip, turns) for contract_id, trip in sorted(under_way.items())))


def _split_until(under_way: Mapping[int, Trip], splits: list[SplitDone], row: int) -> None:
    while splits and splits[0].row <= row:
        done = splits.pop(0)
        if done.contract_id in under_way:
            under_way[done.contract_id].split(done)


def _valued(columns: BarColumns, contract_id: int, trip: Trip, turns: Turns) -> RoundTrip:
    row = int(np.flatnonzero(columns.contract_id == contract_id)[-1])
    value = (trip.opened + trip.closed) * float(columns.close[row])
    trip.left += value
    trip.earned += value * turns.market.worth(contract_id, int(columns.end_us[row]))
    bars = int(columns.places[row] - columns.places[trip.row]) + 1
    foreign = contract_id in turns.market.currencies
    return trip.end(contract_id, int(columns.end_us[row]), bars, still_open=True, foreign=foreign)
