"""The search for parameters as events: what is asked for, how far it is, and what came of it."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from schemas.backtest import BacktestRequested
from schemas.event import Event, Name

Method = Literal["grid", "random", "tpe", "nsga2", "genetic"]
Text = Annotated[str, Field(min_length=1, max_length=1000)]

TRIALS_MAX = 20_000


class WalkForward(BaseModel):
    """Search in one window, test on what follows, move on. Lengths in sessions."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    kind: Literal["anchored", "rolling"] = "rolling"
    train: Annotated[int, Field(ge=20, le=100_000)] = 504
    test: Annotated[int, Field(ge=5, le=100_000)] = 126
    gap: Annotated[int, Field(ge=0, le=10_000)] = 0
    """Sessions left out between the two."""


class OptimizationRequested(Event):
    """Work for the backtester: run `backtest` with many parameter sets.

    `axes` are ranges as a person writes them (`fast=5:50:5`), `constraints` conditions between them, `objectives`
    metrics with an optional `:min` or `:max`. The same request over the same bars tries the same parameter sets,
    whatever the number of workers.
    """

    type: Literal["OptimizationRequested"] = "OptimizationRequested"
    optimization_id: Name
    backtest: BacktestRequested
    axes: Annotated[tuple[Text, ...], Field(min_length=1, max_length=50)]
    constraints: Annotated[tuple[Text, ...], Field(max_length=50)] = ()
    method: Method = "grid"
    objectives: Annotated[tuple[Text, ...], Field(min_length=1, max_length=4)] = ("sharpe",)
    trials: Annotated[int, Field(ge=1, le=TRIALS_MAX)] | None = None
    """At most, in each search; None: the whole grid, or 100."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 1
    batch: Annotated[int, Field(ge=1, le=1000)] = 16
    """How many are chosen at once, before any of them is known; also the population of nsga2 and genetic."""
    prune: bool = False
    """Give up on those that are below the median over the first half of the time."""
    walk_forward: WalkForward | None = None
    holdout: Annotated[float, Field(ge=0, le=0.8)] = 0.0
    """The last part of the sessions, which the search never sees."""
    read_holdout: bool = False
    """Look at that part with the best parameters in the end: a reading that the ledger keeps."""
    requested_by: Name

    @model_validator(mode="after")
    def _a_hold_out_is_there_to_be_read(self) -> Self:
        if self.read_holdout and not self.holdout:
            raise ValueError("read_holdout needs a holdout: nothing is held out of this search")
        if self.prune and len(self.objectives) > 1:
            raise ValueError("prune needs a single objective: with several, none is the one to give up by")
        return self


class OptimizationContinued(Event):
    """A slice of the work is done and kept: whoever takes this goes on where it ended."""

    type: Literal["OptimizationContinued"] = "OptimizationContinued"
    optimization_id: Name
    request: OptimizationRequested
    slices: Annotated[int, Field(ge=1)]
    """How many slices have ended."""
    seconds: Annotated[float, Field(ge=0)]
    """Spent so far."""


class OptimizationCanceled(Event):
    """Nobody wants the result any more."""

    type: Literal["OptimizationCanceled"] = "OptimizationCanceled"
    optimization_id: Name
    by: Name


class OptimizationProgress(Event):
    """How far the search is; `done` of `total` runs, both over all folds."""

    type: Literal["OptimizationProgress"] = "OptimizationProgress"
    optimization_id: Name
    phase: Literal["reading", "searching", "testing", "judging"]
    done: int
    total: int
    eta_seconds: float | None = None
    best: float | None = None
    """Of the first objective, as far as known."""


class OptimizationFinished(Event):
    """What the search found, or why it could not be."""

    type: Literal["OptimizationFinished"] = "OptimizationFinished"
    optimization_id: Name
    request: OptimizationRequested
    succeeded: bool
    error: Annotated[str, Field(max_length=2000)] = ""
    code_hash: str = ""
    data_digest: str = ""
    trials_hash: str = ""
    """SHA-256 over all parameter sets in their order and their scores: the same request gives the same."""
    seconds: float = 0.0
    result: dict[str, Any] = Field(default_factory=dict)
    """See docs/optimisation.md: best, front, trials, importance, heat maps, plateau, overfitting, folds."""
    warnings: tuple[str, ...] = ()


OptimizationRequest = Annotated[
    OptimizationRequested | OptimizationContinued | OptimizationCanceled, Field(discriminator="type")
]
