"""The exchange of a strategy that only pretends: that of backtests, met by live bars; nothing of it is published."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from engine.exchange import Exchange, Execution, Order, order_of
from engine.facts import Bar
from engine.live.timetable import Closes
from engine.market import DAY_US
from engine.options import BacktestOptions
from engine.order_requests import OrderRequest, OrderState
from engine.sizing import to_decimal
from schemas.moments import to_datetime, to_microseconds
from schemas.orders import (
    CancelIntent,
    Fill,
    ModifyIntent,
    OrderIntent,
    OrderStatus,
    OrderUpdate,
    Side,
)
from schemas.validation import Contract

_STATUS = {
    OrderState.FILLED: OrderStatus.FILLED,
    OrderState.CANCELED: OrderStatus.CANCELED,
    OrderState.EXPIRED: OrderStatus.EXPIRED,
    OrderState.DENIED: OrderStatus.REJECTED,
    OrderState.REJECTED: OrderStatus.REJECTED,
}


class ShadowFloor:
    """Orders work from the next small bar on, by the rules and costs that backtests have when none are named.

    A session is a day of UTC; its last bar is the one with which trading ends by the calendar.
    """

    def __init__(self, contracts: Mapping[int, Contract], closes: Closes) -> None:
        self._contracts = contracts
        self._closes = closes
        self._sessions: dict[int, tuple[int, int]] = {}  # by contract: the day, and when trading ends on it
        self._edges = (False, False)
        options = BacktestOptions()
        self._exchange = Exchange(*options.costs(), options, self)
        self._intents: dict[int, OrderIntent] = {}
        self._numbers: dict[str, int] = {}
        self._orders: dict[int, Order] = {}
        self._rows = 0
        self._placed = 0
        self._news: list[Fill | OrderUpdate] = []
        self._fills = 0
        self.commission = Decimal(0)

    def take(self, intent: OrderIntent | CancelIntent | ModifyIntent, now_us: int) -> list[Fill | OrderUpdate]:
        """An intent, taken as approved; what follows at once."""
        if isinstance(intent, OrderIntent):
            self._place(intent, now_us)
        elif isinstance(intent, CancelIntent):
            order = self._exchange.find(self._numbers.get(intent.order_id, 0))
            if order is not None:
                self._exchange.cancel(order, intent.reason)
        else:
            self._change(intent)
        return self._drain()

    def on_bar(self, bar: Bar) -> list[Fill | OrderUpdate]:
        """What a small bar fills and ends."""
        self._rows += 1
        self._edges = self._edges_of(bar)
        if self._edges[0]:
            self._exchange.end_day(bar.contract_id)
        if bar.contract_id in self._exchange.working:
            self._exchange.match(bar, self._rows)
        self._exchange.executions.clear()
        return self._drain()

    def _edges_of(self, bar: Bar) -> tuple[bool, bool]:
        """Whether the bar is its contract's first, and last, of a session."""
        day, closes_us = self._sessions.get(bar.contract_id, (-1, 0))
        today = bar.start_us // DAY_US
        if is_first := today > day:
            closes_us = self._closes(self._contracts[bar.contract_id], bar.start_us)
            self._sessions[bar.contract_id] = (today, closes_us)
        return is_first, bar.end_us >= closes_us

    def _place(self, intent: OrderIntent, now_us: int) -> None:
        self._placed += 1
        number = self._placed
        request = OrderRequest(
            contract_id=intent.contract_id,
            quantity=float(intent.quantity * intent.side.sign),
            kind=intent.order_type,
            tif=intent.time_in_force,
            limit=_amount(intent.limit_price),
            stop=_amount(intent.stop_price),
            trail=_amount(intent.trail_amount),
            trail_percent=_amount(intent.trail_percent),
            limit_offset=_amount(intent.limit_offset),
            good_till_us=None if intent.good_till is None else to_microseconds(intent.good_till),
            oca=intent.oca_group,
        )
        parent = self._orders.get(self._numbers.get(intent.parent_id or "", 0))
        order = order_of(request, number, now_us, parent)
        order.reduces = intent.oca_reduces
        self._numbers[intent.intent_id] = number
        self._intents[number], self._orders[number] = intent, order
        self._exchange.place(order)

    def _change(self, intent: ModifyIntent) -> None:
        order = self._exchange.find(self._numbers.get(intent.order_id, 0))
        if order is None:
            return
        wanted = intent.wanted
        stop = order.stop if wanted.stop_price is None else float(wanted.stop_price)
        limit = order.limit if wanted.limit_price is None else float(wanted.limit_price)
        self._exchange.change(order, float(wanted.quantity * wanted.side.sign), limit, stop)

    def _drain(self) -> list[Fill | OrderUpdate]:
        news, self._news = self._news, []
        return news

    # the exchange's broker

    def filled(self, execution: Execution) -> None:
        intent = self._intents[execution.order_id]
        moment = to_datetime(execution.time_us)
        self._fills += 1
        self.commission += to_decimal(execution.commission)
        self._news.append(
            Fill(
                **_whose(intent, moment),
                execution_id=f"shadow-{intent.intent_id}-{self._fills}",
                currency=intent.currency,
                side=Side.BUY if execution.quantity > 0 else Side.SELL,
                last_quantity=to_decimal(abs(execution.quantity)),
                last_price=to_decimal(execution.price),
                exchange="SHADOW",
            )
        )

    def told(self, order: Order, reason: str) -> None:
        status = _STATUS.get(order.state)
        if status is None or order.order_id not in self._intents:
            return
        intent = self._intents[order.order_id]
        moment = intent.event_time
        del self._intents[order.order_id], self._orders[order.order_id], self._numbers[intent.intent_id]
        self._news.append(
            OrderUpdate(
                **_whose(intent, moment),
                side=intent.side,
                quantity=intent.quantity,
                order_type=intent.order_type,
                status=status,
                cumulative_quantity=to_decimal(order.filled),
                sequence=1,
                reason=reason[:500],
            )
        )

    def refuses(self, quantity: float, execution: Execution) -> str:
        return ""

    def edges(self, row: int) -> tuple[bool, bool]:
        return self._edges

    def session_end(self, row: int) -> int:
        return row  # which one is the last, only that one shows

    def worth(self, contract_id: int, time_us: int) -> float:
        return 1.0


def _whose(intent: OrderIntent, moment: datetime) -> dict[str, Any]:
    return {
        "order_id": intent.intent_id,
        "broker_order_id": 0,
        "account_id": intent.account_id,
        "strategy_id": intent.strategy_id,
        "contract_id": intent.contract_id,
        "symbol": intent.symbol,
        "event_time": moment,
        "ingest_time": moment,
    }


def _amount(value: Decimal | None) -> float | None:
    return None if value is None else float(value)
