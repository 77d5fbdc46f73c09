"""What a request is computed from: replayed from the topics, or read from the database."""

from collections.abc import Callable

from engine.columns import BarColumns
from engine.material import Material, material_of, with_larger
from infra.backtest_bars import Found, find_bars, find_bars_or_runs
from infra.errors import UsageError
from infra.long_bars import LongBars
from infra.settings import Settings
from schemas.backtest import BacktestRequested

OnRead = Callable[[int], None]


async def material_for(
    settings: Settings, request: BacktestRequested, on_read: OnRead = lambda count: None
) -> Material:
    """See `material_or_long`: all bars at once."""
    return _material(await find_bars(settings, request, on_read))


async def material_or_long(
    settings: Settings, request: BacktestRequested, at_once: int | None, on_read: OnRead = lambda count: None
) -> Material | LongBars:
    """One bar per contract and start, the newest revision, as known when the reading began; where they are more than
    `at_once`, what gives them piece by piece.

    Raises UsageError or ColumnsError, in one line, for symbols that are unknown or bars that cannot be.
    """
    found = await find_bars_or_runs(settings, request, at_once, on_read)
    return found if isinstance(found, LongBars) else _material(found)


def _material(found: Found) -> Material:
    number, name = found.benchmark or (None, "")
    names = {**({} if number is None else {number: name}), **found.symbols}
    columns = BarColumns(**found.arrays, symbols=names, sources=found.sources)
    material = material_of(columns, found.symbols, number, found.actions, found.all_survived)
    return with_larger(
        material, {size: BarColumns(**each, symbols=found.symbols, sources=()) for size, each in found.larger.items()}
    )


async def columns_for(
    settings: Settings, request: BacktestRequested, on_read: OnRead = lambda count: None
) -> BarColumns:
    """The bars alone: for a search, whose runs know nothing of corporate actions."""
    if request.basis == "raw":
        raise UsageError("a search runs on adjusted prices: raw ones are for a single backtest")
    if request.larger_bar_sizes:
        raise UsageError("a search runs on bars of one size: several are for a single backtest")
    return (await material_for(settings, request, on_read)).columns
