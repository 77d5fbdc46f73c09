"""Orders on request: placing, changing, cancelling."""

from dataclasses import replace
from decimal import Decimal

from infra.errors import UsageError
from infra.gateway_simulator.accounts.account_desk import AccountDesk
from infra.gateway_simulator.accounts.brokerage import NO_SHARES
from infra.gateway_simulator.floor import Shared
from infra.gateway_simulator.instruments.calendar import Session as TradingDay
from infra.gateway_simulator.instruments.instrument import Instrument
from infra.gateway_simulator.orders.admission import Admission
from infra.gateway_simulator.orders.book import MANUAL_CLIENT
from infra.gateway_simulator.orders.exchange import Exchange
from infra.gateway_simulator.orders.executions import Executions
from infra.gateway_simulator.orders.fills import Fills
from infra.gateway_simulator.orders.lives import Lives
from infra.gateway_simulator.orders.manual import ManualOrder
from infra.gateway_simulator.orders.oca import REDUCE_LATE
from infra.gateway_simulator.orders.order import Order, Status, Terms
from infra.gateway_simulator.orders.order_messages import open_order
from infra.gateway_simulator.orders.order_news import OrderNews, facts_of
from infra.gateway_simulator.orders.order_rules import Refusal
from infra.gateway_simulator.orders.placement import Placement, read_placement
from infra.gateway_simulator.orders.time_in_force import goes_outside, hours_of, may_trade, misses_close, trading_day
from infra.gateway_simulator.orders.trading import Trading
from infra.gateway_simulator.protocol.session import Session
from infra.gateway_simulator.protocol.wire import Fields

NOT_BINDING = (327, "Only API connections with clientId set to 0 can set the auto bind TWS orders property.")
REJECTED = 201
OUTSIDE_IGNORED = (
    "Order Event Warning:Attribute 'Outside Regular Trading Hours' is ignored based on the order type and destination. "
    "PlaceOrder is now being processed."
)


class OrderDesk:
    def __init__(self, shared: Shared, accounts: AccountDesk) -> None:
        self._shared = shared
        self._admission = Admission(shared)
        news = self.news = OrderNews(shared)
        fills, lives = Fills(shared, accounts, news), Lives(shared, news)
        self.exchange = Exchange(shared, lives, Trading(shared, lives, fills, news), news)
        self.executions = Executions(shared, self.exchange, lives, fills)

    # what clients ask for

    async def place(self, session: Session, fields: Fields) -> None:
        placement = read_placement(fields, session.version)
        self._note("order_received", session.client_id, placement.order_id, **_facts(placement))
        live = self._shared.book.live.get((session.client_id, placement.order_id))
        if live is not None:
            self._modify(session, live, placement)
            return
        found = self._admission.new(session.client_id, placement)
        if isinstance(found, Refusal):
            self._refuse(session, placement.order_id, found)
            if found.code == REJECTED:
                self._tell_inactive(session, placement)
        elif placement.what_if:
            self._preview(session, placement.order_id, found)
        else:
            self._enter(session.client_id, placement.order_id, found)

    async def cancel(self, session: Session, fields: Fields) -> None:
        fields.skip(1)
        order_id = fields.whole()
        self._note("cancel_received", session.client_id, order_id)
        order = self._shared.book.live.get((session.client_id, order_id))
        if order is not None and order.is_bound:
            self._cancel(order)
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
            if order.is_live:  # not cancelled by now along with its parent
                self._cancel(order)

    async def bind_manual(self, session: Session, fields: Fields) -> None:
        """Client 0 wants the orders that are placed in TWS itself from now on."""
        fields.skip(1)
        if session.client_id != MANUAL_CLIENT:
            session.error(-1, *NOT_BINDING)
            return
        self._shared.book.binds_manual = fields.flag()

    # what the market does

    def on_print(self, instrument: Instrument) -> None:
        self.exchange.on_print(instrument)

    def on_resume(self, instrument: Instrument) -> None:
        self.exchange.on_resume(instrument)

    def on_open(self, session: TradingDay) -> None:
        self.exchange.on_open(session)

    def on_split(self, instrument: Instrument, ratio: int) -> None:
        self.exchange.on_split(instrument, ratio)

    def on_close(self, session: TradingDay) -> None:
        self.exchange.on_close(session)

    # what a person does in TWS

    def place_by_hand(self, wanted: ManualOrder) -> Order:
        """What a person types in, if it makes sense.

        The order has no id for clients until client 0 binds it: then it has a negative one.
        """
        terms = self._admission.manual(wanted.placement(self._shared.catalogue))
        if isinstance(terms, Refusal):
            raise UsageError(f"{terms.code}: {terms.text}")
        book = self._shared.book
        order = self._order(MANUAL_CLIENT, book.next_manual_id(), terms)
        order.is_bound = book.binds_manual and MANUAL_CLIENT in self._shared.sessions
        self._note("order_received", MANUAL_CLIENT, order.order_id, **facts_of(terms), manual=True)
        book.add(order)
        self._transmit(order)
        return order

    def cancel_manually(self, client_id: int, order_id: int) -> None:
        """A person can cancel the orders of every client."""
        order = self._shared.book.live.get((client_id, order_id))
        if order is None:
            raise UsageError(f"client {client_id} has no live order {order_id}")
        self._note("cancel_received", client_id, order_id, manual=True)
        self._cancel(order)

    # how orders enter, change and leave

    def _enter(self, client_id: int, order_id: int, terms: Terms) -> None:
        order = self._order(client_id, order_id, terms)
        book = self._shared.book
        parent = book.live.get((client_id, terms.parent_id)) if terms.parent_id else None
        if parent is not None:
            order.parent_permanent_id = parent.permanent_id
            if not terms.oca_group:
                group = {"oca_group": str(parent.permanent_id), "oca_type": REDUCE_LATE}
                order.terms = replace(terms, oca_group=str(parent.permanent_id), oca_type=REDUCE_LATE)
                self._note("order_grouped", client_id, order_id, **group)
        book.add(order)
        if not terms.transmit:
            order.status = Status.API_PENDING
            self._note("order_held", client_id, order_id, permanent_id=order.permanent_id)
            self._shared.remember()
            return
        self._transmit_family(order)

    def _order(self, client_id: int, order_id: int, terms: Terms) -> Order:
        shared = self._shared
        day = trading_day(terms, shared.now())
        order = Order(client_id, order_id, shared.book.next_permanent_id(), terms, day, Status.API_PENDING)
        order.came_at = shared.now()
        return order

    def _transmit_family(self, order: Order) -> None:
        """Its parent, itself and all that hang on the same parent go together."""
        top = self._shared.book.parent(order) or order
        for each in (top, *self._shared.book.children(top)):
            if each.status is Status.API_PENDING:
                self._transmit(each)

    def _transmit(self, order: Order) -> None:
        terms = order.terms
        order.terms = replace(terms, transmit=True)
        if self._admission.must_locate(order):
            order.located = False
        self.exchange.accept(order)
        if not order.located:
            self.news.warn(order, *NO_SHARES)
        elif terms.outside_hours and not goes_outside(terms):
            self.news.warn(order, 2109, OUTSIDE_IGNORED)
        if order.is_live and not may_trade(terms, self._shared.now()) and terms.good_after <= self._shared.now():
            self._warn_of_waiting(order)

    def _modify(self, session: Session, order: Order, placement: Placement) -> None:
        """The same id while the order is live changes what can be changed; otherwise the order stays as it was."""
        found = self._admission.changed(order, placement)
        if isinstance(found, Refusal):
            self._refuse(session, order.order_id, found)
            return
        if not found.oca_group and order.parent_permanent_id:
            found = replace(found, oca_group=order.terms.oca_group, oca_type=order.terms.oca_type)
        if order.is_transmitted:
            self.exchange.change(order, found)
            return
        order.terms = found
        if found.transmit:
            self._transmit_family(order)

    def _cancel(self, order: Order) -> None:
        if order.status is Status.PENDING_CANCEL or misses_close(order.terms, self._shared.now()):
            text = "Cancel attempted when order is not in a cancellable state.  Order permId ="
            self.news.warn(order, 161, f"{text}{order.permanent_id}")
        else:
            self.exchange.cancel(order)

    def _preview(self, session: Session, order_id: int, terms: Terms) -> None:
        """The answer to a what-if order, which leaves no trace."""
        shared = self._shared
        trade = self._admission.trade_of(terms, terms.quantity)
        impact = shared.brokerage.impact(self._admission.account(terms), trade)
        order = Order(session.client_id, order_id, 0, terms, trading_day(terms, shared.now()), Status.PRE_SUBMITTED)
        session.send(*open_order(order, session.version, impact))

    # how it is told

    def _warn_of_waiting(self, order: Order) -> None:
        terms, now = order.terms, self._shared.now()
        calendar = hours_of(terms)
        today = calendar.session(order.day)
        opens = today.open if today.open > now else calendar.following(order.day).open
        what = f"{terms.action} {order.remaining:f} {terms.instrument.symbol}"
        until = terms.instrument.venue.ib_text(opens)
        text = f"Order Message: {what} Warning: your order will not be placed at the exchange until {until}"
        self.news.warn(order, 399, text)

    def _refuse(self, session: Session, order_id: int, refusal: Refusal) -> None:
        self._shared.remember()  # the id is used up
        self._note("order_refused", session.client_id, order_id, code=refusal.code, reason=refusal.text)
        session.error(order_id, refusal.code, refusal.text, order_id=order_id)

    def _tell_inactive(self, session: Session, placement: Placement) -> None:
        """The broker has said no: the order is told as inactive."""
        quantity = placement.number("quantity") or Decimal(0)
        values = (placement.order_id, Status.INACTIVE, 0, quantity, 0, 0, 0, 0, session.client_id, "", 0)
        session.send(3, *values, event="status sent", order_id=placement.order_id)

    def _note(self, kind: str, client_id: int, order_id: int | None, **facts: object) -> None:
        self._shared.ledger.write(kind, self._shared.now(), client_id=client_id, order_id=order_id, **facts)


def _facts(placement: Placement) -> dict[str, object]:
    return {
        "contract_id": placement.asked.contract_id,
        "symbol": placement.asked.symbol,
        "side": placement.told["action"],
        "quantity": placement.number("quantity"),
        "order_type": placement.told["kind"],
        "limit_price": placement.number("limit") if placement.told["kind"] != "MKT" else None,
        "auxiliary_price": placement.number("auxiliary"),
        "time_in_force": placement.told["time_in_force"],
        "order_ref": placement.told["reference"],
        "parent_id": placement.whole("parent_id"),
        "oca_group": placement.told["oca_group"],
        "transmit": placement.flag("transmit"),
        "what_if": placement.what_if,
    }
