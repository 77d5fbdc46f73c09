"""Splits that show in a changed past: the gateway divides what was before a split, and every answer since says so."""

import math
from dataclasses import dataclass

import polars as pl

RATIOS = tuple(
    (new, old) for new in range(1, 51) for old in (1, 2, 3, 4) if new != old and math.gcd(new, old) == 1
) + tuple((1, old) for old in range(5, 101))
_TOLERANCE = 0.004
"""Prices are rounded to cents after the division."""
_BARS_MIN = 3
_PRICES = ("open", "high", "low", "close")


@dataclass(frozen=True)
class SeenSplit:
    """`new_shares` for `old_shares`, in effect at `first_us` at the earliest and at `last_us` at the latest.

    Both are starts of bars. They differ when the bars between them were not known before: divided or not, who can say.
    """

    new_shares: int
    old_shares: int
    first_us: int
    last_us: int
    bars: int


def split_in(known: pl.DataFrame, answer: pl.DataFrame, after: pl.DataFrame | None = None) -> SeenSplit | None:
    """The split that makes all bars of `answer` before some moment differ from the same bars as they were known.

    All have `start_us` and prices, of one contract, size and basis; `after` are known bars of after the answer. None
    unless everything before the moment changed by one ratio, nothing after it did, and there is a bar after it: of the
    answer, or the first of `after` if that was never revised and goes on where the answer ends.
    """
    both = answer.join(known, on="start_us", how="left", suffix="_known").sort("start_us")
    last_answered = both["start_us"].max()
    both = both.with_columns(ratio=pl.col("close_known") / pl.col("close")).filter(pl.col("close_known").is_not_null())
    changed = both.filter((pl.col("ratio") - 1).abs() > _TOLERANCE)
    if len(changed) < _BARS_MIN or last_answered is None:
        return None
    ratio = float(changed["ratio"].median() or 0)  # type: ignore[arg-type] # polars types median() by no column type
    found = _ratio_near(ratio)
    last_changed = changed["start_us"].max()
    before = both.filter(pl.col("start_us") <= last_changed)
    if found is None or len(before) != len(changed) or not _is_whole(before, found):
        return None
    first = answer.filter(pl.col("start_us") > last_changed)["start_us"].min()
    if first is None and after is not None:
        edge = _going_on(answer, after, found)
        return None if edge is None else SeenSplit(*found, first_us=edge, last_us=edge, bars=len(changed))
    if not isinstance(first, int):
        return None
    unchanged = both.filter(pl.col("start_us") > last_changed)["start_us"].min()
    last = unchanged if isinstance(unchanged, int) else int(answer["start_us"].max())  # type: ignore[arg-type] # as above
    return SeenSplit(*found, first_us=first, last_us=last, bars=len(changed))


def _going_on(answer: pl.DataFrame, after: pl.DataFrame, ratio: tuple[int, int]) -> int | None:
    """Where the first bar after the answer begins, if it is in the prices of after the split."""
    end = answer.sort("start_us").tail(1)
    following = after.filter(pl.col("start_us") > end["start_us"][0]).sort("start_us").head(1)
    if following.is_empty() or following["revision"][0] != 0:  # a revised one: its own answer has told of it
        return None
    jump = abs(math.log(following["open"][0] / end["close"][0]))
    return int(following["start_us"][0]) if jump < abs(math.log(ratio[0] / ratio[1])) / 2 else None


def _ratio_near(ratio: float) -> tuple[int, int] | None:
    if not ratio > 0:
        return None
    new, old = min(RATIOS, key=lambda each: (abs(math.log(ratio * each[1] / each[0])), sum(each)))
    return (new, old) if abs(ratio * old / new - 1) <= _TOLERANCE else None


def _is_whole(before: pl.DataFrame, found: tuple[int, int]) -> bool:
    """Whether every price of every bar was divided by the ratio, as well as cents can tell."""
    factor = found[0] / found[1]
    cents = pl.lit(0.011 * max(factor, 1))
    wrong = pl.any_horizontal(
        (pl.col(f"{name}_known") - pl.col(name) * factor).abs() > cents + pl.col(f"{name}_known").abs() * 1e-6
        for name in _PRICES
    )
    return before.filter(wrong).is_empty()
