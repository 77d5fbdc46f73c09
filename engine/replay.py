"""One pass of a strategy over columns: bars in chunks, and between them whatever else can happen at a moment.

The inner loop knows bars and working orders alone. Timers, sessions, corporate actions and gaps end a chunk early, so
what a run does not use costs it nothing.
"""

import heapq
import math
from collections.abc import Callable, Iterable, Iterator
from itertools import count, repeat
from operator import itemgetter, length_hint
from typing import Any

import numpy as np

from engine.columns import BarColumns, Floats
from engine.desk import BacktestDesk
from engine.exchange import Order
from engine.facts import Bar, CorporateAction, Session
from engine.full_position import Newest
from engine.happenings import gaps, happenings
from engine.market import Market
from engine.moments import Alarm
from engine.openings import Openings
from engine.options import BacktestError, BacktestOptions, StrategyFailedError
from engine.order_requests import OrderRequest
from engine.revealing import Revealed
from engine.run_books import RunBooks
from engine.sizing import order_quantity, whole_lots
from engine.strategy import BaseStrategy, Decision, StrategySignal, Value, several

CHUNK = 4096
"""Bars turned from columns to lists at a time: few enough to stay in the processor's cache."""

_PROGRESS_BARS = 16 * CHUNK
_AT_ONCE, _LAST = -(2**63), 2**63


def told(failure: Exception) -> str:
    """An exception in one line."""
    return f"{type(failure).__name__}: {' '.join(str(failure).split())}"


class Replay(RunBooks):
    """One run: its loop, and what falls between two bars. The strategy's orders come by way of its desk."""

    def __init__(
        self,
        columns: BarColumns,
        strategy: BaseStrategy,
        options: BacktestOptions,
        market: Market,
        revealed: Revealed | None = None,
    ) -> None:
        super().__init__(columns, strategy, options, market)
        self.timers: list[Alarm] = []
        """Those that ring after these columns."""
        self.session: Session | None = None
        """The last one whose night is paid for."""
        self.acted: list[CorporateAction] = []
        """Splits and dividends that have found their bar."""
        self._fixed = options.sizing == "fixed"
        self._plain = self.exchange.plain and self._fixed
        self._order = count()
        self._before_us = int(columns.end_us[0])
        for contract_id in columns.contracts:
            strategy.positions[contract_id] = strategy.positions[contract_id]
        strategy.position = strategy.positions[columns.contracts[0]]
        self._begin(columns, revealed or Revealed(columns, strategy, market.larger))
        strategy.attach(BacktestDesk(self))

    def _begin(self, columns: BarColumns, revealed: Revealed) -> None:
        self.columns = columns
        self.revealed = revealed
        self._openings = Openings(columns)
        self._opened: dict[int, int] = {}  # by contract: the row whose open its orders have met, and not yet the rest
        self._stop = 0
        self._ready: list[bool] = []
        self._rows: Iterator[bool] = iter(())
        self._moment: int | None = None
        self._numbers = None
        self._session_ends = {}
        self._happenings: list[tuple[int, int, int, Callable[[], None]]] = []
        revealed.let_look_back(lambda: self.row)
        self._shown: list[tuple[Value, Floats | None]] = [*revealed.shown]
        self._shown += [(Value(), None)] * (2 - len(self._shown))
        self._held = np.empty(len(columns.contracts), dtype=object)  # the positions, by the contracts' numbers
        self._held[:] = [self.strategy.positions[contract_id] for contract_id in columns.contracts]

    def know(self, contracts: Iterable[int]) -> None:
        """Of a run whose columns follow one another: which contracts there will be."""
        every = sorted(contracts)
        self._single = len(every) == 1
        held = {contract_id: self.strategy.positions[contract_id] for contract_id in every}
        self.strategy.positions.clear()
        self.strategy.positions.update(held)
        self.strategy.position = self.strategy.positions[every[0]]

    def go_on(self, columns: BarColumns, revealed: Revealed) -> None:
        """Take up the columns that follow: orders, positions and timers go on, rows begin anew."""
        self._lasts |= {number: last for number in self.columns.contracts if (last := self.last(number)) is not None}
        self._before_us = int(self.columns.end_us[-1])
        self.splits.clear()
        self.full.go_on(columns)
        self._begin(columns, revealed)
        self.exchange.begin_rows()
        for contract_id in self.exchange.working:
            self.expect_open(contract_id, int(columns.start_us.min()))
        timers, self.timers = self.timers, []
        for timer in timers:
            self.strategy._desk.timer(timer.name, timer.at_us, timer.every_us)

    # time

    @property
    def row(self) -> int:
        """Which row is in hand: counted by how many the chunk's iterator has left, at no cost to the loop."""
        return self._stop - length_hint(self._rows) - 1

    @property
    def now_us(self) -> int:
        """The end of the bar in hand, or the moment of what happens between two bars."""
        if self._moment is not None:
            return self._moment
        row = self.row
        return self._before_us if row < 0 else int(self.columns.end_us[row])

    def happen(self, row: int, what: Callable[[], None], *, moment_us: int = _AT_ONCE) -> None:
        """Have `what` called before `row` is taken in hand, and no earlier than after the row that is now; of all that
        is due there, what has a moment comes last, in the order of time, the rest in the order of asking."""
        row = max(row, self.row + 1)
        heapq.heappush(self._happenings, (row, moment_us, next(self._order), what))
        if row < self._stop:
            del self._ready[row - self._stop :]
            self._stop = row

    def at(self, moment: int, handler: Callable[[], Decision] | Callable[[], None]) -> None:
        """Call a handler of the strategy as of `moment`, between two bars; as of now for one that is over: prices that
        it has seen are no offer any more."""
        has_seen = self.row >= 0 or bool(self._lasts)
        self._moment = max(moment, self.now_us) if has_seen else moment
        self._decided(handler())
        self._moment = None

    def play(self, on_progress: Callable[[int, int], None]) -> None:
        """All rows of the columns, in order. Raises StrategyFailedError, with the bar, when the strategy raises."""
        total, row, shown = len(self.columns), 0, 0
        for first, what in happenings(self):
            self.happen(first, what)
        for first, what in gaps(self):
            self.happen(first, what, moment_us=_LAST)
        while row < total:
            try:
                self._let_happen(row)
                due = self._happenings[0][0] if self._happenings else total
                self._chunk(row, min(row + CHUNK, total, due))
            except Exception as failure:
                raise self._failed(failure, row) from failure
            row = self._stop
            if row - shown >= _PROGRESS_BARS or row == total:
                shown = row
                on_progress(row, total)
        try:
            self._let_happen(total)
        except Exception as failure:
            raise self._failed(failure, total - 1) from failure

    def _failed(self, failure: Exception, first: int) -> StrategyFailedError:
        row = min(max(self.row, first), len(self.columns) - 1)
        bar = self.columns.bar(row)
        where = f"{self.columns.symbol(bar.contract_id)}, {bar.end:%Y-%m-%d %H:%M:%S}"
        return StrategyFailedError(f"{type(self.strategy).__name__} failed at {where}: {told(failure)}")

    def _let_happen(self, row: int) -> None:
        while self._happenings and self._happenings[0][0] <= row:
            heapq.heappop(self._happenings)[3]()

    def _chunk(self, first: int, stop: int) -> None:
        """The loop that everything else stays out of: two slots and, with several contracts, the position in hand are
        set by the `for` itself, further slots in C."""
        strategy, working = self.strategy, self.exchange.working
        on_bar = strategy.on_bar if self.options.account != "margin" else self._on_bar_with_margin
        (one, ones), (two, twos) = ((slot, self._cut(values, first, stop)) for slot, values in self._shown[:2])
        self._ready = self.revealed.ready[first:stop].tolist()
        self._stop, self._rows = stop, iter(self._ready)
        bars = self._bars(first, stop)
        if self._single:
            for one.now, two.now, is_ready, bar in zip(ones, twos, self._rows, bars, strict=False):
                if working:
                    self.exchange.match(bar, self._stop - length_hint(self._rows) - 1)
                if is_ready and (decision := on_bar(bar)) is not None:
                    self._take(decision, bar)
            return
        opened, openings, each_bar = self._opened, self._openings, self.options.fill == "same_close"
        positions = self._held[self.columns.numbers[first:stop]].tolist()
        for one.now, two.now, strategy.position, is_ready, bar in zip(
            ones, twos, positions, self._rows, bars, strict=False
        ):
            if working and (opened or bar.end_us > openings.soonest_us or each_bar):
                self._match_due(bar)
            if is_ready and (decision := on_bar(bar)) is not None:
                self._take(decision, bar)

    @staticmethod
    def _cut(values: Floats | None, first: int, stop: int) -> Any:
        return repeat(math.nan) if values is None else values[first:stop].tolist()

    def _bars(self, first: int, stop: int) -> Iterable[Bar]:
        """The bars; whoever takes one has the slots beyond two set to it."""
        bars = self.columns.bars(first, stop)
        if len(self._shown) == 2:
            return bars
        set_now = vars(Value)["now"].__set__
        setters = (map(set_now, repeat(slot), self._cut(each, first, stop)) for slot, each in self._shown[2:])
        return map(itemgetter(-1), zip(*setters, bars, strict=False))

    # matching

    def _match_due(self, bar: Bar) -> None:
        """Of several contracts, every bar that opened before the one in hand closed meets its open, even if it ends
        later."""
        if self._openings.soonest_us < bar.end_us:
            self._meet_opens(bar.end_us)
        contract_id = bar.contract_id
        row = self._opened.get(contract_id, -1)
        if row >= 0 and row == self.row:
            del self._opened[contract_id]
            if contract_id in self.exchange.working:
                self.exchange.match_rest(bar, row)
            if contract_id in self.exchange.working:
                self.expect_open(contract_id, bar.end_us)
        elif self.options.fill == "same_close" and contract_id in self.exchange.working:
            self.exchange.match_now(bar, self.row)  # decided on at this very moment, by a bar that ends with it

    def _meet_opens(self, end_us: int) -> None:
        exchange, columns = self.exchange, self.columns
        for opens_us, contract_id, row in self._openings.take(end_us):
            order = exchange.target_alone(contract_id)
            if order is not None:
                exchange.fill_target(order, row, opens_us, columns.open.item(row), columns.volume.item(row))
            elif contract_id in exchange.working:
                exchange.match_open(self.bar(row), row)
            if contract_id in exchange.working:
                self._opened[contract_id] = row

    def expect_open(self, contract_id: int, after_us: int) -> None:
        """Note that the contract's orders wait for its next open after a moment."""
        if not self._single and self._opened.get(contract_id, -1) <= self.row:
            self._openings.expect(contract_id, after_us, self.row)
        # else its bar is under way, and what comes after that is noted when it ends

    # decisions

    def _decided(self, decision: Decision) -> None:
        if decision is not None:
            self._take(decision, None)

    def _take(self, decision: Decision, bar: Bar | None) -> None:
        if type(decision) is StrategySignal:
            self._aim(decision, bar)
        elif isinstance(decision, OrderRequest):
            self.strategy._desk.place(decision)  # its own desk, which it may have asked itself
        elif decision is not None:
            for each in several(decision):
                self._take(each, bar)

    def _aim(self, signal: StrategySignal, bar: Bar | None) -> None:
        contract_id = signal.contract_id
        position = self.strategy.positions.get(contract_id)
        if position is None:
            raise LookupError(f"a signal for contract {contract_id}, which is not in this run")
        full = self.options.quantity if self._fixed else self._full(contract_id, signal.value)
        quantity = order_quantity(signal.value, position.quantity, full, self.options.lot)
        if quantity == 0:
            self.exchange.drop_target(contract_id)
            return
        order = Order(quantity, self.now_us if bar is None else bar.end_us, signal.reason, contract_id)
        if not self._plain:
            self.let_work(order)
            return
        self.exchange.place(order)
        if self._single:
            return
        if bar is not None and bar.contract_id == contract_id:
            self._openings.expect_following(contract_id, self._stop - length_hint(self._rows) - 1)
        else:
            self.expect_open(contract_id, order.after_us)

    def wanted(self, contract_id: int, target: float) -> float:
        """The position that `target` means now, in whole lots."""
        full = self.options.quantity if self._fixed else self._full(contract_id, target)
        return whole_lots(target, full, self.options.lot) * self.options.lot

    def _full(self, contract_id: int, target: float) -> float:
        last = self.last(contract_id)
        if last is None:
            return 0.0
        worth = self.market.worth(contract_id, last.end_us)
        at = Newest(last.close * worth, worth, self.last_row(contract_id))
        shares = self.full.shares(contract_id, target, at, lambda: self.account.equity)
        return shares if math.isfinite(shares) else 0.0

    def _on_bar_with_margin(self, bar: Bar) -> Decision:
        """Before the strategy decides: an account below its maintenance margin is closed at the next open."""
        if self.account.called:
            for order in self.exchange.placed():
                self.exchange.cancel(order, "margin call")
            for contract_id, position in sorted(self.strategy.positions.items()):
                if position.quantity:
                    order = Order(-position.quantity, 0, "margin call", contract_id, self.next_id())
                    self.let_work(order)
        return self.strategy.on_bar(bar)

    def next_id(self) -> int:
        """The id of the next order."""
        desk: Any = self.strategy._desk  # the desk that this run attached
        return int(desk.next_id())

    # what happens between bars

    def first_after(self, moment_us: int) -> int:
        """The first row that ends after a moment."""
        return int(np.searchsorted(self.columns.end_us, moment_us, side="right"))

    def end_of(self, row: int) -> int:
        """When a row ends."""
        return int(self.columns.end_us[row])

    @property
    def between(self) -> bool:
        """Whether something happens between two bars, so that none is in hand."""
        return self._moment is not None

    def let_go(self) -> None:
        """Break the cycle of strategy and replay, so that the columns' memory is free at once."""
        for slot in self.strategy.slots:
            slot.forget()
        self._shown = []
        vars(self.strategy).pop("_desk", None)


__all__ = ["CHUNK", "BacktestError", "Replay", "told"]
