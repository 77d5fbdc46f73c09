"""Hands inputs to the strategies that want them and tells what they decide: journal first, then signals and intents."""

import asyncio
import heapq
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from prometheus_client import Counter, Gauge

from consumers.strategist.allocator import Allocator
from consumers.strategist.deploying import deployed
from consumers.strategist.guard import INPUT_SECONDS_MAX, bounded
from consumers.strategist.journal import Input, Journal, claim
from consumers.strategist.recovery import Recovered, go_on, journal_loss, pasts_and_snapshots, recover
from consumers.strategist.snapshots import Snapshot, Snapshots
from consumers.strategist.subscriptions import changes
from engine.live.hosts import Inside, StoppedFromOutsideError
from engine.live.outputs import Output, id_of
from engine.live.running import RunningStrategy
from engine.live.snapshot import NotFrozenError, frozen
from infra.delivery import Failure, MalformedRecordError, Record, origin_of, parse
from infra.engine_code import code_hash
from infra.journal.inputs import Inputs
from infra.journal.spans import highest_epoch
from infra.sandbox.errors import SandboxedError
from infra.sandbox.live import LazySandbox
from infra.service import Service
from infra.store.leases import Lease
from schemas.event import Event
from schemas.market import Bar, Tick
from schemas.orders import FillBusted
from schemas.place import At
from schemas.strategy import (
    Allocate,
    AllocationPlan,
    Deploy,
    Pause,
    Promote,
    Reconfigure,
    Resume,
    RunningState,
    Signal,
    Start,
    Stop,
)

_COMMANDS = (Deploy, Start, Stop, Pause, Resume, Reconfigure, Allocate, Promote)
SNAPSHOT_INPUTS = 5_000
"""After so many inputs of a strategy it is written down, so that a restart feeds no more than these again."""
_REPORT_SECONDS = 1.0
_SLOW_SECONDS = 0.1
"""Longer for one input is told in the log."""
_BREATH_RECORDS = 500


class Strategist:
    """All live strategies of this process.

    Records are taken in polls: what one raises ends the process, and the next one recovers. No offset is committed
    before the journal has what was consumed up to it.
    """

    def __init__(self, service: Service, lease: Lease | None = None) -> None:
        """With a `lease`, no other process of the same database runs these strategies beside this one."""
        self._service = service
        self._lease = lease
        self._strategies: dict[str, RunningStrategy] = {}
        self._journals: dict[str, Journal] = {}
        self._on_contract: dict[int, list[RunningStrategy]] = {}
        self._unreported: set[str] = set()
        self._code = code_hash()
        registry = service.metrics.registry
        self._signals = Counter("scizor_signals", "Signals of live strategies", ("strategy",), registry=registry)
        self._intents = Counter("scizor_intents", "Order intents of live strategies", ("strategy",), registry=registry)
        self._stopped = Counter(
            "scizor_strategies_stopped", "Strategies that took too long", ("strategy",), registry=registry
        )
        self._snapshots = Snapshots(service.settings)
        self._allocator = Allocator(service.clock, service.entropy)
        self._sandbox = LazySandbox(service.clock)
        self._hosts = Inside(self._sandbox.live_child, SandboxedError)
        self._running = Gauge("scizor_strategies_running", "Live strategies that run", registry=registry)

    def wire(self) -> None:
        if self._lease is not None:
            self._service.before(self._lease.acquire)
            self._service.before(self._claim)
            self._service.task("lease", self._lease.keep)
            self._service.after(self._lease.release)
        self._service.before(self.recover)
        self._service.on_batch(self._service.spec.reads, self.on_records, before_commit=self.settle)
        self._service.after(self._close)
        self._service.task("reports", self._report_now_and_then)

    async def _claim(self) -> None:
        """Whatever a former holder still writes behind this counts for nothing."""
        assert self._lease is not None, "a claim is made by the holder of the lease"
        if (highest := await highest_epoch(self._service.settings)) >= self._lease.epoch:
            behind = self._lease.epoch  # the topics outlived a database: a claim with this would not be heard
            await self._lease.raise_above(highest)
            self._service.log.warning("lease raised above the journal's", epoch=behind, journal=highest)
        now = self._service.clock.now()
        await self._service.publish(claim(self._lease.epoch, now))

    async def _fence(self) -> None:
        """Nothing is written or told by a process that may have lost its lease: one that was frozen asks first."""
        if self._lease is not None and not self._lease.fresh:
            await self._lease.confirm()

    async def recover(self) -> None:
        """Feed every strategy its journal, and tell again what its last inputs caused: repeats are recognised."""
        settings, log = self._service.settings, self._service.log
        await self._allocator.recover(settings)
        async with Inputs(settings) as inputs:
            found = self._snapshots.read(self._code)
            journals, kept = await pasts_and_snapshots(settings, found, self._hosts)
            for name in sorted(found.keys() - kept.keys()):
                log.warning("snapshot ignored: it does not fit the journal", strategy=name)
            for name, past in journals.items():
                self._journal(name).resume(past.sequence, past.consumed, past.deployed)
                if name in kept:
                    recovered: Recovered | None = await go_on(kept[name], past, inputs)
                else:
                    recovered = await recover(settings, past, inputs, self._hosts)
                if recovered is None:
                    continue
                await journal_loss(recovered, past, self._journal(name), inputs)
                self._keep(recovered.strategy)
                await self._tell(recovered.strategy, recovered.tail, recovered.cause)
                await self._report(recovered.strategy)
                state, spared = recovered.strategy.state, past.since
                log.info("recovered", strategy=name, state=state, entries=past.sequence, spared=spared)
        await self._subscribe()

    # inputs

    async def on_records(self, records: Sequence[Record]) -> list[Failure]:
        """Take a poll, its partitions merged by the time of their records; returns what cannot be understood."""
        catalogue, prefix = self._service.catalogue, self._service.settings.topic_prefix
        topics = {name: catalogue.topic(name.removeprefix(prefix)) for name in {record.topic for record in records}}
        failures = []
        for number, record in enumerate(_merged(records)):
            topic = topics[record.topic]
            try:
                event = parse(topic, record)
            except MalformedRecordError as error:
                failures.append(Failure(record, str(error)))
                continue
            await self._take(event, At(topic.name, record.partition, record.offset), record)
            if number % _BREATH_RECORDS == 0:
                await asyncio.sleep(0)  # a long poll is not to keep /ready waiting
        return failures

    async def settle(self) -> None:
        """Return when the journals have all that was consumed."""
        await asyncio.gather(*(journal.settle() for journal in self._journals.values()))
        for name, strategy in self._strategies.items():
            if self._journals[name].inputs_since() >= SNAPSHOT_INPUTS:
                await self._fence()
                self._freeze(strategy, self._journals[name])

    def _freeze(self, strategy: RunningStrategy, journal: Journal) -> None:
        """All that it consumed is journalled, and all that followed is told: from here the next process may go on."""
        sequence, stamp, deployed_at = journal.reached
        journal.counted()
        try:
            data = frozen(strategy, self._hosts)
        except NotFrozenError as error:
            self._service.log.info("no snapshot", strategy=strategy.strategy_id, reason=str(error)[:200])
            return
        assert deployed_at is not None, "what is kept was deployed"
        prefix = self._service.settings.topic_prefix
        self._snapshots.write(Snapshot(strategy.strategy_id, sequence, deployed_at, self._code, prefix, stamp, data))

    async def _take(self, event: Event, at: At, record: Record) -> None:
        if isinstance(event, AllocationPlan):
            self._allocator.take(event)
            return
        taken = Input(event, at, record.value or b"")
        if isinstance(event, Deploy) and await self._deployed(event, taken):
            return
        for strategy in self._interested(event):
            journal = self._journals[strategy.strategy_id]
            if not strategy.wants(event) or journal.has(at):
                continue
            before = strategy.state, strategy.subscribes
            outputs, fault = self._bounded(strategy, event, at)
            await journal.note(taken, tuple(map(id_of, outputs)), fault)
            if outputs:
                await self._tell(strategy, outputs, record)
            self._unreported.add(strategy.strategy_id)
            after = strategy.state, strategy.subscribes
            if after != before or isinstance(event, _COMMANDS):
                await journal.settle()
                if after != before:
                    await self._subscribe()
                await self._report(strategy)

    def _bounded(self, strategy: RunningStrategy, event: Event, at: At) -> tuple[list[Output], str]:
        """What follows from an input; or why the strategy failed or had to be stopped at it, alone.

        Both are journalled: code that was mended meanwhile is not to trade again because a process starts.
        """
        begun, before = self._service.clock.monotonic(), strategy.state
        try:
            with bounded(INPUT_SECONDS_MAX):
                outputs = strategy.take(event, at)
        except StoppedFromOutsideError as error:
            strategy.stopped_at(event, str(error))
            self._stopped.labels(strategy.strategy_id).inc()
            return [], strategy.error
        if (seconds := self._service.clock.monotonic() - begun) > _SLOW_SECONDS:
            self._service.log.warning("slow strategy", strategy=strategy.strategy_id, seconds=round(seconds, 3))
        failed = strategy.state is RunningState.FAILED and before is not RunningState.FAILED
        return outputs, strategy.error if failed else ""

    def _interested(self, event: Event) -> Iterable[RunningStrategy]:
        """The strategies that may want an event."""
        if isinstance(event, Bar | Tick):
            return self._on_contract.get(event.contract_id, ())
        if isinstance(event, FillBusted):
            return list(self._strategies.values())
        strategy = self._strategies.get(getattr(event, "strategy_id", ""))
        return () if strategy is None else (strategy,)

    async def _tell(self, strategy: RunningStrategy, outputs: list[Output], cause: Record | None) -> None:
        """Publish together; return when the broker has all of it."""
        if cause is None or not outputs:
            return
        await self._fence()
        publisher, clock = self._service.publisher, self._service.clock
        topic = self._service.catalogue.topic(cause.topic.removeprefix(self._service.settings.topic_prefix))
        origin = origin_of(topic, cause, clock.now())
        posted = []
        for output in outputs:
            counter = self._signals if isinstance(output, Signal) else self._intents
            counter.labels(strategy.strategy_id).inc()
            posted.append(await publisher.post(publisher.prepare(output, origin)))
        await asyncio.gather(*posted)

    # deployments

    async def _deployed(self, command: Deploy, taken: Input) -> bool:
        """Make a strategy known: a new one, or one that has ended, which goes on with what it holds.

        False when it is refused: then it is an input of the strategy that there is, which tells why.
        """
        name = command.strategy_id
        journal, known = self._journal(name), self._strategies.get(name)
        if journal.has(taken.at):
            return True
        if known is not None and (why := known.why_not(command)):
            self._service.log.warning("not deployed", strategy=name, reason=why)
            return False
        strategy, past, fault = await deployed(self._service.settings, command, known, self._hosts)
        self._service.log.info("deployed", strategy=name, state=strategy.state, warmed_up=strategy.bars_seen)
        await journal.deployed(taken, tuple(strategy.contracts.values()), past, fault)
        self._keep(strategy)
        await self._report(strategy)
        return True

    def _journal(self, name: str) -> Journal:
        if name not in self._journals:
            self._journals[name] = Journal(
                name, self._post, self._service.clock, self._code, self._lease.epoch if self._lease else 0
            )
        return self._journals[name]

    async def _post(self, event: Event) -> "asyncio.Future[object]":
        await self._fence()
        return await self._service.publisher.post(self._service.publisher.prepare(event))

    def _keep(self, strategy: RunningStrategy) -> None:
        self._strategies[strategy.strategy_id] = strategy
        on_contract: dict[int, list[RunningStrategy]] = defaultdict(list)
        for each in self._strategies.values():
            for contract_id in each.contracts:
                on_contract[contract_id].append(each)
        self._on_contract = dict(on_contract)

    # what others hear

    async def _report(self, strategy: RunningStrategy) -> None:
        self._unreported.discard(strategy.strategy_id)
        self._running.set(sum(each.state is RunningState.RUNNING for each in self._strategies.values()))
        await self._service.publish(strategy.report(self._service.clock.now()))

    async def _close(self) -> None:
        for strategy in self._strategies.values():
            strategy.close()
        self._sandbox.close()

    async def _report_now_and_then(self) -> None:
        """Tell of strategies that took something in, each once a second; see to their sizes."""
        while True:
            await asyncio.sleep(_REPORT_SECONDS)
            for name in sorted(self._unreported):
                await self._report(self._strategies[name])
            for command in self._allocator.due(self._strategies.values()):
                await self._service.publish(command)

    async def _subscribe(self) -> None:
        """Ask for the live data of strategies that began, and no longer for that of those that ended."""
        strategies = self._strategies.values()
        if strategies:
            for change in await changes(self._service.settings, strategies, self._service.clock.now()):
                await self._service.publish(change)


def _merged(records: Sequence[Record]) -> Iterator[Record]:
    """Each partition in its order, partitions side by side by when their records were published."""
    parts = [list(part) for _, part in groupby(records, key=lambda record: (record.topic, record.partition))]
    return iter(parts[0]) if len(parts) == 1 else heapq.merge(*parts, key=lambda record: record.timestamp)
