"""Faults armed through the control port: at the n-th protocol event, signal, delay, drop, duplicate, cut or close."""

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from infra.errors import UsageError

# What can be waited for. Those that end in `received` happen when the whole frame is there, before it is acted upon;
# the others when a message is about to leave.
EVENTS = (
    "placeOrder received",
    "cancelOrder received",
    "request received",
    "ack sent",
    "status sent",
    "fill sent",
    "commission sent",
    "cancel sent",
    "error sent",
    "position sent",
    "historical bars",
    "realtime bar sent",
    "tick sent",
    "executions end",
    "account download end",
)
SIGNALS = {"KILL": signal.SIGKILL, "STOP": signal.SIGSTOP, "CONT": signal.SIGCONT, "TERM": signal.SIGTERM}
ARMED_MAX = 1000


@dataclass(frozen=True, slots=True)
class Event:
    """A message that came or is about to leave."""

    name: str
    client_id: int
    symbol: str = ""
    order_id: int | None = None
    message: int = 0


@dataclass(frozen=True, slots=True)
class Action:
    """What happens to a message. `overtake` lets later ones pass a delayed one; `cut` is how many bytes leave."""

    signal: str = ""
    target: str = ""
    before: bool = False
    delay: float = 0.0
    overtake: bool = False
    drop: bool = False
    duplicate: bool = False
    close: bool = False
    cut: int = 0


@dataclass(slots=True)
class Armed:
    """One fault waiting for its moment; `times` more events are hit from the `nth` on."""

    number: int
    event: str
    nth: int
    times: int
    filters: dict[str, object]
    action: Action
    seen: int = 0

    def matches(self, event: Event) -> bool:
        return self.event == event.name and all(getattr(event, key) == value for key, value in self.filters.items())


@dataclass
class Faults:
    """Armed faults and registered processes."""

    kill: Callable[[int, int], None] = os.kill
    processes: dict[str, int] = field(default_factory=dict)
    armed: list[Armed] = field(default_factory=list)
    fired: list[dict[str, object]] = field(default_factory=list)
    _numbers: int = 0

    def register(self, name: str, pid: int) -> None:
        if pid <= 1:
            raise UsageError(f"process id {pid} cannot be signalled")
        self.processes[name] = pid

    def arm(self, on: dict[str, Any], do: dict[str, Any]) -> int:
        """Arm one fault and give its number; UsageError when it could never happen."""
        if len(self.armed) >= ARMED_MAX:
            raise UsageError(f"{ARMED_MAX} faults are armed already; clear some")
        wanted = dict(on)
        name, nth, times = str(wanted.pop("event", "")), int(wanted.pop("nth", 1)), int(wanted.pop("times", 1))
        if name not in EVENTS:
            raise UsageError(f"no event {name!r}; there are: {', '.join(EVENTS)}")
        unknown = set(wanted) - {"symbol", "client_id", "order_id", "message"}
        if unknown or nth < 1 or times < 1:
            raise UsageError(
                f"cannot wait for {on}: filters are symbol, client_id, order_id, message; nth counts from 1"
            )
        try:
            action = Action(**do)
        except TypeError:
            raise UsageError(
                f"cannot do {do}: signal and target, delay, overtake, drop, duplicate, cut, close"
            ) from None
        if action.signal and (action.signal not in SIGNALS or action.target not in self.processes):
            known = ", ".join(self.processes) or "none"
            raise UsageError(
                f"signal {action.signal!r} to {action.target!r}: one of {list(SIGNALS)}, to one of: {known}"
            )
        self._numbers += 1
        self.armed.append(Armed(self._numbers, name, nth, times, wanted, action))
        return self._numbers

    def clear(self, number: int | None = None) -> None:
        self.armed = [] if number is None else [each for each in self.armed if each.number != number]

    def due(self, event: Event) -> Action | None:
        """The fault that this event sets off, if any; the first one armed wins."""
        if not self.armed:
            return None
        hit: Armed | None = None
        for each in self.armed:
            if each.matches(event):
                each.seen += 1
                if hit is None and each.nth <= each.seen < each.nth + each.times:
                    hit = each
        if hit is None:
            return None
        self.armed = [each for each in self.armed if each.seen < each.nth + each.times - 1]
        self.fired.append({"number": hit.number, "event": event.name, "client_id": event.client_id})
        return hit.action

    def strike(self, action: Action) -> None:
        """Send the action's signal; a process that is gone already is no failure."""
        if action.signal:
            try:
                self.kill(self.processes[action.target], SIGNALS[action.signal])
            except ProcessLookupError:
                self.fired.append({"gone": action.target})
