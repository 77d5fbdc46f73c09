"""Requests in, runs done: one at a time, resumed after a restart, each run id once."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial

import polars as pl

from infra.bar_records import publish_bars
from infra.columns import BAR_SCHEMA
from infra.delivery import is_transient
from infra.errors import ScizorError
from infra.gateway import (
    Connection,
    GatewayUnavailableError,
    History,
    Market,
    PastBar,
    source_of,
)
from infra.publish import Origin
from infra.replay import fold
from infra.service import Service
from infra.store.database import Store
from infra.symbol_names import SymbolName, parse_symbol
from producers.data_farmer.registry import Registry
from producers.data_farmer.runs import GATEWAY, Request, Run
from producers.data_farmer.shelf import Shelf
from schemas.collection import CollectHistory, CollectionRun, RunState, ValidateSymbols
from schemas.market import Basis, PriceKind
from schemas.validation import Contract

_REQUESTS = "collection.requests.v1"
_RUNS = "collection.runs.v1"
_HISTORY = "market.history.v1"
_MOMENT = pl.Datetime("us", "UTC")
_PAST_BARS = {"start": _MOMENT, "end": _MOMENT, **dict.fromkeys(PastBar._fields[2:], pl.Float64())}
_PENDING_MAX = 1_000
_FINISHED = frozenset({RunState.DONE, RunState.FAILED})
_ATTEMPTS = 3


class DataFarmer:
    """Works through the requests of its topic. A run that was not finished when the process died begins again."""

    def __init__(
        self,
        service: Service,
        connection: Connection,
        market: Market,
        store: Store | None,
        *,
        gateway_patience_seconds: float = 60.0,
    ) -> None:
        self._service = service
        self._connection = connection
        self._market = market
        self._patience = gateway_patience_seconds
        self._registry = Registry(service, connection, market)
        self._shelf = Shelf(service, store)
        self._known: set[str] = set()
        """Ids of runs that are finished or pending: asked again, they change nothing."""
        self._pending: asyncio.Queue[Request] = asyncio.Queue(_PENDING_MAX)

    def attach(self) -> None:
        """Hook everything into the service."""
        service = self._service
        service.on(ValidateSymbols, self.on_request)
        service.on(CollectHistory, self.on_request)
        service.before(self.recover)
        service.before(self._connection.start)
        service.after(self._connection.stop)
        service.task("gateway", self._connection.watch)
        service.task("work", self._work)
        service.ready_when("gateway", self._connection.why_not_ready)

    async def recover(self) -> None:
        """Fold the registry and the runs; what was asked and not finished is pending again."""
        await self._registry.recover()
        await self._shelf.recover()
        asked: dict[str, Request] = {}
        finished: set[str] = set()
        settings, catalogue = self._service.settings, self._service.catalogue
        async for event, _ in fold(settings, [_RUNS], catalogue=catalogue):
            if isinstance(event, CollectionRun) and event.state in _FINISHED:
                finished.add(event.run_id)
        async for event, _ in fold(settings, [_REQUESTS], catalogue=catalogue):
            if isinstance(event, ValidateSymbols | CollectHistory):
                asked.setdefault(event.run_id, event)
        self._known = set(asked) | finished
        for run_id, request in asked.items():
            if run_id not in finished:
                await self._accept(request)

    async def on_request(self, request: Request, origin: Origin) -> None:
        """Only take note: a run may take hours, a record must not."""
        if request.run_id not in self._known:
            self._known.add(request.run_id)
            await self._accept(request)

    async def _accept(self, request: Request) -> None:
        run = Run(request)
        try:
            self._pending.put_nowait(request)
        except asyncio.QueueFull:
            run.fail(request.symbols[0], f"{_PENDING_MAX} runs are waiting already: ask again later")
            await self._tell(run, RunState.FAILED)
        else:
            await self._tell(run, RunState.STARTED)

    async def _tell(self, run: Run, state: RunState) -> None:
        await self._service.publish(run.told(state, self._service.clock.now()))

    # the work

    async def _work(self) -> None:
        while True:
            run = Run(await self._pending.get())
            try:
                state = await self._perform(run)
            except Exception as error:
                if is_transient(error):
                    raise  # the run is taken up again at the next start
                # a bug: told, and not worked on again at the next start
                run.fail(run.request.symbols[0], f"internal error: {type(error).__name__}: {error}")
                await self._tell(run, RunState.FAILED)
                raise
            await self._tell(run, state)

    async def _perform(self, run: Run) -> RunState:
        for text in run.request.symbols:
            try:
                name = parse_symbol(text)
                await self._patiently(run, partial(self._one, run, name))
            except GatewayUnavailableError as error:
                run.fail(GATEWAY, f"gave up after {self._patience:g} s: {error.reason}")
                return RunState.FAILED
            except ScizorError as error:
                run.fail(text, str(error))
            run.symbols_done += 1
            await self._tell(run, RunState.RUNNING)
        return run.outcome

    async def _patiently(self, run: Run, work: Callable[[], Awaitable[None]]) -> None:
        """Work; when the gateway is away, say so, wait for it a bounded time, and do the work again."""
        for attempt in range(1, _ATTEMPTS + 1):
            if not self._connection.state.usable:
                run.fail(GATEWAY, f"waiting: {self._connection.state.reason or self._connection.state.status.value}")
                await self._tell(run, RunState.RUNNING)
                await self._connection.usable(self._patience)
                del run.failures[GATEWAY]
            try:
                await work()
            except GatewayUnavailableError:
                if attempt == _ATTEMPTS:
                    raise
            else:
                return

    async def _one(self, run: Run, name: SymbolName) -> None:
        if isinstance(run.request, ValidateSymbols):
            await self._contract(run, name, force=run.request.force)
        else:
            await self._collect(run, run.request, await self._contract(run, name, force=False))

    async def _contract(self, run: Run, name: SymbolName, *, force: bool) -> Contract:
        known = None if force else self._registry.verified(name)
        if known is not None:
            run.requests_saved += 1
            return known
        run.gateway_requests += 1
        return await self._registry.validate(name)

    async def _collect(self, run: Run, request: CollectHistory, contract: Contract) -> None:
        now = await self._market.now()
        end = min(request.end or now, now)
        start = request.start or await self._market.head_timestamp(contract)
        run.gateway_requests += 1 if request.start else 2
        asked = self._market.requests
        try:
            async for part in self._market.history(contract, request.bar_size, start, end):
                await self._publish(run, contract, request.bar_size, part)
                await self._tell(run, RunState.RUNNING)
        finally:
            run.gateway_requests += self._market.requests - asked

    def _frame(self, contract: Contract, bar_size: timedelta, part: History) -> pl.DataFrame:
        prices = pl.DataFrame(part.bars, schema=_PAST_BARS, orient="row")
        now = self._service.clock.now()
        constants = {
            "contract_id": contract.contract_id,
            "bar_size_seconds": int(bar_size.total_seconds()),
            "ingest_us": int(now.timestamp()) * 1_000_000 + now.microsecond,
            "source": source_of(contract, bar_size).value,
            "price_kind": PriceKind.TRADES.value,
            "basis": Basis.SPLIT_ADJUSTED.value,
            "revision": 0,
            "late": False,
        }
        return prices.select(
            pl.col("start").dt.epoch("us").alias("start_us"),
            pl.col("end").dt.epoch("us").alias("end_us"),
            *(pl.col(name) for name in ("open", "high", "low", "close", "volume")),
            *(pl.lit(value, dtype=BAR_SCHEMA[name]).alias(name) for name, value in constants.items()),
        ).select(BAR_SCHEMA.names())

    async def _publish(self, run: Run, contract: Contract, bar_size: timedelta, part: History) -> None:
        run.bars_received += len(part.bars) + len(part.quarantined)
        frame = self._frame(contract, bar_size, part)
        fresh = await self._shelf.fresh(contract.contract_id, frame)
        topic = self._service.catalogue.topic(_HISTORY)
        await publish_bars(self._service.publisher, topic, fresh, {contract.contract_id: contract.symbol})
        self._shelf.put(contract.contract_id, fresh)
        for finding in part.quarantined:
            await self._service.publish(finding)
        run.bars_published += len(fresh)
        run.quarantined += len(part.quarantined)
