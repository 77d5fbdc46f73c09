"""The bars of topics as columns: for a run that happens here and not in the backtester."""

from engine.columns import BarColumns
from engine.facts import to_microseconds
from infra.bar_replay import BarFilter
from infra.errors import UsageError
from infra.series_replay import read_series
from infra.settings import Settings
from infra.symbol_meanings import the_one_meant
from infra.symbol_names import UNKNOWN_SYMBOL, parse_symbol
from producers.cli.registry_view import registry
from schemas.backtest import BacktestRequested


async def read_topics(settings: Settings, request: BacktestRequested) -> BarColumns:
    """The bars that `request` is about, as the backtester would read them. Raises UsageError for an unknown symbol."""
    entries, symbols = await registry(settings), dict[int, str]()
    for name in request.symbols:
        found = the_one_meant(parse_symbol(name), entries)
        if found is None or found.contract is None:
            raise UsageError(f"{UNKNOWN_SYMBOL} {name}: `scizor symbols validate {name}` makes it known")
        symbols[found.contract.contract_id] = name
    wanted = BarFilter(
        contract_ids=list(symbols),
        bar_size_seconds=int(request.bar_size.total_seconds()),
        start_us=to_microseconds(request.start) if request.start else None,
        end_us=to_microseconds(request.end) if request.end else None,
    )
    arrays, sources = await read_series(settings, wanted)
    return BarColumns(**arrays, symbols=symbols, sources=sources)
