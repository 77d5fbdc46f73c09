"""One live strategy as a fold of its inputs: the same inputs in the same order give the same outputs."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from engine.aggregation import BarAggregator
from engine.facts import bar_of, to_microseconds
from engine.host import StrategyHost
from engine.portfolio import Execution, execution_of, hold
from engine.registry import UnknownStrategyError, strategy_class
from engine.reservations import Reservation
from engine.sizing import sizing, to_decimal
from engine.strategy import StrategySignal
from infra.publish import Origin
from schemas.event import Event
from schemas.market import Bar, HistoricalBar, Source, Tick
from schemas.orders import (
    DenialReason,
    Fill,
    FillBusted,
    FillCorrected,
    OrderIntent,
    OrderStatus,
    OrderType,
    OrderUpdate,
    RiskDecision,
    Side,
)
from schemas.strategy import (
    Allocate,
    Deploy,
    Pause,
    Reconfigure,
    Resume,
    RunningState,
    Signal,
    Start,
    Stop,
    StrategyState,
)
from schemas.validation import Contract

_OUTPUTS = uuid.uuid5(uuid.NAMESPACE_URL, "urn:scizor:strategy-outputs")
_MICROSECONDS = 1_000_000
_PASSING = frozenset(
    {
        DenialReason.TRADING_HALTED,
        DenialReason.PRICE_STALE,
        DenialReason.PRICE_MISSING,
        DenialReason.ORDER_RATE_MAX,
        DenialReason.OPEN_ORDERS_MAX,
        DenialReason.INSTRUMENT_BLOCKED,
        DenialReason.DUPLICATE,
    }
)
"""Reasons that go away by themselves: the same wish may be tried again. Others need another wish."""


@dataclass(frozen=True)
class Price:
    """The last price the strategy saw, and what it needs to be traded on."""

    value: float
    event_time: datetime
    ingest_time: datetime
    source: Source


@dataclass
class Counters:
    """What StrategyState tells."""

    signals: int = 0
    intents: int = 0
    denied: int = 0


@dataclass
class _Trading:
    """What the strategy's own orders did and may still do, by contract."""

    executions: dict[str, Execution] = field(default_factory=dict)
    contract_of: dict[str, int] = field(default_factory=dict)
    in_flight: dict[str, Reservation] = field(default_factory=dict)
    wish: dict[int, StrategySignal] = field(default_factory=dict)
    """The target that holds until the strategy names another."""
    denied_target: dict[int, float] = field(default_factory=dict)
    target_of: dict[str, float] = field(default_factory=dict)

    def pending(self, contract_id: int) -> Decimal:
        """Signed quantity that orders in flight may still bring."""
        mine = (order for order in self.in_flight.values() if order.contract_id == contract_id)
        return sum((order.remaining * order.side.sign for order in mine), Decimal(0))


class RunningStrategy:
    """A deployed strategy. `take` is the only way in; nothing here reads a clock or draws an id."""

    def __init__(self, deployment: Deploy, contracts: Mapping[int, Contract]) -> None:
        self.deployment = deployment
        self.contracts = dict(contracts)
        self.state = RunningState.DEPLOYED
        self.error = ""
        self.counters = Counters()
        self._full = to_decimal(deployment.quantity)
        self._aggregator = BarAggregator(deployment.bar_size_seconds * _MICROSECONDS)
        self._trading = _Trading()
        self._host: StrategyHost | None = None
        self._configure(deployment.parameters)

    @property
    def strategy_id(self) -> str:
        return self.deployment.strategy_id

    @property
    def ended(self) -> bool:
        return self.state in (RunningState.STOPPED, RunningState.FAILED)

    def _configure(self, parameters: Mapping[str, object]) -> None:
        """A fresh host; a strategy or parameter that does not exist makes the state FAILED, with the reason."""
        try:
            chosen = strategy_class(self.deployment.strategy)
            config = chosen.Config(**parameters)
            self._host = StrategyHost(chosen, config, {c.contract_id: c.symbol for c in self.contracts.values()})
        except (UnknownStrategyError, ValueError, TypeError) as error:
            self.fail(str(error))

    def fail(self, reason: str) -> None:
        self.state = RunningState.FAILED
        self.error = reason[:2000]

    def warm_up(self, bars: list[HistoricalBar]) -> int:
        """Bring indicators up to date with past bars of the deployment's size, oldest first."""
        return self._host.warm_up(bars) if self._host is not None else 0

    def wants(self, event: Event) -> bool:
        """Whether the event is one of this strategy's inputs."""
        if isinstance(event, Bar | Tick):
            return self.state in (RunningState.RUNNING, RunningState.PAUSED) and event.contract_id in self.contracts
        if isinstance(event, FillBusted):
            return event.execution_id in self._trading.executions
        return getattr(event, "strategy_id", None) == self.strategy_id

    def take(self, event: Event, origin: Origin) -> list[Signal | OrderIntent]:
        """Fold one input in; what follows from it, in order. An exception of the strategy makes it FAILED."""
        try:
            return self._take(event, origin)
        except Exception as error:  # noqa: BLE001 (a stranger's code: its fault is an outcome, told in its state)
            self.fail(f"{type(error).__name__}: {error}")
            return []

    def _take(self, event: Event, origin: Origin) -> list[Signal | OrderIntent]:
        if isinstance(event, Bar):
            return self._on_bar(event, origin)
        if isinstance(event, Tick):
            return self._on_tick(event, origin)
        if isinstance(event, RiskDecision):
            self._on_decision(event)
        elif isinstance(event, OrderUpdate):
            self._on_update(event)
        elif isinstance(event, Fill | FillCorrected | FillBusted):
            self._on_fill(event)
        else:
            self._on_command(event)
        return []

    # commands

    def _on_command(self, event: Event) -> None:
        if isinstance(event, Stop):
            self.state = RunningState.STOPPED
        elif self.ended:
            return
        elif isinstance(event, Start | Resume):
            self.state = RunningState.RUNNING
        elif isinstance(event, Pause):
            self.state = RunningState.PAUSED
        elif isinstance(event, Allocate):
            self._full = to_decimal(event.quantity)
        elif isinstance(event, Reconfigure):
            self._configure(event.parameters)
            self._show_positions()

    # market

    def _on_bar(self, bar: Bar, origin: Origin) -> list[Signal | OrderIntent]:
        assert self._host is not None, "a running strategy has a host"
        small = bar_of(bar)
        closed = self._aggregator.on_bar(small)
        closed += self._aggregator.on_time(to_microseconds(bar.event_time))
        price = Price(bar.close, bar.event_time, bar.ingest_time, bar.source)
        wishes = [wish for each in closed for wish in self._host.on_bar(each)]
        outputs = self._outputs(wishes, price, origin)
        if closed and not wishes:
            outputs += self._pursue(bar.contract_id, price, origin)
        return outputs

    def _pursue(self, contract_id: int, price: Price, origin: Origin) -> list[Signal | OrderIntent]:
        """A target holds until another is named: what was denied in passing or canceled is asked for again."""
        wish = self._trading.wish.get(contract_id)
        if wish is None or self.state is not RunningState.RUNNING:
            return []
        intent = self._intent(wish, price, self._id(origin, 0, "intent"))
        if intent is None:
            return []
        self._expect(intent, wish.value)
        return [intent]

    def _on_tick(self, tick: Tick, origin: Origin) -> list[Signal | OrderIntent]:
        assert self._host is not None, "a running strategy has a host"
        price = Price(tick.price, tick.event_time, tick.ingest_time, tick.source)
        return self._outputs(self._host.on_tick(tick), price, origin)

    def _outputs(self, wishes: list[StrategySignal], price: Price, origin: Origin) -> list[Signal | OrderIntent]:
        outputs: list[Signal | OrderIntent] = []
        for number, wish in enumerate(wishes):
            outputs.append(self._signal(wish, price, self._id(origin, number, "signal")))
            self.counters.signals += 1
            self._trading.wish[wish.contract_id] = wish
            if self.state is RunningState.RUNNING:
                intent = self._intent(wish, price, self._id(origin, number, "intent"))
                if intent is not None:
                    outputs.append(intent)
                    self._expect(intent, wish.value)
        return outputs

    def _id(self, origin: Origin, number: int, kind: str) -> str:
        """A function of the input that caused it: a replay gives the same."""
        place = f"{origin.topic}/{origin.partition}/{origin.offset}"
        return str(uuid.uuid5(_OUTPUTS, f"{self.strategy_id}|{place}|{number}|{kind}"))

    def _signal(self, wish: StrategySignal, price: Price, signal_id: str) -> Signal:
        return Signal(
            signal_id=signal_id,
            strategy_id=self.strategy_id,
            contract_id=wish.contract_id,
            symbol=self.contracts[wish.contract_id].symbol,
            target=wish.value,
            reason=wish.reason,
            price=to_decimal(price.value),
            source=price.source,
            event_time=price.event_time,
            ingest_time=price.ingest_time,
        )

    def _intent(self, wish: StrategySignal, price: Price, intent_id: str) -> OrderIntent | None:
        """The order that brings the position to the wish; None when it is there, on its way, or was refused."""
        trading, contract = self._trading, self.contracts[wish.contract_id]
        if trading.denied_target.get(wish.contract_id) == wish.value:
            return None
        trading.denied_target.pop(wish.contract_id, None)
        assert self._host is not None, "a wish comes from a host"
        held = self._host.quantity(wish.contract_id) + trading.pending(wish.contract_id)
        quantity = sizing(wish, held, self._full, price.value)
        if not quantity:
            return None
        return OrderIntent(
            intent_id=intent_id,
            account_id=self.deployment.account_id,
            strategy_id=self.strategy_id,
            contract_id=wish.contract_id,
            symbol=contract.symbol,
            currency=contract.currency,
            side=Side.BUY if quantity > 0 else Side.SELL,
            quantity=abs(quantity),
            order_type=OrderType.MARKET,
            reference_price=to_decimal(price.value),
            reference_time=price.ingest_time,
            minimum_tick=to_decimal(contract.minimum_tick),
            event_time=price.event_time,
            ingest_time=price.ingest_time,
        )

    # own orders

    def _expect(self, intent: OrderIntent, target: float) -> None:
        self.counters.intents += 1
        self._trading.target_of[intent.intent_id] = target
        self._trading.in_flight[intent.intent_id] = Reservation(
            intent.intent_id, intent.contract_id, intent.side, intent.quantity
        )

    def _on_decision(self, decision: RiskDecision) -> None:
        if decision.approved:
            return
        trading = self._trading
        gone = trading.in_flight.pop(decision.intent_id, None)
        if gone is None:
            return
        self.counters.denied += 1
        target = trading.target_of.pop(decision.intent_id)
        if decision.reason not in _PASSING:
            trading.denied_target[gone.contract_id] = target

    def _on_update(self, update: OrderUpdate) -> None:
        order = self._trading.in_flight.get(update.order_id)
        if order is None:
            return
        if update.status is OrderStatus.REJECTED:
            self._trading.denied_target[order.contract_id] = self._trading.target_of[update.order_id]
        self._keep(order.with_update(update))

    def _on_fill(self, fill: Fill | FillCorrected | FillBusted) -> None:
        trading = self._trading
        known = trading.executions.get(fill.execution_id)
        execution = execution_of(fill)
        if known is not None and known.revision >= execution.revision:
            return
        trading.executions[fill.execution_id] = execution
        trading.contract_of[fill.execution_id] = fill.contract_id
        order = None if isinstance(fill, FillBusted) else trading.in_flight.get(fill.order_id)
        if order is not None:
            self._keep(order.with_fill(abs(execution.quantity) - abs(known.quantity if known else Decimal(0))))
        assert self._host is not None, "a strategy that traded has a host"
        if known is None and isinstance(fill, Fill):
            self._host.on_fill(fill)
        else:
            self._show_positions()

    def _keep(self, order: Reservation) -> None:
        if order.state == "released":
            self._trading.in_flight.pop(order.order_id, None)
            self._trading.target_of.pop(order.order_id, None)
        else:
            self._trading.in_flight[order.order_id] = order

    def _show_positions(self) -> None:
        """Tell the host what is held: after a correction, or when the host is new."""
        trading = self._trading
        for contract_id in self.contracts:
            mine = [e for root, e in trading.executions.items() if trading.contract_of[root] == contract_id]
            holding = hold(mine)
            if self._host is not None:
                self._host.hold(contract_id, holding.quantity, holding.average_price)

    # what is told

    def report(self, now: datetime) -> StrategyState:
        """The state as an event."""
        shown = self._host.snapshot() if self._host is not None else {"positions": {}, "bars_seen": 0}
        return StrategyState(
            strategy_id=self.strategy_id,
            state=self.state,
            deployment=self.deployment,
            signals=self.counters.signals,
            intents=self.counters.intents,
            denied=self.counters.denied,
            positions=shown["positions"],
            bars_seen=shown["bars_seen"],
            error=self.error,
            event_time=now,
            ingest_time=now,
        )
