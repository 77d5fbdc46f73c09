"""The bars of topics as columns: for a run that happens here and not in the backtester."""

from engine.columns import BarColumns
from engine.material import Material, material_of
from infra.backtest_bars import find_bars
from infra.errors import UsageError
from infra.settings import Settings
from schemas.backtest import BacktestRequested


async def read_material(settings: Settings, request: BacktestRequested) -> Material:
    """What `request` is computed from, as the backtester would read it. Raises UsageError for an unknown symbol."""
    found = await find_bars(settings, request)
    number, name = found.benchmark or (None, "")
    names = {**({} if number is None else {number: name}), **found.symbols}
    columns = BarColumns(**found.arrays, symbols=names, sources=found.sources)
    return material_of(columns, found.symbols, number, found.actions, found.all_survived)


async def read_topics(settings: Settings, request: BacktestRequested) -> BarColumns:
    """The bars alone: for a search, whose runs know nothing of corporate actions."""
    if request.basis == "raw":
        raise UsageError("a search runs on adjusted prices: raw ones are for a single backtest")
    return (await read_material(settings, request)).columns
