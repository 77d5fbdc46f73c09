"""The exchange of a backtest: orders work, meet the bars of their contract, and become executions.

A bar is met in three steps: its open, its range, its close. Within a step orders go in the order of their placing,
except that in the range those come first that `Rules.both_reached` puts first. What each order meets is told in
`engine.exchange.matching`, what it pays in `engine.exchange.costs`.

Order of arithmetic, which other matchers repeat to reach the same bits: price = offer + side * slippage, then
commission on quantity and price, then cash -= quantity * price + commission.
"""

from collections.abc import Iterable

from engine.exchange.costs import ByOrder, Commission, Slippage
from engine.exchange.matching import Offer, at_close, at_price, in_range, range_for
from engine.exchange.orders import Execution, Order
from engine.exchange.quiet import quiet
from engine.exchange.rules import Rules
from engine.exchange.working import Broker, WorkingOrders
from engine.facts import Bar
from engine.order_requests import OrderKind, OrderState, TimeInForce

_AT_CLOSE = (OrderKind.MARKET_ON_CLOSE, OrderKind.LIMIT_ON_CLOSE)
_AT_ONCE = (TimeInForce.IOC, TimeInForce.FOK)


class Exchange(WorkingOrders):
    """Working orders, how they meet bars, and what was executed."""

    def __init__(self, commission: Commission | ByOrder, slippage: Slippage, rules: Rules, broker: Broker) -> None:
        super().__init__(broker)
        self.rules = rules
        self.executions: list[Execution] = []
        self._commission = commission
        self._slippage = slippage
        self._touch = rules.limit_fill == "touch"
        self._room: dict[int, tuple[int, float]] = {}  # by contract: a row, and how much may still trade in it
        self._markets_wait = rules.fill in ("same_close", "worst_of_bar")
        self.plain = rules.plain and callable(commission)
        """Whether a lone target's order fills whole at the next open, whatever it costs: what most runs do."""

    def begin_rows(self) -> None:
        """Rows begin anew: other columns follow."""
        self.executions.clear()
        self._room.clear()
        self._quiet.clear()

    # a bar

    def match(self, bar: Bar, row: int) -> None:
        """All three steps of a bar."""
        orders = self.working[bar.contract_id]
        if self.plain and len(orders) == 1 and not orders[0].order_id:
            self.fill_target(orders[0], row, bar.start_us, bar.open, bar.volume)
            return
        if self._is_quiet(bar, row):
            return
        self.match_open(bar, row)
        if bar.contract_id in self.working:
            self.match_rest(bar, row)

    def match_open(self, bar: Bar, row: int) -> None:
        """The open: who may begin begins, who must end ends, and all that trade at the open's price do."""
        if self._is_quiet(bar, row):
            return
        for order in tuple(self.working[bar.contract_id]):
            if order.state.final or not self._works(order, bar, row):
                continue
            if self._markets_wait and order.kind is OrderKind.MARKET and order.tif is not TimeInForce.OPG:
                order.begun = True
                continue
            self._meet(order, at_price(order, bar.open, touch=self._touch), bar, row, bar.start_us)
            order.begun = True
            if order.tif is TimeInForce.OPG:
                self._end(order, OrderState.EXPIRED, "the opening is over")
        self._tidy(bar.contract_id)

    def target_alone(self, contract_id: int) -> Order | None:
        """The contract's only order when that is a target's and `fill_target` says all of it."""
        orders = self.working.get(contract_id)
        if orders is None or not self.plain or len(orders) > 1 or orders[0].order_id:
            return None
        return orders[0]

    def fill_target(self, order: Order, row: int, start_us: int, opening: float, volume: float) -> None:
        """What `_trade` does at the open of a bar, without what does not occur."""
        if start_us < order.after_us:
            return
        contract_id, quantity = order.contract_id, order.quantity
        del self.working[contract_id]
        size = abs(quantity)
        worse = self._slippage(opening, volume, size)
        price = opening + worse if quantity > 0 else opening - worse
        commission = self._commission(size, price)  # type: ignore[operator] # `plain` says that it is a function
        execution = Execution(contract_id, row, start_us, quantity, price, worse, commission, order.reason)
        self.executions.append(execution)
        self._broker.filled(execution)

    def match_rest(self, bar: Bar, row: int) -> None:
        """The range, then the close."""
        if self._is_quiet(bar, row):
            return
        orders = self.working.get(bar.contract_id, [])
        for order in self._sequence(bar, [each for each in orders if each.begun]):
            if order.state.final:
                continue
            if order.kind is OrderKind.MARKET:
                if self.rules.fill == "worst_of_bar":
                    self._trade(order, Offer(bar.high if order.buys else bar.low, slips=True), bar, row, bar.end_us)
                continue
            seen = range_for(order, bar.high, bar.low, bar.close)
            offer = self._behind_queue(order, bar) or in_range(order, seen, touch=self._touch)
            if offer is not None:
                self._trade(order, offer, bar, row, bar.end_us)
        self._meet_late(bar, row)
        self._match_close(bar, row)
        self._tidy(bar.contract_id)
        self.disturb(bar.contract_id)
        if resting := self.working.get(bar.contract_id):
            found = quiet(resting, self._broker.session_end(row))
            if found is not None:
                self._quiet[bar.contract_id] = found

    def end_day(self, contract_id: int) -> None:
        """A session of which nobody saw the last bar is over."""
        for order in tuple(self.working.get(contract_id, ())):
            if order.begun and order.tif is TimeInForce.DAY:
                self._end(order, OrderState.EXPIRED, "the session is over")
        self._tidy(contract_id)

    def match_now(self, bar: Bar, row: int) -> None:
        """What may trade at the close of a bar that has just ended: market orders decided on there."""
        for order in tuple(self.working.get(bar.contract_id, ())):
            self._trade_at_close(order, bar, row)
        self._tidy(bar.contract_id)

    def _trade_at_close(self, order: Order, bar: Bar, row: int) -> None:
        waits = order.state.final or order.wait or order.tif is TimeInForce.OPG or bar.end_us < order.after_us
        if order.kind is OrderKind.MARKET and not waits:
            self._trade(order, Offer(bar.close, slips=True), bar, row, bar.end_us)

    def _works(self, order: Order, bar: Bar, row: int) -> bool:
        start_us = bar.start_us
        if start_us < order.after_us:
            return False
        if order.cancel_us and start_us >= order.cancel_us:
            self._end(order, OrderState.CANCELED, "canceled by the strategy")
        elif order.good_till_us and start_us >= order.good_till_us:
            self._end(order, OrderState.EXPIRED, "its time is over")
        if order.state.final or order.waits_for_parent:
            return False
        if order.wait:
            order.wait -= 1
            return False
        if order.change is not None and start_us >= order.change[0]:
            self.change(order, *order.change[1:])
        return order.tif is not TimeInForce.OPG or self._broker.edges(row)[0]

    def _meet(self, order: Order, offer: Offer | None, bar: Bar, row: int, time_us: int) -> None:
        if offer is not None:
            self._trade(order, offer, bar, row, time_us)
        if order.tif in _AT_ONCE:
            self._end(order, OrderState.CANCELED, f"{order.tif}: no more at once")

    def _sequence(self, bar: Bar, orders: list[Order]) -> Iterable[Order]:
        if len(orders) < 2:
            return orders
        if self.rules.both_reached == "nearest_first":
            high_first = bar.high - bar.open <= bar.open - bar.low
            return sorted(orders, key=lambda each: (each.buys == each.is_stop) != high_first)
        stops_last = self.rules.both_reached == "target_first"
        return sorted(orders, key=lambda each: each.is_stop == stops_last)

    def _behind_queue(self, order: Order, bar: Bar) -> Offer | None:
        """The limit itself was reached, and more volume than stood before the order: then it trades there."""
        if self.rules.limit_fill != "queue" or not (order.kind is OrderKind.LIMIT or order.triggered):
            return None
        if order.limit != (bar.low if order.buys else bar.high) or order.late_price is not None:
            return None
        order.queue -= bar.volume
        return Offer(order.limit, slips=False) if order.queue < 0 else None

    def _meet_late(self, bar: Bar, row: int) -> None:
        """Orders whose parent filled inside this bar: its price is their open, and the bar proves less of them."""
        orders = self.working.get(bar.contract_id, [])
        while late := [each for each in orders if each.late_price is not None and not each.begun]:
            for order in self._sequence(bar, late):
                order_price = order.late_price
                if order.state.final or order_price is None:
                    order.begun = True
                    continue
                self._meet(order, at_price(order, order_price, touch=self._touch), bar, row, bar.end_us)
                order.begun = True
                if order.state is OrderState.NEW:
                    offer = in_range(order, range_for(order, bar.high, bar.low, bar.close), touch=self._touch)
                    if offer is not None:
                        self._trade(order, offer, bar, row, bar.end_us)
        for order in orders:
            order.late_price = None

    def _match_close(self, bar: Bar, row: int) -> None:
        orders = [each for each in self.working.get(bar.contract_id, ()) if not each.state.final]
        if self.rules.fill == "same_close":
            for order in orders:
                self._trade_at_close(order, bar, row)
        ending = [each for each in orders if each.begun and (each.tif is TimeInForce.DAY or each.kind in _AT_CLOSE)]
        if not ending or not self._broker.edges(row)[1]:
            return
        for order in ending:
            if order.kind in _AT_CLOSE and not order.state.final:
                offer = at_close(order, bar.close, touch=self._touch)
                if offer is not None:
                    self._trade(order, offer, bar, row, bar.end_us)
            if order.tif is TimeInForce.DAY:
                self._end(order, OrderState.EXPIRED, "the session is over")

    # a trade

    def _trade(self, order: Order, offer: Offer, bar: Bar, row: int, time_us: int) -> None:
        """Fill as much of `order` as the bar has room and the account means for."""
        room = self._left_in(bar, row)
        size = min(order.left, room)
        if size <= 0 or (order.tif is TimeInForce.FOK and size < order.left):
            return
        worse = self._slippage(offer.price, bar.volume, size) if offer.slips else 0.0
        price = offer.price + worse if order.buys else offer.price - worse
        if offer.limit is not None:
            price = min(price, offer.limit) if order.buys else max(price, offer.limit)
            worse = abs(price - offer.price)
        quantity = size if order.buys else -size
        execution = Execution(
            order.contract_id,
            row,
            time_us,
            quantity,
            price,
            worse,
            self._charge(order, quantity, price, time_us),
            order.reason,
            order.order_id,
            self._broker.worth(order.contract_id, time_us),
        )
        if refusal := self._broker.refuses(quantity, execution):
            self._end(order, OrderState.DENIED, refusal)
            return
        self._room[order.contract_id] = (row, room - size)
        self._book(order, execution, inside=time_us != bar.start_us)

    def _left_in(self, bar: Bar, row: int) -> float:
        known = self._room.get(bar.contract_id)
        return known[1] if known is not None and known[0] == row else self.rules.capacity(bar.volume)

    def _charge(self, order: Order, quantity: float, price: float, time_us: int) -> float:
        if callable(self._commission):
            return self._commission(abs(quantity), price)
        return self._commission.of_order(order.filled, order.value, quantity, price, time_us)

    def _book(self, order: Order, execution: Execution, *, inside: bool) -> None:
        self.disturb(order.contract_id)
        size = abs(execution.quantity)
        order.filled += size
        order.value += size * abs(execution.price)
        whole = order.filled >= abs(order.quantity)
        order.state = OrderState.FILLED if whole else OrderState.PARTIALLY_FILLED
        if order.kind is OrderKind.MARKET_TO_LIMIT and not order.triggered:
            order.triggered, order.limit = True, execution.price
        self.executions.append(execution)
        if inside and order.order_id:
            for child in self.working[order.contract_id]:
                if child.parent is order and not child.begun:
                    child.late_price = execution.price
        if order.oca:
            self._tell_group(order, size)
        self._broker.filled(execution)
        self._broker.told(order, "")
