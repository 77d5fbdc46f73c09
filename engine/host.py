"""A strategy as it runs live: one bar at a time, indicators updated one value at a time.

Held to the backtest by a property test: the same bars give the same signals.
"""

from collections import deque
from collections.abc import Collection, Iterable, Mapping
from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import Any

from engine.aggregation import BarAggregator
from engine.facts import Bar, Fill, Tick, bar_of, tick_of
from engine.indicators import Live
from engine.moments import Closed, Moment, Opened, Rung
from engine.order_entry import Desk
from engine.order_requests import OrderRequest
from engine.sizing import sizing
from engine.slots import frame_us
from engine.strategy import (
    HISTORY_MAX,
    BaseStrategy,
    Decision,
    Position,
    Slot,
    StrategyConfig,
    StrategySignal,
    several,
)
from schemas.market import Bar as BarEvent
from schemas.market import HistoricalBar
from schemas.market import Tick as TickEvent
from schemas.moments import to_datetime, to_microseconds
from schemas.orders import Fill as FillEvent

__all__ = ["StrategyHost", "sizing"]


class _Contract:
    """What one contract's bars left behind: the live indicators, their latest values, how far time has come."""

    def __init__(self, slots: Iterable[Slot], handed: Collection[int]) -> None:
        self.bars = 0
        self.end_us = -(2**63)
        self.quantity = Decimal(0)
        self.ready = False
        self.live: list[tuple[Slot, Live, deque[float]]] = []
        for slot in slots:
            twin = slot.indicator.live(*slot.arguments[slot.indicator.inputs :])
            self.live.append((slot, twin, deque(maxlen=HISTORY_MAX)))
        sizes = dict.fromkeys(slot.frame for slot, _, _ in self.live if slot.frame)
        self._frames = {size: BarAggregator(size) for size in sizes if size not in handed}
        self._closed = dict.fromkeys(sizes, 0)
        places = {slot: place for place, (slot, _, _) in enumerate(self.live)}
        self._inputs = [[places[each] for each in slot.inputs if isinstance(each, Slot)] for slot in places]
        self._first: dict[int, int] = {}  # by place in `live`: at which of the contract's bars it had its first value

    def update(self, bar: Bar) -> None:
        """Bring all indicators, and so their slots, to `bar`."""
        self.bars += 1
        self.end_us = bar.end_us
        self.show()
        for size, aggregator in self._frames.items():
            for larger in aggregator.on_bar(bar):
                self.take_larger(larger, size)
        self._update(bar, 0)
        self.ready = self.ready or self._all_ready()

    def take_larger(self, bar: Bar, frame: int) -> None:
        """Bring the indicators of a larger frame to one of its bars."""
        if frame in self._closed:
            self._closed[frame] += 1
            self._update(bar, frame)

    def _update(self, bar: Bar, frame: int) -> None:
        for slot, twin, history in self.live:
            if slot.frame == frame:
                slot.now = twin.update(*(_input(each, bar) for each in slot.inputs))
                history.append(slot.now)

    def _all_ready(self) -> bool:
        """Whether all indicators have a value at the bar that has just come: each after its inputs."""
        bar = self.bars - 1
        for place, (slot, _, _) in enumerate(self.live):
            if place in self._first:
                continue
            inputs = [self._first.get(each) for each in self._inputs[place]]
            if slot.frame:
                is_ready = self._closed[slot.frame] >= slot.ready
            else:
                known = [each for each in inputs if each is not None]
                is_ready = len(known) == len(inputs) and bar >= slot.own_ready - 1 + max(known, default=0)
            if is_ready:
                self._first[place] = bar
        return len(self._first) == len(self.live)

    def show(self) -> None:
        """Let the slots speak of this contract."""
        for slot, _, history in self.live:
            slot.now = history[-1] if history else float("nan")
            slot.remember(partial(_look_back, history))


class LiveOrderError(RuntimeError):
    """The strategy does what only a backtest can carry out: says what, and what to do instead."""


_NOT_LIVE = ("on_corporate_action",)


class _NoDesk:
    """Refuses orders, plainly, where nobody carries them on."""

    def __getattr__(self, name: str) -> Any:
        raise LiveOrderError(f"{name}: nobody takes orders here; decide by the targets that on_bar and on_tick return")


def _input(given: Any, bar: Bar) -> float:
    if isinstance(given, Slot):
        return given.now
    return float(getattr(bar, given) if isinstance(given, str) else given)


def _look_back(history: deque[float], back: int) -> float:
    if -back > len(history):
        raise IndexError(f"no value {back}: the contract has {len(history)} bars so far")
    return history[back]


class StrategyHost:
    """Runs one strategy over the contracts of `symbols` (symbol by contract id).

    Bars of a contract must come in order; one that does not end after the last is a repetition and changes nothing.
    The larger frames named in `handed` come by `on_larger`, the others are made of the bars. Orders go to `desk`;
    without one a strategy trades by targets alone.
    An exception of the strategy passes through.
    """

    def __init__(
        self,
        strategy_class: type[BaseStrategy],
        config: StrategyConfig | None,
        symbols: Mapping[int, str],
        handed: Iterable[str | timedelta] = (),
        desk: Desk | None = None,
    ) -> None:
        given = {frame_us(each) for each in handed}
        self.symbols = dict(symbols)
        if never := [name for name in _NOT_LIVE if getattr(strategy_class, name) is not getattr(BaseStrategy, name)]:
            raise LiveOrderError(
                f"{strategy_class.__name__} waits for {', '.join(never)}: only backtests call them yet"
            )
        self.strategy = strategy_class(config)
        self._desk: Any = _NoDesk() if desk is None else desk
        self.strategy.attach(self._desk)
        self.signals = 0
        self.repeated = 0
        self._contracts = {contract_id: _Contract(self.strategy.slots, given) for contract_id in self.symbols}
        for contract_id in self.symbols:
            self.strategy.positions[contract_id] = Position()
        self.strategy.on_start()

    @property
    def warmup(self) -> int:
        """Bars a contract needs before the strategy is asked for the first time."""
        return self.strategy.warmup

    @property
    def settled(self) -> int:
        """Bars to hand to `warm_up` so that every indicator has the value it would have after endless history."""
        return self.strategy.settled

    @property
    def bars_seen(self) -> int:
        """Bars taken in, warm-up included."""
        return sum(each.bars for each in self._contracts.values())

    def warm_up(self, bars: Iterable[Bar | BarEvent | HistoricalBar]) -> int:
        """Bring the indicators up to date with past bars, oldest first, without decisions; returns how many."""
        return sum(self._take(_as_bar(bar)) for bar in bars)

    def on_bar(self, bar: Bar | BarEvent | HistoricalBar) -> list[StrategySignal]:
        """What the strategy wants after this closed bar: no signal or one."""
        fact = _as_bar(bar)
        if not self._take(fact) or not self._contracts[fact.contract_id].ready:
            return []
        return self._heard(self.strategy.on_bar(fact))

    def on_larger(self, frame: str | timedelta, bar: Bar | BarEvent | HistoricalBar) -> None:
        """A closed bar of a frame in `handed`: before the small bar that ends with it, after those that end before."""
        fact = _as_bar(bar)
        contract = self._contracts.get(fact.contract_id)
        if contract is not None:
            contract.show()
            contract.take_larger(fact, frame_us(frame))

    def on_tick(self, tick: Tick | TickEvent) -> list[StrategySignal]:
        """What the strategy wants after this print; the indicators stand where the last bar left them."""
        fact = tick if isinstance(tick, Tick) else tick_of(tick)
        contract = self._contracts.get(fact.contract_id)
        if contract is None or (self.strategy.slots and not contract.ready):
            return []  # indicators have no value yet; a strategy without any needs no bars
        contract.show()
        self.strategy.position = self.strategy.positions[fact.contract_id]
        return self._heard(self.strategy.on_tick(fact))

    def on_moment(self, moment: Moment) -> list[StrategySignal]:
        """What the strategy wants after what lies between two bars; indicators stand where the last bar left them."""
        strategy = self.strategy
        if isinstance(moment, Rung):
            return self._heard(strategy.on_timer(moment.name, to_datetime(moment.time_us)))
        if isinstance(moment, Opened):
            return self._heard(strategy.on_session_open(moment.session))
        if isinstance(moment, Closed):
            return self._heard(strategy.on_session_close(moment.session))
        strategy.on_data_gap(moment.gap)
        return []

    def on_fill(self, fill: FillEvent) -> None:
        """Fold an execution of the strategy's own into its positions and let it hear of it."""
        contract = self._contracts.get(fill.contract_id)
        if contract is None:
            return
        quantity = fill.side.sign * fill.last_quantity
        price = float(fill.last_price)
        contract.quantity += quantity
        position = self.strategy.positions[fill.contract_id]
        position.add(float(quantity), price)
        position.quantity = float(contract.quantity)  # the exact sum, free of the float sum's residue
        self.strategy.on_fill(Fill(fill.contract_id, to_microseconds(fill.event_time), float(quantity), price))

    def hold(self, contract_id: int, quantity: Decimal, average_price: Decimal) -> None:
        """Set what is held, as known from elsewhere: at start-up, or after a correction of a fill."""
        self._contracts[contract_id].quantity = quantity
        position = self.strategy.positions[contract_id]
        position.quantity, position.average_price = float(quantity), float(average_price)

    def quantity(self, contract_id: int) -> Decimal:
        """What the strategy holds of a contract, signed."""
        return self._contracts[contract_id].quantity

    def snapshot(self) -> dict[str, Any]:
        """Counters and positions for the state topic: `bars_seen`, `signals`, `warm` and `positions` by symbol."""
        return {
            "bars_seen": self.bars_seen,
            "signals": self.signals,
            "warm": all(each.ready for each in self._contracts.values()),
            "positions": {
                self.symbols[contract_id]: format(each.quantity.normalize(), "f")
                for contract_id, each in self._contracts.items()
                if each.quantity
            },
        }

    def _take(self, bar: Bar) -> bool:
        contract = self._contracts.get(bar.contract_id)
        if contract is None:
            return False
        if bar.end_us <= contract.end_us:
            self.repeated += 1
            return False
        contract.update(bar)
        contract.show()
        self.strategy.position = self.strategy.positions[bar.contract_id]
        return True

    def _heard(self, decision: Decision) -> list[StrategySignal]:
        if decision is None:
            return []
        if not isinstance(decision, StrategySignal | OrderRequest):
            return [each for part in several(decision) for each in self._heard(part)]
        if isinstance(decision, OrderRequest):
            self._desk.place(decision)
            return []
        if decision.contract_id not in self._contracts:
            raise LookupError(
                f"a signal for contract {decision.contract_id}, which is not among the strategy's symbols"
            )
        self.signals += 1
        return [decision]


def _as_bar(bar: Bar | BarEvent | HistoricalBar) -> Bar:
    return bar if isinstance(bar, Bar) else bar_of(bar)
