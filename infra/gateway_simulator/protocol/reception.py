"""Where clients meet the gateway: who comes in, what becomes of a request, and what is kept back on its way out."""

from typing import Protocol

from infra.clock import Clock
from infra.gateway_simulator.faults import farms
from infra.gateway_simulator.faults.actions import Action
from infra.gateway_simulator.faults.armed import NOTED, Event, Faults
from infra.gateway_simulator.faults.director import Director
from infra.gateway_simulator.faults.order_faults import OrderFaults
from infra.gateway_simulator.faults.timetable import Timetable
from infra.gateway_simulator.faults.weather import Verdict, Weather
from infra.gateway_simulator.floor import Shared
from infra.gateway_simulator.protocol import codes
from infra.gateway_simulator.protocol.names import (
    ANSWERS,
    CURRENT_TIME,
    PLACE_ORDER,
    id_in,
    request_of,
)
from infra.gateway_simulator.protocol.pacing import MessageRate, Pacing
from infra.gateway_simulator.protocol.session import Session
from infra.gateway_simulator.protocol.wire import Fields, Value

NO_DEFINITION = (200, codes.TEXTS[200])
NO_HISTORY = (
    162,
    "Historical Market Data Service error message:HMDS connection attempt failed.  Connection will be re-attempted...",
)
_REFERENCE_AT = 26  # where placeOrder carries the order reference
_UPDATE = 90  # historicalDataUpdate


class Desks(Protocol):
    """All that answers requests."""

    async def serve(self, session: Session, message: int, fields: Fields) -> None: ...
    def leave(self, session: Session) -> None: ...


class Reception:
    """What every session stands before."""

    def __init__(self, desks: Desks, shared: Shared, director: Director, orders: OrderFaults) -> None:
        self._desks = desks
        self._shared = shared
        self._director = director
        self._orders = orders
        self.rate = MessageRate(shared.clock)
        shared.ledger.listener = self._noted
        shared.faults.note = self._fired

    @property
    def clock(self) -> Clock:
        return self._shared.clock

    @property
    def faults(self) -> Faults:
        return self._shared.faults

    @property
    def weather(self) -> Weather:
        return self._shared.weather

    @property
    def timetable(self) -> Timetable:
        return self._shared.timetable

    def market_now(self) -> float:
        return self._shared.now()

    # coming and going

    def greet(self, session: Session) -> None:
        """Somebody has connected."""
        self._shared.sockets.add(session)
        session.break_up(self.weather.fragment)
        if self.weather.deaf:
            session.freeze(lost=False)

    def admit(self, session: Session) -> bool:
        """Start the session's API; a client id that is in use is turned away."""
        shared = self._shared
        held = self.weather.occupied.get(session.client_id, 0.0) > self.clock.monotonic()
        if held or session.client_id in shared.sessions:
            shared.ledger.write("turned_away", shared.now(), client_id=session.client_id, ghost=held)
            session.error(-1, 326, codes.TEXTS[326])
            return False
        shared.sessions[session.client_id] = session
        session.rate_limited = session.rate_limited and shared.pacing is not Pacing.OFF
        session.send(15, 1, shared.accounts.codes)
        session.send(9, 1, shared.book.next_id(session.client_id))
        if self.weather.link_down:
            session.error(-1, codes.LOST, codes.TEXTS[codes.LOST])
        for name in farms.AT_START if not self.weather.link_down else ():
            session.error(-1, *farms.notice(name, "broken" if name in self.weather.broken else "ok"))
        shared.ledger.write("connected", shared.now(), client_id=session.client_id, version=session.version)
        return True

    def dismiss(self, session: Session) -> None:
        """The client has gone; its orders stay."""
        self._shared.sockets.discard(session)
        if self._shared.sessions.get(session.client_id) is session:
            del self._shared.sessions[session.client_id]
            self._desks.leave(session)
            self._shared.ledger.write("disconnected", self._shared.now(), client_id=session.client_id)

    async def serve(self, session: Session, message: int, fields: Fields) -> None:
        await self._desks.serve(session, message, fields)

    # requests

    def request_event(self, session: Session, message: int, values: list[str]) -> Event:
        """What faults may wait for; the ledger notes every request."""
        named = request_of(message)
        number = id_in(named, values)
        facts = {"request": named.name, "message": message, "id": number}
        self._shared.ledger.write("request", self._shared.now(), client_id=session.client_id, **facts)
        symbol = self._symbol(values, named.id_at + 1) if named.has_contract and self.faults.armed else ""
        is_order = message in (PLACE_ORDER, 4)
        reference = "".join(values[_REFERENCE_AT : _REFERENCE_AT + 1]) if message == PLACE_ORDER else ""
        return Event(
            "request received",
            session.client_id,
            symbol,
            number if is_order else None,
            message,
            f"{named.name} received",
            number,
            order_ref=reference,
        )

    def _symbol(self, values: list[str], at: int) -> str:
        """What the contract's fields mean: the symbol of the contract id, else the symbol as it was told."""
        contract_id, symbol = [*values[at : at + 2], "", ""][:2]
        known = self._shared.catalogue.by_id.get(int(contract_id)) if contract_id.isdecimal() else None
        return known.symbol if known is not None else symbol

    def judge(self, session: Session, message: int, values: list[str]) -> Verdict:
        """What becomes of a request in this weather; the client is told when it fails."""
        verdict = Verdict.SERVED if self.weather.calm else self.weather.verdict(message)
        number = id_in(request_of(message), values)
        if verdict is Verdict.NO_DEFINITION:
            session.error(number or -1, *NO_DEFINITION)
        elif verdict is Verdict.HISTORY_FAILS:
            session.error(number or -1, *NO_HISTORY)
        if verdict is not Verdict.SERVED:
            facts = {"request": request_of(message).name, "id": number, "verdict": verdict.name.lower()}
            self._shared.ledger.write("not_served", self._shared.now(), client_id=session.client_id, **facts)
        return verdict

    # answers

    def worded(self, session: Session, values: tuple[Value, ...], symbol: str) -> tuple[Value, ...] | None:
        """The message as the weather lets it through; None when it does not."""
        if values[0] == _UPDATE and values[1] in session.dead_streams:
            return None
        if not self.weather.calm and self.weather.keeps_back(values, *self._origin(session, values, symbol)):
            return None
        if values[0] == CURRENT_TIME and self.weather.skew:
            return (*values[:2], int(float(str(values[2])) + self.weather.skew))
        return values

    def _origin(self, session: Session, values: tuple[Value, ...], symbol: str) -> tuple[str, str]:
        """The symbol that a message is about, and the farm that it comes from."""
        number = id_in(ANSWERS[values[0]], values) if isinstance(values[0], int) and values[0] in ANSWERS else None
        for feed in (self._shared.feed, self._shared.charts, self._shared.depths) if number is not None else ():
            subscription = feed.find(session, number or 0)
            if subscription is not None:
                return subscription.instrument.symbol, farms.market_farm(subscription.instrument)
        known = self._shared.catalogue.by_symbol.get(symbol)
        return symbol, farms.market_farm(known) if known is not None else farms.AT_START[0]

    # faults

    def _fired(self, what: dict[str, object]) -> None:
        self._shared.ledger.write("fault", self._shared.now(), **what)

    def _noted(self, kind: str, facts: dict[str, object]) -> None:
        """A line of the ledger, which faults may wait for."""
        if not self.faults.armed or kind not in NOTED:
            return
        client, order = facts.get("client_id"), facts.get("order_id")
        event = Event(
            f"{kind} noted",
            client if isinstance(client, int) else -1,
            str(facts.get("symbol", "")),
            order if isinstance(order, int) else None,
            order_ref=str(facts.get("order_ref", "")),
            status=str(facts.get("status", "")),
        )
        action = self.faults.due(event)
        if action is not None:
            self._director.perform(action, event)

    def perform(self, action: Action, event: Event) -> None:
        self._director.perform(action, event)

    def object_to(self, session: Session, event: Event, action: Action) -> None:
        """The error that a fault gives in answer to a request."""
        if action.error is None:
            return
        text = codes.text_for(action.error.code, event.request_id or 0, action.error.text)
        if event.message == PLACE_ORDER:
            self._orders.object_to(session, event, action.error, text)
        else:
            session.error(event.request_id if event.request_id is not None else -1, action.error.code, text)
