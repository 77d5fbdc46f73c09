"""Lets faults happen: arms them for their moment, and does what they say when it has come."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol

from infra.errors import UsageError
from infra.gateway_simulator.faults.actions import DOES, TO_MESSAGE, Action
from infra.gateway_simulator.faults.armed import ARMED_MAX, Event, Faults, check_event, read_when
from infra.gateway_simulator.faults.cassette import Cassette
from infra.gateway_simulator.faults.moments import When
from infra.gateway_simulator.faults.timetable import Entry, Timetable
from infra.gateway_simulator.instruments.calendar import NEW_YORK

Deed = Callable[[Any, Event | None], None]


class Doer(Protocol):
    """Has a method for each deed that it can do, named as in a cassette."""


class Director:
    def __init__(self, faults: Faults, timetable: Timetable, doers: tuple[Doer, ...]) -> None:
        self._faults = faults
        self._timetable = timetable
        self._timed: dict[int, tuple[str, Entry]] = {}
        self._deeds: dict[str, Deed] = {}
        for name in sorted(DEEDS):
            self._deeds[name] = next(getattr(each, name) for each in doers if hasattr(each, name))

    # arming

    def arm(self, on: Mapping[str, Any], do: Mapping[str, Any]) -> int:
        """Arm one fault and give its number; UsageError when it could never happen."""
        return self._enter(read_when(on), self._faults.read_action(do), "", 0)

    def load(self, cassette: Cassette) -> list[int]:
        """Arm every step; times count from now."""
        steps = enumerate(cassette.steps, 1)
        return [
            self._enter(step.when, step.do, f"{cassette.name}: {step.name or number}", cassette.seed)
            for number, step in steps
        ]

    def _enter(self, when: When, action: Action, name: str, seed: int) -> int:
        if when.event:
            return self._faults.enter(when, action, name, seed)
        check_event(when, action)
        if len(self._timed) >= ARMED_MAX:
            raise UsageError(f"{ARMED_MAX} faults wait for their time already; clear some")
        number = self._faults.next_number()
        self._schedule(number, name or f"fault {number}", (when, action), 1)
        return number

    def _schedule(self, number: int, name: str, step: tuple[When, Action], turn: int) -> None:
        when, _ = step
        later = (turn - 1) * (when.every or 0.0)
        call = partial(self._strike, number, name, step, turn)
        if when.market_time is not None:
            moment = when.market_time
            moment = moment if moment.tzinfo else moment.replace(tzinfo=NEW_YORK)
            entry = self._timetable.at(moment.timestamp() + later, call)
        else:
            entry = self._timetable.after((when.wall_seconds or 0.0) if turn == 1 else when.every or 0.0, call)
        self._timed[number] = (name, entry)

    def _strike(self, number: int, name: str, step: tuple[When, Action], turn: int) -> None:
        when, action = step
        del self._timed[number]
        if turn < when.times:
            self._schedule(number, name, step, turn + 1)
        self._faults.tell({"number": number, "name": name, "event": "time", "client_id": -1})
        self.perform(action)

    def clear(self, number: int | None = None) -> None:
        """Disarm one fault, or all."""
        self._faults.clear(number)
        for each in [number] if number is not None else list(self._timed):
            if each in self._timed:
                self._timed.pop(each)[1].cancel()

    def waiting(self) -> list[dict[str, object]]:
        """All that is armed."""
        events = [
            {"number": each.number, "name": each.name, "event": each.when.event, "seen": each.seen}
            for each in self._faults.armed
        ]
        timed = [{"number": number, "name": name, "event": "time"} for number, (name, _) in self._timed.items()]
        return [*events, *timed]

    # doing

    def perform(self, action: Action, cause: Event | None = None) -> None:
        """What concerns processes, links and orders; what concerns the message itself its session does."""
        self._signal(action)
        for name in sorted(action.wanted() & DEEDS):
            try:
                self._deeds[name](getattr(action, name), cause)
            except UsageError as error:
                self._faults.tell({"failed": name, "reason": str(error)})

    def _signal(self, action: Action) -> None:
        self._faults.strike(action)
        if action.cont_after:
            self._timetable.after(action.cont_after, partial(self._faults.strike, _continued(action)))

    def do(self, do: Mapping[str, Any]) -> None:
        """At once; UsageError when it cannot be done now."""
        action = self._faults.read_action(do)
        check_event(When(wall_seconds=0), action)
        self._faults.tell({"name": "at once", "event": "control port", "does": sorted(action.wanted())})
        self._signal(action)
        for name in sorted(action.wanted() & DEEDS):
            self._deeds[name](getattr(action, name), None)


def _continued(action: Action) -> Action:
    return Action(signal="CONT", target=action.target)


DEEDS = DOES - TO_MESSAGE - {"signal"}
