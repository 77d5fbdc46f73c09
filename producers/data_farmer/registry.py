"""The symbol registry: what is known of each symbol, folded from its topics, brought up to date by asking."""

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from infra.errors import ScizorError
from infra.gateway import Connection, GatewayRequestError, Market
from infra.replay import fold
from infra.service import Service
from infra.symbol_meanings import meanings, name_of, the_one_meant
from infra.symbol_names import ANY_EXCHANGE, SymbolName
from producers.data_farmer.lifecycle import UNKNOWN_CONTRACT, finding_of, judged, moved, rejected
from schemas.validation import Contract, Symbol, SymbolRemoved, SymbolState, Validation

_SYMBOLS = "reference.symbols.v1"
_REMOVALS = "reference.removals.v1"
_INVALID_REQUEST = 321
_QUESTIONS_MAX = 16
"""About contracts, open at the gateway at a time; how many a second, its governor decides."""


class SymbolUnusableError(ScizorError):
    """There is no one contract by that name, or a person set it aside."""


@dataclass(frozen=True)
class Asking:
    """When the gateway is asked although its last answer still holds."""

    force: bool = False
    retry: bool = False
    """Only where that answer was none: ambiguous, rejected, delisted."""
    accept_change: bool = False


ONLY_IF_NEEDED = Asking()


class Counts(Protocol):
    """Who counts what a symbol cost."""

    gateway_requests: int
    requests_saved: int


class Registry:
    """Symbols by id. Every change is published first."""

    def __init__(self, service: Service, connection: Connection, market: Market) -> None:
        self._service = service
        self._connection = connection
        self._market = market
        self._by_ticker: dict[str, dict[str, Symbol]] = defaultdict(dict)
        self._turns: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._questions = asyncio.Semaphore(_QUESTIONS_MAX)
        self._verified_for = timedelta(days=service.settings.symbols_verified_days)
        self._collecting: list[tuple[SymbolName, str]] = []
        self.removed: dict[int, SymbolRemoved] = {}
        """By contract: what was first seen before it no longer counts."""

    async def recover(self) -> None:
        async for event, _ in fold(self._service.settings, [_SYMBOLS, _REMOVALS], catalogue=self._service.catalogue):
            if isinstance(event, Symbol):
                self._by_ticker[event.symbol][event.symbol_id] = event
            elif isinstance(event, SymbolRemoved):
                self.removed[event.contract_id] = event

    # what is known

    def entry(self, name: SymbolName) -> Symbol | None:
        """What the name means; SymbolUnclearError when it can mean several listings."""
        return the_one_meant(name, self._by_ticker[name.symbol].values())

    def entries(self) -> list[Symbol]:
        """All that are not removed, by ticker and exchange."""
        every = [each for some in self._by_ticker.values() for each in some.values()]
        alive = [each for each in every if each.state is not SymbolState.REMOVED]
        return sorted(alive, key=lambda each: (each.symbol, each.exchange, each.currency))

    def sharing(self, contract_id: int) -> list[Symbol]:
        """The entries of one contract."""
        return [each for each in self.entries() if each.contract and each.contract.contract_id == contract_id]

    @contextmanager
    def collecting(self, name: SymbolName, run_id: str) -> Iterator[None]:
        """As long as a run works on a symbol it is not removed: its bars would come after the removal."""
        self._collecting.append((name, run_id))
        try:
            yield
        finally:
            self._collecting.remove((name, run_id))

    def collected_by(self, entry: Symbol) -> list[str]:
        """The runs that work on a symbol now."""
        return sorted({run_id for name, run_id in self._collecting if entry in meanings(name, [entry])})

    def turn(self, name: SymbolName) -> asyncio.Lock:
        """Whoever changes what the name means holds it."""
        entry = self.entry(name)
        return self._turns[entry.symbol_id if entry else name.symbol_id]

    def settled(self, entry: Symbol) -> bool:
        """Whether the gateway's last answer still holds, whatever it was."""
        verified = entry.last_verified
        return verified is not None and self._service.clock.now() - verified < self._verified_for

    # changes

    async def put(self, entry: Symbol) -> Symbol:
        await self._service.publish(entry)
        self._by_ticker[entry.symbol][entry.symbol_id] = entry
        return entry

    async def remove_data(self, event: SymbolRemoved) -> None:
        await self._service.publish(event)
        self.removed[event.contract_id] = event

    async def request(self, name: SymbolName, *, kind: str = "", description: str = "") -> Symbol:
        """A new entry, not yet asked about; one that was removed starts anew."""
        now = self._service.clock.now()
        new = Symbol(
            event_time=now,
            ingest_time=now,
            symbol_id=name.symbol_id,
            symbol=name.symbol,
            security_type=name.security_type,
            exchange=name.exchange,
            currency=name.currency,
            state=SymbolState.REQUESTED,
            kind=kind,
            name=description,
        )
        return await self.put(new)

    async def contract(self, name: SymbolName, counts: Counts) -> Contract:
        """The one contract of a symbol, from memory or from the gateway; SymbolUnusableError says why there is none."""
        entry = await self.settle(name, counts)
        if entry.state is SymbolState.VALID and entry.contract is not None:
            return entry.contract
        raise SymbolUnusableError(entry.reason or f"{name} is {entry.state}")

    async def settle(self, name: SymbolName, counts: Counts, how: Asking = ONLY_IF_NEEDED) -> Symbol:
        """The entry after its validation; the gateway is not asked where its last answer holds.

        GatewayUnavailableError, GatewayTimeoutError and GatewayRequestError say nothing about the symbol: it stays, or
        is requested again.
        """
        async with self.turn(name):
            entry = self.entry(name) or await self.request(name)
            if entry.state is SymbolState.SUSPENDED:
                raise SymbolUnusableError(f"{name} is suspended: `scizor symbols resume {name}` takes it up again")
            if self._asks(entry, how):
                return await self._validated(entry, counts, how)
            counts.requests_saved += 1
            return entry

    def _asks(self, entry: Symbol, how: Asking) -> bool:
        unanswered = entry.state in (SymbolState.REQUESTED, SymbolState.VALIDATING)
        in_doubt = entry.state is not SymbolState.VALID
        return how.force or unanswered or not self.settled(entry) or (how.retry and in_doubt)

    async def _validated(self, entry: Symbol, counts: Counts, how: Asking) -> Symbol:
        if entry.state not in (SymbolState.VALID, SymbolState.VALIDATING):
            entry = await self.put(moved(entry, SymbolState.VALIDATING, self._service.clock.now(), reason=""))
        counts.gateway_requests += 1
        try:
            finding = await self._ask(entry, how)
        except ScizorError as error:
            if entry.state is SymbolState.VALIDATING:
                now = self._service.clock.now()
                await self.put(moved(entry, SymbolState.REQUESTED, now, reason=str(error)))
            raise
        await self._service.publish(finding)
        after = await self.put(judged(entry, finding))
        if after.state is SymbolState.VALID:
            await self._chosen(after)
        return after

    async def _ask(self, entry: Symbol, how: Asking) -> Validation:
        now = self._service.clock.now()
        try:
            async with self._questions:
                found = await self._market.contract_details(
                    entry.symbol,
                    security_type=entry.security_type,
                    primary_exchange="" if entry.exchange == ANY_EXCHANGE else entry.exchange,
                    currency=entry.currency,
                )
        except GatewayRequestError as error:
            if any("secdef" in farm for farm in self._connection.state.broken_farms):
                raise  # with its definitions away the gateway knows no contract at all: that says nothing of this one
            if error.code != UNKNOWN_CONTRACT and (error.code != _INVALID_REQUEST or entry.contract is not None):
                raise
            return rejected(entry, error.code, error.text, now)
        return finding_of(entry, found, now, accept_change=how.accept_change)

    async def _chosen(self, listing: Symbol) -> None:
        """Ambiguous entries that a person meant this listing by have had their answer."""
        assert listing.contract is not None
        for each in list(self._by_ticker[listing.symbol].values()):
            candidates = {candidate.contract_id for candidate in each.candidates}
            if each.state is SymbolState.AMBIGUOUS and listing.contract.contract_id in candidates:
                reason = f"{name_of(listing)} was chosen"
                await self.put(moved(each, SymbolState.REMOVED, self._service.clock.now(), reason=reason))
