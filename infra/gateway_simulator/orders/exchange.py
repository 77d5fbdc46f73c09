"""What reaches the market and when: arrivals, changes and cancels with their latency, triggers, conditions, time."""

from infra.gateway_simulator.floor import Shared
from infra.gateway_simulator.instruments.calendar import Session as TradingDay
from infra.gateway_simulator.instruments.instrument import Instrument
from infra.gateway_simulator.market.market import Quote
from infra.gateway_simulator.orders.holds import LAG, Hold, conditions_hold, holds
from infra.gateway_simulator.orders.lives import (
    ENDED_BY_CLIENT,
    ENDED_BY_CLOSE,
    ENDED_BY_CONDITION,
    ENDED_BY_DATE,
    ENDED_BY_SPLIT,
    Lives,
)
from infra.gateway_simulator.orders.matching import money
from infra.gateway_simulator.orders.order import AT_CLOSE, TRAILS, Order, Status, Terms
from infra.gateway_simulator.orders.order_news import OrderNews, facts_of
from infra.gateway_simulator.orders.time_in_force import begin, expiry, is_over, trading_day
from infra.gateway_simulator.orders.trading import Trading
from infra.gateway_simulator.orders.triggers import elect, observe, set_prices, trail


class Exchange:
    def __init__(self, shared: Shared, lives: Lives, trading: Trading, news: OrderNews) -> None:
        self._shared = shared
        self._lives = lives
        self._trading = trading
        self._news = news

    # what comes from clients

    def accept(self, order: Order) -> None:
        """A transmitted order; it takes the latency until it is in the market."""
        shared, latency = self._shared, self._shared.latency
        order.day = trading_day(order.terms, max(shared.now(), order.terms.good_after))
        order.status = Status.PENDING_SUBMIT if latency else Status.PRE_SUBMITTED
        order.arrives_at = shared.now() + latency if latency else 0.0
        self._attend(order)
        self._begin(order)
        self._lives.release(order)
        self._news.note("order_accepted", order, permanent_id=order.permanent_id, status=order.status)
        self._news.tell(order, "ack sent")
        self._meet_market(order)

    def change(self, order: Order, terms: Terms) -> None:
        """New terms for a live order; they take the latency, too."""
        if self._shared.latency:
            order.change, order.change_arrives_at = terms, self._shared.now() + self._shared.latency
            self._wake_at(order.change_arrives_at)
            self._shared.remember()
        else:
            self._apply(order, terms)

    def cancel(self, order: Order) -> None:
        """The client wants it back; until that arrives it can still fill."""
        if not order.is_transmitted:
            self._lives.end(order, Status.API_CANCELLED, ENDED_BY_CLIENT)
        elif self._shared.latency:
            order.status = Status.PENDING_CANCEL
            order.cancel_arrives_at = self._shared.now() + self._shared.latency
            self._wake_at(order.cancel_arrives_at)
            self._news.tell_status(order)
            self._shared.remember()
        else:
            self._lives.end(order, Status.CANCELLED, ENDED_BY_CLIENT)

    # what time and the market bring

    def on_time(self) -> None:
        """Whatever was to happen by now."""
        now = self._shared.now() + LAG
        if self._shared.book.awoken(now):
            self._run_due(now)

    def _run_due(self, now: float, printed: Instrument | None = None) -> None:
        for order in tuple(self._shared.book.live.values()):
            if order.is_live and order.is_transmitted and self._came_due(order, now, printed):
                self._trading.trade(order.terms.instrument)
        self._settle()
        self._shared.remember()

    def on_print(self, instrument: Instrument) -> None:
        """A trade has happened, and left a new quote."""
        now = self._shared.now() + LAG
        if self._shared.book.awoken(now):
            self._run_due(now, instrument)
        quote = self._trading.quote(instrument)
        if quote is None:
            return
        self._trading.open_auction(instrument, quote)
        self._trading.meet(instrument, quote)
        for order in tuple(self._shared.book.live.values()):
            if order.is_transmitted and order.is_live:
                self._watch(order, instrument, quote)
        self._trading.trade(instrument)
        self._settle()

    def on_resume(self, instrument: Instrument) -> None:
        """A halt is over: what has waited meets the quote that it left."""
        self._trading.trade(instrument)
        self._settle()
        self._shared.remember()

    def on_open(self, session: TradingDay) -> None:
        """Orders that waited for the session go to the market."""
        self.on_time()
        wanted = [order.terms.instrument for order in self._of_market(session) if not order.located]
        for instrument in dict.fromkeys(wanted):
            if self._shared.is_lent(instrument, session.day):
                self.located(instrument)
        for order in self._of_market(session):
            if self._lives.release(order):
                self._news.tell(order)

    def on_split(self, instrument: Instrument, ratio: int) -> None:
        """Orders that are good till cancelled end: IB, "Time in Force for Orders", of forward and reverse splits."""
        for order in self._shared.book.of(instrument):
            if order.is_live and order.terms.time_in_force == "GTC":
                self._lives.end(order, Status.CANCELLED, f"{ENDED_BY_SPLIT} {ratio} for 1")

    def on_close(self, session: TradingDay) -> None:
        """The closing auction, at the price of the last trade; then day orders end with their day."""
        self.on_time()
        for order in self._of_market(session):
            if order.terms.kind in AT_CLOSE and order.is_working and order.day <= session.day:
                self._trading.auction(order, self._trading.quote(order.terms.instrument))
        self._settle()
        for order in self._of_market(session):
            self._expire(order, self._shared.now())

    def on_start(self) -> None:
        """A gateway that starts again finds orders whose time has come while it was away."""
        for order in tuple(self._shared.book.live.values()):
            self._attend(order)
        self._run_due(self._shared.now() + LAG)

    def located(self, instrument: Instrument) -> None:
        """Shares to sell short have been found."""
        for order in self._shared.book.of(instrument):
            if order.is_live and not order.located:
                order.located = True
                self._lives.release(order)
                self._news.tell(order)
                self._meet_market(order)

    # how orders get there

    def _attend(self, order: Order) -> None:
        """Be there when it is time for the order, and when something happens that it depends on."""
        terms = order.terms
        moments = [order.arrives_at, order.change_arrives_at, order.cancel_arrives_at, terms.good_after]
        moments += [begin(order), expiry(order) or 0.0, *(each.moment for each in terms.conditions)]
        for moment in moments:
            if moment > self._shared.now():
                self._wake_at(moment)
        for instrument in (terms.instrument, *terms.watched):
            self._shared.follow(instrument)

    def _begin(self, order: Order) -> None:
        """Its prices; a stop that trails does so from when nothing else holds the order."""
        set_prices(order)
        quote = self._trading.quote(order.terms.instrument)
        if order.terms.kind in TRAILS and quote is not None and holds(order, self._shared) == [Hold.TRIGGER]:
            trail(order, quote)

    def _wake_at(self, moment: float) -> None:
        if self._shared.book.wake_at(moment):
            self._shared.timetable.at(moment, self.on_time)

    def _meet_market(self, order: Order) -> None:
        """It has come or been changed: it meets the market as it is."""
        quote = self._trading.quote(order.terms.instrument)
        if quote is not None and order.is_live:
            self._look(order, quote)
        self._trading.trade(order.terms.instrument)
        self._settle()
        self._shared.remember()

    def _settle(self) -> None:
        """Groups that are reduced late, and children whose parents have filled; which can go on for generations."""
        self._trading.settle_groups()
        while self._lives.fresh:
            self._meet_market(self._lives.fresh.pop(0))

    def _watch(self, order: Order, instrument: Instrument, quote: Quote) -> None:
        if order.terms.instrument == instrument:
            self._look(order, quote)
        elif self._check(order):
            self._trading.trade(order.terms.instrument)

    def _look(self, order: Order, quote: Quote) -> None:
        """One look at the quote: conditions, trailing stop, trigger."""
        self._check(order)
        if order.status is not Status.PRE_SUBMITTED or holds(order, self._shared) != [Hold.TRIGGER]:
            return
        if order.terms.kind in TRAILS:
            trail(order, quote)
        if order.stop is not None and observe(order, quote):
            elect(order)
            facts = {"trigger_price": order.stop, "limit_price": order.limit, "last": money(quote.last)}
            self._news.note("order_triggered", order, **facts)
            self._lives.release(order)
            self._news.tell(order)

    def _check(self, order: Order) -> bool:
        """Whether conditions have just let the order into the market; they can cancel it, too."""
        terms = order.terms
        if not terms.conditions or order.conditions_met or not conditions_hold(order, self._shared):
            return False
        order.conditions_met = True
        self._news.note("conditions_met", order)
        if terms.conditions_cancel:
            self._lives.end(order, Status.CANCELLED, ENDED_BY_CONDITION)
            return False
        released = self._lives.release(order)
        if released:
            self._news.tell(order)
        return released

    def _came_due(self, order: Order, now: float, printed: Instrument | None) -> bool:
        """Arrivals, changes, cancels, starts and expiries; whether the order may trade differently now.

        Orders of the instrument that has just been `printed` are to look at that print once, which comes afterwards.
        """
        if 0 < order.cancel_arrives_at <= now:
            self._lives.end(order, Status.CANCELLED, ENDED_BY_CLIENT)
            return False
        if self._expire(order, now):
            return False
        if order.change is not None and order.change_arrives_at <= now:
            terms, order.change, order.change_arrives_at = order.change, None, 0.0
            self._apply(order, terms)
        if 0 < order.arrives_at <= now:
            order.arrives_at = 0.0
            if order.status is Status.PENDING_SUBMIT:
                order.status = Status.PRE_SUBMITTED
                self._lives.release(order)
                self._news.tell(order)
        if self._check(order) or not order.is_live:
            return order.is_live
        if self._lives.release(order):
            self._news.tell(order)
        quote = self._trading.quote(order.terms.instrument)
        if quote is not None and order.terms.instrument != printed:
            self._look(order, quote)
        return True

    def _expire(self, order: Order, now: float) -> bool:
        if not order.is_live or not order.is_transmitted or not is_over(order, now):
            return False
        by_date = order.terms.time_in_force == "GTD"
        self._lives.end(order, Status.CANCELLED, ENDED_BY_DATE if by_date else ENDED_BY_CLOSE)
        return True

    def _apply(self, order: Order, terms: Terms) -> None:
        """The new terms are in force; a better place in the queue is not kept."""
        keeps = terms.limit == order.terms.limit and terms.quantity <= order.terms.quantity
        keeps = keeps and (terms.kind, terms.auxiliary) == (order.terms.kind, order.terms.auxiliary)
        order.terms = terms
        if not keeps:
            order.rested, order.observed = False, 0
            if not order.triggered:
                self._begin(order)
            elif order.limit is not None:
                order.limit = terms.limit
        self._attend(order)
        self._news.note("order_changed", order, **facts_of(terms))
        self._lives.release(order)
        self._news.tell(order, "ack sent")
        if not order.remaining and order.is_live:
            self._lives.complete(order)
        self._meet_market(order)

    def _of_market(self, session: TradingDay) -> list[Order]:
        return [
            each
            for each in tuple(self._shared.book.live.values())
            if each.terms.instrument.venue.market == session.market and each.is_transmitted and each.is_live
        ]
