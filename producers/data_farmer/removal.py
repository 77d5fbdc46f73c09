"""A symbol taken out of the registry: its live data ended, its bars archived, then its data declared void."""

from infra.archive.contracts import Archived, archive_bars
from infra.replay import fold
from infra.service import Service
from infra.store import portfolio
from infra.store.columns_of_tables import plain
from infra.store.database import Store
from infra.symbol_meanings import name_of
from infra.symbol_names import UNKNOWN_SYMBOL, SymbolName
from producers.data_farmer.lifecycle import moved
from producers.data_farmer.registry import Registry, SymbolUnusableError
from schemas.market import Want
from schemas.registry import RemoveSymbol
from schemas.validation import Contract, Symbol, SymbolRemoved, SymbolState

_WANTS = "market.wants.v1"
_PEOPLE = "api"
"""How people who want live data by the HTTP service are called there; whoever else wants it is a strategy."""


class SymbolInUseError(SymbolUnusableError):
    """Somebody trades or watches it."""


class Removal:
    """Each step can be repeated: a removal that was cut short begins again."""

    def __init__(self, service: Service, registry: Registry, store: Store | None) -> None:
        self._service = service
        self._registry = registry
        self._store = store

    async def remove(self, name: SymbolName, request: RemoveSymbol) -> Symbol:
        """The entry, removed. Whoever calls holds its turn."""
        entry = self._registry.entry(name)
        if entry is None:
            raise SymbolUnusableError(f"{UNKNOWN_SYMBOL}: {name} is not in the registry")
        told = "its bars stay"
        contract = entry.contract
        self._refuse_while_collected(name, entry)
        if contract is not None and not self._others(entry, contract):
            await self._end_live_data(name, contract)
            if not request.keep_data:
                archived = await self._remove_data(entry, contract, request)
                told = f"{archived.bars} bars archived to {archived.folder}" if archived.folder else "it had no bars"
        reason = f"removed by {request.requested_by}: {told}"
        now = self._service.clock.now()
        blank = {"contract": None, "candidates": (), "last_verified": None, "note": "", "tags": ()}
        return await self._registry.put(moved(entry, SymbolState.REMOVED, now, reason=reason, **blank))

    def _others(self, entry: Symbol, contract: Contract) -> list[str]:
        """Other entries of the same contract: what is theirs too, stays."""
        sharing = self._registry.sharing(contract.contract_id)
        return [str(name_of(each)) for each in sharing if each.symbol_id != entry.symbol_id]

    def _refuse_while_collected(self, name: SymbolName, entry: Symbol) -> None:
        if runs := self._registry.collected_by(entry):
            raise SymbolInUseError(f"{name} is being collected by run {', '.join(runs)}: wait until that is done")

    async def _end_live_data(self, name: SymbolName, contract: Contract) -> None:
        wants = await self._wants(contract.contract_id)
        holders = [each.holder for each in wants if each.holder != _PEOPLE]
        if holders:
            raise SymbolInUseError(f"{name} is in use by {', '.join(holders)}: `scizor live stop` ends a strategy")
        await self._refuse_open_positions(name, contract)
        for want in wants:
            await self._service.publish(want.ended(self._service.clock.now()))

    async def _wants(self, contract_id: int) -> list[Want]:
        """Of those who want live data of the contract now."""
        found: dict[str, Want] = {}
        service = self._service
        async for event, _ in fold(service.settings, [_WANTS], catalogue=service.catalogue):
            if isinstance(event, Want) and event.contract_id == contract_id:
                found[event.holder] = event
        return [want for want in found.values() if not want.is_over]

    async def _refuse_open_positions(self, name: SymbolName, contract: Contract) -> None:
        if self._store is None:
            return
        async with self._store.reading() as connection:
            positions = await portfolio.positions(connection)
        for (account_id, contract_id), (quantity, *_) in positions.items():
            if contract_id == contract.contract_id and quantity:
                raise SymbolInUseError(
                    f"account {account_id} holds {plain(quantity):f} {name}: close the position first"
                )

    async def _remove_data(self, entry: Symbol, contract: Contract, request: RemoveSymbol) -> Archived:
        service = self._service
        archived = await archive_bars(service.settings, self._store, contract.contract_id, service.clock.now())
        self._refuse_while_collected(name_of(entry), entry)  # it may have begun while the bars were archived
        now = service.clock.now()
        removed = SymbolRemoved(
            event_time=now,
            ingest_time=now,
            contract_id=contract.contract_id,
            symbol_id=entry.symbol_id,
            symbol=entry.symbol,
            archive=str(archived.folder or ""),
            bars=archived.bars,
            requested_by=request.requested_by,
        )
        await self._registry.remove_data(removed)
        return archived
