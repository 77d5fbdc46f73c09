"""Faults that wait for their moment: which events there are, what is armed, and what has fired."""

import os
import signal
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from infra.errors import UsageError
from infra.gateway_simulator.faults.actions import LYING, NAMELESS, TO_MESSAGE, TO_RECEIVED, TO_SENT, Action
from infra.gateway_simulator.faults.moments import FILTERS, When
from infra.gateway_simulator.market.noise import pick
from infra.gateway_simulator.protocol.names import ANSWERS, ERROR, ORDER_STATUS, REQUESTS, SENT, answer_of, id_in
from infra.gateway_simulator.protocol.wire import Value

# What can be waited for. `... received` happens when the whole frame is there, before it is acted upon; `... sent` when
# a message is about to leave; `... noted` when the ledger writes that line, which needs nobody to be connected.
DESK_EVENTS = (
    "ack sent",
    "status sent",
    "fill sent",
    "commission sent",
    "cancel sent",
    "error sent",
    "historical bars",
    "realtime bar sent",
    "tick sent",
    "executions end",
    "account download end",
)
"""By what a message means here; some messages have such a name beside IB's own."""
NOTED = frozenset(
    {
        "connected",
        "disconnected",
        "turned_away",
        "order_received",
        "order_accepted",
        "order_changed",
        "order_ended",
        "order_refused",
        "fill",
        "correction",
        "bust",
    }
)
NOTED_EVENTS = tuple(f"{kind} noted" for kind in sorted(NOTED))
EVENTS = (
    "request received",
    *(f"{each.name} received" for each in REQUESTS.values()),
    *(f"{each.name} sent" for each in ANSWERS.values() if each.name != "error"),
    *DESK_EVENTS,
    *NOTED_EVENTS,
)
SIGNALS = {name: getattr(signal, f"SIG{name}") for name in ("KILL", "STOP", "CONT", "TERM")}
ARMED_MAX = 1000
FIRED_MAX = 10_000
PROCESSES_MAX = 1000
_CHANCES = 1_000_000


@dataclass(frozen=True, slots=True)
class Event:
    """A message that came or is about to leave, or a line of the ledger; `wire` is the name by IB's own word."""

    name: str
    client_id: int
    symbol: str = ""
    order_id: int | None = None
    message: int = 0
    wire: str = ""
    request_id: int | None = None
    code: int | None = None
    status: str = ""
    order_ref: str = ""


def sent_event(values: tuple[Value, ...], told: tuple[str, int, str, int | None]) -> Event:
    """A message that is about to leave; `told` is what its desk calls it, and of which client, symbol and order."""
    event, client_id, symbol, order_id = told
    named = answer_of(values[0])
    wire = SENT.get(values[0], "")
    code = int(str(values[3])) if values[0] == ERROR else None
    status = str(values[2]) if values[0] == ORDER_STATUS else ""
    return Event(event or wire, client_id, symbol, order_id, 0, wire, id_in(named, values), code, status)


@dataclass(slots=True)
class Armed:
    """One fault waiting for its event: from the `nth` that fits on, until it has struck `times`."""

    number: int
    name: str
    when: When
    action: Action
    seed: int = 0
    seen: int = 0
    struck: int = 0

    def __post_init__(self) -> None:
        self._filters = self.when.filters()

    _filters: dict[str, object] = field(init=False, default_factory=dict)

    def matches(self, event: Event) -> bool:
        wanted = self.when.event
        return wanted in (event.name, event.wire) and all(
            getattr(event, key) == value for key, value in self._filters.items()
        )

    def strikes(self) -> bool:
        """Whether this fitting event is one of those that are hit."""
        self.seen += 1
        if self.seen < self.when.nth:
            return False
        drawn = pick(_CHANCES, self.seed, self.name, self.number, self.seen)
        return self.when.chance == 1.0 or drawn < self.when.chance * _CHANCES


@dataclass
class Faults:
    """Armed faults and registered processes; `note` is told whatever fires."""

    kill: Callable[[int, int], None] = os.kill
    note: Callable[[dict[str, object]], None] | None = None
    processes: dict[str, int] = field(default_factory=dict)
    armed: list[Armed] = field(default_factory=list)
    awaited: frozenset[str] = frozenset()
    """Events that something is armed for: all others need no closer look."""
    fired: deque[dict[str, object]] = field(default_factory=lambda: deque(maxlen=FIRED_MAX))
    _numbers: int = 0

    def register(self, name: str, pid: int) -> None:
        if pid <= 1:
            raise UsageError(f"process id {pid} cannot be signalled")
        if len(self.processes) >= PROCESSES_MAX and name not in self.processes:
            raise UsageError(f"{PROCESSES_MAX} processes are registered already")
        self.processes[name] = pid

    def arm(self, on: Mapping[str, Any], do: Mapping[str, Any]) -> int:
        """Arm one fault and give its number; UsageError when it could never happen."""
        return self.enter(read_when(on), self.read_action(do))

    def read_action(self, do: Mapping[str, Any]) -> Action:
        """The action, whose target has to be registered by now."""
        action = read_action(do)
        if action.target and action.target not in self.processes:
            known = ", ".join(self.processes) or "none"
            raise UsageError(f"signal to {action.target!r}: to one of: {known}; register it first")
        return action

    def enter(self, when: When, action: Action, name: str = "", seed: int = 0) -> int:
        """Arm what has been read already."""
        check_event(when, action)
        if len(self.armed) >= ARMED_MAX:
            raise UsageError(f"{ARMED_MAX} faults are armed already; clear some")
        number = self.next_number()
        self._arm([*self.armed, Armed(number, name or f"fault {number}", when, action, seed)])
        return number

    def _arm(self, armed: list[Armed]) -> None:
        self.armed = armed
        self.awaited = frozenset(each.when.event for each in armed)

    def next_number(self) -> int:
        self._numbers += 1
        return self._numbers

    def clear(self, number: int | None = None) -> None:
        self._arm([] if number is None else [each for each in self.armed if each.number != number])

    def due(self, event: Event) -> Action | None:
        """The fault that this event sets off, if any; the first one armed wins."""
        if not self.armed:
            return None
        hit: Armed | None = None
        for each in self.armed:
            if each.matches(event) and each.strikes() and hit is None:
                hit = each
        if hit is None:
            return None
        hit.struck += 1
        if hit.struck >= hit.when.times:
            self._arm([each for each in self.armed if each is not hit])
        self.tell({"number": hit.number, "name": hit.name, "event": hit.when.event, "client_id": event.client_id})
        return hit.action

    def tell(self, what: dict[str, object]) -> None:
        """Something has fired, or failed to."""
        self.fired.append(what)
        if self.note is not None:
            self.note(what)

    def strike(self, action: Action) -> None:
        """Send the action's signal; a process that is gone already is no failure."""
        if action.signal is None:
            return
        pid = self.processes.get(action.target)
        try:
            if pid is None:
                self.tell({"unregistered": action.target})
            else:
                self.kill(pid, SIGNALS[action.signal.removeprefix("SIG")])
        except ProcessLookupError:
            self.tell({"gone": action.target})


def read_when(on: Mapping[str, Any]) -> When:
    try:
        return When.model_validate(dict(on))
    except ValidationError as error:
        raise UsageError(f"cannot wait for {on}: {complaint(error)}; filters are {', '.join(FILTERS)}") from None


def read_action(do: Mapping[str, Any]) -> Action:
    try:
        return Action.model_validate(dict(do))
    except ValidationError as error:
        raise UsageError(f"cannot do {do}: {complaint(error)}") from None


def complaint(error: ValidationError) -> str:
    return "; ".join(f"{'.'.join(map(str, each['loc'])) or 'it'}: {each['msg']}" for each in error.errors())


def check_event(when: When, action: Action) -> None:
    """Whether the action can be done at such a moment."""
    if when.event and when.event not in EVENTS:
        raise UsageError(f"no event {when.event!r}; there are: {', '.join(EVENTS)}")
    possible = TO_SENT
    if when.event.endswith(" received"):
        possible = TO_RECEIVED
    elif not when.event or when.event in NOTED_EVENTS:
        possible = set()
    if idle := (action.wanted() & TO_MESSAGE) - possible:
        raise UsageError(f"{', '.join(sorted(idle))} cannot be done at {when.event or 'a time'!r}")
    lying = NAMELESS if action.lie == "no_permanent_id" else LYING
    if action.lie and when.event not in lying:
        raise UsageError(f"the lie {action.lie} belongs to one of: {', '.join(sorted(lying))}")
