"""Hands inputs to the strategies that want them and tells what they decide: journal first, then signals and intents."""

import asyncio
from collections.abc import Mapping

from prometheus_client import Counter, Gauge

from consumers.strategist.journal import Journal
from consumers.strategist.recovery import COMMANDS, HISTORY, history, known_contracts, recover
from consumers.strategist.running import RunningStrategy
from infra.publish import Origin
from infra.replay import fold
from infra.service import Service
from schemas.event import Event
from schemas.market import Bar, Subscription, Tick
from schemas.orders import Fill, FillBusted, FillCorrected, OrderIntent, OrderUpdate, RiskDecision
from schemas.strategy import (
    Allocate,
    Deploy,
    JournalEntry,
    Pause,
    Reconfigure,
    Resume,
    RunningState,
    Signal,
    Start,
    Stop,
)
from schemas.validation import Contract

_REPORT_SECONDS = 1.0
_MARKET = (Bar, Tick)
_OWN_ORDERS = (RiskDecision, OrderUpdate, Fill, FillCorrected, FillBusted)
_COMMANDS = (Start, Stop, Pause, Resume, Reconfigure, Allocate)


class Strategist:
    """All live strategies of this process."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._strategies: dict[str, RunningStrategy] = {}
        self._journals: dict[str, Journal] = {}
        self._reported: dict[str, float] = {}
        registry = service.metrics.registry
        self._signals = Counter("scizor_signals", "Signals of live strategies", ("strategy",), registry=registry)
        self._intents = Counter("scizor_intents", "Order intents of live strategies", ("strategy",), registry=registry)
        self._running = Gauge("scizor_strategies_running", "Live strategies that run", registry=registry)

    def wire(self) -> None:
        self._service.before(self.recover)
        self._service.on(Deploy, self.on_deploy)
        for event_class in (*_MARKET, *_OWN_ORDERS, *_COMMANDS):
            self._service.on(event_class, self.on_input)

    async def recover(self) -> None:
        """Feed every strategy its journal, and tell again what its last inputs caused: repeats are recognised."""
        service = self._service
        group = f"{service.settings.topic_prefix}{service.name}"
        for name, again in (await recover(service.settings, service.clock, group)).items():
            self._strategies[name] = again.strategy
            self._journals[name] = journal = Journal(name, service.publisher, service.clock)
            journal.resume(again.sequence, again.consumed)
            await self._tell(again.strategy, again.tail)
            await self._report(again.strategy)
            service.log.info("recovered", strategy=name, state=again.strategy.state, inputs=again.sequence)

    # commands

    async def on_deploy(self, command: Deploy, origin: Origin) -> None:
        """Make a strategy known. A second deployment of a living one is refused: stop it first, choose another id."""
        name = command.strategy_id
        known = self._strategies.get(name)
        if known is not None and (not known.ended or self._journals[name].has(origin)):
            self._service.log.warning("deployed already", strategy=name)
            return
        contracts, missing = await self._contracts(command)
        strategy = RunningStrategy(command, contracts)
        if missing:
            strategy.fail(f"not validated: {', '.join(missing)}; run `scizor symbols validate {' '.join(missing)}`")
        self._strategies[name] = strategy
        self._journals[name] = journal = Journal(name, self._service.publisher, self._service.clock)
        if known is not None:
            journal.resume(await self._last_sequence(name), {})
        await journal.note(command, origin, ())
        if command.warmup_bars and not strategy.ended:
            await self._warm_up(strategy, journal)
        await self._report(strategy)

    async def _contracts(self, command: Deploy) -> tuple[dict[int, Contract], list[str]]:
        known = await known_contracts(self._service.settings)
        contracts = {known[symbol].contract_id: known[symbol] for symbol in command.symbols if symbol in known}
        return contracts, [symbol for symbol in command.symbols if symbol not in known]

    async def _last_sequence(self, strategy_id: str) -> int:
        last = 0
        async for event, _ in fold(self._service.settings, ["strategy.journal.v1"]):
            if isinstance(event, JournalEntry) and event.strategy_id == strategy_id:
                last = max(last, event.sequence)
        return last

    async def _warm_up(self, strategy: RunningStrategy, journal: Journal) -> None:
        """Past bars by offsets, journalled first, so that a replay is warmed up by the same bars."""
        deployment = strategy.deployment
        bars, reached = await history(self._service.settings, deployment, strategy.contracts)
        now = self._service.clock.now()
        for partition, offset in sorted(reached.items()):
            origin = Origin(HISTORY, partition, offset, None, 0, now)
            await journal.before(origin)
            await journal.note(deployment, origin, ())
        await journal.write(())
        count = strategy.warm_up(bars)
        self._service.log.info("warmed up", strategy=strategy.strategy_id, bars=count)

    # inputs

    async def on_input(self, event: Event, origin: Origin) -> None:
        for strategy in list(self._strategies.values()):
            journal = self._journals[strategy.strategy_id]
            if not strategy.wants(event) or journal.has(origin):
                continue
            before = strategy.state
            await journal.before(origin)
            outputs = strategy.take(event, origin)
            await journal.note(event, origin, tuple(_id_of(each) for each in outputs))
            await self._tell(strategy, outputs, origin)
            if strategy.state is not before:
                await self._subscribe(strategy)
            await self._report_sometimes(strategy, at_once=strategy.state is not before or origin.topic == COMMANDS)

    async def _tell(
        self, strategy: RunningStrategy, outputs: list[Signal | OrderIntent], cause: Origin | None = None
    ) -> None:
        """Publish together; return when the broker has all of it."""
        posted = []
        for output in outputs:
            counter = self._signals if isinstance(output, Signal) else self._intents
            counter.labels(strategy.strategy_id).inc()
            publisher = self._service.publisher
            posted.append(await publisher.post(publisher.prepare(output, cause)))
        if posted:
            await asyncio.gather(*posted)

    # what others hear

    async def _report(self, strategy: RunningStrategy) -> None:
        self._reported[strategy.strategy_id] = self._service.clock.monotonic()
        running = [each for each in self._strategies.values() if each.state is RunningState.RUNNING]
        self._running.set(len(running))
        await self._service.publish(strategy.report(self._service.clock.now()))

    async def _report_sometimes(self, strategy: RunningStrategy, *, at_once: bool) -> None:
        age = self._service.clock.monotonic() - self._reported.get(strategy.strategy_id, 0.0)
        if at_once or age > _REPORT_SECONDS:
            await self._report(strategy)

    async def _subscribe(self, strategy: RunningStrategy) -> None:
        """Ask for the live data of a strategy that begins, and no longer for that of one that ended."""
        wanted = await self._subscriptions()
        now = self._service.clock.now()
        for contract in strategy.contracts.values():
            current = wanted.get(contract.contract_id)
            others = set(current.wanted_by if current else ()) - {strategy.strategy_id}
            mine = set() if strategy.ended else {strategy.strategy_id}
            ticks = any(
                each.deployment.trigger == "ticks" and contract.contract_id in each.contracts and not each.ended
                for each in self._strategies.values()
            )
            subscription = Subscription(
                contract_id=contract.contract_id,
                symbol=contract.symbol,
                bars=True,
                ticks=ticks or bool(current and current.ticks and others),
                quotes=bool(current and current.quotes and others),
                wanted_by=tuple(sorted(others | mine)),
                event_time=now,
                ingest_time=now,
            )
            await self._service.publish(subscription)

    async def _subscriptions(self) -> Mapping[int, Subscription]:
        found = {}
        async for event, _ in fold(self._service.settings, ["market.subscriptions.v1"]):
            if isinstance(event, Subscription):
                found[event.contract_id] = event
        return found


def _id_of(output: Signal | OrderIntent) -> str:
    return output.signal_id if isinstance(output, Signal) else output.intent_id
