"""One live strategy as a fold of its inputs: the same inputs in the same order give the same outputs."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, NoReturn

from msgspec import structs

from engine.aggregation import BarAggregator
from engine.facts import bar_of
from engine.live import machine
from engine.live.allocation import Share
from engine.live.hosts import Hosts, Stage, StoppedFromOutsideError, shipped
from engine.live.outputs import Output, price_of
from engine.live.own_orders import OwnOrders
from engine.live.trading import News, Trading
from engine.sizing import to_decimal
from engine.strategy import StrategySignal
from schemas.event import Event
from schemas.market import LIVE_BAR, Bar, HistoricalBar, Tick
from schemas.moments import to_microseconds
from schemas.orders import Fill, FillBusted, FillCorrected, OrderUpdate, RiskDecision
from schemas.place import At
from schemas.strategy import Allocate, Deploy, Promote, Reconfigure, Resume, RunningState, Start, Stop, StrategyState
from schemas.validation import Contract

Execution = Fill | FillCorrected | FillBusted

_MICROSECONDS = 1_000_000
_ERROR_MAX = 2000
_REFUSAL_MAX = 500


class RunningStrategy:
    """A deployed strategy. `take` is the only way in; nothing here reads a clock or draws an id.

    A contract's small bars are made into larger ones by that contract's own bars alone: what a strategy sees of one
    contract does not depend on how its partition and those of others were interleaved.
    """

    def __init__(
        self,
        deployment: Deploy,
        contracts: Iterable[Contract],
        before: OwnOrders | None = None,
        hosts: Hosts = shipped,
    ) -> None:
        """`before`: the orders of an earlier deployment under the same id; what that one holds, this one holds."""
        self.deployment = deployment
        self.contracts = {contract.contract_id: contract for contract in contracts}
        self.state = RunningState.DEPLOYED
        self.error = self.refusal = ""
        self.last_command = deployment.command_id
        self.signals = 0
        self._stage = Stage(hosts, {key: each.symbol for key, each in self.contracts.items()})
        self._real = OwnOrders()
        if before is not None:
            self._real.inherit(before)
        self.trading = Trading(deployment, self.contracts, self._real)
        self._aggregator = BarAggregator(deployment.bar_size_seconds * _MICROSECONDS)
        known = {contract.symbol for contract in self.contracts.values()}
        if missing := [symbol for symbol in deployment.symbols if symbol not in known]:
            names = " ".join(missing)
            self.fail(f"not validated: {names}; `scizor symbols validate` asks the gateway about them")
        else:
            with self._failing():
                if error := self._configure(deployment.parameters):
                    self.fail(error)

    @property
    def strategy_id(self) -> str:
        return self.deployment.strategy_id

    @property
    def ended(self) -> bool:
        return machine.ended(self.state)

    @property
    def orders(self) -> OwnOrders:
        """What it did, or pretended to do."""
        return self.trading.orders

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
        return machine.why_not(self.state, command)

    def _configure(self, parameters: Mapping[str, Any]) -> str:
        """A fresh start of its code; returns what is wrong with the strategy's name or parameters, or how it failed."""
        try:
            self._stage.begin(self.deployment, parameters)
        except StoppedFromOutsideError:
            raise
        except Exception as error:  # noqa: BLE001 (a stranger's code: its fault is an outcome, told in the state)
            return str(error) if isinstance(error, ValueError | TypeError) else f"{type(error).__name__}: {error}"
        self._show_positions()
        return ""

    def close(self) -> None:
        """Let go of whatever runs its code."""
        self._stage.close()

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
        self.fail(f"cannot be recovered: {why}; deploy it again")

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
            self.trading.targets.liquidate()
            self.orders.forgive()
            return [each for number, key in enumerate(self.contracts) for each in self._pursue(key, at, number)]
        if self.ended:
            self.close()
        return []

    def _reconfigure(self, parameters: dict[str, Any]) -> None:
        """Parameters that cannot be change nothing; the state tells why."""
        self.error = self._configure(parameters)[:_ERROR_MAX]
        self.refusal = self.error[:_REFUSAL_MAX]
        if not self.error:
            self.orders.forgive()
            self.trading.held_back.clear()  # the fresh start never asked for it
            self._change(parameters=parameters)

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

    # market

    def _on_bar(self, bar: Bar, at: At) -> list[Output]:
        trading, fact = self.trading, bar_of(bar)
        outputs = self._on_shadow_news(trading.meet(fact), at)
        closed = self._aggregator.on_bar(fact)
        if bar.late:  # it tells what was, not what can be traded now
            self._stage.host.warm_up(closed)
            return outputs
        trading.targets.prices[bar.contract_id] = price_of(bar)
        if not closed or self.ended:
            return outputs
        trading.worth.sample(trading.pnl)
        if self.state is RunningState.STOPPING:
            return outputs + self._pursue(bar.contract_id, at, 0)
        outputs += self._tell_held_back(bar, at)
        self._show_account(bar.contract_id)
        wishes = [wish for each in closed for wish in self._stage.host.on_bar(each)]
        outputs += self._outputs(wishes, at)
        if all(wish.contract_id != bar.contract_id for wish in wishes):
            outputs += self._pursue(bar.contract_id, at, len(wishes))
        return outputs

    def _on_tick(self, tick: Tick, at: At) -> list[Output]:
        self.trading.targets.prices[tick.contract_id] = price_of(tick)
        if self.state is RunningState.STOPPING:
            return self._pursue(tick.contract_id, at, 0)
        outputs = self._tell_held_back(tick, at)
        self._show_account(tick.contract_id)
        return outputs + self._outputs(self._stage.host.on_tick(tick), at)

    def _show_account(self, contract_id: int) -> None:
        targets = self.trading.targets
        price = targets.prices.get(contract_id)
        self._stage.host.show(contract_id, price.value if price else 0.0, targets.full, float(self.orders.spent))

    def _outputs(self, wishes: list[StrategySignal], at: At) -> list[Output]:
        outputs: list[Output] = []
        for number, wish in enumerate(wishes):
            told = self.trading.named(wish, at, number)
            if told is not None:
                self.signals += 1
                outputs += [told, *self._pursue(wish.contract_id, at, number)]
        return outputs + self._asked(at)

    def _pursue(self, contract_id: int, at: At, number: int) -> list[Output]:
        if self.state not in (RunningState.RUNNING, RunningState.STOPPING):
            return []
        outputs, news = self.trading.pursue(contract_id, at, number)
        return outputs + self._on_shadow_news(news, at)

    def _asked(self, at: At) -> list[Output]:
        """The orders that the strategy asked for by itself; one that does not run is denied them."""
        asked = self._stage.host.drain()
        if self.state is not RunningState.RUNNING:
            self.trading.hold_back(asked, f"the strategy is {self.state}")
            return []
        if not asked:
            return []
        outputs, news = self.trading.carry(asked, at)
        return outputs + self._on_shadow_news(news, at)

    def _tell_held_back(self, event: Bar | Tick, at: At) -> list[Output]:
        """Not at once but now: with who asks again whenever it is denied, that would never end."""
        held_back, self.trading.held_back = self.trading.held_back, []
        outputs: list[Output] = []
        for news in held_back:
            self._show_account(news.contract_id)
            self._stage.host.on_order(structs.replace(news, time_us=to_microseconds(event.event_time)))
            outputs += self._asked(at)
        return outputs

    # what became of its orders

    def _on_shadow_news(self, news: Iterable[News], at: At) -> list[Output]:
        outputs: list[Output] = []
        for each in news:
            if isinstance(each, Fill):
                outputs += self._book_fill(each, at)
            else:
                self.orders.on_update(each)
                outputs += self._hear(each, at)
        return outputs

    def _on_fill(self, fill: Execution, at: At) -> list[Output]:
        if self.trading.pretends:  # of orders that it sent before it was a shadow
            self._real.on_fill(fill)
            return []
        return self._book_fill(fill, at)

    def _book_fill(self, fill: Execution, at: At) -> list[Output]:
        adds = self.orders.on_fill(fill)
        if adds is None:
            return []
        outputs: list[Output] = []
        if adds and isinstance(fill, Fill) and not self.ended:
            self._show_account(fill.contract_id)
            self._stage.host.on_fill(fill)
            outputs = self._asked(at)
        else:
            self._show_positions()
        self._stop_when_flat()
        return outputs

    def _hear(self, event: RiskDecision | OrderUpdate, at: At) -> list[Output]:
        news = self.trading.book.news(event)
        self._stop_when_flat()
        if news is None or self.ended:
            return []
        self._show_account(news.contract_id)
        self._stage.host.on_order(news)
        return self._asked(at)

    def _stop_when_flat(self) -> None:
        """What was to be liquidated is."""
        if self.state is RunningState.STOPPING and self.orders.flat and not self.orders.in_flight:
            self.state = RunningState.STOPPED
            self.close()

    def _show_positions(self) -> None:
        """Tell the host what is held: it is new, or an execution was replaced."""
        if self._stage.is_set and not self.ended:
            for contract_id in self.contracts:
                holding = self.orders.holding(contract_id)
                self._stage.host.hold(contract_id, holding.quantity, holding.average_price)

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
            error=self.error,
            last_command=self.last_command,
            refused=self.refusal,
            shadow=self.deployment.shadow,
            pnl=to_decimal(self.trading.pnl),
            event_time=now,
            ingest_time=now,
        )


def begun(
    deployment: Deploy, contracts: Iterable[Contract], before: OwnOrders | None, hosts: Hosts, fault: str = ""
) -> RunningStrategy:
    """A strategy at its start; one with a `fault` does not get through it."""

    def never(*_: object) -> NoReturn:
        raise ValueError(fault)

    return RunningStrategy(deployment, contracts, before, never if fault else hosts)
