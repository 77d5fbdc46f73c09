"""Requests about symbols in, runs done: side by side, so that none waits behind a long collection."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from infra.delivery import is_transient
from infra.errors import ScizorError
from infra.gateway import Connection, GatewayTimeoutError, GatewayUnavailableError
from infra.publish import Origin
from infra.replay import fold
from infra.service import Service
from infra.symbol_names import UNKNOWN_SYMBOL, SymbolName, parse_symbol
from producers.data_farmer.known_runs import KnownRuns
from producers.data_farmer.lifecycle import changed
from producers.data_farmer.registry import ONLY_IF_NEEDED, Asking, Registry, SymbolUnusableError
from producers.data_farmer.removal import Removal
from producers.data_farmer.symbol_runs import (
    GATEWAY,
    KINDS,
    SymbolRequest,
    SymbolRun,
    follow_up,
    is_follow_up,
    symbols_of,
)
from schemas.collection import CollectionRun, RunState, ValidateSymbols
from schemas.registry import ChangeSymbol, PopulateSymbols, RemoveSymbol
from schemas.validation import Symbol, SymbolState

_REQUESTS = ("collection.requests.v1", "reference.requests.v1")
_RUNS = "collection.runs.v1"
_PENDING_MAX = 1_000
_FINISHED = frozenset({RunState.DONE, RunState.FAILED})
_ATTEMPTS = 3
_SIDE_BY_SIDE = 16
"""Symbols of one run that are asked about at a time."""
_TOLD_EVERY_SECONDS = 0.5
_UNATTENDED_PATIENCE_SECONDS = 86_400.0
"""Of a validation that nobody waits for, with a gateway that is away."""


class SymbolDesk:
    """Validates, populates, changes, removes. A run that was not finished when the process died begins again."""

    def __init__(
        self,
        service: Service,
        connection: Connection,
        registry: Registry,
        removal: Removal,
        known: KnownRuns,
        *,
        gateway_patience_seconds: float = 60.0,
    ) -> None:
        self._service = service
        self._connection = connection
        self._registry = registry
        self._patience = gateway_patience_seconds
        self._known = known
        self._pending: asyncio.Queue[SymbolRequest] = asyncio.Queue(_PENDING_MAX)
        self._work_of: dict[type[SymbolRequest], Callable[[SymbolRun, Any], Awaitable[RunState]]] = {
            ValidateSymbols: self._validate,
            PopulateSymbols: self._populate,
            ChangeSymbol: self._change,
            RemoveSymbol: self._remove,
        }
        self._removal = removal

    def attach(self) -> None:
        """Hook everything into the service."""
        for request_class in KINDS:
            self._service.on(request_class, self.on_request)
        self._service.before(self.recover)
        self._service.task("symbols", self._work)

    async def recover(self) -> None:
        """Fold the runs; what was asked, or follows from it, and is not finished is pending again."""
        settings, catalogue = self._service.settings, self._service.catalogue
        finished: dict[str, None] = {}
        async for event, _ in fold(settings, [_RUNS], catalogue=catalogue):
            if isinstance(event, CollectionRun) and event.state in _FINISHED:
                finished[event.run_id] = None
        asked: dict[str, SymbolRequest] = {}
        async for event, _ in fold(settings, _REQUESTS, catalogue=catalogue):
            if isinstance(event, SymbolRequest):
                asked.setdefault(event.run_id, event)
            if isinstance(event, PopulateSymbols) and event.force and event.run_id in finished:
                asked.setdefault(follow_up(event).run_id, follow_up(event))
        self._known.add((*finished, *asked))
        for run_id, request in asked.items():
            if run_id not in finished:
                await self._accept(request)

    async def on_request(self, request: SymbolRequest, origin: Origin) -> None:
        """Only take note: a run may take a while, a record must not."""
        await self._take(request)

    async def _take(self, request: SymbolRequest) -> None:
        if not await self._known.have(request.run_id):
            await self._accept(request)

    async def _accept(self, request: SymbolRequest) -> None:
        self._known.add([request.run_id])
        run = SymbolRun(request)
        try:
            self._pending.put_nowait(request)
        except asyncio.QueueFull:
            run.fail(symbols_of(request)[0], f"{_PENDING_MAX} runs are waiting already: ask again later")
            await self._tell(run, RunState.FAILED)
        else:
            await self._tell(run, RunState.STARTED)

    async def _tell(self, run: SymbolRun, state: RunState) -> None:
        run.told_at = self._service.clock.monotonic()
        await self._service.publish(run.told(state, self._service.clock.now))

    async def _step(self, run: SymbolRun) -> None:
        """One symbol more is done; said aloud now and then."""
        run.done += 1
        if run.told_at is None or self._service.clock.monotonic() - run.told_at >= _TOLD_EVERY_SECONDS:
            await self._tell(run, RunState.RUNNING)

    # the work

    async def _work(self) -> None:
        room = asyncio.Semaphore(_PENDING_MAX)
        async with asyncio.TaskGroup() as group:
            while True:
                await room.acquire()
                request = await self._pending.get()
                group.create_task(self._carry_out(request)).add_done_callback(lambda _: room.release())

    async def _carry_out(self, request: SymbolRequest) -> None:
        run = SymbolRun(request)
        try:
            state = await self._work_of[type(request)](run, request)
        except Exception as error:
            if is_transient(error):
                raise  # the run is taken up again at the next start
            # a bug: told, and not worked on again at the next start
            run.fail(symbols_of(request)[0], f"internal error: {type(error).__name__}: {error}")
            await self._tell(run, RunState.FAILED)
            raise
        await self._tell(run, state)
        if isinstance(request, PopulateSymbols) and request.force:
            await self._take(follow_up(request))

    async def _validate(self, run: SymbolRun, request: ValidateSymbols) -> RunState:
        how = Asking(force=request.force, retry=request.retry, accept_change=request.accept_change)
        return await self._ask_about(run, request.symbols, how)

    async def _populate(self, run: SymbolRun, request: PopulateSymbols) -> RunState:
        wanted = []
        for entry in request.entries:
            try:
                name = parse_symbol(entry.symbol)
                async with self._registry.turn(name):
                    if self._registry.entry(name) is None:
                        await self._registry.request(name, kind=entry.kind, description=entry.name)
                wanted.append(entry.symbol)
            except ScizorError as error:
                run.fail(entry.symbol, str(error))
            if request.force:
                await self._step(run)
        return run.outcome if request.force else await self._ask_about(run, wanted, ONLY_IF_NEEDED)

    async def _change(self, run: SymbolRun, request: ChangeSymbol) -> RunState:
        try:
            entry = await self._changed(request)
        except ScizorError as error:
            if is_transient(error):
                raise
            run.fail(request.symbol, str(error))
            return RunState.FAILED
        if request.state == "valid" and entry.state is not SymbolState.VALID:
            return await self._ask_about(run, (request.symbol,), Asking(retry=True))
        run.done = 1
        return RunState.DONE

    async def _changed(self, request: ChangeSymbol) -> Symbol:
        name = parse_symbol(request.symbol)
        async with self._registry.turn(name):
            entry = self._registry.entry(name)
            if entry is None:
                raise SymbolUnusableError(f"{UNKNOWN_SYMBOL}: {name} is not in the registry")
            after = changed(entry, request, self._service.clock.now())
            return entry if after is entry else await self._registry.put(after)

    async def _remove(self, run: SymbolRun, request: RemoveSymbol) -> RunState:
        try:
            name = parse_symbol(request.symbol)
            async with self._registry.turn(name):
                await self._removal.remove(name, request)
        except ScizorError as error:
            if is_transient(error):
                raise
            run.fail(request.symbol, str(error))
            return RunState.FAILED
        run.done = 1
        return RunState.DONE

    # asking the gateway

    async def _ask_about(self, run: SymbolRun, symbols: Sequence[str], how: Asking) -> RunState:
        left = iter(symbols)

        async def ask_in_turn() -> None:
            for symbol in left:
                if run.gave_up:
                    return
                await self._one(run, symbol, how)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(_SIDE_BY_SIDE, len(symbols))):
                    group.create_task(ask_in_turn())
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return RunState.FAILED if run.gave_up else run.outcome

    async def _one(self, run: SymbolRun, symbol: str, how: Asking) -> None:
        try:
            entry = await self._settled(run, parse_symbol(symbol), how)
            if entry.state is not SymbolState.VALID or entry.candidates:
                run.fail(symbol, entry.reason or f"it is {entry.state}")
        except GatewayUnavailableError as error:
            run.fail(GATEWAY, f"gave up: {error.reason}")
            run.gave_up = True
            return
        except ScizorError as error:
            if is_transient(error):
                raise
            run.fail(symbol, str(error))
        await self._step(run)

    async def _settled(self, run: SymbolRun, name: SymbolName, how: Asking) -> Symbol:
        """A gateway that is away is waited for, and asked again a bounded number of times."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return await self._registry.settle(name, run, how)
            except GatewayTimeoutError:
                if attempt == _ATTEMPTS:
                    raise
            except GatewayUnavailableError:
                if attempt == _ATTEMPTS or run.gave_up:
                    raise
                await self._wait_for_gateway(run)
        raise AssertionError("the last attempt returns or raises")

    async def _wait_for_gateway(self, run: SymbolRun) -> None:
        state = self._connection.state
        if GATEWAY not in run.failures:
            run.fail(GATEWAY, f"waiting: {state.reason or state.status.value}")
            await self._tell(run, RunState.RUNNING)
        await self._connection.usable(_UNATTENDED_PATIENCE_SECONDS if is_follow_up(run.request) else self._patience)
        run.failures.pop(GATEWAY, None)
