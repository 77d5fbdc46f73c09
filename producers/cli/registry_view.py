"""The symbol registry as a person reads it: folded from its topics."""

from collections.abc import Iterable, Sequence
from typing import Any

from infra.errors import UsageError
from infra.removals import REMOVALS
from infra.replay import fold
from infra.settings import Settings
from infra.store.database import Store, StoreUnavailableError
from infra.symbol_meanings import the_one_meant
from infra.symbol_names import ANY_EXCHANGE, UNKNOWN_SYMBOL, SymbolName, parse_symbol
from schemas.event import Event
from schemas.validation import (
    ContractChanged,
    Symbol,
    SymbolAmbiguous,
    SymbolRejected,
    SymbolRemoved,
    SymbolState,
    SymbolValidated,
)

_SYMBOLS = "reference.symbols.v1"
_FINDINGS = "reference.validations.v1"
_FINDINGS_MAX = 100


async def registry(settings: Settings) -> list[Symbol]:
    """Every entry, removed ones too, by symbol and exchange."""
    found: dict[str, Symbol] = {}
    async for event, _ in fold(settings, [_SYMBOLS]):
        if isinstance(event, Symbol):
            found[event.symbol_id] = event
    return sorted(found.values(), key=lambda symbol: (symbol.symbol, symbol.exchange))


def selected(entries: list[Symbol], *, state: str, exchange: str, search: str) -> list[Symbol]:
    """The entries that are wanted; removed ones only if that state is asked for."""
    if state and state not in list(SymbolState):
        raise UsageError(f"no state {state!r}: choose one of {', '.join(SymbolState)}")
    wanted = search.casefold()
    return [
        each
        for each in entries
        if (each.state == state if state else each.state is not SymbolState.REMOVED)
        and (not exchange or listing(each) == exchange.upper())
        and any(wanted in text.casefold() for text in (each.symbol, title(each)))
    ]


def listing(entry: Symbol) -> str:
    contract = entry.contract
    return contract.primary_exchange or contract.exchange if contract else entry.exchange


def title(entry: Symbol) -> str:
    return entry.contract.name if entry.contract else entry.name


def row(entry: Symbol) -> dict[str, Any]:
    contract = entry.contract
    return {
        "symbol": entry.symbol,
        "state": entry.state.value,
        "contract_id": contract.contract_id if contract else None,
        "exchange": listing(entry),
        "currency": entry.currency,
        "kind": entry.kind,
        "name": title(entry),
        "daily_source": contract.daily_source.value if contract else None,
        "intraday_source": contract.intraday_source.value if contract else None,
        "last_verified": entry.last_verified.isoformat() if entry.last_verified else None,
        "reason": entry.reason,
        "note": entry.note,
        "tags": list(entry.tags),
        "collect": entry.collect,
        "candidates": [candidate.model_dump() for candidate in entry.candidates],
    }


async def entry_of(settings: Settings, name: SymbolName) -> Symbol:
    """The entry that a person means, or the removed one of that name; UsageError when there is none, or several."""
    entries = await registry(settings)
    found = the_one_meant(name, entries)
    gone = [each for each in entries if each.state is SymbolState.REMOVED and each.symbol == name.symbol]
    exact = [each for each in gone if each.symbol_id == name.symbol_id]
    removed = exact or (gone if name.exchange == ANY_EXCHANGE else [])
    if found is None and not removed:
        raise UsageError(f"{UNKNOWN_SYMBOL}: {name} is not in the registry; add it with `scizor symbols add {name}`")
    return found or removed[0]


def refuse_what_is_not_valid(names: Iterable[str], entries: Sequence[Symbol]) -> None:
    """UsageError for names that the registry does not have as valid, or that can mean several listings."""
    found = [(name, the_one_meant(parse_symbol(name), entries)) for name in names]
    if aside := [name for name, entry in found if entry is not None and entry.state is SymbolState.SUSPENDED]:
        raise UsageError(f"suspended: {', '.join(aside)}; `scizor symbols resume {aside[0]}` takes it up again")
    if missing := [name for name, entry in found if entry is None or entry.state is not SymbolState.VALID]:
        raise UsageError(
            f"not validated: {', '.join(missing)}; `scizor symbols add {' '.join(missing)}` asks the gateway about them"
        )


async def story(settings: Settings, name: SymbolName) -> dict[str, Any]:
    """All that is known of one symbol: its entry, what the gateway found, what is stored."""
    entry = await entry_of(settings, name)
    told = [event async for event, _ in fold(settings, [_FINDINGS, REMOVALS]) if _is_about(event, entry)]
    told.sort(key=lambda event: event.event_time)
    findings = [{"at": event.event_time.isoformat(), **_finding(event)} for event in told[-_FINDINGS_MAX:]]
    bars = await _bars(settings, entry.contract.contract_id) if entry.contract else []
    return {**row(entry), "symbol_id": entry.symbol_id, "findings": findings, "bars": bars}


def _is_about(event: Event, entry: Symbol) -> bool:
    return getattr(event, "symbol_id", None) == entry.symbol_id


def _finding(event: Event) -> dict[str, str]:
    match event:
        case SymbolValidated():
            where = event.contract.primary_exchange or event.contract.exchange
            return {"finding": "valid", "told": f"contract {event.contract.contract_id} on {where}"}
        case SymbolAmbiguous():
            ids = ", ".join(str(each.contract_id) for each in event.candidates[:5])
            return {"finding": "ambiguous", "told": f"{len(event.candidates)} contracts: {ids}"}
        case SymbolRejected():
            return {"finding": "rejected", "told": f"{event.code} {event.reason}"}
        case ContractChanged():
            told = f"contract {event.now.contract_id} instead of {event.before.contract_id}"
            return {"finding": "contract changed", "told": told}
        case SymbolRemoved():
            where = f" to {event.archive}" if event.archive else ""
            return {"finding": "removed", "told": f"{event.bars} bars archived{where}, by {event.requested_by}"}
    raise AssertionError(f"{type(event).__name__} is no finding")


async def _bars(settings: Settings, contract_id: int) -> list[dict[str, Any]]:
    """How many bars are stored of each size; nothing without a database."""
    if not settings.database_url.get_secret_value():
        return []
    from infra.store.symbol_queries import stored_bars

    store = Store(settings, "cli", pool_size=1)
    try:
        async with store.reading() as connection:
            return [dict(each) for each in await stored_bars(connection, contract_id)]
    except StoreUnavailableError:
        return []
    finally:
        await store.close()
