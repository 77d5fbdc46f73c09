"""What a request is computed from: replayed from the topics, or read from the database."""

from collections.abc import Callable

from engine.columns import BarColumns
from engine.material import Material, material_from
from infra.backtest_bars import find_bars_or_runs, find_searched_bars
from infra.long_bars import LongBars
from infra.settings import Settings
from schemas.backtest import BacktestRequested

OnRead = Callable[[int], None]


async def material_or_long(
    settings: Settings, request: BacktestRequested, at_once: int | None, on_read: OnRead = lambda count: None
) -> Material | LongBars:
    """One bar per contract and start, the newest revision, as known when the reading began; where they are more than
    `at_once`, what gives them piece by piece.

    Raises UsageError or ColumnsError, in one line, for symbols that are unknown or bars that cannot be.
    """
    found = await find_bars_or_runs(settings, request, at_once, on_read)
    return found if isinstance(found, LongBars) else material_from(found)


async def columns_for(settings: Settings, request: BacktestRequested) -> BarColumns:
    """The bars alone, for a search."""
    return material_from(await find_searched_bars(settings, request)).columns
