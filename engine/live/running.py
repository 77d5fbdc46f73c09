"""One live strategy as a fold of its inputs: the same inputs in the same order give the same outputs."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, NoReturn

from engine.live import machine
from engine.live.allocation import Share
from engine.live.dealings import Dealings, Execution
from engine.live.hosts import Hosts, StoppedFromOutsideError, shipped
from engine.live.outputs import Output
from engine.live.own_orders import OwnOrders
from engine.live.timetable import Closes, at_midnight
from engine.sizing import to_decimal
from schemas.event import Event
from schemas.market import LIVE_BAR, Bar, HistoricalBar, Tick
from schemas.orders import FillBusted, OrderUpdate, RiskDecision
from schemas.place import At
from schemas.strategy import Allocate, Deploy, Promote, Reconfigure, Resume, RunningState, Start, Stop, StrategyState
from schemas.validation import Contract

_ERROR_MAX = 2000
_REFUSAL_MAX = 500


class RunningStrategy(Dealings):
    """A deployed strategy. `take` is the only way in; nothing here reads a clock or draws an id."""

    def __init__(
        self,
        deployment: Deploy,
        contracts: Iterable[Contract],
        before: OwnOrders | None = None,
        hosts: Hosts = shipped,
        closes: Closes = at_midnight,
    ) -> None:
        super().__init__(deployment, contracts, before, hosts, closes)
        self.error = self.refusal = ""
        self.last_command = deployment.command_id
        known = {contract.symbol for contract in self.contracts.values()}
        if missing := [symbol for symbol in deployment.symbols if symbol not in known]:
            names = " ".join(missing)
            self.fail(f"not validated: {names}; `scizor symbols add {names}` asks the gateway about them")
        else:
            with self._failing():
                if error := self._configure(deployment.parameters):
                    self.fail(error)

    @property
    def strategy_id(self) -> str:
        return self.deployment.strategy_id

    @property
    def real_orders(self) -> OwnOrders:
        """What it did with money, whether it pretends now or not."""
        return self._real

    @property
    def watches(self) -> bool:
        """Whether live data is an input."""
        return self.state in (RunningState.RUNNING, RunningState.PAUSED, RunningState.STOPPING)

    @property
    def subscribes(self) -> bool:
        """Whether live data is asked for in its name: a shadow sees what others ask for."""
        return self.watches and not self.deployment.shadow

    def why_not(self, command: Event) -> str:
        """Why a command is refused; empty when it is taken."""
        if isinstance(command, Deploy) and self._real.in_flight and self.ended:
            return "orders of its earlier deployment are in flight"
        holds = not self.deployment.shadow and not self._real.flat
        return machine.why_not(self.state, command, self.strategy_id, holds=holds)

    def _configure(self, parameters: Mapping[str, Any]) -> str:
        """A fresh start of its code; returns what is wrong with the strategy's name or parameters, or how it failed."""
        try:
            self._stage.begin(self.deployment, parameters)
        except StoppedFromOutsideError:
            raise
        except Exception as error:  # noqa: BLE001 (a stranger's code: its fault is an outcome, told in the state)
            return str(error) if isinstance(error, ValueError | TypeError) else f"{type(error).__name__}: {error}"
        self._timetable.begin_anew()
        self._timetable.ask(self._stage.host.drain_alarms())
        self._show_positions()
        return ""

    @property
    def bars_seen(self) -> int:
        return self._stage.bars_seen

    def fail(self, reason: str) -> None:
        self.state = RunningState.FAILED
        self.error = reason[:_ERROR_MAX]
        self.close()

    def diverged(self, why: str) -> None:
        """Its past could not be repeated: what it knows is not to be traded on."""
        self._real.lose_sight()
        self.fail(f"cannot be recovered: {why}; {machine.deploy_again(self.strategy_id)}")

    def adopt(self, fills: Iterable[Event]) -> None:
        """Executions of an earlier deployment under the same id."""
        for fill in fills:
            if isinstance(fill, Execution) and self.wants(fill):
                self._real.on_fill(fill)
        with self._failing():
            self._show_positions()

    def warm_up(self, bars: Iterable[HistoricalBar]) -> int:
        """Bring indicators up to date with past bars of the deployment's size, oldest first. Fails as `take` does."""
        with self._failing():
            return self._stage.host.warm_up(bars) if self._stage.is_set else 0
        return 0

    @contextmanager
    def _failing(self) -> Iterator[None]:
        """What a stranger's code raises is an outcome, told in the state; StoppedFromOutsideError passes through."""
        try:
            yield
        except StoppedFromOutsideError:
            self.close()
            raise
        except Exception as error:  # noqa: BLE001 (whatever it is, it is the strategy's)
            self.fail(f"{type(error).__name__}: {error}")

    def wants(self, event: Event) -> bool:
        """Whether the event is one of this strategy's inputs."""
        if isinstance(event, Bar):  # it makes its own larger bars, of just these
            return self.watches and event.contract_id in self.contracts and event.bar_size == LIVE_BAR
        if isinstance(event, Tick):
            return self.watches and self.deployment.trigger == "ticks" and event.contract_id in self.contracts
        if isinstance(event, FillBusted):
            return self._real.knows(event.execution_id)
        return getattr(event, "strategy_id", None) == self.strategy_id

    def take(self, event: Event, at: At) -> list[Output]:
        """Fold one input in; what follows from it, in order. An exception of the strategy makes it FAILED.

        StoppedFromOutsideError passes through: whoever catches it calls `stopped_at`, and has to journal it.
        """
        self.trading.begin()
        try:
            return self._take(event, at)
        except StoppedFromOutsideError:
            self.trading.fail()
            raise
        except Exception as error:  # noqa: BLE001 (a stranger's code: its fault is an outcome, told in its state)
            self.trading.fail()
            self.fail(f"{type(error).__name__}: {error}")
            return []

    def stopped_at(self, event: Event, why: str) -> None:
        """Somebody had to stop the strategy while it took this input: it did not get through it."""
        if isinstance(event, Execution):
            self._real.on_fill(event)
        elif isinstance(event, RiskDecision):
            self._real.on_decision(event)
        elif isinstance(event, OrderUpdate):
            self._real.on_update(event)
        self.fail(why)

    def _take(self, event: Event, at: At) -> list[Output]:
        if isinstance(event, Bar):
            return self._on_bar(event, at)
        if isinstance(event, Tick):
            return self._on_tick(event, at)
        if isinstance(event, RiskDecision):
            self._real.on_decision(event)
            return self._hear(event, at)
        if isinstance(event, OrderUpdate):
            self._real.on_update(event)
            return self._hear(event, at)
        if isinstance(event, Execution):
            return self._on_fill(event, at)
        return self._on_command(event, at)

    # commands

    def _on_command(self, event: Event, at: At) -> list[Output]:
        self.last_command = getattr(event, "command_id", "")
        self.refusal = self.why_not(event)[:_REFUSAL_MAX]
        if self.refusal:
            return []
        busy = self.orders.in_flight or not self.orders.flat
        self.state = machine.after(self.state, event, holds=busy)
        if isinstance(event, Start | Resume):
            self.orders.forgive()
        elif isinstance(event, Allocate):
            self.trading.targets.allocate(event)
            self.orders.forgive()
            self._change(quantity=event.quantity)
        elif isinstance(event, Reconfigure):
            self._reconfigure(event.parameters)
        elif isinstance(event, Promote):
            self._promote()
        elif isinstance(event, Stop) and self.state is RunningState.STOPPING:
            return self._liquidate(at)
        if self.ended:
            self.close()
        return []

    def _reconfigure(self, parameters: dict[str, Any]) -> None:
        """Parameters that cannot be change nothing; the state tells why."""
        self.error = self._configure(parameters)[:_ERROR_MAX]
        self.refusal = self.error[:_REFUSAL_MAX]
        if not self.error:
            self.orders.forgive()
            self.trading.forget_asked()
            self._change(parameters=parameters)

    def _unsold(self) -> str:
        if self.state is not RunningState.STOPPING or not (unsold := self.trading.unsold):
            return ""
        return f"{unsold}; `scizor live stop {self.strategy_id} --liquidate` tries again"[:_ERROR_MAX]

    def _change(self, **fields: Any) -> None:
        self.deployment = self.trading.deployment = self.deployment.model_copy(update=fields)

    def _promote(self) -> None:
        """From here on its orders are real, and it holds what its real executions left; its targets stay."""
        if not self.deployment.shadow:
            self.refusal = "it is no shadow: it trades already"
            return
        self._change(shadow=False)
        self.trading = self.trading.promoted(self.deployment, self.contracts, self._real)
        self._show_positions()

    # what is told

    def share(self) -> Share:
        """What its size is made of."""
        targets = self.trading.targets
        symbol_of = {key: each.symbol for key, each in self.contracts.items()}
        full = {symbol_of[key]: shares for key, shares in targets.full.items()}
        prices = {symbol_of[key]: price.value for key, price in targets.prices.items()}
        return Share(full, prices, self.trading.worth.volatility)

    def report(self, now: datetime) -> StrategyState:
        """The state as an event."""
        held = {each.symbol: self.orders.quantity(key) for key, each in self.contracts.items()}
        return StrategyState(
            strategy_id=self.strategy_id,
            state=self.state,
            deployment=self.deployment.model_copy(update={"source": ""}),
            signals=self.signals,
            intents=self.trading.sent,
            denied=self.orders.denied,
            positions={symbol: format(each.normalize(), "f") for symbol, each in held.items() if each},
            bars_seen=self.bars_seen,
            error=self.error or self._unsold(),
            last_command=self.last_command,
            refused=self.refusal,
            shadow=self.deployment.shadow,
            pnl=to_decimal(self.trading.pnl),
            event_time=now,
            ingest_time=now,
        )


def never_begun(
    deployment: Deploy, contracts: Iterable[Contract], before: OwnOrders | None, fault: str
) -> RunningStrategy:
    """A strategy that did not get through its start."""

    def never(*_: object) -> NoReturn:
        raise ValueError(fault)

    return RunningStrategy(deployment, contracts, before, never)
