"""The bars of topics as columns: for a run that happens here and not in the backtester."""

from dataclasses import dataclass

from engine.columns import BarColumns
from engine.material import SURVIVORS, Material, material_of, with_larger
from infra.backtest_bars import Found, find_bars, find_bars_or_runs
from infra.bar_scratch import Scratch, ScratchBars
from infra.errors import UsageError
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
        return _material(found)
    notes = (SURVIVORS,) if found.all_survived else ()
    return LongMaterial(*await found.written(scratch, lambda count: None), notes)


def _material(found: Found) -> Material:
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
    return _material(await find_bars(settings, request)).columns
