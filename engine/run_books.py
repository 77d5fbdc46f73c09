"""What a run keeps beside its loop: the account, the exchange and its orders, and what is told of them."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from engine.columns import BarColumns, Integers
from engine.exchange import Exchange, Execution, Order
from engine.exchange.account import Account, CashFlow
from engine.facts import Bar, Fill
from engine.full_position import FullPosition
from engine.ledger import SplitDone
from engine.market import Market
from engine.options import BacktestOptions
from engine.order_requests import OrderNews, OrderState
from engine.strategy import BaseStrategy


class Last(NamedTuple):
    """Of a contract's newest bar what outlives its columns."""

    close: float
    volume: float
    end_us: int


class RunBooks(ABC):
    """The exchange's broker. Whoever runs the loop says which row is in hand and when that is."""

    columns: BarColumns

    def __init__(self, columns: BarColumns, strategy: BaseStrategy, options: BacktestOptions, market: Market) -> None:
        self.strategy = strategy
        self.options = options
        self.market = market
        self.exchange = Exchange(*options.costs(), options, self)
        self.exchange.plain = self.exchange.plain and not market.currencies
        self.account = Account(options.cash, options, strategy.positions, self.mark)
        self.flows: list[CashFlow] = []
        self.splits: list[SplitDone] = []
        self.denied: list[OrderNews] = []
        self.full = FullPosition(options.sizing, options.sizing_percent, options.quantity, columns, market)
        self._lasts: dict[int, Last] = {}  # by contract: of columns before these
        self._numbers: Integers | None = None  # each row's session
        self._session_ends: dict[int, Integers] = {}  # by contract: which of its bars end one
        self._counts_odds = options.sizing == "kelly_fraction"
        self._listens = type(strategy).on_fill is not BaseStrategy.on_fill
        self._hears = type(strategy).on_order is not BaseStrategy.on_order
        self._single = len(columns.contracts) == 1

    @property
    @abstractmethod
    def row(self) -> int:
        """Which row is in hand."""

    @property
    @abstractmethod
    def now_us(self) -> int:
        """The end of the bar in hand, or the moment of what happens between two bars."""

    @abstractmethod
    def happen(self, row: int, what: Callable[[], None]) -> None:
        """Have `what` called before `row` is taken in hand."""

    @abstractmethod
    def expect_open(self, contract_id: int, after_us: int) -> None:
        """Note that the contract's orders wait for the next open."""

    def bar(self, row: int) -> Bar:
        """One row as a struct."""
        return self.columns.bar(row)

    # orders

    def let_work(self, order: Order) -> None:
        """Hand an order to the exchange, unless the account cannot carry it; it may trade at once at a close."""
        order.after_us = self.now_us + self.options.latency_us
        if order.parent is None:
            order.wait = self.options.latency_bars
        row = self.last_row(order.contract_id)
        last = self.last(order.contract_id)
        if order.parent is None and last is not None and (why := self._cannot_carry(order, last)):
            self.deny(order, why)
            return
        if last is not None and self.options.limit_fill == "queue":
            order.queue = last.volume * self.options.queue_share
        self.exchange.place(order)
        if self.options.fill == "same_close" and row is not None and order.after_us == self.columns.end_us[row]:
            self.exchange.match_now(self.bar(row), row)
        if order.contract_id in self.exchange.working:
            self.expect_open(order.contract_id, order.after_us)

    def deny(self, order: Order, why: str) -> None:
        """An order that never works; its strategy hears of it when it has done what it is doing."""
        order.state = OrderState.DENIED
        news = self.news(order, why)
        self.denied.append(news)
        if self._hears and order.order_id:
            self.happen(self.row + 1, lambda: self.strategy.on_order(news))

    def _cannot_carry(self, order: Order, last: Last) -> str:
        if self.options.account == "unlimited":
            return ""
        price = (order.limit or order.stop or last.close) * self._worth_now(order.contract_id)
        return self.account.refusal(order.contract_id, order.quantity, price, 0.0)

    def _worth_now(self, contract_id: int) -> float:
        return self.market.worth(contract_id, self.now_us)

    def last(self, contract_id: int) -> Last | None:
        """Of the contract's newest bar, be it one of columns before these; None before its first."""
        row = self.last_row(contract_id)
        if row is None:
            return self._lasts.get(contract_id)
        columns = self.columns
        return Last(float(columns.close[row]), float(columns.volume[row]), int(columns.end_us[row]))

    def last_row(self, contract_id: int) -> int | None:
        """The contract's newest row; None before its first of these columns."""
        row = self.row
        if row < 0:
            return None
        if self._single:
            return row
        own = self.columns.rows.get(contract_id)
        place = -1 if own is None else int(np.searchsorted(own, row, side="right")) - 1
        return None if own is None or place < 0 else int(own[place])

    def mark(self, contract_id: int) -> float:
        """The contract's last close, in the account's currency."""
        row = self.last_row(contract_id)
        if row is None and contract_id not in self._lasts:
            return 0.0
        price = self._lasts[contract_id].close if row is None else float(self.columns.close[row])
        for split in self.splits:
            if split.contract_id == contract_id and (row is None or row < split.row):
                price /= split.ratio
        return price * self._worth_now(contract_id)

    # the exchange's broker

    def filled(self, execution: Execution) -> None:
        """Positions, cash, and whoever listens."""
        position = self.strategy.positions[execution.contract_id]
        if self._counts_odds and position.quantity * execution.quantity < 0:
            closed = min(abs(position.quantity), abs(execution.quantity))
            side = 1.0 if position.quantity > 0 else -1.0
            self.full.odds.note(closed * side * (execution.price - position.average_price) * execution.rate)
        position.add(execution.quantity, execution.price)
        paid = execution.quantity * execution.price + execution.commission
        self.account.cash -= paid if execution.rate == 1.0 else paid * execution.rate
        if self._listens:
            self.strategy.on_fill(
                Fill(
                    execution.contract_id, execution.time_us, execution.quantity, execution.price, execution.commission
                )
            )

    def told(self, order: Order, reason: str) -> None:
        """What became of an order."""
        if not order.order_id and order.state is not OrderState.DENIED:
            return
        news = self.news(order, reason)
        if order.state is OrderState.DENIED:
            self.denied.append(news)
        if self._hears and order.order_id:
            self.strategy.on_order(news)

    def news(self, order: Order, reason: str = "") -> OrderNews:
        """An order as its strategy hears of it."""
        return OrderNews(
            order.order_id, order.contract_id, order.state, abs(order.quantity), order.filled, self.now_us, reason
        )

    def refuses(self, quantity: float, execution: Execution) -> str:
        """Why the account cannot carry an execution."""
        if self.options.account == "unlimited":
            return ""
        rate = execution.rate
        return self.account.refusal(
            execution.contract_id, quantity, execution.price * rate, execution.commission * rate
        )

    def edges(self, row: int) -> tuple[bool, bool]:
        """Whether the row is its contract's first, and last, of its session."""
        if self._numbers is None:
            self._numbers = self.market.session_numbers(self.columns)
        own, place = self.columns.rows[int(self.columns.contract_id[row])], int(self.columns.places[row])
        number = self._numbers[row]
        first = place == 0 or self._numbers[own[place - 1]] != number
        return bool(first), bool(place == len(own) - 1 or self._numbers[own[place + 1]] != number)

    def session_end(self, row: int) -> int:
        """The last row of the row's contract in the row's session."""
        if self._numbers is None:
            self._numbers = self.market.session_numbers(self.columns)
        contract_id = int(self.columns.contract_id[row])
        own = self.columns.rows[contract_id]
        known = self._session_ends.get(contract_id)
        if known is None:
            numbers = self._numbers[own]
            known = self._session_ends[contract_id] = np.append(np.flatnonzero(np.diff(numbers)), len(own) - 1)
        return int(own[known[np.searchsorted(known, self.columns.places[row])]])

    def worth(self, contract_id: int, time_us: int) -> float:
        """What a unit of the contract's currency is worth in the account's."""
        return self.market.worth(contract_id, time_us)

    def pay(self, flow: CashFlow) -> None:
        """Money that comes or goes beside executions."""
        self.account.cash += flow.amount
        self.flows.append(flow)
