"""What a backtest is computed from: its bars, those of its benchmark, what happened to the market, what to know."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Protocol

from numpy.typing import NDArray

from engine.columns import BarColumns
from engine.facts import CorporateAction, Dividend, Split
from engine.market import Market
from schemas import corporate
from schemas.moments import to_microseconds

SURVIVORS = (
    "All symbols are still listed today: those that failed meanwhile are missing (survivorship bias), and the figures "
    "are better for it."
)
FRAMES = "Orders fill in the smallest bars; larger ones are seen by indicators of their frame, once they have closed."
RAW = "Prices are raw: splits change positions and orders, dividends are paid in cash, indicators see both as jumps."

RAW_WITHOUT_ACTIONS = (
    "Raw prices were asked for, but no split or dividend is on record (`scizor data action list`): they are as they "
    "came."
)


class Read(Protocol):
    """What somebody has read: bars of all contracts by column, those of other sizes beside, and what they are."""

    @property
    def arrays(self) -> Mapping[str, NDArray[Any]]: ...
    @property
    def sources(self) -> tuple[str, ...]: ...
    @property
    def symbols(self) -> Mapping[int, str]: ...
    @property
    def benchmark(self) -> tuple[int, str] | None: ...
    @property
    def actions(self) -> Sequence[corporate.CorporateAction] | None: ...
    @property
    def all_survived(self) -> bool: ...
    @property
    def larger(self) -> Mapping[timedelta, Mapping[str, NDArray[Any]]]: ...


@dataclass(frozen=True, eq=False)
class Material:
    """See the module."""

    columns: BarColumns
    benchmark: BarColumns | None = None
    """None where the benchmark is that of the run's own symbols, or none."""
    market: Market = field(default_factory=Market)
    notes: tuple[str, ...] = ()
    """What a reader must know of the bars before believing the figures."""


def market_of(actions: Sequence[corporate.CorporateAction], columns: BarColumns) -> Market:
    """What the engine has to do for prices that are raw; a change of name or the end of a listing needs nothing."""
    found: list[CorporateAction] = []
    for each in actions:
        own, moment = columns.rows.get(each.contract_id), to_microseconds(each.event_time)
        if own is None or moment <= columns.start_us[own[0]]:
            continue  # it was over before the first bar
        if isinstance(each, corporate.Split):
            found.append(Split(each.contract_id, moment, each.new_shares / each.old_shares))
        elif isinstance(each, corporate.Dividend):
            found.append(Dividend(each.contract_id, moment, each.amount))
    return Market(actions=tuple(sorted(found, key=lambda action: action.time_us)))


def material_from(read: Read) -> Material:
    """All that was read, cut into what is traded, what it is held against, and what is seen beside."""
    number, name = read.benchmark or (None, "")
    names = {**({} if number is None else {number: name}), **read.symbols}
    columns = BarColumns(**read.arrays, symbols=names, sources=read.sources)
    material = material_of(columns, read.symbols, number, read.actions, read.all_survived)
    return with_larger(
        material, {size: BarColumns(**each, symbols=read.symbols, sources=()) for size, each in read.larger.items()}
    )


def material_of(
    columns: BarColumns,
    traded: Mapping[int, str],
    benchmark: int | None = None,
    actions: Sequence[corporate.CorporateAction] | None = None,
    all_survived: bool = False,
) -> Material:
    """What was read of all contracts, cut into what is traded and what it is held against.

    `actions` are those on record where prices are raw; None where they are adjusted.
    """
    own = columns.select(traded)
    notes = [SURVIVORS] if all_survived else []
    if actions is not None:
        notes.append(RAW if any(each.contract_id in traded for each in actions) else RAW_WITHOUT_ACTIONS)
    beside = None if benchmark is None else columns.select([benchmark])
    return Material(own, beside, market_of(actions or (), own), tuple(notes))


def with_larger(material: Material, larger: Mapping[timedelta, BarColumns]) -> Material:
    """The same beside bars of larger sizes, which frames of these sizes are made of."""
    if not larger:
        return material
    sizes = {size // timedelta(microseconds=1): columns for size, columns in larger.items()}
    return replace(material, market=replace(material.market, larger=sizes), notes=(*material.notes, FRAMES))
