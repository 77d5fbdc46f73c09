"""Requests for bars in, runs done: by priority side by side, resumed after a restart, each run id once."""

import asyncio
from collections import defaultdict
from datetime import timedelta

from infra.delivery import is_transient
from infra.gateway import Connection, Market, Priority
from infra.publish import Origin
from infra.replay import fold
from infra.service import Service
from infra.store.database import Store
from producers.data_farmer.collector import CHUNKS_AT_ONCE, Collector
from producers.data_farmer.known_runs import KnownRuns
from producers.data_farmer.patience import Patience, together
from producers.data_farmer.registry import Registry
from producers.data_farmer.runs import Request, Run, priority_of
from producers.data_farmer.scheduler import Scheduler
from producers.data_farmer.shelf import Shelf
from schemas.collection import ChunkCollected, CollectDaily, CollectHistory, CollectionRun, RunState
from schemas.market import PriceKind

_REQUESTS = ("collection.requests.v1", "collection.daily.v1")
_RUNS = "collection.runs.v1"
_CHUNKS = "collection.chunks.v1"
_PENDING_MAX = 1_000
_FINISHED = frozenset({RunState.DONE, RunState.FAILED})
_REMEMBERED = timedelta(minutes=10)
"""How long the gateway counts a request."""
_AT_ONCE = {Priority.LIVE: 4, Priority.DAILY: 1, Priority.BACKFILL: 4}
"""Runs side by side: the short ones need not wait for the long ones."""


class DataFarmer:
    """Works through the requests of its topics. A run that was not finished when the process died goes on."""

    def __init__(
        self,
        service: Service,
        connection: Connection,
        market: Market,
        store: Store | None,
        registry: Registry,
        *,
        gateway_patience_seconds: float = 60.0,
    ) -> None:
        self._service = service
        self._connection = connection
        self._shelf = Shelf(service, store, registry.removed)
        patience = Patience(service, connection, gateway_patience_seconds)
        self._collector = Collector(service, market, registry, self._shelf, patience)
        self._scheduler = Scheduler(service, connection, market, registry)
        self._known = KnownRuns(service, store)
        self._unfinished: dict[str, list[ChunkCollected]] = {}
        """What former processes did of runs that go on."""
        self._pending: dict[Priority, asyncio.Queue[Request]] = {
            priority: asyncio.Queue(_PENDING_MAX) for priority in _AT_ONCE
        }

    def attach(self) -> None:
        """Hook everything into the service."""
        service = self._service
        service.on(CollectHistory, self.on_request)
        service.on(CollectDaily, self.on_request)
        service.before(self.recover)
        service.before(self._connection.start)
        service.after(self._connection.stop)
        service.task("gateway", self._connection.watch)
        service.task("work", self._work)
        if service.settings.collect_daily:
            service.task("schedule", self._scheduler.run)
        service.ready_when("gateway", self._connection.why_not_ready)

    async def recover(self) -> None:
        """Fold the runs and what was answered; what was asked and not finished is pending again."""
        await self._shelf.recover()
        finished: dict[str, None] = {}
        asked: dict[str, Request] = {}
        settings, catalogue = self._service.settings, self._service.catalogue
        async for event, _ in fold(settings, [_RUNS], catalogue=catalogue):
            if isinstance(event, CollectionRun) and event.state in _FINISHED:
                finished[event.run_id] = None
        for topic in _REQUESTS:
            async for event, _ in fold(settings, [topic], catalogue=catalogue):
                if isinstance(event, CollectHistory | CollectDaily):
                    asked.setdefault(event.run_id, event)
        await self._recall_chunks(asked.keys() - finished.keys())
        self._known.add((*finished, *asked))
        self._scheduler.recall(event for event in asked.values() if isinstance(event, CollectDaily))
        for run_id, request in asked.items():
            if run_id not in finished:
                await self._accept(request)

    async def _recall_chunks(self, unfinished: set[str]) -> None:
        """What was answered is not asked again; what was asked lately, the gateway still counts."""
        now = self._service.clock.now()
        lately: list[float] = []
        chunks: dict[str, list[ChunkCollected]] = defaultdict(list)
        governor = self._connection.governor
        async for event, _ in fold(self._service.settings, [_CHUNKS], catalogue=self._service.catalogue):
            if not isinstance(event, ChunkCollected):
                continue
            self._collector.coverage.add(event)
            if event.run_id in unfinished:
                chunks[event.run_id].append(event)
            else:
                self._collector.coverage.finished(event.run_id)
            age = now - event.ingest_time
            if age < _REMEMBERED and governor.paces(event.bar_size.total_seconds()):
                cost = 2 if event.price_kind is PriceKind.BID_ASK else 1
                lately += [max(0.0, age.total_seconds())] * cost
                if event.run_id in unfinished and len(chunks[event.run_id]) == 1:
                    lately += [0.0] * CHUNKS_AT_ONCE  # those that were under way when the process died
        governor.recall(lately)
        self._unfinished = dict(chunks)

    async def on_request(self, request: Request, origin: Origin) -> None:
        """Only take note: a run may take hours, a record must not."""
        if not await self._known.have(request.run_id):
            self._known.add([request.run_id])
            await self._accept(request)

    async def _accept(self, request: Request) -> None:
        run = Run(request, self._service.clock)
        try:
            self._pending[priority_of(request)].put_nowait(request)
        except asyncio.QueueFull:
            run.fail("requests", f"{_PENDING_MAX} runs are waiting already: ask again later")
            await self._service.publish(run.told(RunState.FAILED))
        else:
            await self._service.publish(run.told(RunState.STARTED))

    # the work

    async def _work(self) -> None:
        async with together() as group:
            for priority, count in _AT_ONCE.items():
                for _ in range(count):
                    group.create_task(self._work_off(self._pending[priority]))

    async def _work_off(self, pending: "asyncio.Queue[Request]") -> None:
        while True:
            request = await pending.get()
            run = Run(request, self._service.clock)
            run.go_on_after(self._unfinished.pop(request.run_id, ()))
            try:
                state = await self._collector.perform(run)
            except Exception as error:
                if is_transient(error):
                    raise  # the run goes on at the next start
                # a bug: told, and not worked on again at the next start
                run.fail("farmer", f"internal error: {type(error).__name__}: {error}")
                await self._service.publish(run.told(RunState.FAILED))
                raise
            await self._service.publish(run.told(state))
