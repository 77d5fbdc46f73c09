"""`scizor strategy gate`: whether what was found may be more than the luck of having tried often."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.errors import RefusedError

if TYPE_CHECKING:
    from engine.research.gate import Verdict
    from schemas.backtest import Trial


class GateClosedError(RefusedError):
    """The strategy did not pass; the reasons were told."""


def gate(
    strategy: Annotated[str, typer.Argument(help="A name from `scizor strategy list`, or a FILE.py of your own.")],
    any_code: Annotated[
        bool, typer.Option("--any-code", help="Judge the best trial even if the code has changed since.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Pass or fail, with reasons, by every trial of the strategy that was ever run. Fail has exit code 4.

    Judged is its best trial, as if it had been picked from all of them: docs/optimisation.md says how.
    """
    from engine.registry import names
    from engine.research.judging import CodeChangedError, NoCandidateError
    from engine.research.judging import gate as judged
    from infra.engine_code import code_hash
    from infra.errors import UsageError
    from producers.cli.config import load_settings
    from producers.cli.strategy_files import beside, is_file, read_strategy
    from producers.cli.trial_ledger import every_trial

    own = read_strategy(strategy) if is_file(strategy) else None
    text = own.sha256 if own else _uploaded(strategy)
    if not text and not any_code and strategy not in names():
        raise UsageError(
            f"{strategy} does not come with SCIZOR{beside(strategy) or ': give its FILE.py, or --any-code'}"
        )
    name = own.name if own else strategy
    trials = [each for each in every_trial(load_settings()) if each.strategy == name]
    code = "" if any_code else code_hash(text)
    try:
        candidate, verdict = judged(trials, code)
    except CodeChangedError as error:
        raise UsageError(f"{name}: {error}.\n{_again(strategy, error.best)}") from None
    except NoCandidateError as error:
        raise UsageError(f"{name}: {error}") from None
    if as_json:
        print(json.dumps(_document(name, candidate, verdict), indent=2))
    else:
        _show(name, candidate, verdict)
    if not verdict.passed:
        raise GateClosedError(f"{name} does not pass: {verdict.reasons[0]}")


def _uploaded(strategy: str) -> str:
    from producers.cli.asked_backtest import uploaded_text

    return uploaded_text(strategy, None)


def _again(strategy: str, best: "Trial") -> str:
    """The command that runs the best trial again, as far as a trial tells what it was."""
    given = [f"--param {name}={value}" for name, value in best.parameters.items()]
    days = [f"--{name}-date {moment:%Y-%m-%d}" for name, moment in (("start", best.start), ("end", best.end)) if moment]
    words = ["scizor backtest run", strategy, "--symbols", ",".join(best.symbols), *given, *days]
    return (
        f"The best of them again: `{' '.join(words)}` (with its --source and --bar-size, if they were others than the "
        "defaults); or the search that found it, by `scizor optimize`. --any-code judges the old trials as they are"
    )


def _document(name: str, candidate: "Trial", verdict: "Verdict") -> dict[str, Any]:
    from engine.research.ledger import summary

    return {
        "strategy": name,
        "passed": verdict.passed,
        "reasons": list(verdict.reasons),
        "notes": list(verdict.notes),
        "candidate": summary(candidate),
        "trials": verdict.counted.trials,
        "families": verdict.counted.families,
        "independent_trials": verdict.counted.independent,
        **verdict.figures,
    }


_FORMS = (
    ("by luck alone", "luck", "{:.2%}"),
    ("deflated Sharpe", "deflated_sharpe", "{:.3f}"),
    ("overfitting (PBO)", "pbo", "{:.0%}"),
    ("loses out of sample", "probability_of_loss", "{:.0%}"),
    ("sessions", "sessions", "{:,.0f}"),
)


def _show(name: str, candidate: "Trial", verdict: "Verdict") -> None:
    counted = verdict.counted
    parameters = " ".join(f"{key}={value}" for key, value in candidate.parameters.items())
    print(f"{name}: {'pass' if verdict.passed else 'fail'}")
    print(f"  {'judged':<22}{parameters} on {', '.join(candidate.symbols)}, Sharpe {candidate.sharpe:.2f}")
    families = "1 family" if counted.families == 1 else f"{counted.families:,} families"
    worth = f"{counted.independent:,.0f} independent ones"
    print(f"  {'trials on record':<22}{counted.trials:,} in {families}, worth {worth}")
    for label, figure, form in _FORMS:
        value = verdict.figures[figure]
        print(f"  {label:<22}{'-' if value is None else form.format(value)}")
    for reason in verdict.reasons:
        print(f"  no: {reason}")
    for note in verdict.notes:
        print(f"  note: {note}")
