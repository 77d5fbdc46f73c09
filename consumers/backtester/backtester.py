"""Requests become results: bars replayed from the topics run through the engine in a thread of their own."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from prometheus_client import Counter

from consumers.backtester.cancellations import Cancellations
from consumers.backtester.colleagues import BEAT_SECONDS, DEATHS_MAX, SILENT_SECONDS, Colleagues
from consumers.backtester.data import material_or_long
from consumers.backtester.long_runs import LongRun
from consumers.backtester.pace import Pace
from consumers.backtester.uploaded import ENTRY, OnProgress, answer_inside, code_hash_of, text_of
from engine import answer
from engine.backtest import BacktestResult
from engine.long_answer import why_not
from engine.material import Material
from engine.registry import strategy_class
from infra.engine_code import code_hash
from infra.errors import EnvironmentUnhealthyError, UsageError
from infra.long_bars import LongBars
from infra.publish import Origin
from infra.sandbox.canary import SandboxGate
from infra.sandbox.errors import SandboxedError
from infra.service import Service
from schemas.backtest import BacktestCanceled, BacktestFinished, BacktestProgress, BacktestRequested, Trial

REQUESTS = "backtest.requests.v1"
PROGRESS = "backtest.progress.v1"
SECONDS_MAX = 3600.0
_TELL_SECONDS = 0.25

Now = Callable[[], datetime]
Runner = Callable[[BacktestRequested, Material, OnProgress], BacktestResult]
Phase = Literal["reading", "running", "reporting"]


class GivenUpError(Exception):
    """The run was canceled or takes too long; the text says which."""


@dataclass
class _State:
    """How far a run has come, and whether it has to stop; written by one thread, read by another."""

    phase: Phase = "reading"
    done: int = 0
    total: int = 0
    stop: str = ""

    def running(self, done: int, total: int) -> None:
        if self.stop:
            raise GivenUpError(self.stop)
        self.phase, self.done, self.total = "running", done, total

    def reading(self, count: int) -> None:
        if self.stop:
            raise GivenUpError(self.stop)
        self.done = count


class Backtester:
    """One member of the group; starts of more members share the requests."""

    def __init__(self, service: Service, *, silent_seconds: float = SILENT_SECONDS) -> None:
        self._service = service
        self._worker = service.entropy.new_id()
        self._colleagues = Colleagues(service.clock, self._worker, silent_seconds=silent_seconds)
        self._code_hash = code_hash()
        self.gate = SandboxGate(service.clock, service.settings.home)
        self._cancellations = Cancellations(service.settings, service.catalogue.topic(REQUESTS))
        self._counted = Counter(
            "scizor_backtests", "Backtests by how they ended", ("outcome",), registry=service.metrics.registry
        )

    def wire(self) -> None:
        """Tell the service what is handled here."""
        self._service.on(BacktestRequested, self.on_request)
        self._service.on(BacktestCanceled, self.on_cancel)
        self._service.task("cancellations", self._cancellations.follow)
        self._service.task("colleagues", self._follow_colleagues)
        self._service.task("attention", self._colleagues.watch)
        self._service.before(self._prove)
        self._service.after(self.gate.close)

    async def _prove(self) -> None:
        await self.gate.prove()
        if self.gate.why_closed:
            self._service.log.warning("uploaded strategies do not run here", reason=self.gate.why_closed)

    async def _follow_colleagues(self) -> None:
        await self._colleagues.follow(self._service.settings, self._service.catalogue.topic(PROGRESS))

    async def on_cancel(self, canceled: BacktestCanceled, origin: Origin) -> None:
        """Heard of already, beside the queue: see Cancellations."""

    async def on_request(self, request: BacktestRequested, origin: Origin) -> None:
        """Run it and tell what came of it. A request that is sent again gives the same result under the same id; one
        that the group hands on is left to whoever works on it."""
        await self._cancellations.caught_up()
        if not await self._colleagues.leave_it_to_us(request.backtest_id, _place(origin)):
            return
        state = _State(stop=self._why_not(request, origin))
        telling = asyncio.create_task(self._tell(request, state, origin))
        try:
            finished, trial = await self._run(request, state)
        finally:
            telling.cancel()
            with suppress(asyncio.CancelledError):
                await telling
        if trial is not None:
            await self._service.publish(trial, cause=origin)
        await self._service.publish(finished, cause=origin)
        last = self._progress(request, state, origin, None).revised(finished=True)
        await self._service.publish(last, cause=origin)
        self._counted.labels("succeeded" if finished.succeeded else "failed").inc()
        self._service.log.info(
            "backtest finished",
            backtest_id=request.backtest_id,
            strategy=request.strategy,
            bars=finished.bars,
            error=finished.error or None,
        )

    def _why_not(self, request: BacktestRequested, origin: Origin) -> str:
        if by := self._cancellations.by(request.backtest_id):
            return f"canceled by {by}"
        if self._colleagues.died_over(request.backtest_id, _place(origin)) >= DEATHS_MAX:
            return f"{DEATHS_MAX} processes ended over it, perhaps out of memory: fewer symbols, or larger bars"
        return ""

    async def _run(self, request: BacktestRequested, state: _State) -> tuple[BacktestFinished, Trial | None]:
        now = self._service.clock.now
        try:
            if state.stop:
                raise GivenUpError(state.stop)
            answer.check(request)
            run = await self._runner(request)
            bars = await material_or_long(self._service.settings, request, self._at_once(request), state.reading)
            code = code_hash_of(request, self._code_hash)
            if isinstance(bars, LongBars):
                return await LongRun(self._service.settings, state.reading, state.running).answer(
                    request, bars, code, now
                )
            work = _Work(request, bars, run, code)
            finished, trial = await asyncio.to_thread(work.compute, now, state)
        except (UsageError, EnvironmentUnhealthyError, SandboxedError, ValueError, GivenUpError) as error:
            return answer.failed(request, str(error), now=now()), None
        except MemoryError:
            return answer.failed(request, "out of memory: fewer symbols, or larger bars", now=now()), None
        return finished, trial

    def _at_once(self, request: BacktestRequested) -> int | None:
        """How many bars may be in memory together; None for a run that needs all of them."""
        if request.code_sha256 or why_not(request, strategy_class(request.strategy)):
            return None
        return self._service.settings.backtest_bars_at_once

    async def _runner(self, request: BacktestRequested) -> Runner:
        """What runs the request: the engine here, or the sandbox for a text that somebody uploaded."""
        if not request.code_sha256:
            return lambda asked, material, tell: answer.answer(asked, material.columns, tell, material.market)
        sandbox = self.gate.sandbox()
        await asyncio.to_thread(sandbox.keep_ready, ENTRY)  # it is ready when the bars have been read
        text = await text_of(self._service.settings, request)
        return lambda asked, material, tell: answer_inside(sandbox, text, asked, material, tell)

    async def _tell(self, request: BacktestRequested, state: _State, origin: Origin) -> None:
        """Publish progress while it changes; stop the run when nobody wants it or it takes too long."""
        clock = self._service.clock
        begun, pace = clock.monotonic(), Pace(clock)
        told: tuple[Phase, int] | None = None
        told_at = begun
        while True:
            if by := self._cancellations.by(request.backtest_id):
                state.stop = f"canceled by {by}"
            elif clock.monotonic() - begun > SECONDS_MAX:
                state.stop = f"it took longer than {SECONDS_MAX / 60:.0f} minutes: fewer symbols, or larger bars"
            eta = pace.eta_seconds(state.done, state.total) if state.phase == "running" else None
            if told != (state.phase, state.done) or clock.monotonic() - told_at >= BEAT_SECONDS:
                told, told_at = (state.phase, state.done), clock.monotonic()
                await self._service.publish(self._progress(request, state, origin, eta), cause=origin)
            await asyncio.sleep(_TELL_SECONDS)

    def _progress(
        self, request: BacktestRequested, state: _State, origin: Origin, eta: float | None
    ) -> BacktestProgress:
        now = self._service.clock.now()
        return BacktestProgress(
            event_time=now,
            ingest_time=now,
            backtest_id=request.backtest_id,
            phase=state.phase,
            bars_done=state.done,
            bars_total=state.total,
            eta_seconds=eta,
            asked_at=_place(origin),
            worker=self._worker,
        )


def _place(origin: Origin) -> str:
    return f"{origin.partition}/{origin.offset}"


@dataclass(frozen=True)
class _Work:
    """What runs in a thread: the interpreter switches between it and the loop, so heartbeats go on."""

    request: BacktestRequested
    material: Material
    run: Runner
    code: str

    def compute(self, now: Now, state: _State) -> tuple[BacktestFinished, Trial]:
        """The result and what the ledger notes of it."""
        state.running(0, len(self.material.columns))
        ran = self.run(self.request, self.material, state.running)
        state.phase = "reporting"
        result = answer.held_against(self.request, ran, self.material.benchmark)
        finished = answer.finished(self.request, result, code_hash=self.code, now=now(), notes=self.material.notes)
        return finished, answer.trial(finished, result)
