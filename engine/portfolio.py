"""What is held and what it earned: the fold of all executions; order of arrival, repeats and corrections do not matter.

Of every execution the newest revision counts, and executions count in the order in which they happened.
"""

import uuid
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import TypeVar

from schemas.orders import Commission, Fill, FillBusted, FillCorrected, FillEvent, Side

ZERO = Decimal(0)
_SMALLEST = Decimal("0.00000001")
_Known = TypeVar("_Known")
_TRIPS = uuid.uuid5(uuid.NAMESPACE_URL, "urn:scizor:round-trips")


def exactly(amount: Decimal) -> Decimal:
    """Money as it is stored: rounded to 8 places, without zeros at the end."""
    rounded = amount.quantize(_SMALLEST, ROUND_HALF_EVEN)
    whole = rounded.to_integral_value()
    return whole if whole == rounded else rounded.normalize()


@dataclass(frozen=True, slots=True)
class Execution:
    """One revision of one execution; `quantity` is signed, and 0 when the execution was busted."""

    execution_id: str
    revision: int
    quantity: Decimal
    price: Decimal
    executed_at: datetime
    strategy_id: str = ""

    @property
    def place(self) -> tuple[datetime, str]:
        """Where it stands among the executions of its contract."""
        return self.executed_at, self.execution_id


def execution_of(event: Fill | FillCorrected | FillBusted) -> Execution:
    if isinstance(event, FillBusted):
        return Execution(event.execution_id, event.revision, ZERO, ZERO, event.event_time)
    quantity = event.last_quantity * event.side.sign
    return Execution(
        event.execution_id, event.revision, quantity, event.last_price, event.event_time, event.strategy_id
    )


@dataclass(frozen=True, slots=True)
class Holding:
    """Signed quantity, the average price it was opened at, and what closing has earned before commissions."""

    quantity: Decimal = ZERO
    average_price: Decimal = ZERO
    realised: Decimal = ZERO

    def after(self, quantity: Decimal, price: Decimal) -> "Holding":
        """With one execution more: adding moves the average, reducing earns, passing zero begins anew."""
        before, now = self.quantity, self.quantity + quantity
        if quantity == 0:
            return self
        if before * quantity >= 0:
            average = exactly((before * self.average_price + quantity * price) / now)
            return Holding(now, average, self.realised)
        closed = quantity if before * now >= 0 else -before
        realised = exactly(self.realised - closed * (price - self.average_price))
        if now == 0:
            return Holding(now, ZERO, realised)
        return Holding(now, self.average_price if before * now > 0 else price, realised)


def hold(executions: Iterable[Execution]) -> Holding:
    """What executions of one contract, at most one revision of each, add up to."""
    holding = Holding()
    for execution in sorted(executions, key=lambda each: each.place):
        holding = holding.after(execution.quantity, execution.price)
    return holding


@dataclass(slots=True)
class RoundTrip:
    """From flat to flat, or through zero to the other side. `quantity` is all that was opened, without sign."""

    trade_id: str
    strategy_id: str
    side: Side
    opened_at: datetime
    closed_at: datetime | None = None
    quantity: Decimal = ZERO
    closed: Decimal = ZERO
    paid_in: Decimal = ZERO
    paid_out: Decimal = ZERO
    legs: list[tuple[str, Decimal]] = field(default_factory=list)
    """(execution id, which share of it belongs to this trip)"""

    @property
    def entry_price(self) -> Decimal:
        return exactly(self.paid_in / self.quantity)

    @property
    def exit_price(self) -> Decimal:
        return exactly(self.paid_out / self.closed) if self.closed else ZERO

    @property
    def gross_pnl(self) -> Decimal:
        return exactly((self.paid_out - self.paid_in) * self.side.sign)


@dataclass(frozen=True, slots=True)
class Step:
    """One execution that counts, and the holding after it."""

    execution: Execution
    holding: Holding


class ContractLedger:
    """All executions of one contract in one account, or a strategy's part of them, and what follows from them."""

    def __init__(self, account_id: str, contract_id: int) -> None:
        self.account_id = account_id
        self.contract_id = contract_id
        self.symbol = ""
        self.currency = "USD"
        self.holding = Holding()
        self._executions: dict[str, Execution] = {}
        self._commissions: dict[str, tuple[int, Decimal]] = {}
        self._last: tuple[datetime, str] | None = None
        self._steps: dict[str, Step] = {}
        self._changed_steps: dict[str, Step] = {}
        self._gone_steps: set[str] = set()
        self._trips: list[RoundTrip] = []
        self._trips_of: dict[str, list[RoundTrip]] = {}
        self._changed: dict[str, RoundTrip] = {}
        self._gone: set[str] = set()

    @property
    def steps(self) -> list[Step]:
        """Every execution that counts, in the order in which they happened."""
        return list(self._steps.values())

    @property
    def changed_trips(self) -> list[RoundTrip]:
        """Ended round trips that are new or different since `told`."""
        return [trip for trip in self._changed.values() if trip.closed_at is not None]

    @property
    def gone_trips(self) -> set[str]:
        """Ids of round trips that a correction has undone since `told`."""
        return {trade_id for trade_id, trip in self._changed.items() if trip.closed_at is None} | self._gone

    @property
    def changed_steps(self) -> list[Step]:
        """Executions that count, and are new or leave something else behind since `told`."""
        return list(self._changed_steps.values())

    @property
    def gone_steps(self) -> set[str]:
        """Ids of executions that count no more since `told`."""
        return set(self._gone_steps)

    def told(self) -> None:
        """Somebody has taken note of the changes."""
        for changes in (self._changed, self._gone, self._changed_steps, self._gone_steps):
            changes.clear()

    @property
    def fills(self) -> int:
        """How many executions count."""
        return sum(1 for execution in self._executions.values() if execution.quantity)

    @property
    def updated_at(self) -> datetime | None:
        """When the last execution happened."""
        return self._last[0] if self._last else None

    @property
    def commission(self) -> Decimal:
        return sum((self.cost_of(root) for root in self._commissions), ZERO)

    @property
    def round_trips(self) -> Iterator[RoundTrip]:
        """Those that ended, in the order of their end."""
        return (trip for trip in self._trips if trip.closed_at is not None)

    def commission_of(self, trip: RoundTrip) -> Decimal:
        return exactly(sum((self.cost_of(root) * share for root, share in trip.legs), ZERO))

    def counts(self, root: str) -> bool:
        """Whether an execution is known here, and was not taken back."""
        return root in self._steps

    def cost_of(self, root: str) -> Decimal:
        """Commission of one execution; 0 while it has not been told, and of one that never was."""
        execution = self._executions.get(root)
        if execution is None or not execution.quantity:
            return ZERO
        return self._commissions.get(root, (0, ZERO))[1]

    def take(self, execution: Execution) -> bool:
        """Fold one revision in; False when this or a newer one was known."""
        root = execution.execution_id
        known = self._executions.get(root)
        if known is not None and known.revision >= execution.revision:
            return False
        self._executions[root] = execution
        if known is None and (self._last is None or execution.place > self._last):
            self._count(execution)
        else:
            self._count_again()
        return True

    def charge(self, root: str, revision: int, amount: Decimal) -> bool:
        """Note what an execution cost; False when this or a newer revision was known."""
        if self._commissions.get(root, (0, ZERO))[0] >= revision:
            return False
        self._commissions[root] = (revision, amount)
        self._changed |= {trip.trade_id: trip for trip in self._trips_of.get(root, ())}
        if (step := self._steps.get(root)) is not None:
            self._changed_steps[root] = step
        return True

    def _count_again(self) -> None:
        """From the first execution on; what comes out as it was known is no change."""
        trips, untold_trips = {trip.trade_id: trip for trip in self._trips}, self._changed.keys()
        steps, untold_steps = self._steps, self._changed_steps.keys()
        self.holding, self._last, self._trips, self._trips_of, self._changed = Holding(), None, [], {}, {}
        self._steps, self._changed_steps = {}, {}
        for execution in sorted(self._executions.values(), key=lambda each: each.place):
            self._count(execution)
        self._changed = _new_in(self._changed, trips, untold_trips)
        self._changed_steps = _new_in(self._changed_steps, steps, untold_steps)
        self._gone = (self._gone | trips.keys()) - {trip.trade_id for trip in self._trips}
        self._gone_steps = (self._gone_steps | steps.keys()) - self._steps.keys()

    def _count(self, execution: Execution) -> None:
        self._last = execution.place
        if not execution.quantity:
            return
        held = self.holding.quantity
        self.holding = self.holding.after(execution.quantity, execution.price)
        step = Step(execution, self.holding)
        self._steps[execution.execution_id] = self._changed_steps[execution.execution_id] = step
        closing = ZERO
        if held * execution.quantity < 0:
            closing = -held if held * self.holding.quantity < 0 else execution.quantity
            self._leg(execution, closing, opens=False)
        if opening := execution.quantity - closing:
            self._leg(execution, opening, opens=True)

    def _leg(self, execution: Execution, quantity: Decimal, *, opens: bool) -> None:
        if not self._trips or self._trips[-1].closed_at is not None:
            name = f"{self.account_id}\0{self.contract_id}\0{execution.execution_id}"
            side = Side.BUY if quantity > 0 else Side.SELL
            trade_id = str(uuid.uuid5(_TRIPS, name))
            self._trips.append(RoundTrip(trade_id, execution.strategy_id, side, execution.executed_at))
        trip = self._trips[-1]
        self._changed[trip.trade_id] = trip
        self._trips_of.setdefault(execution.execution_id, []).append(trip)
        trip.legs.append((execution.execution_id, quantity / execution.quantity))
        money = abs(quantity) * execution.price
        if opens:
            trip.quantity += abs(quantity)
            trip.paid_in += money
        else:
            trip.closed += abs(quantity)
            trip.paid_out += money
            if trip.closed == trip.quantity:
                trip.closed_at = execution.executed_at


def _new_in(now: dict[str, _Known], before: Mapping[str, _Known], untold: Set[str]) -> dict[str, _Known]:
    """What nobody has been told of yet, or is not as it was."""
    return {name: each for name, each in now.items() if name in untold or before.get(name) != each}


class Portfolio:
    """The ledgers of all contracts of all accounts, and of each strategy's part in them."""

    def __init__(self) -> None:
        self.ledgers: dict[tuple[str, int], ContractLedger] = {}
        self._parts: dict[tuple[str, int], dict[str, ContractLedger]] = {}
        self._contract_of: dict[tuple[str, str], int] = {}
        self._strategy_of: dict[tuple[str, str], str] = {}
        self._waiting: dict[tuple[str, str], Commission] = {}

    def parts(self, account_id: str, contract_id: int) -> dict[str, ContractLedger]:
        """By strategy, what its own executions of a contract come to: round trips are those of one strategy."""
        return self._parts.get((account_id, contract_id), {})

    def apply(self, event: FillEvent) -> ContractLedger | None:
        """Fold one event in; returns the ledger that changed, None for what was known already.

        A commission may come before its execution: it waits. Raises ValueError when a revision names another contract.
        """
        key = (event.account_id, event.execution_id)
        if isinstance(event, Commission):
            return self._charge(key, event)
        contract_id = self._contract_of.setdefault(key, event.contract_id)
        if contract_id != event.contract_id:
            raise ValueError(f"execution {event.execution_id} is of contract {contract_id}, not {event.contract_id}")
        place = (event.account_id, contract_id)
        ledger = self.ledgers.setdefault(place, ContractLedger(*place))
        execution = execution_of(event)
        changed = ledger.take(execution)
        if not isinstance(event, FillBusted):
            ledger.symbol, ledger.currency = event.symbol, event.currency
            self._strategy_of.setdefault(key, event.strategy_id)
        if changed and (strategy := self._strategy_of.get(key)) is not None:
            parts = self._parts.setdefault(place, {})
            parts.setdefault(strategy, ContractLedger(*place)).take(execution)
        if waiting := self._waiting.pop(key, None):
            changed = self._charge(key, waiting) is not None or changed
        return ledger if changed else None

    def _charge(self, key: tuple[str, str], event: Commission) -> ContractLedger | None:
        contract_id = self._contract_of.get(key)
        if contract_id is None:
            waiting = self._waiting.get(key)
            if waiting is None or waiting.revision < event.revision:
                self._waiting[key] = event
            return None
        place = (event.account_id, contract_id)
        strategy = self._strategy_of.get(key)
        if strategy is not None and (part := self._parts.get(place, {}).get(strategy)) is not None:
            part.charge(event.execution_id, event.revision, event.amount)
        ledger = self.ledgers[place]
        return ledger if ledger.charge(event.execution_id, event.revision, event.amount) else None
