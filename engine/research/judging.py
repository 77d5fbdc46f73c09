"""What the ledger says of a strategy, as evidence for the gate."""

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.research.gate import Evidence, GateLimits, Verdict, judge
from engine.research.ledger import estimate_of, looks, once_each, series_of
from schemas.backtest import Trial

CHOSEN_FROM = ("backtest", "search")
"""Tests of folds and readings of what is held out come after a choice, and what a fold trained is none by itself."""


class NoCandidateError(ValueError):
    """The ledger holds nothing that could be judged: one line that says what to do."""


class CodeChangedError(NoCandidateError):
    """All trials ran other code than the present one; `best` is the one of them that would be judged."""

    def __init__(self, trials: Sequence[Trial], best: Trial) -> None:
        super().__init__(
            f"its {len(trials)} trials ran before the engine or its own text changed: what is judged has to be run "
            "again with the present code (all trials go on counting)"
        )
        self.best = best


def candidate_of(trials: Sequence[Trial], code_hash: str = "") -> Trial:
    """The trial that stands farthest above zero, of the present code if a `code_hash` is given.

    Raises NoCandidateError when there is none.
    """
    usable = [each for each in trials if each.purpose in CHOSEN_FROM]
    present = [each for each in usable if not code_hash or each.code_hash == code_hash]
    if usable and not present:
        raise CodeChangedError(usable, max(usable, key=_distance))
    distances = [(_distance(each), each) for each in present]
    known = [pair for pair in distances if math.isfinite(pair[0])]
    if not known:
        raise NoCandidateError(
            "no trial of it has a Sharpe ratio: run `scizor backtest run` or `scizor optimize` first"
        )
    return max(known, key=lambda pair: pair[0])[1]


def _distance(trial: Trial) -> float:
    estimate = estimate_of(trial)
    return -math.inf if estimate is None else estimate.distance()


def evidence_of(candidate: Trial, trials: Sequence[Trial]) -> Evidence:
    """Everything the ledger holds about the candidate's strategy; `trials` may repeat themselves."""
    told = [each for each in [*trials, candidate] if each.strategy == candidate.strategy]
    ours, counted = once_each(told), _chances(told)
    estimate = estimate_of(candidate)
    assert estimate is not None, "a candidate has a Sharpe ratio"
    readings = [each for each in ours if each.purpose == "holdout" and set(each.symbols) & set(candidate.symbols)]
    tests = [each for each in ours if each.purpose == "test" and set(each.symbols) & set(candidate.symbols)]
    seen = looks(ours, candidate.symbols, readings[0].start) if readings and readings[0].start else []
    ratios = [known.value for each in counted if (known := estimate_of(each)) is not None]
    return Evidence(
        candidate=estimate,
        series=series_of(counted),
        ratios=np.array(ratios),
        alike=series_of([each for each in counted if each.data_digest == candidate.data_digest]),
        others=sum(1 for each in counted if not each.returns_ppm),
        looks=len(seen),
        tests=len(tests),
        idle_tests=sum(never_traded(each.trades, each.total_return) for each in tests),
        **_held_out(readings),
    )


def never_traded(closed: float | None, total_return: float | None) -> bool:
    """Whether a run made no trade: none was closed, and none that is open has gained or cost anything."""
    return not closed and not total_return


def _held_out(readings: Sequence[Trial]) -> dict[str, Any]:
    """What the first reading showed, or why it showed nothing."""
    if not readings:
        return {}
    first = readings[0]
    if first.sharpe is not None:
        return {"held_out": first.sharpe}
    idle = never_traded(first.trades, first.total_return)
    why = "it never traded on them" if idle else "they are too few for a Sharpe ratio"
    return {"not_held_out": f"the bars held out say nothing: {why}, at the first reading"}


def _chances(told: Sequence[Trial]) -> list[Trial]:
    """Those that count, once each: training on a part of the time what the same search ran over all of it is no chance
    more.

    The same run may be on record for several purposes and searches: each of its entries is looked at, so it does not
    matter which came first.
    """
    whole = {_chance(each) for each in told if each.purpose == "search"}
    parts = {each.trial_id for each in told if each.purpose == "train" and _chance(each) in whole}
    return once_each(
        each for each in told if each.purpose in CHOSEN_FROM or (each.purpose == "train" and each.trial_id not in parts)
    )


def _chance(trial: Trial) -> tuple[str, str]:
    return trial.study_id, json.dumps(trial.parameters, sort_keys=True)


def gate(trials: Sequence[Trial], code_hash: str = "", limits: GateLimits | None = None) -> tuple[Trial, Verdict]:
    """The best of a strategy's trials and what the gate says of it. Raises NoCandidateError."""
    candidate = candidate_of(trials, code_hash)
    return candidate, judge(evidence_of(candidate, trials), limits)
