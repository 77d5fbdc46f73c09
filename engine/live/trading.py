"""What a live strategy trades by: targets and orders made into intents, its books, and a shadow's own exchange."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from engine.facts import Bar
from engine.live.desk import Asked, FloodError
from engine.live.liquidation import Liquidation
from engine.live.order_intents import OrderBook
from engine.live.outputs import Output, output_id
from engine.live.own_orders import OwnOrders
from engine.live.shadow import ShadowFloor
from engine.live.targets import Targets
from engine.live.timetable import Closes
from engine.live.worth import Worth
from engine.order_requests import OrderNews, OrderState
from engine.strategy import StrategySignal
from schemas.moments import to_microseconds
from schemas.orders import CancelIntent, Fill, ModifyIntent, OrderIntent, OrderUpdate
from schemas.place import At
from schemas.strategy import Deploy
from schemas.validation import Contract

Intent = OrderIntent | CancelIntent | ModifyIntent
News = Fill | OrderUpdate
_MINUTE_US = 60_000_000
_INTENTS_A_MINUTE = 600
"""Of market time, for all symbols together: the executor sends ten a second, whosever they are. More is a flood, which
stops the strategy even where limits are wide."""


class Trading:
    """One deployment's orders: real ones, or those of a shadow, which never leave."""

    def __init__(self, deployment: Deploy, contracts: Mapping[int, Contract], real: OwnOrders, closes: Closes) -> None:
        self.deployment = deployment
        self._contracts = contracts
        self.orders = OwnOrders() if deployment.shadow else real
        self.targets = Targets(deployment, contracts)
        self.worth = Worth()
        self.book = OrderBook(deployment, contracts)
        self.sent = self._sent_before = 0
        self.held_back: list[OrderNews] = []
        """Orders that were not sent: the strategy hears of them with its next bar or tick."""
        self.liquidation: Liquidation | None = None
        self._closes = closes
        self._floor = ShadowFloor(contracts, closes) if deployment.shadow else None
        self._minute = (0, 0)
        self._numbers = 0

    @property
    def pretends(self) -> bool:
        return self._floor is not None

    @property
    def pnl(self) -> float:
        """Realised and unrealised, without commissions."""
        return self.orders.worth(self._price)

    def promoted(self, deployment: Deploy, contracts: Mapping[int, Contract], real: OwnOrders) -> "Trading":
        """The same targets, carried out from here on."""
        after = Trading(deployment, contracts, real, self._closes)
        after.targets, after.sent = self.targets, self.sent
        alone = "it worked in the shadow alone, which is over"
        after.held_back = self.held_back + self.book.denied(alone)
        return after

    def forget_asked(self) -> None:
        """A fresh start of its code numbers its orders from one again: it has asked for none of those that there are,
        and news of them would pass for news of its own. They go on working, and count in what is on its way."""
        self.book = OrderBook(self.deployment, self._contracts)
        self.held_back.clear()

    def begin(self) -> None:
        """Another input is in hand."""
        self._numbers, self._sent_before = 0, self.sent
        self.orders.begin()

    def fail(self) -> None:
        """Nothing of what the input in hand caused is sent."""
        self.sent = self._sent_before
        self.orders.forget_unsent()

    def meet(self, bar: Bar) -> list[News]:
        """What a small bar does to a shadow's orders."""
        return self._floor.on_bar(bar) if self._floor is not None else []

    def named(self, wish: StrategySignal, at: At, number: int) -> Output | None:
        return self.targets.name(wish, self.deployment, at, number)

    def pursue(self, contract_id: int, at: At, number: int) -> tuple[list[Output], list[News]]:
        """The order that brings what is held to the target, if one is needed."""
        if self.liquidation is not None and not self._sells(self.liquidation, contract_id):
            return [], []
        intent_id = output_id(self.deployment.strategy_id, at, number, "intent")
        order = self.targets.order(contract_id, self.orders, self.deployment, intent_id)
        return ([], []) if order is None else self._send([order])

    def liquidate(self, at: At) -> tuple[list[Output], list[News]]:
        """Hold nothing of anything: cancel what works first, a stop loss would be counted in for what it may sell."""
        self.targets.liquidate()
        self.orders.forgive()
        working = {contract_id: ids for contract_id in self._contracts if (ids := self.orders.working(contract_id))}
        self.liquidation = Liquidation(set(working))
        return self._send(self._cancel(contract_id, each, at) for contract_id, ids in working.items() for each in ids)

    def cleared(self) -> list[int]:
        """Contracts of which the last order that a liquidation has cancelled is over, each told once."""
        if self.liquidation is None:
            return []
        clear = [key for key in self._contracts if key in self.liquidation.clearing and not self.orders.working(key)]
        self.liquidation.clearing.difference_update(clear)
        return clear

    @property
    def unsold(self) -> str:
        """What a liquidation has given up to sell, and why; empty when it has not."""
        given_up = self.liquidation.given_up if self.liquidation is not None else {}
        return "; ".join(f"{self._contracts[key].symbol} is not sold: {why}" for key, why in given_up.items())

    def _sells(self, liquidation: Liquidation, contract_id: int) -> bool:
        price = self.targets.prices.get(contract_id)
        if price is None or self.orders.working(contract_id):
            return False
        held, refusal = self.orders.quantity(contract_id), self.orders.refusal(contract_id, 0.0)
        if not liquidation.wants(contract_id, held, refusal, price.event_time):
            return False
        self.orders.forgive(contract_id)
        return True

    def _cancel(self, contract_id: int, order_id: str, at: At) -> CancelIntent:
        price = self.targets.prices[contract_id]  # it was ordered at one
        return CancelIntent(
            intent_id=output_id(self.deployment.strategy_id, at, 0, f"cancel {order_id}"),
            account_id=self.deployment.account_id,
            strategy_id=self.deployment.strategy_id,
            order_id=order_id,
            reason="liquidated",
            event_time=price.event_time,
            ingest_time=price.ingest_time,
        )

    def hold_back(self, asked: Iterable[Asked], reason: str) -> None:
        """Not sent: changes and cancels leave an order as it is, but one that is to work never will."""
        self.held_back += [
            OrderNews(each.order_id, each.contract_id, OrderState.DENIED, abs(each.request.quantity), 0.0, 0, reason)
            for each in asked
            if each.request is not None
        ]

    def carry(self, asked: list[Asked], at: At) -> tuple[list[Output], list[News]]:
        """The orders, changes and cancels that the strategy asked for by itself."""
        first = self._numbers
        self._numbers += len(asked)
        strategy_id = self.deployment.strategy_id
        unpriced = [each for each in asked if each.contract_id not in self.targets.prices]
        self.hold_back(unpriced, "no price of its contract was seen yet")
        made = self.book.intents(
            asked, self.targets.prices, lambda number: output_id(strategy_id, at, first + number, "order")
        )
        for each in made:
            if isinstance(each, OrderIntent):
                self.orders.expect(each)
        return self._send(made)

    def _send(self, made: Iterable[Intent]) -> tuple[list[Output], list[News]]:
        """On their way to risk, or, of a shadow, to its own exchange."""
        outputs: list[Output] = []
        news: list[News] = []
        for each in made:
            self.sent += 1
            self._note_rate(each.event_time)
            if self._floor is None:
                outputs.append(each)
            else:
                news += self._floor.take(each, to_microseconds(each.event_time))
        return outputs, news

    def _note_rate(self, moment: datetime) -> None:
        minute = to_microseconds(moment) // _MINUTE_US
        self._minute = (minute, 1 + (self._minute[1] if self._minute[0] == minute else 0))
        if self._minute[1] > _INTENTS_A_MINUTE:
            raise FloodError(f"more than {_INTENTS_A_MINUTE} orders within a minute")

    def _price(self, contract_id: int) -> float | None:
        price = self.targets.prices.get(contract_id)
        return None if price is None else price.value
