"""The bars of topics as columns: for a run that happens here and not in the backtester."""

from engine.columns import BarColumns
from engine.material import Material, material_of, with_larger
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
    material = material_of(columns, found.symbols, number, found.actions, found.all_survived)
    return with_larger(
        material, {size: BarColumns(**each, symbols=found.symbols, sources=()) for size, each in found.larger.items()}
    )


async def read_topics(settings: Settings, request: BacktestRequested) -> BarColumns:
    """The bars alone: for a search, whose runs know nothing of corporate actions."""
    if request.basis == "raw":
        raise UsageError("a search runs on adjusted prices: raw ones are for a single backtest")
    if request.larger_bar_sizes:
        raise UsageError("a search runs on bars of one size: several are for a single backtest")
    return (await read_material(settings, request)).columns
