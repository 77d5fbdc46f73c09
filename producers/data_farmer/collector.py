"""Brings the missing bars of a run's symbols: many chunks at the same time, each told when it is done."""

import asyncio
from collections.abc import Sequence

from infra.archive.manifest import archived_spans
from infra.calendars.calendar import CALENDARS
from infra.delivery import is_transient
from infra.errors import ScizorError
from infra.gateway import GatewayRequestError, GatewayUnavailableError, Market, Span
from infra.quality.findings import empty_answer
from infra.service import Service
from infra.symbol_meanings import name_of
from infra.symbol_names import parse_symbol
from producers.data_farmer.coverage import Coverage
from producers.data_farmer.fields import Field, failure
from producers.data_farmer.flights import Flight, Flights
from producers.data_farmer.gaps import Wanted, sessions_of
from producers.data_farmer.harvest import Harvest, Shipping
from producers.data_farmer.patience import Patience, together
from producers.data_farmer.registry import Registry
from producers.data_farmer.runs import Run, priority_of, series_of
from producers.data_farmer.shelf import Shelf
from schemas.collection import ChunkCollected, CollectDaily, RunState
from schemas.validation import Contract, SymbolState

_SYMBOLS_AT_ONCE = 16
CHUNKS_AT_ONCE = 48
"""Of one run; how many are open at the gateway, its governor decides."""
_ALIVE_EVERY_SECONDS = 15.0
_FAILURES_MAX = 3
"""After which no more is asked about a symbol of which nothing was answered."""


class Collector:
    """Carries out runs. What it has published and told is not asked for again."""

    def __init__(self, service: Service, market: Market, registry: Registry, shelf: Shelf, patience: Patience) -> None:
        self._service = service
        self._market = market
        self._registry = registry
        self._shelf = shelf
        self._harvest = Harvest(service, shelf)
        self._telling: Shipping[ChunkCollected] = Shipping(service.publish_many)
        self.coverage = Coverage(registry.removed)
        self._flights = Flights()
        self._patience = patience

    async def perform(self, run: Run) -> RunState:
        """Work through the run's symbols; what goes wrong is told symbol by symbol."""
        try:
            run.now = await self._patience.have(run, self._market.now)
        except GatewayUnavailableError as error:
            self._patience.lost(run, error)
            return RunState.FAILED
        names = self._symbols_of(run)
        run.symbols = len(names)
        left = iter(names)
        lanes = asyncio.Semaphore(CHUNKS_AT_ONCE)

        async def work() -> None:
            for name in left:
                if not run.gave_up:
                    await self._symbol(run, name, lanes)

        telling = asyncio.create_task(self._tell_now_and_then(run), name="telling")
        try:
            async with together() as group:
                for _ in range(min(_SYMBOLS_AT_ONCE, len(names))):
                    group.create_task(work())
        finally:
            telling.cancel()
        self.coverage.finished(run.run_id)
        return run.outcome

    async def _tell_now_and_then(self, run: Run) -> None:
        """Also while nothing happens: who follows the run knows that it is alive."""
        while True:
            await asyncio.sleep(_ALIVE_EVERY_SECONDS)
            await self._progress(run)

    def _symbols_of(self, run: Run) -> Sequence[str]:
        request = run.request
        if not isinstance(request, CollectDaily):
            return request.symbols
        found: dict[int, str] = {}
        for entry in self._registry.entries():
            contract = entry.contract
            is_wanted = entry.state is SymbolState.VALID and entry.collect
            if is_wanted and contract is not None and _trades_on(contract, request.exchange):
                found.setdefault(contract.contract_id, str(name_of(entry)))
        return sorted(found.values())

    async def _symbol(self, run: Run, symbol: str, lanes: asyncio.Semaphore) -> None:
        try:
            with self._registry.collecting(parse_symbol(symbol), run.run_id):
                work = await self._planned(run, symbol)
                await self._all_chunks(work, work.chunks_missing(self.coverage, refresh=run.refresh), lanes)
                if work.brought_by_others:
                    work.stored = await self._shelf.counted(work.contract.contract_id, work.series, work.sessions)
                if work.lacks_sessions:
                    home, about = self._service.settings.home, (work.contract.contract_id, work.series.bar_size)
                    work.archived = await asyncio.to_thread(archived_spans, home, *about)
        except GatewayUnavailableError as error:
            self._patience.lost(run, error)
            return
        except ScizorError as error:
            if is_transient(error):
                raise
            run.fail(symbol, str(error))
            told = failure(run, symbol, str(error), self._service.clock.now())
        else:
            told = work.told(self.coverage)
            if work.trouble:
                run.fail(symbol, work.trouble)
        await self._service.publish(told)
        run.count_symbol(told)
        await self._progress(run)

    async def _planned(self, run: Run, symbol: str) -> Field:
        contract = await self._contract(run, symbol)
        series = series_of(run.request)
        wanted = Wanted.by(run.request, run.now)
        if not wanted.begins:
            run.gateway_requests += 1
            head = await self._patience.have(run, lambda: self._market.head_timestamp(contract))
            wanted = wanted.beginning(head)
        work = Field(run, symbol, contract, series, sessions_of(contract, wanted, series))
        work.go_on_after(run.earlier)
        work.stored = await self._shelf.counted(contract.contract_id, series, work.sessions)
        return work

    async def _contract(self, run: Run, symbol: str) -> Contract:
        name = parse_symbol(symbol)
        if isinstance(run.request, CollectDaily):  # of what is valid nobody has to ask every day
            entry = self._registry.entry(name)
            if entry is not None and entry.contract is not None:
                return entry.contract
        return await self._patience.have(run, lambda: self._registry.contract(name, run))

    async def _all_chunks(self, work: Field, chunks: Sequence[Span], lanes: asyncio.Semaphore) -> None:
        work.run.chunks += len(chunks)
        work.run.symbols_planned += 1
        async with together() as group:
            for number, chunk in enumerate(chunks):
                await lanes.acquire()
                if work.refused:
                    lanes.release()
                    return
                if work.run.gave_up or (len(work.failed) >= _FAILURES_MAX and not work.chunks):
                    lanes.release()
                    rest = Span(chunk.start, chunks[-1].end)
                    work.failed.append((rest, f"{len(chunks) - number} more requests not made after those"))
                    return
                task = group.create_task(self._chunk(work, chunk))
                work.under_way.add(task)
                task.add_done_callback(work.under_way.discard)
                task.add_done_callback(lambda _: lanes.release())

    async def _chunk(self, work: Field, span: Span) -> None:
        """Asks for what others have not brought by now."""
        run, about, priority = work.run, (work.contract.contract_id, work.series), priority_of(work.run.request)
        for brought in await self._flights.landed(about, span, priority):
            self.coverage.heard(run.run_id, about, brought)
        left = self.coverage.missing(*about, span, run_id=run.run_id, refresh=run.refresh)
        if not left:
            work.brought_by_others = True
            run.saved()
            return
        with self._flights.flying(about, Flight(Span(left[0].start, left[-1].end), priority)) as flight:
            flight.brought = await self._brought(work, flight.span)

    async def _brought(self, work: Field, span: Span) -> bool:
        """Whether the gateway has answered."""
        run, priority = work.run, priority_of(work.run.request)
        try:
            part = await self._patience.have(run, lambda: self._market.bars(work.contract, work.series, span, priority))
        except ScizorError as error:
            if is_transient(error) or isinstance(error, GatewayUnavailableError):
                raise
            self._service.log.warning("chunk not collected", symbol=work.symbol, span=list(span), error=str(error))
            if isinstance(error, GatewayRequestError) and error.not_permitted:
                work.refuse(str(error))
            else:
                work.failed.append((span, str(error)))
            return False
        is_new = work.knows_nothing_of(span)
        part, published = await self._harvest.put(work.contract, work.series, part, nothing_known=is_new)
        if part.bars.is_empty() and not part.quarantined:
            size, (start, end) = work.series.bar_size, span
            about = (work.contract.contract_id, work.contract.symbol, size, start, end)
            await self._service.publish(empty_answer(*about, self._service.clock.now()))
        told = work.brought(span, part, published)
        await self._telling.add(told)
        self.coverage.add(told)
        run.count(told)
        run.gateway_requests += part.requests
        run.retries += max(0, part.requests - 1)
        await self._progress(run)
        return True

    async def _progress(self, run: Run) -> None:
        if run.wants_telling:
            await self._service.publish(run.told(RunState.RUNNING))


def _trades_on(contract: Contract, exchange: str | None) -> bool:
    """Whether it is listed on the exchange, or on one that keeps the calendar of that name."""
    listed = contract.primary_exchange or contract.exchange
    return exchange is None or listed == exchange or listed in CALENDARS.get(exchange, ())
