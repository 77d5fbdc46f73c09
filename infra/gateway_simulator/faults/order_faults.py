"""Faults of orders and of what they rest on: refusals, ids that fall back, executions that are changed afterwards."""

from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Protocol

from infra.errors import UsageError
from infra.gateway_simulator.faults.actions import (
    BarBust,
    Bust,
    Correction,
    ExtraFill,
    Halt,
    ManualOrder,
    Objection,
    Print,
    Resumption,
    RollBack,
    ThrowOut,
)
from infra.gateway_simulator.faults.armed import Event
from infra.gateway_simulator.floor import Shared
from infra.gateway_simulator.instruments.instrument import Instrument
from infra.gateway_simulator.market.prices import UNITS
from infra.gateway_simulator.orders import manual
from infra.gateway_simulator.orders.executions import Executions
from infra.gateway_simulator.orders.order import Execution, Order, Status
from infra.gateway_simulator.protocol.codes import REJECTED, text_for
from infra.gateway_simulator.protocol.session import Session

CENT = Decimal("0.01")
HALTS = {"general": 1, "volatility": 2}  # as tick 49 tells them


class Market(Protocol):
    """The gateway, as far as these faults move it."""

    def force_quote(self, symbol: str, price: Decimal, size: int) -> int: ...
    def bust_bars(self, instrument: Instrument) -> None: ...
    def place_by_hand(self, wanted: manual.ManualOrder) -> Order: ...
    def halt(self, instrument: Instrument, reason: int) -> None: ...
    def resume(self, instrument: Instrument) -> None: ...


class OrderFaults:
    def __init__(self, shared: Shared, executions: Executions, market: Market) -> None:
        self._shared = shared
        self._executions = executions
        self._market = market

    def object_to(self, session: Session, event: Event, what: Objection, text: str) -> None:
        """Answer an order with an error: it never came to the book, or it lives on."""
        order_id = event.order_id or 0
        if what.order == "refused":
            self._shared.book.use_id(session.client_id, order_id)
            facts = {"code": what.code, "reason": text, "order_ref": event.order_ref}
            named = {"client_id": session.client_id, "order_id": order_id}
            self._shared.ledger.write("order_refused", self._shared.now(), **named, **facts)
            self._shared.remember()
        session.error(order_id, what.code, text, order_id=order_id)
        if what.order == "refused" and what.code == REJECTED:
            values = (order_id, Status.INACTIVE, 0, 0, 0, 0, 0, 0, session.client_id, "", 0)
            session.send(3, *values, event="status sent", order_id=order_id)

    def throw_out(self, what: ThrowOut, cause: Event | None = None) -> None:
        """At once where the order has just been told and not traded yet; otherwise when the desk has done its work."""
        if cause is None or cause.order_id is None:
            raise UsageError("throw_out needs the event of an order")
        text = text_for(what.code, cause.order_id, what.text)
        call = partial(self._executions.reject, cause.client_id, cause.order_id, what.code, text)
        if cause.name in ("ack sent", "status sent"):
            self._tried(call)
        else:
            self._later(0.0, call)

    def next_id(self, what: RollBack, cause: Event | None = None) -> None:
        """Ids that were used count as free again."""
        wanted = what.client_id if what.client_id is not None else cause.client_id if cause is not None else None
        for client_id in [each for each in self._shared.book.highest if wanted in (None, each)]:
            self._executions.roll_back(client_id, what.by)

    # executions

    def correct(self, what: Correction, cause: Event | None = None) -> None:
        self._later(what.after, partial(self._correct, what, self._chosen(what.symbol, cause)))

    def _correct(self, what: Correction, chosen: "Chosen") -> None:
        known = self._newest_execution(chosen)
        quantity = known.quantity + what.quantity_by
        price = known.price + Decimal(str(what.price_by)).quantize(CENT)
        if quantity <= 0 or price <= 0:
            raise UsageError(f"execution {known.execution_id} cannot become {quantity} at {price}")
        self._executions.correct(known.execution_id, quantity=quantity, price=price)

    def bust(self, what: Bust, cause: Event | None = None) -> None:
        chosen = self._chosen(what.symbol, cause)
        self._later(what.after, lambda: self._executions.bust(self._newest_execution(chosen).execution_id))

    def overfill(self, what: ExtraFill, cause: Event | None = None) -> None:
        self._later(what.after, partial(self._fill, what, self._chosen(what.symbol, cause), (Status.FILLED,)))

    def fill_after_cancel(self, what: ExtraFill, cause: Event | None = None) -> None:
        ended = (Status.CANCELLED, Status.API_CANCELLED, Status.INACTIVE)
        self._later(what.after, partial(self._fill, what, self._chosen(what.symbol, cause), ended))

    def _fill(self, what: ExtraFill, chosen: "Chosen", states: tuple[Status, ...]) -> None:
        for order in reversed(self._shared.book.finished):
            if order.status in states and chosen.fits(order):
                price = order.last_price or order.limit
                self._executions.overfill(order.client_id, order.order_id, Decimal(what.quantity), price)
                return
        raise UsageError(f"no order has ended as {', '.join(states)} that could be filled once more")

    def _later(self, seconds: float, call: Callable[[], object]) -> None:
        """Never within the message that set it off: a desk may be in the middle of its work."""
        self._shared.timetable.after(seconds, partial(self._tried, call))

    def _tried(self, call: Callable[[], object]) -> None:
        try:
            call()
        except UsageError as error:
            self._shared.faults.tell({"failed": "executions", "reason": str(error)})

    def _chosen(self, symbol: str, cause: Event | None) -> "Chosen":
        if cause is None or cause.order_id is None:
            return Chosen(symbol, None)
        return Chosen(symbol, (cause.client_id, cause.order_id))

    def _newest_execution(self, chosen: "Chosen") -> Execution:
        """Never one that was taken back."""
        for each in reversed(self._shared.book.executions):
            if each.quantity and chosen.fits(each.order):
                return each
        raise UsageError("there is no execution yet that could be changed")

    # the market

    def manual_order(self, what: ManualOrder, cause: Event | None = None) -> None:
        instrument = self._named(what.symbol)
        limit = None if what.percent is None else self._beside(instrument, what.percent)
        typed_in = manual.ManualOrder(
            symbol=what.symbol,
            action=what.side,
            quantity=Decimal(what.quantity),
            order_type="MKT" if limit is None else "LMT",
            limit_price=limit,
            tif="GTC",
            account=self._shared.account.code,
        )
        self._later(0.0, partial(self._market.place_by_hand, typed_in))

    def _named(self, symbol: str) -> Instrument:
        instrument = self._shared.catalogue.by_symbol.get(symbol)
        if instrument is None:
            raise UsageError(f"no symbol {symbol!r}")
        return instrument

    def _beside(self, instrument: Instrument, percent: float) -> Decimal:
        """A price so many per cent from the last one, as the exchange quotes it."""
        units = int(self._shared.mark(instrument) * UNITS * (100 + Decimal(str(percent))) / 100)
        return Decimal(units - units % instrument.rule.step_at(units)) / UNITS

    def print(self, what: Print, cause: Event | None = None) -> None:
        price = self._beside(self._named(what.symbol), what.percent)
        self._later(0.0, partial(self._market.force_quote, what.symbol, price, what.size))

    def halt(self, what: Halt, cause: Event | None = None) -> None:
        instrument = self._named(what.symbol or (cause.symbol if cause is not None else ""))
        self._market.halt(instrument, HALTS[what.reason])
        if what.seconds is not None:
            self._later(what.seconds, partial(self._market.resume, instrument))

    def resume(self, what: Resumption, cause: Event | None = None) -> None:
        self._later(0.0, partial(self._market.resume, self._named(what.symbol)))

    def bar_bust(self, what: BarBust, cause: Event | None = None) -> None:
        self._market.bust_bars(self._named(what.symbol))


class Chosen:
    """Which orders a fault may change: those of a symbol, or the one whose message set it off."""

    def __init__(self, symbol: str, order: tuple[int, int] | None) -> None:
        self._symbol = symbol
        self._order = order

    def fits(self, order: Order) -> bool:
        is_it = self._order is None or self._order == (order.client_id, order.order_id)
        return is_it and self._symbol in ("", order.terms.instrument.symbol)
