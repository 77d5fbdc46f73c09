"""The bars of topics as columns: for a run that happens here and not in the backtester."""

from dataclasses import dataclass

from engine.columns import BarColumns
from engine.material import SURVIVORS, Material, material_from
from infra.backtest_bars import Found, find_bars_or_runs, find_searched_bars
from infra.bar_scratch import Scratch, ScratchBars
from infra.settings import Settings
from schemas.backtest import BacktestRequested


@dataclass(frozen=True)
class LongMaterial:
    """The same of more bars than are wanted in memory, in files."""

    own: ScratchBars
    benchmark: ScratchBars | None = None
    notes: tuple[str, ...] = ()


async def read_material_or_long(
    settings: Settings, request: BacktestRequested, at_once: int | None, scratch: Scratch
) -> LongMaterial | Material:
    """What `request` is computed from, as the backtester would read it: in files of `scratch` when there are more than
    `at_once` bars, else at once. Raises UsageError for an unknown symbol."""
    found = await find_bars_or_runs(settings, request, at_once)
    if isinstance(found, Found):
        return material_from(found)
    notes = (SURVIVORS,) if found.all_survived else ()
    return LongMaterial(*await found.written(scratch, lambda count: None), notes)


async def read_topics(settings: Settings, request: BacktestRequested) -> BarColumns:
    """The bars alone, for a search."""
    return material_from(await find_searched_bars(settings, request)).columns
