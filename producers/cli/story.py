"""What the demo does once everything runs: validate, collect, backtest, trade a day; each step asked for on topics."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from infra.errors import EnvironmentUnhealthyError, ScizorError
from infra.gateway_simulator.control_client import ControlClient
from infra.replay import fold
from producers.cli.desk import Desk, Feed, NoAnswerError
from producers.cli.telling import Telling
from schemas.account import AccountState, RiskLimits
from schemas.backtest import BacktestFinished, BacktestRequested
from schemas.collection import CollectHistory, CollectionRun, RunState, ValidateSymbols
from schemas.event import Event
from schemas.market import Bar
from schemas.orders import Fill, OrderIntent, OrderUpdate, RiskDecision
from schemas.strategy import Deploy, RunningState, Signal, Start, Stop, StrategyState

SYMBOLS = ("AAPL", "FB", "GOOG", "IBM", "MSFT")
STRATEGIES: dict[str, dict[str, Any]] = {
    "moving_average_crossover": {"fast": 10, "slow": 30},
    "rsi_mean_reversion": {},
    "buy_and_hold": {},
}
MARKET_DAY = datetime(2013, 2, 28, 14, 30, tzinfo=UTC)
SESSION = timedelta(hours=6.5)
LIVE_SYMBOL = "AAPL"
DENIED_SYMBOL = "GOOG"
_LIVE_TOPICS = (
    "market.bars.v1",
    "strategy.signals.v1",
    "strategy.state.v1",
    "trading.intents.v1",
    "trading.decisions.v1",
    "trading.orders.v1",
    "trading.fills.v1",
)
_PERSON = "demo"
_COLLECT_SECONDS = 120.0
_BACKTEST_SECONDS = 120.0
_LIVE_SECONDS = 180.0
_START_SECONDS = 30.0
_QUIET_SECONDS = 1.5


class DemoFailedError(ScizorError):
    """The demo did not come to its end."""


@dataclass
class Live:
    """What was counted while a strategy traded."""

    account: str = ""
    signals: int = 0
    intents: int = 0
    denied: int = 0
    denial: str = ""
    orders: set[str] = field(default_factory=set)
    fills: set[str] = field(default_factory=set)
    bars: dict[str, int] = field(default_factory=dict)

    def take(self, event: Event) -> None:
        if isinstance(event, Signal):
            self.signals += 1
        elif isinstance(event, OrderIntent):
            self.intents += 1
        elif isinstance(event, RiskDecision) and not event.approved:
            self.denied += 1
            self.denial = event.detail or str(event.reason)
        elif isinstance(event, OrderUpdate):
            self.orders.add(event.order_id)
        elif isinstance(event, Fill):
            self.fills.add(event.execution_id)
        elif isinstance(event, Bar):
            self.bars[event.symbol] = self.bars.get(event.symbol, 0) + 1


class Story:
    """The demo's steps, in order."""

    def __init__(self, desk: Desk, telling: Telling, control: ControlClient) -> None:
        self._desk = desk
        self._telling = telling
        self._control = control

    def _stamp(self) -> dict[str, Any]:
        now = self._desk.clock.now()
        return {"event_time": now, "ingest_time": now}

    async def validate(self) -> CollectionRun:
        feed = await self._desk.feed(["collection.runs.v1"])
        run_id = f"demo-validate-{self._desk.entropy.new_id()}"
        request = ValidateSymbols(run_id=run_id, symbols=SYMBOLS, requested_by=_PERSON, **self._stamp())
        await self._desk.publish(request)
        return await self._run_of(feed, run_id)

    async def collect(self) -> CollectionRun:
        feed = await self._desk.feed(["collection.runs.v1"])
        run_id = f"demo-collect-{self._desk.entropy.new_id()}"
        request = CollectHistory(run_id=run_id, symbols=SYMBOLS, requested_by=_PERSON, **self._stamp())
        await self._desk.publish(request)
        return await self._run_of(feed, run_id)

    async def _run_of(self, feed: Feed, run_id: str) -> CollectionRun:
        """Follow a run to its end."""
        async for event in feed.events(_COLLECT_SECONDS):
            if not isinstance(event, CollectionRun) or event.run_id != run_id:
                continue
            self._telling.step(f"{event.symbols_done} of {event.symbols} symbols, {event.bars_received:,} bars")
            if event.state is RunState.FAILED or (event.state is RunState.DONE and event.failures):
                raise DemoFailedError(f"{event.kind} failed: {event.failures}")
            if event.state is RunState.DONE:
                return event
        raise NoAnswerError(f"collection run {run_id}", _COLLECT_SECONDS)

    async def backtest(self) -> list[BacktestFinished]:
        """Three strategies over five symbols, each a replay of the topic."""
        feed = await self._desk.feed(["backtest.results.v1"])
        requests = [
            BacktestRequested(
                backtest_id=f"demo-{strategy}-{symbol}-{self._desk.entropy.new_id()}",
                strategy=strategy,
                parameters=parameters,
                symbols=(symbol,),
                source="topic",
                requested_by=_PERSON,
                **self._stamp(),
            )
            for strategy, parameters in STRATEGIES.items()
            for symbol in SYMBOLS
        ]
        for request in requests:
            await self._desk.publish(request)
        waiting = {request.backtest_id for request in requests}
        results = []
        async for event in feed.events(_BACKTEST_SECONDS):
            if isinstance(event, BacktestFinished) and event.backtest_id in waiting:
                if not event.succeeded:
                    raise DemoFailedError(f"backtest of {event.request.strategy}: {event.error}")
                waiting.discard(event.backtest_id)
                results.append(event)
                self._telling.step(f"{len(results)} of {len(requests)}")
            if not waiting:
                return sorted(results, key=lambda r: (list(STRATEGIES).index(r.request.strategy), r.request.symbols))
        raise NoAnswerError(f"{len(waiting)} backtests", _BACKTEST_SECONDS)

    async def trade(self, speed: float) -> Live:
        """One strategy over an accelerated market day, and one that asks for more than risk allows."""
        live = Live(account=await self._account())
        feed = await self._desk.feed(_LIVE_TOPICS)
        await self._desk.publish(RiskLimits(scope=f"account:{live.account}", version=1, **self._stamp()))
        await self._deploy(feed, live, "demo-crossover", LIVE_SYMBOL, 50.0)
        await self._deploy(feed, live, "demo-too-large", DENIED_SYMBOL, 500.0)
        await self._control.speed(speed)
        await self._watch_day(feed, live)
        await self._control.speed(1.0)
        for strategy_id in ("demo-crossover", "demo-too-large"):
            await self._desk.publish(Stop(strategy_id=strategy_id, **self._command()))
        await self._settle(feed, live)
        return live

    def _command(self) -> dict[str, Any]:
        return {"command_id": self._desk.entropy.new_id(), "by": _PERSON, **self._stamp()}

    async def _account(self) -> str:
        """The account, as the executor has heard of it from the gateway."""
        async with asyncio.timeout(_START_SECONDS):
            while True:
                async for event, _ in fold(self._desk.settings, ["trading.accounts.v1"]):
                    if isinstance(event, AccountState):
                        return event.account_id
                await asyncio.sleep(0.2)

    async def _deploy(self, feed: Feed, live: Live, strategy_id: str, symbol: str, quantity: float) -> None:
        crossover = strategy_id == "demo-crossover"
        command = Deploy(
            strategy_id=strategy_id,
            strategy="moving_average_crossover" if crossover else "buy_and_hold",
            parameters={"fast": 5, "slow": 20} if crossover else {},
            symbols=(symbol,),
            account_id=live.account,
            quantity=quantity,
            bar_size_seconds=60,
            **self._command(),
        )
        await self._desk.publish(command)
        await self._desk.publish(Start(strategy_id=strategy_id, **self._command()))
        async for event in feed.events(_START_SECONDS):
            live.take(event)
            if isinstance(event, StrategyState) and event.strategy_id == strategy_id:
                if event.state is RunningState.FAILED:
                    raise DemoFailedError(f"strategy {strategy_id}: {event.error}")
                if event.state is RunningState.RUNNING:
                    return
        raise NoAnswerError(f"start of strategy {strategy_id}", _START_SECONDS)

    async def _watch_day(self, feed: Feed, live: Live) -> None:
        """Until the last live bar of the session has come for both symbols."""
        closing = MARKET_DAY + SESSION
        open_symbols = {LIVE_SYMBOL, DENIED_SYMBOL}
        async for event in feed.events(_LIVE_SECONDS):
            live.take(event)
            if isinstance(event, Bar):
                if event.event_time >= closing:
                    open_symbols.discard(event.symbol)
                self._telling.step(
                    f"market time {event.event_time:%H:%M} UTC, {sum(live.bars.values()):,} bars, "
                    f"{live.intents} intents, {len(live.fills)} fills, {live.denied} denied"
                )
            if not open_symbols:
                return
        raise NoAnswerError(f"the close of {', '.join(sorted(open_symbols))}", _LIVE_SECONDS)

    async def _settle(self, feed: Feed, live: Live) -> None:
        """Until nothing has come for a while."""
        async for event in feed.events(_START_SECONDS, idle_seconds=_QUIET_SECONDS):
            live.take(event)


def require(holds: bool, what: str) -> None:
    """A check of the demo: what does not hold ends it."""
    if not holds:
        raise EnvironmentUnhealthyError(f"the demo's own check failed: {what}")
