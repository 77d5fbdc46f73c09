"""Searches for parameters, slice by slice: what a slice has run is kept, and the rest is work for whoever is free."""

import asyncio
import os
from collections import OrderedDict
from concurrent.futures import Executor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass

from optuna.storages import BaseStorage

from consumers.backtester.cancellations import Cancellations
from consumers.backtester.data import columns_for
from consumers.backtester.inside import InsideCrew, Scene
from consumers.backtester.searching import Bureau, CanceledError, SliceEndedError, State
from consumers.backtester.uploaded import code_hash_of, text_of
from engine import answer
from engine.columns import BarColumns
from engine.research.evaluation import about, arrays_of
from engine.research.optimisation import WORKER_MODULES, Workshop, optimise
from engine.research.request import allowed_by, plan_of
from infra import fan_out, studies
from infra.engine_code import code_hash
from infra.errors import EnvironmentUnhealthyError, UsageError
from infra.publish import Origin
from infra.replay import fold
from infra.sandbox.canary import SandboxGate
from infra.service import Service
from infra.shared_columns import opened, shared
from schemas.backtest import Trial
from schemas.research import (
    OptimizationCanceled,
    OptimizationContinued,
    OptimizationFinished,
    OptimizationProgress,
    OptimizationRequested,
)

SLICE_SECONDS = 30.0
"""Then others get their turn; far below the five minutes after which the group takes a silent member's work away."""

_SECONDS_MAX = 6 * 3600.0
_RUN_SECONDS_MAX = 200.0
_TELL_SECONDS = 0.5
_FLUSH_SECONDS = 5.0
_MEMORIES_MAX = 3
_WORKERS_MAX = 8


@dataclass
class _Desk:
    """What one search needs while slices of it come here: its bars, in a file, and what it remembers."""

    columns: BarColumns
    source: str
    files: ExitStack
    memories: dict[str, studies.StudyMemory]
    crew: InsideCrew | None = None
    """Of a text that somebody uploaded."""


class Optimiser:
    """One member of the group; it spreads the runs of a search over `workers` processes."""

    def __init__(
        self,
        service: Service,
        gate: SandboxGate,
        *,
        workers: int | None = None,
        slice_seconds: float = SLICE_SECONDS,
    ) -> None:
        self._service = service
        self._gate = gate
        self._workers = workers or min(len(os.sched_getaffinity(0)), _WORKERS_MAX)
        self._slice_seconds = slice_seconds
        self._patience = slice_seconds + _RUN_SECONDS_MAX
        self._code_hash = code_hash()
        self._cancellations = Cancellations(service.settings, service.catalogue.topic_of(OptimizationRequested))
        self._desks: OrderedDict[str, _Desk] = OrderedDict()
        self._processes = ExitStack()
        self._files = ExitStack()
        self._pool: Executor | None = None
        self._storage: BaseStorage | None = None

    def wire(self) -> None:
        """Tell the service what is handled here."""
        self._service.on(OptimizationRequested, self.on_request)
        self._service.on(OptimizationContinued, self.on_continued)
        self._service.on(OptimizationCanceled, self.on_cancel)
        self._service.task("canceled searches", self._cancellations.follow)
        self._service.after(self._close)

    async def _close(self) -> None:
        while self._desks:
            await asyncio.to_thread(self._desks.popitem()[1].files.close)
        await asyncio.to_thread(self._processes.close)
        await asyncio.to_thread(self._files.close)

    async def on_cancel(self, canceled: OptimizationCanceled, origin: Origin) -> None:
        """Heard of already, beside the queue: see Cancellations."""

    async def on_request(self, request: OptimizationRequested, origin: Origin) -> None:
        await self._slice(request, 0, 0.0, origin)

    async def on_continued(self, continued: OptimizationContinued, origin: Origin) -> None:
        await self._slice(continued.request, continued.slices, continued.seconds, origin)

    async def _slice(self, request: OptimizationRequested, slices: int, seconds: float, origin: Origin) -> None:
        """Go on for a while; tell the result, or hand the rest on. A repetition finds what the first has kept."""
        await self._cancellations.caught_up()
        begun = self._service.clock.monotonic()
        state = State(stop_at=begun + self._slice_seconds)
        telling = asyncio.create_task(self._tell(request, state, seconds, origin))
        try:
            finished = await self._worked(request, state, origin)
        finally:
            telling.cancel()
            with suppress(asyncio.CancelledError):
                await telling
        spent = seconds + self._service.clock.monotonic() - begun
        await self._service.publish(self._progress(request, state, spent), cause=origin)  # what was done since the last
        if finished is not None:
            await self._forget(request.optimization_id)
            await self._service.publish(finished.revised(seconds=round(spent, 3)), cause=origin)
            self._service.log.info(
                "search finished", optimization_id=request.optimization_id, error=finished.error or None
            )
        else:
            await self._service.publish(self._rest(request, slices + 1, spent), cause=origin)

    async def _worked(
        self, request: OptimizationRequested, state: State, origin: Origin
    ) -> OptimizationFinished | None:
        """The result, good or bad; None when there is more to do."""
        try:
            if by := self._cancellations.by(request.optimization_id):
                raise CanceledError(f"canceled by {by}")
            async with asyncio.timeout(self._patience):
                return await self._work(request, state, origin)
        except SliceEndedError:
            return None
        except TimeoutError:
            state.stop = "given up"
            if isinstance(self._pool, fan_out.Processes):
                self._pool.kill()
            self._pool = None
            return self._failed(request, f"a single run takes more than {self._patience:.0f} s: fewer symbols or bars")
        except (UsageError, EnvironmentUnhealthyError, ValueError, CanceledError) as error:
            return self._failed(request, str(error))
        except BrokenProcessPool:
            self._pool = None
            return self._failed(request, "a worker process died, perhaps out of memory: fewer workers or symbols")

    async def _work(self, request: OptimizationRequested, state: State, origin: Origin) -> OptimizationFinished:
        answer.check(request.backtest)
        if not request.backtest.code_sha256:
            plan_of(request, allowed_by(request.backtest.strategy))
        desk = await self._desk(request)
        loop = asyncio.get_running_loop()
        bureau = Bureau(
            state=state,
            clock=self._service.clock,
            memories=desk.memories,
            storage=await self._opened(),
            publish=lambda trials: asyncio.run_coroutine_threadsafe(self._publish(trials, origin), loop).result(),
            read_past=lambda: asyncio.run_coroutine_threadsafe(self._past(request), loop).result(),
        )
        shop = await self._workshop(request, desk, state)
        try:
            finished = await asyncio.to_thread(optimise, request, shop, bureau)
        finally:
            await asyncio.to_thread(bureau.settle)
        await asyncio.to_thread(bureau.flush, _FLUSH_SECONDS)
        now = self._service.clock.now()
        return finished.revised(event_time=now, ingest_time=now)

    async def _workshop(self, request: OptimizationRequested, desk: _Desk, state: State) -> Workshop:
        """The workers; those in the sandbox for a text that somebody uploaded."""
        code = code_hash_of(request.backtest, self._code_hash)
        if not request.backtest.code_sha256:
            pool = await self._workers_pool()
            return Workshop(desk.columns, opened, desk.source, pool, code, request.event_time)
        if desk.crew is None:
            text, options = await text_of(self._service.settings, request.backtest), answer.options_of(request.backtest)
            scene = Scene(self._gate.sandbox(), self._service.clock, text, request.backtest, desk.columns, options)
            desk.crew = desk.files.enter_context(closing(InsideCrew(scene, self._workers)))
        desk.crew.on_wait = state.go_on
        return Workshop(desk.columns, opened, desk.source, fan_out.Here(), code, request.event_time, crew=desk.crew)

    async def _publish(self, trials: list[Trial], origin: Origin) -> None:
        await asyncio.gather(*(self._service.publish(each, cause=origin) for each in trials))

    async def _past(self, request: OptimizationRequested) -> list[Trial]:
        """The ledger as it stands, of this strategy."""
        strategy = request.backtest.strategy
        ledger = fold(self._service.settings, [self._service.catalogue.topic_of(Trial).name])
        return [event async for event, _ in ledger if isinstance(event, Trial) and event.strategy == strategy]

    async def _desk(self, request: OptimizationRequested) -> _Desk:
        """The bars as they are now, read once while slices of the search keep coming here."""
        name = request.optimization_id
        if name not in self._desks:
            every = await columns_for(self._service.settings, request.backtest)
            columns = answer.prepared(request.backtest, every)[0]
            files = ExitStack()
            source = await asyncio.to_thread(files.enter_context, shared(arrays_of(columns), about(columns)))
            self._desks[name] = _Desk(columns, source, files, {})
            if len(self._desks) > _MEMORIES_MAX:
                await asyncio.to_thread(self._desks.popitem(last=False)[1].files.close)
        self._desks.move_to_end(name)
        return self._desks[name]

    async def _forget(self, name: str) -> None:
        desk = self._desks.pop(name, None)
        if desk is not None:
            await asyncio.to_thread(desk.files.close)
        if not self._desks and self._pool is not None:  # processes that wait would only take memory
            self._pool = None
            await asyncio.to_thread(self._processes.close)

    async def _workers_pool(self) -> Executor:
        if self._pool is None:
            self._pool = await asyncio.to_thread(
                self._processes.enter_context, fan_out.executor("process", self._workers, WORKER_MODULES)
            )
        return self._pool

    async def _opened(self) -> BaseStorage:
        if self._storage is None:
            self._storage = await asyncio.to_thread(
                self._files.enter_context, studies.in_database(self._service.settings)
            )
        return self._storage

    async def _tell(self, request: OptimizationRequested, state: State, seconds: float, origin: Origin) -> None:
        """Publish progress while it changes, and pass a cancellation on."""
        begun = self._service.clock.monotonic()
        told = -1
        while True:
            spent = seconds + self._service.clock.monotonic() - begun
            if by := self._cancellations.by(request.optimization_id):
                state.stop = f"canceled by {by}"
            elif spent > _SECONDS_MAX:
                state.stop = f"it took longer than {_SECONDS_MAX / 3600:.0f} hours: fewer trials, or fewer bars"
            if told != state.done:
                told = state.done
                await self._service.publish(self._progress(request, state, spent), cause=origin)
            await asyncio.sleep(_TELL_SECONDS)

    def _progress(self, request: OptimizationRequested, state: State, spent: float) -> OptimizationProgress:
        now = self._service.clock.now()
        left = state.total - state.done
        return OptimizationProgress(
            event_time=now,
            ingest_time=now,
            optimization_id=request.optimization_id,
            phase=state.phase,
            done=state.done,
            total=state.total,
            eta_seconds=round(spent * left / state.done, 1) if state.done else None,
            best=state.best,
        )

    def _rest(self, request: OptimizationRequested, slices: int, seconds: float) -> OptimizationContinued:
        now = self._service.clock.now()
        return OptimizationContinued(
            event_time=now,
            ingest_time=now,
            optimization_id=request.optimization_id,
            request=request,
            slices=slices,
            seconds=seconds,
        )

    def _failed(self, request: OptimizationRequested, error: str) -> OptimizationFinished:
        now = self._service.clock.now()
        return OptimizationFinished(
            event_time=now,
            ingest_time=now,
            optimization_id=request.optimization_id,
            request=request,
            succeeded=False,
            error=" ".join(error.split())[:2000],
        )
