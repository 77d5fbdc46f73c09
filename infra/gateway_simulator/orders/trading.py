"""How working orders trade: with what is displayed, with prints at their price, in auctions, and within groups."""

from dataclasses import replace
from decimal import Decimal

from infra.gateway_simulator.floor import Shared
from infra.gateway_simulator.instruments.instrument import Instrument
from infra.gateway_simulator.market.market import Quote
from infra.gateway_simulator.orders.fills import Fills
from infra.gateway_simulator.orders.holds import Hold, holds
from infra.gateway_simulator.orders.lives import ENDED_BY_AUCTION, ENDED_BY_FOK, ENDED_BY_GROUP, ENDED_BY_IOC, Lives
from infra.gateway_simulator.orders.matching import crosses, line_up, meet, money, take, was_shown
from infra.gateway_simulator.orders.oca import CANCEL, REDUCE_LATE, group_type, others, reduced_quantity
from infra.gateway_simulator.orders.order import AT_CLOSE, PEGGED, Match, Order, Status
from infra.gateway_simulator.orders.order_news import OrderNews
from infra.gateway_simulator.orders.time_in_force import AT_ONCE, may_trade
from infra.gateway_simulator.orders.triggers import peg


class Trading:
    def __init__(self, shared: Shared, lives: Lives, fills: Fills, news: OrderNews) -> None:
        self._shared = shared
        self._lives = lives
        self._fills = fills
        self._news = news
        self._late: list[tuple[Order, Decimal, Decimal]] = []  # fills whose groups are reduced after the print

    def quote(self, instrument: Instrument) -> Quote | None:
        return self._shared.world.quote(instrument, self._shared.now())

    def trade(self, instrument: Instrument) -> None:
        """Give the displayed quote to the working orders of the instrument: best price first, then oldest."""
        quote = self.quote(instrument)
        if quote is None:
            return
        self._peg(instrument, quote)
        for order in self._in_turn(instrument):
            if order.terms.kind in AT_CLOSE or order.terms.time_in_force == "OPG" or not order.is_working:
                continue
            self._take(order, quote)

    def _take(self, order: Order, quote: Quote) -> None:
        tif = order.terms.time_in_force
        whole = tif != "FOK" or _could_fill(order, quote)
        found = take(order, quote) if whole else None
        if found is not None:
            self._fill(order, found)
        if not order.is_working:
            return
        if tif in AT_ONCE:
            self._lives.end(order, Status.CANCELLED, ENDED_BY_IOC if tif == "IOC" else ENDED_BY_FOK)
        elif order.terms.kind == "MTL" and order.filled and order.limit is None:
            order.limit = order.last_price
            line_up(order, quote)
            self._news.tell(order)
        elif not order.rested and order.limit is not None:
            line_up(order, quote)

    def meet(self, instrument: Instrument, quote: Quote) -> None:
        """Give the print to the orders that rest at its price or better."""
        left = Decimal(quote.last_size)
        for order in self._in_turn(instrument):
            if order.terms.kind in AT_CLOSE or not order.is_working or crosses(order, quote):
                continue
            found = meet(order, quote, left)
            if found is None:
                continue
            left -= found.quantity
            self._fill(order, found)
            if order.is_working:
                was_shown(order, found.quantity)

    def _peg(self, instrument: Instrument, quote: Quote) -> None:
        """Pegged orders go where the quote has gone, to the end of the queue there."""
        for order in self._shared.book.of(instrument):
            if order.terms.kind in PEGGED and order.is_working and (wanted := peg(order, quote)) != order.limit:
                order.limit = wanted
                line_up(order, quote)

    def open_auction(self, instrument: Instrument, quote: Quote) -> None:
        """The first print of the session is the opening auction's."""
        now = self._shared.now()
        session = instrument.calendar.latest(now)
        for order in self._shared.book.of(instrument):
            waits = order.terms.time_in_force == "OPG" and order.status is Status.PRE_SUBMITTED
            is_its_day = order.day == session.day and may_trade(order.terms, now)
            if waits and is_its_day and holds(order, self._shared) == [Hold.SESSION]:
                order.triggered = True
                self._lives.release(order)
                self.auction(order, quote)

    def auction(self, order: Order, quote: Quote | None) -> None:
        """All of it at the auction's price, or nothing."""
        is_halted = order.terms.instrument in self._shared.halted
        if quote is None or is_halted or not _allows(order, money(quote.last)):
            self._lives.end(order, Status.CANCELLED, ENDED_BY_AUCTION)
        else:
            self._fill(order, Match(order.remaining, money(quote.last), adds_liquidity=False))

    def _fill(self, order: Order, found: Match) -> None:
        before = order.remaining
        execution = self._fills.book(order, found)
        if order.remaining:
            self._news.tell(order)
        else:
            self._lives.complete(order)
        self._fills.tell_commission(execution)
        if group_type(order) == REDUCE_LATE:
            self._late.append((order, found.quantity, before))
        else:
            self._reduce_group(order, found.quantity, before)

    def settle_groups(self) -> None:
        """Reductions without block come after everything that the print has given."""
        late, self._late = self._late, []
        for order, quantity, before in late:
            self._reduce_group(order, quantity, before)

    def _reduce_group(self, order: Order, quantity: Decimal, before: Decimal) -> None:
        for other in others(self._shared.book, order):
            if not other.is_live:
                continue
            total = reduced_quantity(other, before - quantity, before)
            if group_type(order) == CANCEL or total <= other.filled:
                self._lives.end(other, Status.CANCELLED, ENDED_BY_GROUP)
            else:
                other.terms = replace(other.terms, quantity=total)
                self._news.note("order_reduced", other, quantity=total, by_order_id=order.order_id)
                self._news.tell(other)

    def _in_turn(self, instrument: Instrument) -> list[Order]:
        """Working orders that may trade now, best price first, then by their turn."""
        if instrument in self._shared.halted:
            return []
        now = self._shared.now()
        found = [each for each in self._shared.book.of(instrument) if each.is_working and may_trade(each.terms, now)]
        return sorted(found, key=lambda each: (each.limit is not None, -each.sign * (each.limit or 0), each.turn))


def _could_fill(order: Order, quote: Quote) -> bool:
    displayed = quote.ask_size if order.sign > 0 else quote.bid_size
    return displayed >= order.remaining and crosses(order, quote)


def _allows(order: Order, price: Decimal) -> bool:
    """Whether its limit allows the price."""
    return order.limit is None or (order.limit - price) * order.sign >= 0
