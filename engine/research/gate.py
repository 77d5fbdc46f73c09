"""The gate before trading: whether what was found may be more than the luck of having tried often.

Calibrated (tests/unit/test_gate.py holds it to this): of 200 strategies without any edge the best passes in at most
5 % of the seeds; a Sharpe ratio of 1.5 over ten years of daily bars passes in at least 80 %, alone or among 200 others.
"""

import math
from dataclasses import dataclass, field

import numpy as np

from engine.columns import Floats
from engine.research.families import Families, families
from engine.research.overfitting import (
    Overfitting,
    SharpeEstimate,
    cross_validated,
    deflated_sharpe,
    luck,
    minimum_track_record,
    probabilistic_sharpe,
)


@dataclass(frozen=True)
class GateLimits:
    """From where on the gate says no.

    `luck_max` is the level of the whole test, all trials counted: half of what is promised. The others guard what it
    assumes: `deflated_min` that the ratio beats the best that these trials would show by luck, as spread as they are;
    `pbo_max` that picking the best setting carries over, unless the settings picked lose in at most `loss_max` of the
    cuts (on a plateau, where all settings earn, which of them is best is a toss of a coin and harms nobody).
    """

    luck_max: float = 0.025
    deflated_min: float = 0.5
    pbo_max: float = 0.5
    loss_max: float = 0.05
    sessions_min: int = 250


@dataclass(frozen=True, eq=False)
class Evidence:
    """What is known of the candidate and of everything tried beside it.

    `series` (times, trials) are the returns of all trials that have them, `others` how many have none; `ratios` are the
    Sharpe ratios per observation of all trials that have one. `alike` are the series of those run on the candidate's
    own data, for cross-validation. `looks` is how often bars held out of the search were looked at, and
    `held_out` the annual Sharpe ratio that the first reading of them showed; None when nothing is held out or read.
    """

    candidate: SharpeEstimate
    series: Floats
    ratios: Floats
    alike: Floats
    others: int = 0
    looks: int = 0
    held_out: float | None = None
    not_held_out: str = "nothing was held out of the search, or it was never read"
    """Why there is no `held_out`."""
    tests: int = 0
    """Of folds of walks forward, and in how many of them it never traded."""
    idle_tests: int = 0


@dataclass(frozen=True)
class Verdict:
    """Pass or fail, each reason in a line, and the figures behind them (fractions; None where not to be had)."""

    passed: bool
    reasons: tuple[str, ...]
    """Why not; empty when it passed."""
    notes: tuple[str, ...]
    """What else to know."""
    counted: Families
    figures: dict[str, float | None] = field(default_factory=dict)


def judge(evidence: Evidence, limits: GateLimits | None = None) -> Verdict:
    """The gate's answer."""
    limits = limits or GateLimits()
    candidate, counted = evidence.candidate, families(evidence.series, evidence.others)
    folded = cross_validated(evidence.alike)
    chance = luck(candidate, counted.independent)
    deflated = deflated_sharpe(candidate, counted.independent, spread_of_trials(candidate, evidence.ratios))
    reasons = [
        *_too_short(candidate, limits),
        *_lucky(chance, counted, limits),
        *_not_better(deflated, limits),
        *_overfitted(folded, limits),
        *_held_out(evidence),
        *_idle(evidence),
    ]
    return Verdict(
        passed=not reasons,
        reasons=tuple(reasons),
        notes=tuple(_notes(evidence, folded)),
        counted=counted,
        figures={
            "luck": chance,
            "deflated_sharpe": deflated,
            "probabilistic_sharpe": probabilistic_sharpe(candidate),
            "pbo": folded.probability if folded else None,
            "probability_of_loss": folded.loss if folded else None,
            "degradation": folded.degradation if folded else None,
            "sessions": float(candidate.observations),
            "minimum_track_record": minimum_track_record(candidate),
            "held_out_sharpe": evidence.held_out,
            "looks_at_held_out": float(evidence.looks),
        },
    )


def spread_of_trials(candidate: SharpeEstimate, ratios: Floats) -> float:
    """The variance of Sharpe ratios across trials, at least that of a single estimate without an edge.

    The paper takes the variance as it is. Trials that move together have next to none, which would leave the luck that
    they share uncounted: hence the floor.
    """
    own = 1 / max(candidate.observations - 1, 1)
    return max(float(np.var(ratios, ddof=1)) if len(ratios) > 1 else 0.0, own)


def _too_short(candidate: SharpeEstimate, limits: GateLimits) -> list[str]:
    if candidate.observations >= limits.sessions_min:
        return []
    return [f"{candidate.observations} sessions are too few to judge by: at least {limits.sessions_min}"]


def _lucky(chance: float, counted: Families, limits: GateLimits) -> list[str]:
    if chance <= limits.luck_max:
        return []
    of = f"{counted.independent:.0f} independent trials" if counted.independent >= 1.5 else "a single trial"
    tried = f" ({counted.trials:,} were run)" if counted.trials > counted.independent + 0.5 else ""
    reason = (
        f"the best of {of}{tried} without any edge does as well with a probability of {chance:.1%}: "
        f"at most {limits.luck_max:.1%} is allowed"
    )
    return [reason]


def _not_better(deflated: float, limits: GateLimits) -> list[str]:
    if deflated >= limits.deflated_min:
        return []
    reason = (
        f"its Sharpe ratio does not exceed what luck alone gives the best of so many trials "
        f"(deflated Sharpe {deflated:.2f}, at least {limits.deflated_min:.2f})"
    )
    return [reason]


def _overfitted(folded: Overfitting | None, limits: GateLimits) -> list[str]:
    if folded is None or folded.probability <= limits.pbo_max or folded.loss <= limits.loss_max:
        return []
    reason = (
        f"what is best in one half of the time is below the median in the other in {folded.probability:.0%} of the "
        f"cuts (at most {limits.pbo_max:.0%}), and loses in {folded.loss:.0%}"
    )
    return [reason]


def _held_out(evidence: Evidence) -> list[str]:
    if evidence.held_out is None or evidence.held_out > 0:
        return []
    return [f"it lost on the bars held out of the search (Sharpe {evidence.held_out:.2f} a year, at the first reading)"]


def _idle(evidence: Evidence) -> list[str]:
    if not evidence.tests or evidence.idle_tests < evidence.tests:
        return []
    return [f"it never traded in any of the {evidence.tests} tests of its walk forward: they say nothing of it"]


def _notes(evidence: Evidence, folded: Overfitting | None) -> list[str]:
    notes = []
    if evidence.looks > 1:
        notes.append(f"the bars held out were looked at {evidence.looks} times: only the first reading is a test")
    if evidence.held_out is None:
        notes.append(evidence.not_held_out)
    if 0 < evidence.idle_tests < evidence.tests:
        notes.append(
            f"in {evidence.idle_tests} of the {evidence.tests} tests of its walk forward it never traded: "
            "they say nothing of it"
        )
    if folded is None:
        notes.append("fewer than two trials on the same bars: picking a setting cannot be cross-validated")
    needed = minimum_track_record(evidence.candidate)
    if needed is not None and math.isfinite(needed) and needed > evidence.candidate.observations:
        notes.append(f"even as a single trial it would need {needed:,.0f} sessions")
    return notes
