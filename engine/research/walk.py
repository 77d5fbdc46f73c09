"""A walk forward as a result tells it: its folds, and their tests stitched to one curve that no search has seen."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.backtest import BacktestResult
from engine.research.search import Tried
from engine.research.stretches import Stretch
from engine.statistics import periods_per_year, session_ends, session_returns
from schemas.backtest import Trial
from schemas.moments import to_datetime

POINTS_MAX = 5_000


@dataclass(frozen=True, eq=False)
class Fold:
    """One step of a walk: where it searched and tested, what it chose and how that did."""

    train: Stretch
    test: Stretch
    chosen: Tried
    result: BacktestResult
    trial: Trial


def walk_of(folds: Sequence[Fold], objective: str, cash: float) -> dict[str, Any] | None:
    """The folds one by one, and their tests stitched to one curve that no search has seen."""
    if not folds:
        return None
    returns = [session_returns(each.result.curve) for each in folds]
    times = [each.result.curve.times_us[session_ends(each.result.curve.times_us)] for each in folds]
    stitched, moments = (
        np.concatenate(returns),
        np.concatenate([each[: len(own)] for each, own in zip(times, returns, strict=True)]),
    )
    equity = cash * np.cumprod(1 + stitched)
    year = periods_per_year(moments) or 252.0
    inside = [each.chosen.evaluation.scores[0] for each in folds]
    outside = [getattr(each.result.metrics, objective) for each in folds]
    kept = np.unique(np.linspace(0, len(moments) - 1, min(len(moments), POINTS_MAX)).round().astype(np.int64))
    deviation = float(stitched.std(ddof=1)) if len(stitched) > 1 else 0.0
    return {
        "objective": objective,
        "folds": [_fold(each, objective) for each in folds],
        "sharpe": rounded(float(stitched.mean()) / deviation * math.sqrt(year)) if deviation else None,
        "total_return": rounded(float(equity[-1]) / cash - 1) if len(equity) else None,
        "sessions": len(stitched),
        "mean_inside": _mean(inside),
        "mean_outside": _mean(outside),
        "efficiency": _over(_mean(outside), _mean(inside)),
        "idle_folds": sum(not each.result.executions for each in folds),
        "positive_folds": sum((each.result.metrics.total_return or 0) > 0 for each in folds),
        "equity": {
            "time": [to_datetime(int(moments[each])).isoformat().replace("+00:00", "Z") for each in kept],
            "value": [float(f"{equity[each]:.12g}") for each in kept],
        },
    }


def _fold(each: Fold, objective: str) -> dict[str, Any]:
    metrics = each.result.metrics
    return {
        "train": [_day(each.train.first), _day(each.train.stop - 1)],
        "test": [_day(each.test.first), _day(each.test.stop - 1)],
        "parameters": each.chosen.parameters,
        "inside": each.chosen.evaluation.scores[0],
        "outside": getattr(metrics, objective),
        "total_return": metrics.total_return,
        "trades": metrics.trades,
        "executions": len(each.result.executions),
    }


def idle_in_words(walk: dict[str, Any] | None) -> str:
    """What a reader must know of folds that never traded; empty where all did."""
    if not walk or not walk["idle_folds"]:
        return ""
    return (
        f"{walk['idle_folds']} of {len(walk['folds'])} folds never traded in their test: they add a return of 0 and "
        "have no ratio. What only acts when something crosses needs longer tests (--test)."
    )


def rounded(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(f"{value:.12g}")


def _day(number: int) -> str:
    return str(np.datetime64(number, "D"))


def _mean(values: Sequence[float | None]) -> float | None:
    known = [each for each in values if each is not None]
    return rounded(sum(known) / len(known)) if known else None


def _over(part: float | None, whole: float | None) -> float | None:
    return rounded(part / whole) if part is not None and whole else None
