"""Whether an order may go to the book: what it means, whether that makes sense, and whether its account may have it."""

from dataclasses import replace
from decimal import Decimal

from infra.gateway_simulator.accounts.account import Account
from infra.gateway_simulator.accounts.commissions import Trade
from infra.gateway_simulator.floor import Shared
from infra.gateway_simulator.history.past_request import RequestError
from infra.gateway_simulator.instruments.contracts import NO_DEFINITION
from infra.gateway_simulator.instruments.instrument import Instrument
from infra.gateway_simulator.orders.book import LIVE_MAX, MANUAL_CLIENT
from infra.gateway_simulator.orders.matching import money
from infra.gateway_simulator.orders.order import TRAILS, Order, Status, Terms
from infra.gateway_simulator.orders.order_rules import NO_PARENT, Refusal, improper, unsound
from infra.gateway_simulator.orders.placement import Placement
from infra.gateway_simulator.protocol import codes

STILL_PROCESSED = (2102, codes.TEXTS[2102])
NO_MATCH = (105, codes.TEXTS[105])
FILLED_ALREADY = (104, codes.TEXTS[104])
CONDITION_INCOMPLETE = (147, "The conditional contract info is incomplete.")
DUPLICATE = (103, codes.TEXTS[103])
HALTED = (154, "Orders cannot be transmitted for a halted security.")
NOT_TRADED = (460, "No trading permissions.")  # an index is only looked at


class Admission:
    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    def new(self, client_id: int, placement: Placement) -> Terms | Refusal:
        """The terms of a new order; its id is used up whatever comes of it, unless it only asks what if."""
        book, order_id = self._shared.book, placement.order_id
        if book.is_used(client_id, order_id):
            past = book.past(client_id, order_id)
            filled = past is not None and past.status is Status.FILLED
            return Refusal(*(FILLED_ALREADY if filled else DUPLICATE))
        if not placement.what_if:
            book.use_id(client_id, order_id)
        catalogue = self._shared.catalogue
        instrument = placement.asked.found_in(catalogue, self._shared.now())
        if instrument is None:
            return Refusal(*placement.asked.refusal(catalogue))
        if not instrument.is_tradable:
            return Refusal(*NOT_TRADED)
        if instrument in self._shared.halted and not placement.what_if:
            return Refusal(*HALTED)
        found = self._terms(client_id, placement, instrument)
        return self._permitted(client_id, found, None)

    def changed(self, order: Order, placement: Placement) -> Terms | Refusal:
        """The new terms of a live order."""
        old, instrument = order.terms, placement.asked.found_in(self._shared.catalogue)
        if order.arrives_at or order.change is not None or order.status is Status.PENDING_CANCEL:
            return Refusal(*STILL_PROCESSED)
        same = (placement.told["action"], placement.whole("parent_id")) == (old.action, old.parent_id)
        quantity = placement.number("quantity") or Decimal(0)
        if instrument is None or instrument != old.instrument or not same or quantity < order.filled:
            return Refusal(*NO_MATCH)
        return self._permitted(order.client_id, self._terms(order.client_id, placement, instrument, order), order)

    def manual(self, placement: Placement) -> Terms | Refusal:
        """The terms of an order that a person places in TWS itself."""
        instrument = placement.asked.found_in(self._shared.catalogue)
        if instrument is None:
            return Refusal(*NO_DEFINITION)
        return self._permitted(MANUAL_CLIENT, self._terms(MANUAL_CLIENT, placement, instrument), None)

    def must_locate(self, order: Order) -> bool:
        """Whether it sells short what nobody lends."""
        terms, shared = order.terms, self._shared
        if shared.book.parent(order) is not None or terms.action == "BUY":
            return False
        account = self.account(terms)
        if terms.instrument.contract_id in shared.book.withheld:
            return account.position(terms.instrument).quantity < order.remaining
        return shared.brokerage.must_locate(
            account, self.trade_of(terms, order.remaining), self._pending(account, order)
        )

    def account(self, terms: Terms) -> Account:
        account = self._shared.accounts.named(terms.account)
        assert account is not None, "the account has been looked up when the order came"
        return account

    def trade_of(self, terms: Terms, quantity: Decimal) -> Trade:
        """What it would do to the account: at its own price, or at the last one."""
        price = terms.limit or (terms.auxiliary if terms.waits_for_trigger else None)
        if price is None or terms.kind in TRAILS:
            quote = self._shared.world.quote(terms.instrument, self._shared.now())
            price = money(quote.last) if quote is not None else Decimal(0)
        return Trade(terms.instrument, terms.sign * quantity, price)

    def _terms(
        self, client_id: int, placement: Placement, instrument: Instrument, old: Order | None = None
    ) -> Terms | Refusal:
        """What is wanted, if the gateway can take it."""
        shared = self._shared
        account = shared.accounts.named(placement.account)
        refused = unsound(placement, account is not None)
        if refused is not None or account is None:
            return refused or Refusal(*NO_DEFINITION)
        try:
            terms = placement.terms(instrument)
        except RequestError as error:
            return Refusal(error.code, error.text)
        watched = [shared.catalogue.by_id.get(each.contract_id) for each in terms.conditions if each.contract_id]
        if any(each is None for each in watched):
            return Refusal(*CONDITION_INCOMPLETE)
        terms = replace(terms, account=account.code, watched=tuple(each for each in watched if each is not None))
        if old is None and terms.parent_id and (client_id, terms.parent_id) not in shared.book.live:
            return Refusal(*NO_PARENT)
        return improper(terms, shared.now()) or terms

    def _permitted(self, client_id: int, found: Terms | Refusal, replaced: Order | None) -> Terms | Refusal:
        """The terms, unless the account may not have them."""
        if isinstance(found, Refusal):
            return found
        reason = self._denied(client_id, found, replaced)
        return Refusal(201, f"Order rejected - reason:{reason}") if reason else found

    def _denied(self, client_id: int, terms: Terms, replaced: Order | None) -> str:
        """Why the account may not have it; empty when it may."""
        if len(self._shared.book.live) >= LIVE_MAX and replaced is None:
            return f"More than {LIVE_MAX} open orders"
        account = self.account(terms)
        quantity = terms.quantity - (replaced.filled if replaced is not None else 0)
        if quantity <= 0 or self._closes_parent(client_id, terms):
            return ""
        trade = self.trade_of(terms, quantity)
        return self._shared.brokerage.refusal(account, trade, self._pending(account, replaced))

    def _closes_parent(self, client_id: int, terms: Terms) -> bool:
        """Whether it only takes back what its parent, which still works, will have opened."""
        parent = self._shared.book.live.get((client_id, terms.parent_id)) if terms.parent_id else None
        return parent is not None and (
            (parent.terms.instrument, parent.sign) == (terms.instrument, -terms.sign)
            and terms.quantity <= parent.terms.quantity
        )

    def _pending(self, account: Account, without: Order | None) -> list[Trade]:
        """What the account's other orders may still trade; children only close what their parents open."""
        book = self._shared.book
        return [
            self.trade_of(each.terms, each.remaining)
            for each in book.live.values()
            if each is not without and each.terms.account == account.code and each.remaining and not book.parent(each)
        ]
