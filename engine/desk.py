"""Where a strategy's orders go in a backtest, and what it reads of its account."""

from typing import TYPE_CHECKING

import msgspec

from engine.aims import Aim
from engine.exchange import Order, order_of
from engine.moments import Alarm
from engine.order_requests import BracketIds, OrderNews, OrderRequest, OrderRequestError
from schemas.moments import to_datetime

if TYPE_CHECKING:
    from engine.replay import Replay


class BacktestDesk:
    """The strategy's side of a replay."""

    def __init__(self, replay: "Replay") -> None:
        self._replay = replay
        self._last_id = 0

    @property
    def cash(self) -> float:
        """Money, in the account's currency."""
        return self._replay.account.cash

    @property
    def equity(self) -> float:
        """Cash and positions at their last closes."""
        return self._replay.account.equity

    def next_id(self) -> int:
        """The id of the next order."""
        self._last_id += 1
        return self._last_id

    def contract_in_hand(self) -> int:
        """The contract of the bar in hand; between bars, the run's only one."""
        replay = self._replay
        if len(replay.strategy.positions) > 1 and replay.between:
            raise OrderRequestError("which contract? between bars, with several of them, name contract_id")
        return int(replay.columns.contract_id[max(replay.row, 0)])

    def place(self, request: OrderRequest) -> int:
        """Let an order work; its id. Raises OrderRequestError for an unknown contract or parent."""
        return self._place(request).order_id

    def place_bracket(self, entry: OrderRequest, stop: OrderRequest, target: OrderRequest) -> BracketIds:
        """Three orders of which the last two wait for the first and reduce each other."""
        return BracketIds(*self._place_family(entry, stop, target))

    def _place_family(self, entry: OrderRequest, *children: OrderRequest) -> list[int]:
        """An order, and children that wait for it and reduce each other."""
        first = self._place(entry)
        placed = [first.order_id]
        for child in children:
            request = msgspec.structs.replace(child, parent=first.order_id)
            placed.append(self._place(request, first, f"#{first.order_id}").order_id)
        return placed

    def aim(self, aim: Aim) -> None:
        """Let all that works for the contract make way for what brings it to the target.

        A protected position is entered from flat: on its side already, a protected aim changes nothing; on the other
        side, one order leaves and another enters.
        """
        replay, contract_id = self._replay, aim.contract_id
        if contract_id not in replay.strategy.positions:
            raise OrderRequestError(f"a target for contract {contract_id}, which is not in this run")
        held = replay.strategy.positions[contract_id].quantity
        wanted = replay.wanted(contract_id, aim.value)
        if aim.protected and held * wanted > 0:
            return
        replay.exchange.drop_target(contract_id)
        for news in self.working():
            if news.contract_id == contract_id:
                self.cancel(news.order_id)
        leaving, entering = (-held, wanted) if aim.protected else (0.0, wanted - held)
        if leaving:
            self._place(aim.entry(leaving))
        if entering:
            self._place_family(aim.entry(entering), *aim.protection(entering))

    def _place(self, request: OrderRequest, parent: Order | None = None, group: str = "") -> Order:
        replay = self._replay
        if request.contract_id not in replay.strategy.positions:
            raise OrderRequestError(f"an order for contract {request.contract_id}, which is not in this run")
        if request.parent and parent is None:
            parent = replay.exchange.find(request.parent)
            if parent is None or parent.contract_id != request.contract_id:
                raise OrderRequestError(f"no order {request.parent} of this contract works: it cannot be a parent")
        order = order_of(request, self.next_id(), 0, parent)
        if group:
            order.oca, order.reduces = group, True
        if parent is not None and parent.state.final and not parent.filled:
            replay.deny(order, f"its parent {parent.order_id} was denied")
        else:
            replay.let_work(order)
        return order

    def cancel(self, order_id: int) -> bool:
        """End an order, after the latency; False when it does not work any more."""
        replay = self._replay
        order = replay.exchange.find(order_id)
        if order is None:
            return False
        if replay.options.latency_us:
            replay.exchange.disturb(order.contract_id)
            order.cancel_us = replay.now_us + replay.options.latency_us
        else:
            replay.exchange.cancel(order, "canceled by the strategy")
        return True

    def modify(self, order_id: int, quantity: float | None, limit: float | None, stop: float | None) -> bool:
        """Change an order, after the latency; False when it does not work any more."""
        replay = self._replay
        order = replay.exchange.find(order_id)
        if order is None:
            return False
        side = 1.0 if order.buys else -1.0
        wanted = abs(order.quantity) if quantity is None else abs(quantity)
        if wanted <= order.filled:
            raise OrderRequestError(f"order {order_id} has filled {order.filled:g} already: cancel it instead")
        for name, value, old in (("limit", limit, order.limit), ("stop", stop, order.stop)):
            if value is not None and not old:
                raise OrderRequestError(f"a {order.kind} order has no {name}")
        terms = (side * wanted, order.limit if limit is None else limit, order.stop if stop is None else stop)
        if replay.options.latency_us:
            replay.exchange.disturb(order.contract_id)
            order.change = (replay.now_us + replay.options.latency_us, *terms)
        else:
            replay.exchange.change(order, *terms)
        return True

    def working(self) -> tuple[OrderNews, ...]:
        """The strategy's orders that work, in the order of their placing."""
        replay = self._replay
        placed = sorted((each for each in replay.exchange.placed() if each.order_id), key=lambda each: each.order_id)
        return tuple(replay.news(each) for each in placed)

    def timer(self, name: str, at_us: int, every_us: int) -> None:
        """Call `on_timer` at a moment, or again and again: once for all the moments that no bar ended between."""
        alarm, replay = Alarm(name, at_us, every_us), self._replay
        row = max(replay.first_after(at_us), replay.row + 1)
        if row >= len(replay.columns):
            replay.timers.append(alarm)
            return
        moment_us = alarm.rings_us(replay.end_of(row))

        def ring() -> None:
            if every_us:
                self.timer(name, moment_us + every_us, every_us)
            replay.at(moment_us, lambda: replay.strategy.on_timer(name, to_datetime(moment_us)))

        replay.happen(row, ring, moment_us=moment_us)
