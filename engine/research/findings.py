"""What a search found, as its result tells it."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import numpy as np

from engine.backtest import BacktestResult
from engine.columns import Floats
from engine.research.evaluation import Objective
from engine.research.folds import combinatorial, paths
from engine.research.gate import judge
from engine.research.judging import evidence_of, never_traded
from engine.research.ledger import entry, estimate_of, looks, series_of
from engine.research.resampling import entry_significance, trade_paths
from engine.research.search import Found, Tried
from engine.research.space import Space
from engine.research.surface import Surface
from engine.research.walk import Fold, idle_in_words, rounded, walk_of
from schemas.backtest import Trial
from schemas.research import OptimizationRequested

TRIALS_TOLD = 5_000
POINTS_MAX = 5_000
_PATH_GROUPS, _PATH_TESTS = 6, 2
_LOOKS_TOLD = 20


@dataclass(frozen=True, eq=False)
class Pieces:
    """What there is to tell about. `past` are all trials that the ledger holds, those of this search included."""

    request: OptimizationRequested
    space: Space
    objectives: tuple[Objective, ...]
    found: Found
    best: BacktestResult
    folds: Sequence[Fold]
    held_out: Trial | None
    held_out_since: datetime | None
    past: Sequence[Trial]


def result_of(pieces: Pieces) -> tuple[dict[str, Any], list[str]]:
    """The result, ready for JSON, and what a reader must know before believing it."""
    found, front = pieces.found, pieces.found.front()
    surface, stable = _surface(pieces)
    verdict = _verdict(pieces)
    result = {
        "best": _best(pieces, front[0]),
        "front": [_tried(each, pieces.objectives) for each in front] if len(pieces.objectives) > 1 else [],
        "stable": stable,
        "trials_run": len(found.tried),
        "states": {state: sum(each.state == state for each in found.tried) for state in ("done", "pruned", "failed")},
        "trials": [_tried(each, pieces.objectives) for each in found.tried[:TRIALS_TOLD]],
        "importance": {name: rounded(value) for name, value in surface.importance().items()},
        "heat_maps": [_rounded(each) for each in surface.heat_maps()],
        "overfitting": {
            "trials": verdict.counted.trials,
            "families": verdict.counted.families,
            "independent_trials": rounded(verdict.counted.independent),
            **{name: rounded(value) for name, value in verdict.figures.items()},
        },
        "paths": _paths([each.evaluation.trial for each in found.tried if each.state == "done"]),
        "monte_carlo": _trade_paths(pieces),
        "random_entries": _random_entries(pieces),
        "walk_forward": walk_of(pieces.folds, pieces.objectives[0].metric, pieces.best.curve.cash),
        "holdout": _holdout(pieces),
        "gate": {"passed": verdict.passed, "reasons": list(verdict.reasons), "notes": list(verdict.notes)},
    }
    return result, _warnings(pieces, result)


def _tried(each: Tried, objectives: Sequence[Objective]) -> dict[str, Any]:
    scores = dict(zip((objective.metric for objective in objectives), each.evaluation.scores, strict=False))
    told: dict[str, Any] = {"number": each.number, "parameters": each.parameters, "scores": scores, "state": each.state}
    if each.evaluation.trial is not None:
        told["trial_id"] = each.evaluation.trial.trial_id
    if each.evaluation.error:
        told["error"] = each.evaluation.error
    return told


def _best(pieces: Pieces, best: Tried) -> dict[str, Any]:
    metrics = pieces.best.metrics.model_dump()
    return {**_tried(best, pieces.objectives), "metrics": metrics, "result_hash": pieces.best.result_hash}


def _surface(pieces: Pieces) -> tuple[Surface, dict[str, Any] | None]:
    """The landscape by the first objective, and its most stable point: the one among the best neighbours."""
    objective = pieces.objectives[0]
    sign = 1.0 if objective.maximise else -1.0
    done = [each for each in pieces.found.tried if each.state == "done"]
    scores = np.array([_score(each) for each in done]) * sign
    surface = Surface(pieces.space.axes, [each.parameters for each in done], scores)
    means, stability = surface.plateau()
    shown = Surface(surface.axes, surface.points, scores * sign) if sign < 0 else surface
    if not np.isfinite(means).any():
        return shown, None
    place = int(np.nanargmax(means))
    best = int(np.nanargmax(scores))
    stable = {
        **_tried(done[place], pieces.objectives),
        "neighbourhood": rounded(sign * float(means[place])),
        "stability": rounded(float(stability[place])),
        "stability_of_best": rounded(float(stability[best])),
    }
    return shown, stable


def _score(each: Tried) -> float:
    value = each.evaluation.scores[0] if each.evaluation.scores else None
    return math.nan if value is None else value


def _rounded(heat_map: dict[str, Any]) -> dict[str, Any]:
    best = [[None if cell is None else float(f"{cell:.6g}") for cell in row] for row in heat_map["best"]]
    return {**heat_map, "best": best}


def _verdict(pieces: Pieces) -> Any:
    request = pieces.request
    trial = pieces.found.front()[0].evaluation.trial
    if trial is None or estimate_of(trial) is None:
        trial = entry(request.backtest, pieces.best, code_hash="", now=request.event_time)
    return judge(evidence_of(trial, pieces.past))


def _paths(trials: Sequence[Trial | None]) -> dict[str, Any] | None:
    """Combinatorial purged cross-validation of the choice: on each path, what was best outside of each part runs in it.

    The parts are cut from the compact series; one stretch next to each test is purged and one more embargoed.
    """
    known = [each for each in trials if each is not None and each.returns_ppm]
    series = series_of(known)
    if len(known) < 2 or len(series) < 4 * _PATH_GROUPS:
        return None
    splits = combinatorial(len(series), _PATH_GROUPS, _PATH_TESTS, purge=1, embargo=1)
    chosen = [int(np.argmax(_ratios(series[split.train]))) for split in splits]
    edges = np.linspace(0, len(series), _PATH_GROUPS + 1).astype(np.int64)
    ratios = []
    for path in paths(_PATH_GROUPS, _PATH_TESTS):
        parts = [series[edges[group] : edges[group + 1], chosen[number]] for number, group in path]
        ratios.append(float(_ratios(np.concatenate(parts)[:, None])[0]))
    year = math.sqrt(365.25 / max(each.returns_days for each in known))  # a stretch counts days of the calendar
    annual = sorted(each * year for each in ratios)
    return {
        "paths": len(annual),
        "splits": len(chosen),
        "sharpe_worst": rounded(annual[0]),
        "sharpe_median": rounded(float(np.median(annual))),
        "sharpe_best": rounded(annual[-1]),
        "settings_chosen": len(set(chosen)),
    }


def _ratios(series: Floats) -> Floats:
    deviation = series.std(axis=0, ddof=1)
    found: Floats = np.divide(series.mean(axis=0), deviation, out=np.zeros(series.shape[1]), where=deviation > 0)
    return found


def _trade_paths(pieces: Pieces) -> dict[str, Any] | None:
    profits = [each.pnl for each in pieces.best.round_trips if not each.open]
    found = trade_paths(profits, pieces.best.curve.cash, pieces.request.seed)
    return None if found is None else asdict(found)


def _random_entries(pieces: Pieces) -> dict[str, Any] | None:
    found = entry_significance(pieces.best.columns, pieces.best.round_trips, pieces.request.seed)
    return None if found is None else asdict(found)


def _holdout(pieces: Pieces) -> dict[str, Any] | None:
    """What is held out, what the reading showed, and who has seen those bars before."""
    if pieces.held_out_since is None:
        return None
    ours = [each for each in pieces.past if each.strategy == pieces.request.backtest.strategy]
    seen = looks(ours, pieces.request.backtest.symbols, pieces.held_out_since)
    read = pieces.held_out
    before = {each.trial_id: each for each in seen if read is None or each.trial_id != read.trial_id}
    others = sorted(before.values(), key=lambda each: each.event_time)
    return {
        "since": pieces.held_out_since.date().isoformat(),
        "reading": None if read is None else {
            "trial_id": read.trial_id, "sharpe": read.sharpe, "total_return": read.total_return, "trades": read.trades,
            "never_traded": never_traded(read.trades, read.total_return),
        },
        "looks_before": len(others),
        "looked_at_by": [
            {"time": each.event_time.isoformat().replace("+00:00", "Z"), "purpose": each.purpose,
             "parameters": each.parameters, "study_id": each.study_id}
            for each in others[:_LOOKS_TOLD]
        ],
    }  # fmt: skip


def _warnings(pieces: Pieces, result: dict[str, Any]) -> list[str]:
    """What a reader must know, the gravest first."""
    held_out, grid = result["holdout"], pieces.space.size
    failed, told = result["states"]["failed"], len(pieces.found.tried)
    stable, idle = result["stable"], idle_in_words(result["walk_forward"])
    said: list[tuple[Any, str]] = [
        (
            held_out and held_out["looks_before"],
            f"The bars held out were seen before ({held_out and held_out['looks_before']} times): no test any more.",
        ),
        (
            stable and stable["stability_of_best"] is not None and stable["stability_of_best"] < 0.5,
            "The best setting is a lone peak: its neighbours do less than half as well. Look at the stable one.",
        ),
        (idle, idle),
        (failed, f"{failed} of {told} parameter sets could not be run: the trials say why."),
        (
            pieces.request.method == "grid" and grid and told == pieces.request.trials and grid > told,
            f"Only the first {told:,} points of the grid were run: raise --trials, or let the method be random.",
        ),
        (told > TRIALS_TOLD, f"Only the first {TRIALS_TOLD:,} of {told:,} trials are told here; the ledger has all."),
    ]
    return [sentence for holds, sentence in said if holds]
