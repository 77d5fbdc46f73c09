"""Orders on request: placing, changing, cancelling, and telling what became of them."""

from decimal import Decimal

from infra.gateway_simulator.account import LEVERAGE, commission
from infra.gateway_simulator.account_desk import AccountDesk
from infra.gateway_simulator.book import LIVE_MAX, Order, Status, Terms, match
from infra.gateway_simulator.calendar import Session as TradingDay
from infra.gateway_simulator.calendar import ib_text, local
from infra.gateway_simulator.contracts import NO_DEFINITION
from infra.gateway_simulator.floor import NOT_SUPPORTED, Shared, invalid
from infra.gateway_simulator.instruments import Instrument
from infra.gateway_simulator.market import Quote
from infra.gateway_simulator.order_messages import (
    Message,
    Preview,
    commission_report,
    execution_details,
    open_order,
    order_status,
)
from infra.gateway_simulator.placement import ORDER_KINDS, Placement, read_placement
from infra.gateway_simulator.session import Session
from infra.gateway_simulator.wire import Fields

ENDED_BY_CLIENT = "Cancelled by Trader"
ENDED_BY_CLOSE = "Expired at the close"
ENDED_BY_IOC = "Immediate-or-cancel order could not be filled"


class OrderDesk:
    def __init__(self, shared: Shared, accounts: AccountDesk) -> None:
        self._shared = shared
        self._accounts = accounts

    # what clients ask for

    async def place(self, session: Session, fields: Fields) -> None:
        placement = read_placement(fields)
        shared, book = self._shared, self._shared.book
        self._note("order_received", session.client_id, placement.order_id, **_facts(placement))
        key = (session.client_id, placement.order_id)
        if key in book.live:
            self._modify(session, book.live[key], placement)
            return
        found = self._judged(session, placement)
        if found is None:
            return
        terms = _terms(found, placement)
        if placement.what_if:
            self._preview(session, placement.order_id, terms)
            return
        book.use_id(session.client_id, placement.order_id)
        shared.follow(found)
        is_open = found.calendar.is_open_at(shared.now())
        day = found.calendar.latest(shared.now()).day
        order = book.accept(session.client_id, placement.order_id, terms, day=day, is_open=is_open)
        self._note(
            "order_accepted", order.client_id, order.order_id, permanent_id=order.permanent_id, status=order.status
        )
        self._tell(order, event="ack sent")
        if not is_open:
            self._warn_of_waiting(session, order)
        self._trade(found)
        shared.remember()

    async def cancel(self, session: Session, fields: Fields) -> None:
        fields.skip(1)
        order_id = fields.whole()
        self._note("cancel_received", session.client_id, order_id)
        order = self._shared.book.live.get((session.client_id, order_id))
        if order is not None:
            self._end(order, Status.CANCELLED, ENDED_BY_CLIENT)
            return
        past = self._shared.book.past(session.client_id, order_id)
        if past is None:
            text = f"OrderId {order_id} that needs to be cancelled is not found."
            session.error(order_id, 10147, text, order_id=order_id)
        else:
            text = f"OrderId {order_id} that needs to be cancelled cannot be cancelled, state: {past.status}."
            session.error(order_id, 10148, text, order_id=order_id)

    async def cancel_all(self, session: Session, fields: Fields) -> None:
        """Orders of every client: that is what a global cancel is for."""
        self._note("global_cancel_received", session.client_id, None)
        for order in tuple(self._shared.book.live.values()):
            self._end(order, Status.CANCELLED, ENDED_BY_CLIENT)

    # what the market does

    def on_quote(self, instrument: Instrument) -> None:
        self._trade(instrument)

    def on_open(self, session: TradingDay) -> None:
        """Orders that waited for the session go to the market."""
        for order in self._shared.book.live.values():
            is_here = order.terms.instrument.calendar.market == session.market
            if is_here and order.status is Status.PRE_SUBMITTED:
                order.status = Status.SUBMITTED
                order.day = session.day
                self._tell(order)

    def on_close(self, session: TradingDay) -> None:
        """Day orders end with their day."""
        for order in tuple(self._shared.book.live.values()):
            is_here = order.terms.instrument.calendar.market == session.market
            if is_here and order.terms.time_in_force != "GTC" and order.status is Status.SUBMITTED:
                self._end(order, Status.CANCELLED, ENDED_BY_CLOSE)

    # how it is decided

    def _judged(self, session: Session, placement: Placement) -> Instrument | None:
        """The instrument of an order that may go to the book; otherwise the client is told why not."""
        book, order_id = self._shared.book, placement.order_id
        if book.is_used(session.client_id, order_id):
            past = book.past(session.client_id, order_id)
            if past is not None and past.status is Status.FILLED:
                self._refuse(session, order_id, 104, "Cannot modify a filled order.")
            else:
                self._refuse(session, order_id, 103, "Duplicate order id")
            return None
        if not placement.what_if:
            book.use_id(session.client_id, order_id)
        found = placement.asked.found_in(self._shared.catalogue)
        if found is None:
            self._refuse(session, order_id, *NO_DEFINITION)
        elif placement.kind not in ORDER_KINDS:
            self._reject(session, placement, f"Order type {placement.kind[:20]} {NOT_SUPPORTED}")
        elif self._is_sound(session, placement, found):
            if len(book.live) >= LIVE_MAX:
                self._reject(session, placement, f"More than {LIVE_MAX} open orders")
            elif not self._affordable(found, placement, None):
                self._reject(session, placement, _TOO_LARGE)
            else:
                return found
        return None

    def _is_sound(self, session: Session, placement: Placement, found: Instrument) -> bool:
        """Whether the gateway can take the fields as they are; otherwise the client is told why not."""
        flaw = placement.flaw
        if not placement.asked.exchange:
            flaw = "Please enter exchange"
        elif placement.account not in ("", self._shared.account.code):
            flaw = f"Invalid account code '{placement.account[:20]}'."
        elif placement.kind not in ORDER_KINDS:
            flaw = f"Order type {placement.kind[:20]} {NOT_SUPPORTED}"
        if flaw:
            self._note("order_refused", session.client_id, placement.order_id, code=321, reason=flaw)
            invalid(session, placement.order_id, flaw)
        elif placement.limit is not None and not found.rule.fits(placement.limit):
            self._refuse(session, placement.order_id, 110, _OFF_GRID)
        else:
            return True
        return False

    def _affordable(self, instrument: Instrument, placement: Placement, replaced: Order | None) -> bool:
        """Whether all that is held and all that may still trade stays within the account's leverage."""
        shared, account = self._shared, self._shared.account
        held = account.position(instrument).quantity
        quantity = placement.quantity - (replaced.filled if replaced is not None else 0)
        signed = quantity * (1 if placement.action == "BUY" else -1)
        if abs(held + signed) <= abs(held):
            return True
        marks = {each.contract_id: shared.mark(each) for each in shared.book.instruments() | {instrument}}
        added = quantity * (placement.limit or marks[instrument.contract_id])
        values = account.values(shared.mark)
        exposed = values["GrossPositionValue"] + shared.book.exposure(marks, without=replaced) + added
        return exposed <= values["EquityWithLoanValue"] * LEVERAGE

    def _modify(self, session: Session, order: Order, placement: Placement) -> None:
        """The same id while the order is live changes its quantity, its limit or its type."""
        same = placement.asked.found_in(self._shared.catalogue) == order.terms.instrument
        if not same or placement.action != order.terms.action or placement.quantity < order.filled:
            self._refuse(session, order.order_id, 105, "Order being modified does not match original order.")
            return
        if not self._is_sound(session, placement, order.terms.instrument):
            return
        if not self._affordable(order.terms.instrument, placement, order):
            self._refuse(session, order.order_id, 201, f"Order rejected - reason:{_TOO_LARGE}")
            return
        order.terms = _terms(order.terms.instrument, placement)
        order.rested = False
        self._note("order_changed", order.client_id, order.order_id, **_facts(placement))
        self._tell(order, event="ack sent")
        if not order.remaining:
            self._end_filled(order)
        self._trade(order.terms.instrument)
        self._shared.remember()

    def _preview(self, session: Session, order_id: int, terms: Terms) -> None:
        shared = self._shared
        values = shared.account.values(shared.mark)
        price = terms.limit or shared.mark(terms.instrument)
        worth = terms.quantity * price
        before = (values["InitMarginReq"], values["MaintMarginReq"], values["EquityWithLoanValue"])
        cost = commission(terms.quantity, price, Decimal(0), Decimal(0))
        preview = Preview(before, (worth / 2, worth / 4, -cost), cost)
        order = Order(session.client_id, order_id, 0, terms, local(shared.now()).date(), Status.PRE_SUBMITTED)
        session.send(*open_order(order, shared.account.code, session.version, preview))

    def _trade(self, instrument: Instrument) -> None:
        """Give the displayed quote to the working orders of the instrument, oldest first."""
        shared = self._shared
        if not instrument.calendar.is_open_at(shared.now()):
            return
        for order in shared.book.working(instrument):
            quote = shared.world.quote(instrument, shared.now())
            if quote is not None:
                self._fill(order, quote)
            order.rested = True
            if order.terms.time_in_force == "IOC" and order.is_live:
                self._end(order, Status.CANCELLED, ENDED_BY_IOC)

    def _fill(self, order: Order, quote: Quote) -> None:
        shared = self._shared
        found = match(order, quote)
        if found is None:
            return
        instrument = order.terms.instrument
        profit = shared.account.fill(instrument, order.sign * found.quantity, found.price, found.paid)
        execution = shared.book.execute(order, found, shared.now(), profit)
        position = shared.account.position(instrument)
        self._note(
            "fill",
            order.client_id,
            order.order_id,
            execution_id=execution.execution_id,
            order_ref=order.terms.reference,
            contract_id=instrument.contract_id,
            symbol=instrument.symbol,
            side=order.terms.action,
            quantity=found.quantity,
            price=found.price,
            commission=found.paid,
            cumulative=order.filled,
        )
        self._note(
            "position",
            order.client_id,
            None,
            contract_id=instrument.contract_id,
            symbol=instrument.symbol,
            quantity=position.quantity,
            average_cost=position.average_cost,
            cash=shared.account.cash,
        )
        self._send(order, execution_details(execution, -1, shared.account.code), "fill sent")
        if order.remaining:
            self._tell(order)
        else:
            self._end_filled(order)
        self._send(order, commission_report(execution), "commission sent")
        self._accounts.on_fill(instrument)
        shared.remember()

    def _end_filled(self, order: Order) -> None:
        self._shared.book.finish(order, Status.FILLED, self._shared.now(), "Filled Size: " + f"{order.filled:f}")
        self._tell(order)
        self._shared.refollow()

    def _end(self, order: Order, status: Status, reason: str) -> None:
        self._shared.book.finish(order, status, self._shared.now(), reason)
        self._note("order_ended", order.client_id, order.order_id, status=status, reason=reason, filled=order.filled)
        self._send(order, order_status(order), "status sent")
        owner = self._shared.sessions.get(order.client_id)
        if owner is not None:
            owner.error(order.order_id, 202, f"Order Canceled - reason:{reason}", order_id=order.order_id)
        self._shared.refollow()
        self._shared.remember()

    # how it is told

    def _tell(self, order: Order, event: str = "status sent") -> None:
        """openOrder and orderStatus to the client whose order it is, if it is there."""
        owner = self._shared.sessions.get(order.client_id)
        if owner is not None:
            self._send(order, open_order(order, self._shared.account.code, owner.version), event)
            self._send(order, order_status(order), "status sent")

    def _send(self, order: Order, message: Message, event: str) -> None:
        """To the client whose order it is, if it is there."""
        owner = self._shared.sessions.get(order.client_id)
        if owner is not None:
            owner.send(*message, event=event, symbol=order.terms.instrument.symbol, order_id=order.order_id)

    def _warn_of_waiting(self, session: Session, order: Order) -> None:
        now = self._shared.now()
        calendar = order.terms.instrument.calendar
        today = calendar.latest(now)
        following = calendar.following(today.day)
        opens = today.open if today.open > now else following.open
        what = f"{order.terms.action} {order.remaining:f} {order.terms.instrument.symbol}"
        text = f"Order Message: {what} Warning: your order will not be placed at the exchange until {ib_text(opens)}"
        session.error(order.order_id, 399, text, order_id=order.order_id)

    def _refuse(self, session: Session, order_id: int, code: int, text: str) -> None:
        self._shared.remember()  # the id is used up
        self._note("order_refused", session.client_id, order_id, code=code, reason=text)
        session.error(order_id, code, text, order_id=order_id)

    def _reject(self, session: Session, placement: Placement, reason: str) -> None:
        """The broker says no: an error, and the order is told as inactive."""
        self._refuse(session, placement.order_id, 201, f"Order rejected - reason:{reason}")
        values = (placement.order_id, Status.INACTIVE, 0, placement.quantity, 0, 0, 0, 0, session.client_id, "", 0)
        session.send(3, *values, event="status sent", order_id=placement.order_id)

    def _note(self, kind: str, client_id: int, order_id: int | None, **facts: object) -> None:
        self._shared.ledger.write(kind, self._shared.now(), client_id=client_id, order_id=order_id, **facts)


_TOO_LARGE = "The order exceeds the buying power of the account"
_OFF_GRID = "The price does not conform to the minimum price variation for this contract."


def _terms(instrument: Instrument, placement: Placement) -> Terms:
    return Terms(
        instrument=instrument,
        action=placement.action,
        quantity=placement.quantity,
        kind=placement.kind,
        limit=placement.limit,
        time_in_force=placement.time_in_force,
        reference=placement.reference,
        outside_hours=placement.outside_hours,
    )


def _facts(placement: Placement) -> dict[str, object]:
    return {
        "contract_id": placement.asked.contract_id,
        "symbol": placement.asked.symbol,
        "side": placement.action,
        "quantity": placement.quantity,
        "order_type": placement.kind,
        "limit_price": placement.limit,
        "order_ref": placement.reference,
        "what_if": placement.what_if,
    }
