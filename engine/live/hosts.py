"""Who runs a deployed strategy's code: this process, for one that ships; the sandbox, for one that was uploaded."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol

import msgspec

from engine.facts import Bar, Tick, bar_of, tick_of
from engine.host import StrategyHost
from engine.live.desk import Asked, FloodError, LiveDesk
from engine.moments import Alarm, Moment
from engine.order_requests import OrderNews
from engine.registry import strategy_class
from engine.strategy import StrategySignal
from schemas.market import HistoricalBar
from schemas.market import Tick as TickEvent
from schemas.orders import Fill
from schemas.strategy import Deploy

_SIGNALS_MAX = 10
_SIGNALS_A_CONTRACT = 2


class StoppedFromOutsideError(RuntimeError):
    """Somebody ended the strategy's code: how far it came is a matter of chance, and has to be journalled."""


class Host(Protocol):
    """A strategy's code over some contracts, with its indicators and positions."""

    def warm_up(self, bars: Iterable[Bar | HistoricalBar]) -> int: ...

    def on_bar(self, bar: Bar) -> list[StrategySignal]: ...

    def on_tick(self, tick: TickEvent) -> list[StrategySignal]: ...

    def on_moment(self, moment: Moment) -> list[StrategySignal]: ...

    def on_fill(self, fill: Fill) -> None: ...

    def on_order(self, news: OrderNews) -> None: ...

    def hold(self, contract_id: int, quantity: Decimal, average_price: Decimal) -> None: ...

    def snapshot(self) -> dict[str, Any]: ...

    def drain(self) -> list[Asked]:
        """The orders asked for since the last time."""

    def drain_alarms(self) -> list[Alarm]:
        """The timers asked for since the last time."""

    def show(self, contract_id: int, price: float, full: Mapping[int, float], spent: float) -> None:
        """What the strategy may know of its account, before it is given an input of `contract_id`."""

    def close(self) -> None:
        """It is needed no more."""


Hosts = Callable[[Deploy, Mapping[str, Any], Mapping[int, str]], Host]
"""Runs a deployment with these parameters over symbols by contract id. Raises what the strategy's code raises."""


class Stage:
    """Where a deployment's code runs at present."""

    def __init__(self, hosts: Hosts, symbols: Mapping[int, str]) -> None:
        self._hosts = hosts
        self._symbols = symbols
        self._host: Host | None = None

    @property
    def is_set(self) -> bool:
        return self._host is not None

    @property
    def host(self) -> Host:
        assert self._host is not None, "a strategy that was begun has a host"
        return self._host

    @property
    def bars_seen(self) -> int:
        return int(self._host.snapshot()["bars_seen"]) if self._host is not None else 0

    def begin(self, deployment: Deploy, parameters: Mapping[str, Any]) -> None:
        """A fresh start, in the place of what ran before; what it raises leaves that as it is."""
        fresh = self._hosts(deployment, parameters, self._symbols)
        self.close()
        self._host = fresh

    def close(self) -> None:
        if self._host is not None:
            self._host.close()


class HostHere(StrategyHost):
    """In this process."""

    def __init__(self, deployment: Deploy, parameters: Mapping[str, Any], symbols: Mapping[int, str]) -> None:
        chosen = strategy_class(deployment.strategy)
        self.desk = desk_of(deployment)
        self.desk.full = dict.fromkeys(symbols, deployment.quantity)
        super().__init__(chosen, chosen.Config.parse(parameters), symbols, desk=self.desk)
        self.desk.positions = self.strategy.positions

    def on_moment(self, moment: Moment) -> list[StrategySignal]:
        self.desk.between_bars()
        return super().on_moment(moment)

    def on_order(self, news: OrderNews) -> None:
        self.desk.hear(news)
        self.strategy.on_order(news)

    def drain(self) -> list[Asked]:
        return self.desk.drain()

    def drain_alarms(self) -> list[Alarm]:
        return self.desk.drain_alarms()

    def show(self, contract_id: int, price: float, full: Mapping[int, float], spent: float) -> None:
        self.desk.show(contract_id, price, full, spent)

    def close(self) -> None:
        """Nothing of it is anywhere else."""


def desk_of(deployment: Deploy) -> LiveDesk:
    return LiveDesk(None if deployment.capital is None else float(deployment.capital))


def shipped(deployment: Deploy, parameters: Mapping[str, Any], symbols: Mapping[int, str]) -> Host:
    """A strategy that ships. Raises ValueError for the text of a stranger, which runs in the sandbox alone."""
    if deployment.source:
        raise ValueError(f"{deployment.strategy} was uploaded: it runs in the sandbox alone, and there is none here")
    return HostHere(deployment, parameters, symbols)


class Child(Protocol):
    """The line to the process inside."""

    def send(self, message: dict[str, Any]) -> None: ...

    def receive(self) -> Any: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Inside:
    """How a process inside is started, and what it raises when it was ended there."""

    start: Callable[[], Child]
    ended: type[Exception]

    def __call__(self, deployment: Deploy, parameters: Mapping[str, Any], symbols: Mapping[int, str]) -> Host:
        """A strategy that ships runs here, any other inside."""
        if not deployment.source:
            return HostHere(deployment, parameters, symbols)
        return HostInside(self, deployment, parameters, symbols)


def _started(inside: Inside) -> Child:
    """Whether a process can be started lies with the machine, not with the strategy."""
    try:
        return inside.start()
    except Exception as error:
        raise StoppedFromOutsideError(f"its process could not be started: {error}") from error


class HostInside:
    """In the sandbox: asked and answered, nothing believed before it was looked at."""

    def __init__(
        self, inside: Inside, deployment: Deploy, parameters: Mapping[str, Any], symbols: Mapping[int, str]
    ) -> None:
        if hashlib.sha256(deployment.source.encode()).hexdigest() != deployment.code_sha256:
            raise ValueError("its text is not the one that its hash speaks of")
        self._ended = inside.ended
        self._child = _started(inside)
        self._symbols = dict(symbols)
        self._state: dict[str, Any] = {"bars_seen": 0, "signals": 0, "warm": False}
        self._asked: list[Asked] = []
        self._alarms: list[Alarm] = []
        self._shown: dict[str, Any] = {}
        self._signals_max = max(_SIGNALS_MAX, _SIGNALS_A_CONTRACT * len(symbols))
        task = {
            "name": deployment.strategy,
            "source": deployment.source,
            "parameters": dict(parameters),
            "symbols": {str(contract_id): symbol for contract_id, symbol in symbols.items()},
            "capital": None if deployment.capital is None else float(deployment.capital),
            "full": deployment.quantity,
        }
        try:
            self._ask(task)
        except BaseException:
            self._child.close()
            raise

    def warm_up(self, bars: Iterable[Bar | HistoricalBar]) -> int:
        before = self._state["bars_seen"]
        part: list[Any] = []
        for bar in bars:
            fact = bar if isinstance(bar, Bar) else bar_of(bar)
            part.append(msgspec.structs.astuple(fact))
            if len(part) == 200:
                self._ask({"past": part})
                part = []
        if part:
            self._ask({"past": part})
        return int(self._state["bars_seen"]) - int(before)

    def on_bar(self, bar: Bar) -> list[StrategySignal]:
        return self._ask({"bar": msgspec.structs.astuple(bar), **self._shown})

    def on_tick(self, tick: TickEvent) -> list[StrategySignal]:
        fact: Tick = tick_of(tick)
        return self._ask({"tick": msgspec.structs.astuple(fact), **self._shown})

    def on_moment(self, moment: Moment) -> list[StrategySignal]:
        return self._ask({"moment": msgspec.to_builtins(moment), **self._shown})

    def on_fill(self, fill: Fill) -> None:
        self._ask({"fill": fill.model_dump(mode="json"), **self._shown})

    def on_order(self, news: OrderNews) -> None:
        self._ask({"news": msgspec.structs.astuple(news), **self._shown})

    def hold(self, contract_id: int, quantity: Decimal, average_price: Decimal) -> None:
        self._ask({"hold": (contract_id, str(quantity), str(average_price))})

    def snapshot(self) -> dict[str, Any]:
        return self._state

    def drain(self) -> list[Asked]:
        asked, self._asked = self._asked, []
        return asked

    def drain_alarms(self) -> list[Alarm]:
        alarms, self._alarms = self._alarms, []
        return alarms

    def show(self, contract_id: int, price: float, full: Mapping[int, float], spent: float) -> None:
        shares = {str(key): each for key, each in full.items()}
        self._shown = {"account": {"contract_id": contract_id, "price": price, "full": shares, "spent": spent}}

    def close(self) -> None:
        self._child.close()

    def _ask(self, message: dict[str, Any]) -> list[StrategySignal]:
        """One turn. What the strategy raised inside is raised here; what was broken off is StoppedFromOutsideError."""
        try:
            self._child.send(message)
            answer = self._child.receive()
        except self._ended as error:
            raise StoppedFromOutsideError(str(error)) from error
        if not isinstance(answer, dict):
            raise StoppedFromOutsideError("it answered what is no message")
        if "failed" in answer:
            raise ValueError(str(answer["failed"])[:1000])
        try:
            signals = msgspec.convert(answer["signals"], list[StrategySignal])
            asked = msgspec.convert(answer["asked"], list[Asked])
            alarms = msgspec.convert(answer["alarms"], list[Alarm])
            told = answer["state"]
            self._state = {name: int(told[name]) for name in ("bars_seen", "signals")} | {"warm": bool(told["warm"])}
        except (msgspec.ValidationError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"it answered nonsense: {error}") from error
        if len(signals) > self._signals_max or any(each.contract_id not in self._symbols for each in signals):
            raise FloodError(f"{len(signals)} signals at once, or for contracts that are not its own")
        if any(each.contract_id not in self._symbols for each in asked):
            raise FloodError("orders for contracts that are not its own")
        self._asked += asked
        self._alarms += alarms
        return signals
