"""The strategy's side of live orders: it asks, hears what became of it, and whoever drives it carries the wishes on."""

from collections.abc import Mapping

import msgspec

from engine.aims import Aim
from engine.moments import Alarm
from engine.order_requests import BracketIds, OrderNews, OrderRequest, OrderRequestError, OrderState
from engine.strategy import Positions

ASKED_MAX = 100
"""Wishes in answer to one input: more of them are no trading but a flood."""
_WORKING_MAX = 1000


class FloodError(RuntimeError):
    """More than anybody can want at once."""


class Asked(msgspec.Struct, frozen=True, gc=False):
    """One wish. `request`: let it work; `cancel`: end the order; otherwise change it to what is given."""

    order_id: int
    contract_id: int
    request: OrderRequest | None = None
    legs: tuple[int, ...] = ()
    """Of a bracket: its orders, the entry first."""
    cancel: bool = False
    quantity: float | None = None
    limit: float | None = None
    stop: float | None = None


class LiveDesk:
    """Takes a strategy's orders; ids are numbers that count up, the same ones when the same inputs come again."""

    def __init__(self, capital: float | None = None) -> None:
        self.asked: list[Asked] = []
        """Not carried on yet."""
        self.alarms: list[Alarm] = []
        """Timers asked for, not taken up yet."""
        self.in_hand = 0
        """The contract of the input in hand."""
        self.full: dict[int, float] = {}
        """Shares of a full position, by contract."""
        self.positions = Positions()
        self.prices: dict[int, float] = {}
        self.spent = 0.0
        """Money that the strategy's executions have cost so far, less what they brought."""
        self._capital = capital
        self._last_id = 0
        self._working: dict[int, OrderNews] = {}

    # what a strategy may ask

    @property
    def cash(self) -> float:
        if self._capital is None:
            raise OrderRequestError("cash and equity are of the capital that a deployment names, and this names none")
        return self._capital - self.spent

    @property
    def equity(self) -> float:
        worth = sum(each.quantity * self.prices.get(key, 0.0) for key, each in self.positions.items() if each.quantity)
        return self.cash + worth

    def contract_in_hand(self) -> int:
        if not self.in_hand:
            raise OrderRequestError("which contract? between bars, with several of them, name contract_id")
        return self.in_hand

    def place(self, request: OrderRequest) -> int:
        return self._place(request, (self._next(),))

    def place_bracket(self, entry: OrderRequest, stop: OrderRequest, target: OrderRequest) -> BracketIds:
        return BracketIds(*self._family(entry, stop, target))

    def aim(self, aim: Aim) -> None:
        """As in a backtest: a protected position is entered from flat."""
        held = self.positions[aim.contract_id].quantity
        wanted = float(int(aim.value * self.full.get(aim.contract_id, 0.0)))
        if aim.protected and held * wanted > 0:
            return
        for news in self.working():
            if news.contract_id == aim.contract_id:
                self.cancel(news.order_id)
        leaving, entering = (-held, wanted) if aim.protected else (0.0, wanted - held)
        if leaving:
            self.place(aim.entry(leaving))
        if entering:
            self._family(aim.entry(entering), *aim.protection(entering))

    def cancel(self, order_id: int) -> bool:
        news = self._working.get(order_id)
        if news is not None:
            self._ask(Asked(order_id, news.contract_id, cancel=True))
        return news is not None

    def modify(self, order_id: int, quantity: float | None, limit: float | None, stop: float | None) -> bool:
        news = self._working.get(order_id)
        if news is None:
            return False
        wanted = news.quantity if quantity is None else abs(quantity)
        if wanted <= news.filled:
            raise OrderRequestError(f"order {order_id} has filled {news.filled:g} already: cancel it instead")
        self._ask(Asked(order_id, news.contract_id, quantity=wanted, limit=limit, stop=stop))
        return True

    def working(self) -> tuple[OrderNews, ...]:
        return tuple(self._working.values())

    def timer(self, name: str, at_us: int, every_us: int) -> None:
        if len(self.alarms) >= ASKED_MAX:
            raise FloodError(f"more than {ASKED_MAX} timers at once")
        self.alarms.append(Alarm(name, at_us, every_us))

    # what whoever drives it does

    def show(self, contract_id: int, price: float, full: Mapping[int, float], spent: float) -> None:
        """Where things stand, before the strategy is given an input of `contract_id`."""
        self.in_hand = contract_id
        self.prices[contract_id] = price
        self.full = dict(full)
        self.spent = spent

    def drain(self) -> list[Asked]:
        """The wishes since the last time."""
        asked, self.asked = self.asked, []
        return asked

    def drain_alarms(self) -> list[Alarm]:
        """The timers since the last time."""
        alarms, self.alarms = self.alarms, []
        return alarms

    def between_bars(self) -> None:
        """No bar is in hand: of several contracts none is meant, an only one still is."""
        self.in_hand = next(iter(self.full)) if len(self.full) == 1 else 0

    def hear(self, news: OrderNews) -> None:
        """What became of an order."""
        if news.order_id in self._working:
            if news.state.final:
                del self._working[news.order_id]
            else:
                self._working[news.order_id] = news

    def _family(self, entry: OrderRequest, *children: OrderRequest) -> list[int]:
        if not children:
            return [self.place(entry)]
        legs = tuple(self._next() for _ in (entry, *children))
        self._place(entry, legs)
        for number, child in enumerate(children, start=1):
            self._place(msgspec.structs.replace(child, parent=legs[0]), legs, number)
        return list(legs)

    def _place(self, request: OrderRequest, legs: tuple[int, ...], number: int = 0) -> int:
        order_id = legs[number]
        if request.contract_id not in self.full:
            raise OrderRequestError(f"an order for contract {request.contract_id}, which is not among its symbols")
        if request.parent and request.parent not in legs:
            raise OrderRequestError("live, a child is placed together with its parent: use bracket")
        if len(self._working) >= _WORKING_MAX:
            raise FloodError(f"{_WORKING_MAX} of its orders work already")
        self._ask(Asked(order_id, request.contract_id, request, legs if len(legs) > 1 else ()))
        news = OrderNews(order_id, request.contract_id, OrderState.NEW, abs(request.quantity), 0.0, 0)
        self._working[order_id] = news
        return order_id

    def _ask(self, asked: Asked) -> None:
        if len(self.asked) >= ASKED_MAX:
            raise FloodError(f"more than {ASKED_MAX} orders, changes and cancels at once")
        self.asked.append(asked)

    def _next(self) -> int:
        self._last_id += 1
        return self._last_id
