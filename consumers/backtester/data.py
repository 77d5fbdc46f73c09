"""The bars of a request as columns: replayed from the topics, or read from the database."""

import difflib
from collections.abc import Callable, Mapping

import polars as pl

from engine.columns import COLUMNS, BarColumns
from engine.facts import to_microseconds
from infra.bar_replay import BarFilter
from infra.errors import UsageError
from infra.replay import fold
from infra.series_replay import read_series
from infra.settings import Settings
from infra.store import bars as stored_bars
from infra.store.database import Store
from infra.symbol_meanings import the_one_meant
from infra.symbol_names import UNKNOWN_SYMBOL, parse_symbol
from schemas.backtest import BacktestRequested
from schemas.validation import Symbol


class UnknownSymbolError(UsageError):
    def __init__(self, name: str, near: str) -> None:
        hint = f" (did you mean {near}?)" if near else ""
        super().__init__(f"{UNKNOWN_SYMBOL} {name}{hint}: `scizor symbols validate {name}` makes it known")


async def columns_for(
    settings: Settings, request: BacktestRequested, on_read: Callable[[int], None] = lambda count: None
) -> BarColumns:
    """One bar per contract and start, the newest revision, as known when the reading began.

    Raises UsageError or ColumnsError, in one line, for symbols that are unknown or bars that cannot be.
    """
    symbols = await contracts_of(settings, request.symbols)
    wanted = BarFilter(
        contract_ids=list(symbols),
        bar_size_seconds=int(request.bar_size.total_seconds()),
        start_us=to_microseconds(request.start) if request.start else None,
        end_us=to_microseconds(request.end) if request.end else None,
    )
    if request.source == "topic":
        arrays, sources = await read_series(settings, wanted, on_progress=on_read)
        return BarColumns(**arrays, symbols=symbols, sources=sources)
    store = Store(settings, "backtester")
    try:
        async with store.reading() as connection:
            return columns_of(await stored_bars.read_bars(connection, wanted), symbols)
    finally:
        await store.close()


async def contracts_of(settings: Settings, names: tuple[str, ...]) -> dict[int, str]:
    """The contract of each symbol, by the registry: names by contract id. Raises UnknownSymbolError."""
    registry: dict[str, Symbol] = {}
    async for event, _ in fold(settings, ["reference.symbols.v1"]):
        if isinstance(event, Symbol):
            registry[event.symbol_id] = event
    known = [each.symbol for each in registry.values() if each.contract is not None]
    found = {}
    for name in names:
        symbol = the_one_meant(parse_symbol(name), registry.values())
        if symbol is None or symbol.contract is None:
            raise UnknownSymbolError(name, next(iter(difflib.get_close_matches(name, known, n=1, cutoff=0.5)), ""))
        found[symbol.contract.contract_id] = name
    return found


def columns_of(frame: pl.DataFrame, symbols: Mapping[int, str]) -> BarColumns:
    """A frame of bars, sorted by end and contract, as columns."""
    return BarColumns(
        **{name: frame[name].to_numpy() for name in COLUMNS},
        symbols=dict(symbols),
        sources=tuple(sorted(frame["source"].unique().to_list())),
    )
