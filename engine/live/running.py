"""One live strategy as a fold of its inputs: the same inputs in the same order give the same outputs."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from engine.aggregation import BarAggregator
from engine.facts import bar_of
from engine.host import StrategyHost
from engine.live.outputs import Output, Price, intent, output_id, price_of, signal
from engine.live.own_orders import OwnOrders
from engine.registry import strategy_class
from engine.sizing import sizing, to_decimal
from engine.strategy import StrategySignal
from schemas.event import Event
from schemas.market import LIVE_BAR, Bar, HistoricalBar, Tick
from schemas.orders import Fill, FillBusted, FillCorrected, OrderUpdate, RiskDecision
from schemas.place import At
from schemas.strategy import (
    Allocate,
    Deploy,
    Pause,
    Reconfigure,
    Resume,
    RunningState,
    Start,
    Stop,
    StrategyState,
)
from schemas.validation import Contract

Execution = Fill | FillCorrected | FillBusted

_MICROSECONDS = 1_000_000
_ERROR_MAX = 2000


class RunningStrategy:
    """A deployed strategy. `take` is the only way in; nothing here reads a clock or draws an id.

    A contract's small bars are made into larger ones by that contract's own bars alone: what a strategy sees of one
    contract does not depend on how its partition and those of others were interleaved.
    """

    def __init__(self, deployment: Deploy, contracts: Iterable[Contract], before: OwnOrders | None = None) -> None:
        """`before`: the orders of an earlier deployment under the same id; what that one holds, this one holds."""
        self.deployment = deployment
        self.contracts = {contract.contract_id: contract for contract in contracts}
        self.state = RunningState.DEPLOYED
        self.error = ""
        self.signals = 0
        self.intents = 0
        self.orders = OwnOrders()
        if before is not None:
            self.orders.inherit(before)
        self._full = to_decimal(deployment.quantity)
        self._aggregator = BarAggregator(deployment.bar_size_seconds * _MICROSECONDS)
        self._wish: dict[int, StrategySignal] = {}  # the target that holds until the strategy names another
        self._prices: dict[int, Price] = {}
        self._host: StrategyHost | None = None
        known = {contract.symbol for contract in self.contracts.values()}
        if missing := [symbol for symbol in deployment.symbols if symbol not in known]:
            names = " ".join(missing)
            self.fail(f"not validated: {names}; `scizor symbols validate` asks the gateway about them")
        elif error := self._configure(deployment.parameters):
            self.fail(error)

    @property
    def strategy_id(self) -> str:
        return self.deployment.strategy_id

    @property
    def ended(self) -> bool:
        return self.state in (RunningState.STOPPED, RunningState.FAILED)

    @property
    def watches(self) -> bool:
        """Whether live data is wanted."""
        return self.state in (RunningState.RUNNING, RunningState.PAUSED)

    def _configure(self, parameters: Mapping[str, Any]) -> str:
        """A fresh host; returns what is wrong with the strategy's name or parameters, or how its code failed."""
        try:
            chosen = strategy_class(self.deployment.strategy)
            symbols = {each.contract_id: each.symbol for each in self.contracts.values()}
            self._host = StrategyHost(chosen, chosen.Config(**parameters), symbols)
            self._show_positions()
        except Exception as error:  # noqa: BLE001 (a stranger's code: its fault is an outcome, told in the state)
            return str(error) if isinstance(error, ValueError | TypeError) else f"{type(error).__name__}: {error}"
        return ""

    def fail(self, reason: str) -> None:
        self.state = RunningState.FAILED
        self.error = reason[:_ERROR_MAX]

    def diverged(self, why: str) -> None:
        """Its past could not be repeated: what it knows is not to be traded on."""
        self.orders.lose_sight()
        self.fail(f"cannot be recovered: {why}; deploy it again")

    def adopt(self, fills: Iterable[Event]) -> None:
        """Executions of an earlier deployment under the same id."""
        for fill in fills:
            if isinstance(fill, Execution) and self.wants(fill):
                self.orders.on_fill(fill)
        self._show_positions()

    def warm_up(self, bars: Iterable[HistoricalBar]) -> int:
        """Bring indicators up to date with past bars of the deployment's size, oldest first."""
        return self._host.warm_up(bars) if self._host is not None else 0

    def wants(self, event: Event) -> bool:
        """Whether the event is one of this strategy's inputs."""
        if isinstance(event, Bar):  # it makes its own larger bars, of just these
            return self.watches and event.contract_id in self.contracts and event.bar_size == LIVE_BAR
        if isinstance(event, Tick):
            return self.watches and self.deployment.trigger == "ticks" and event.contract_id in self.contracts
        if isinstance(event, FillBusted):
            return self.orders.knows(event.execution_id)
        return getattr(event, "strategy_id", None) == self.strategy_id

    def take(self, event: Event, at: At) -> list[Output]:
        """Fold one input in; what follows from it, in order. An exception of the strategy makes it FAILED."""
        try:
            return self._take(event, at)
        except Exception as error:  # noqa: BLE001 (a stranger's code: its fault is an outcome, told in its state)
            self.fail(f"{type(error).__name__}: {error}")
            return []

    def stopped_at(self, event: Event, why: str) -> None:
        """Somebody had to stop the strategy while it took this input: it did not get through it."""
        if isinstance(event, Execution):
            self.orders.on_fill(event)
            self._show_positions()
        self.fail(why)

    def _take(self, event: Event, at: At) -> list[Output]:
        if isinstance(event, Bar):
            return self._on_bar(event, at)
        if isinstance(event, Tick):
            return self._on_tick(event, at)
        if isinstance(event, RiskDecision):
            self.orders.on_decision(event)
        elif isinstance(event, OrderUpdate):
            self.orders.on_update(event)
        elif isinstance(event, Execution):
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
            self.orders.forgive()
        elif isinstance(event, Pause):
            self.state = RunningState.PAUSED
        elif isinstance(event, Allocate):
            self._full = to_decimal(event.quantity)
            self.orders.forgive()
            self.deployment = self.deployment.model_copy(update={"quantity": event.quantity})
        elif isinstance(event, Reconfigure):
            self._reconfigure(event.parameters)

    def _reconfigure(self, parameters: dict[str, Any]) -> None:
        """Parameters that cannot be change nothing; the state tells why."""
        self.error = self._configure(parameters)[:_ERROR_MAX]
        if not self.error:
            self.orders.forgive()
            self.deployment = self.deployment.model_copy(update={"parameters": parameters})

    # market

    def _on_bar(self, bar: Bar, at: At) -> list[Output]:
        assert self._host is not None, "a running strategy has a host"
        closed = self._aggregator.on_bar(bar_of(bar))
        if bar.late:  # it tells what was, not what can be traded now
            self._host.warm_up(closed)
            return []
        self._prices[bar.contract_id] = price_of(bar)
        if not closed:
            return []
        wishes = [wish for each in closed for wish in self._host.on_bar(each)]
        outputs = self._outputs(wishes, at)
        if all(wish.contract_id != bar.contract_id for wish in wishes):
            outputs += self._pursue(bar.contract_id, at, len(wishes))
        return outputs

    def _on_tick(self, tick: Tick, at: At) -> list[Output]:
        assert self._host is not None, "a running strategy has a host"
        self._prices[tick.contract_id] = price_of(tick)
        return self._outputs(self._host.on_tick(tick), at)

    def _outputs(self, wishes: list[StrategySignal], at: At) -> list[Output]:
        outputs: list[Output] = []
        for number, wish in enumerate(wishes):
            self._wish[wish.contract_id] = wish
            price = self._prices.get(wish.contract_id)
            if price is None:
                continue  # a wish for another contract, of which no price was seen yet: its first bar brings it up
            signal_id = output_id(self.strategy_id, at, number, "signal")
            outputs.append(signal(signal_id, self.strategy_id, wish, self.contracts[wish.contract_id], price))
            self.signals += 1
            outputs += self._pursue(wish.contract_id, at, number)
        return outputs

    def _pursue(self, contract_id: int, at: At, number: int) -> list[Output]:
        """The order that brings the position to the wish, unless it is there, on its way, or was refused.

        A target holds until another is named: what was denied in passing or canceled is asked for again.
        """
        wish, price = self._wish.get(contract_id), self._prices.get(contract_id)
        if wish is None or price is None or self.state is not RunningState.RUNNING:
            return []
        if self.orders.refused(contract_id, wish.value):
            return []
        assert self._host is not None, "a wish comes from a host"
        held = self._host.quantity(contract_id) + self.orders.pending(contract_id)
        quantity = sizing(wish, held, self._full, price.value)
        if not quantity:
            return []
        intent_id = output_id(self.strategy_id, at, number, "intent")
        order = intent(intent_id, self.deployment, quantity, self.contracts[contract_id], price)
        self.orders.expect(order, wish.value)
        self.intents += 1
        return [order]

    # own fills

    def _on_fill(self, fill: Execution) -> None:
        adds = self.orders.on_fill(fill)
        if adds is None or self._host is None:
            return
        if adds and isinstance(fill, Fill) and not self.ended:
            self._host.on_fill(fill)
        else:
            self._show_positions()

    def _show_positions(self) -> None:
        """Tell the host what is held: it is new, or an execution was replaced."""
        if self._host is not None:
            for contract_id in self.contracts:
                holding = self.orders.holding(contract_id)
                self._host.hold(contract_id, holding.quantity, holding.average_price)

    # what is told

    def report(self, now: datetime) -> StrategyState:
        """The state as an event."""
        shown = self._host.snapshot() if self._host is not None else {"positions": {}, "bars_seen": 0}
        return StrategyState(
            strategy_id=self.strategy_id,
            state=self.state,
            deployment=self.deployment,
            signals=self.signals,
            intents=self.intents,
            denied=self.orders.denied,
            positions=shown["positions"],
            bars_seen=shown["bars_seen"],
            error=self.error,
            event_time=now,
            ingest_time=now,
        )
