"""The ledger of trials: what is kept of every run, and what a strategy's past trials amount to."""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import numpy as np

from engine.backtest import BacktestResult
from engine.columns import Floats, Integers
from engine.options import BacktestOptions
from engine.research.overfitting import SharpeEstimate
from schemas.backtest import BacktestRequested, Trial
from schemas.moments import to_datetime

STRETCHES_MAX = 1_024
_STRETCHES = (1, 7, 28, 112, 448)  # each divides the next, or nearly: a finer series adds up to a coarser one
_DAY_US = 86_400_000_000
_MILLION = 1_000_000

Purpose = Literal["backtest", "search", "train", "test", "holdout"]


@dataclass(frozen=True, eq=False)
class Evaluated:
    """What the ledger keeps of a run. `returns` are those of the sessions that end at `ends_us`."""

    parameters: Mapping[str, Any]
    options: BacktestOptions
    data_digest: str
    returns: Floats
    ends_us: Integers
    sharpe: float | None
    total_return: float | None
    trades: float | None
    periods_per_year: float | None
    start_us: int
    end_us: int

    @classmethod
    def of(cls, result: BacktestResult) -> "Evaluated":
        """Of a run over all bars at once."""
        columns, brief = result.columns, result.brief
        begin = int(np.searchsorted(columns.end_us, result.curve.times_us[0]))  # bars before it only warmed indicators
        return cls(
            result.parameters,
            result.options,
            result.data_digest,
            brief.returns,
            result.curve.times_us[brief.ends],
            brief.sharpe,
            brief.total_return,
            brief.trades,
            brief.periods_per_year,
            int(columns.start_us[begin]),
            int(columns.end_us[-1]),
        )


def entry(
    request: BacktestRequested,
    result: BacktestResult | Evaluated,
    *,
    code_hash: str,
    now: datetime,
    purpose: Purpose = "backtest",
    study_id: str = "",
) -> Trial:
    """The ledger's entry of a run.

    Its id is a function of all that the figures depend on, so a repetition counts once; a reading of what was held
    out counts each time, by the study that reads it.
    """
    ran = Evaluated.of(result) if isinstance(result, BacktestResult) else result
    reading = study_id if purpose == "holdout" else ""
    parts = [code_hash, request.strategy, dict(ran.parameters), request.symbols, ran.data_digest]
    identity = json.dumps([*parts, vars(ran.options), *([reading] if reading else [])], default=str, sort_keys=True)
    estimate = SharpeEstimate.of(ran.returns)
    days, first, ppm = compact(ran.ends_us, ran.returns)
    return Trial(
        event_time=now,
        ingest_time=now,
        trial_id=hashlib.sha256(identity.encode()).hexdigest(),
        code_hash=code_hash,
        strategy=request.strategy,
        parameters=dict(ran.parameters),
        symbols=request.symbols,
        data_digest=ran.data_digest,
        sharpe=ran.sharpe,
        total_return=ran.total_return,
        observations=len(ran.ends_us),
        purpose=purpose,
        study_id=study_id,
        start=to_datetime(ran.start_us),
        end=to_datetime(ran.end_us),
        trades=int(ran.trades or 0),
        periods_per_year=ran.periods_per_year,
        skew=None if estimate is None else float(f"{estimate.skew:.12g}"),
        kurtosis=None if estimate is None else float(f"{estimate.kurtosis:.12g}"),
        returns_days=days,
        returns_first=first,
        returns_ppm=ppm,
    )


def compact(ends_us: Integers, returns: Floats) -> tuple[int, int, tuple[int, ...]]:
    """`returns` of the sessions with these ends, added up over stretches of days that are the same for everybody:
    (days, first, millionths).

    The shortest stretch that leaves at most STRETCHES_MAX of them. Nothing where there are no returns.
    """
    if not len(returns):
        return 0, 0, ()
    day = (ends_us - 1) // _DAY_US
    span = int(day[-1] - day[0]) + 1
    days = next((each for each in _STRETCHES if math.ceil(span / each) < STRETCHES_MAX), _STRETCHES[-1])
    stretch = day // days
    first = int(stretch[0])
    sums = np.bincount(stretch - first, weights=returns)
    return days, first, tuple(np.rint(np.clip(sums, -1e3, 1e3) * _MILLION).astype(np.int64).tolist())


def series_of(trials: Sequence[Trial]) -> Floats:
    """The returns of those of `trials` that have them as columns on one grid of time; zero where a trial was not run.

    Shape (stretches, trials); the coarsest stretch of them all, over at most STRETCHES_MAX of the latest.
    """
    known = [each for each in trials if each.returns_ppm]
    if not known:
        return np.empty((0, 0))
    days = max(each.returns_days for each in known)
    placed = [_placed(each, days) for each in known]
    last = max(first + len(values) for first, values in placed)
    begin = max(min(first for first, _ in placed), last - STRETCHES_MAX)
    table = np.zeros((last - begin, len(known)))
    for column, (first, values) in enumerate(placed):
        kept = values[max(begin - first, 0) :]
        at = max(first, begin) - begin
        table[at : at + len(kept), column] = kept
    return table / _MILLION


def _placed(trial: Trial, days: int) -> tuple[int, Floats]:
    """The trial's series on a coarser grid: number of its first stretch, and the sums."""
    numbers = (trial.returns_first + np.arange(len(trial.returns_ppm))) * trial.returns_days // days
    sums = np.bincount(numbers - numbers[0], weights=np.array(trial.returns_ppm, dtype=np.float64))
    return int(numbers[0]), np.asarray(sums, dtype=np.float64)


def estimate_of(trial: Trial) -> SharpeEstimate | None:
    """The trial's Sharpe ratio per session, as it was measured; None where it has none."""
    if trial.sharpe is None or not trial.periods_per_year:
        return None
    value = trial.sharpe / math.sqrt(trial.periods_per_year)
    skew, kurtosis = trial.skew, trial.kurtosis
    if skew is None or kurtosis is None:
        return SharpeEstimate(value, trial.observations)
    return SharpeEstimate(value, trial.observations, skew, kurtosis)


def once_each(trials: Iterable[Trial]) -> list[Trial]:
    """Without repetitions: of each id the first, in the order of time."""
    found: dict[str, Trial] = {}
    for trial in sorted(trials, key=lambda each: (each.event_time, each.trial_id)):
        found.setdefault(trial.trial_id, trial)
    return list(found.values())


def looks(trials: Iterable[Trial], symbols: Sequence[str], since: datetime) -> list[Trial]:
    """Those of `trials` that saw bars of any of `symbols` after `since`, whatever they were run for."""
    wanted = set(symbols)
    return [each for each in trials if each.end is not None and each.end > since and wanted & set(each.symbols)]


def summary(trial: Trial) -> dict[str, Any]:
    """What a list tells of a trial."""
    told: Mapping[str, Any] = trial.model_dump(mode="json", include=_TOLD)
    return dict(told)


_TOLD = {"trial_id", "strategy", "parameters", "symbols", "sharpe", "total_return", "trades", "purpose", "study_id"}
