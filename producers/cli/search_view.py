"""A search as a person sees it: how far it is, what it found, and what that is worth."""

import json
import shutil
import sys
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from infra.clock import Clock
from producers.cli.backtest_document import as_asked
from schemas.research import OptimizationFinished

_LINE_EVERY_SECONDS = 10.0
_ERASE_REST = "\x1b[K"
_COLUMNS_MAX = 12
_SHADES = " ░▒▓█"


class SearchLine:
    """How far it is, on stderr: one line that changes in place, or a line now and then in a file."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._begun = clock.monotonic()
        self._first: int | None = None
        self._at = float("-inf")
        self._in_place = sys.stderr.isatty()
        self._shown = False

    def __enter__(self) -> "SearchLine":
        return self

    def __exit__(self, *_: object) -> None:
        if self._in_place and self._shown:
            print(file=sys.stderr)

    def __call__(self, phase: str, done: int, total: int, best: float | None) -> None:
        now = self._clock.monotonic()
        self._first = done if self._first is None else self._first
        if now - self._at < (0.2 if self._in_place else _LINE_EVERY_SECONDS) and done < total:
            return
        self._at, self._shown = now, True
        line = f"{phase}: {done:,} of {total:,} runs{self._left(done, total, now)}"
        line += f", best {best:.4g}" if best is not None else ""
        if self._in_place:
            width = shutil.get_terminal_size().columns - 1
            print(f"\r{line[:width]}{_ERASE_REST}", end="", file=sys.stderr, flush=True)
        else:
            print(line, file=sys.stderr)

    def _left(self, done: int, total: int, now: float) -> str:
        assert self._first is not None
        fresh = done - self._first  # what was remembered from before says nothing about speed
        if fresh < 1 or done >= total:
            return ""
        seconds = (now - self._begun) / fresh * (total - done)
        return f", {timedelta(seconds=round(seconds))} left"


def show(done: OptimizationFinished, *, as_json: bool) -> None:
    """The result on stdout, its warnings on stderr."""
    if as_json:
        document = {"id": done.optimization_id, **done.model_dump(mode="json", exclude={"type", "result"})}
        document["request"]["backtest"] = as_asked(document["request"]["backtest"])
        print(json.dumps({**document, **done.result}, indent=2))
        return
    for warning in done.warnings:
        print(f"note: {warning}", file=sys.stderr)
    for line in lines(done):
        print(line)


def lines(done: OptimizationFinished) -> Iterator[str]:
    """What the search found, for a terminal."""
    result, request = done.result, done.request
    backtest = request.backtest
    states = result["states"]
    yield (
        f"{backtest.strategy} on {', '.join(backtest.symbols)}: {result['trials_run']} sets by {request.method}, "
        f"{done.seconds:.1f} s" + (f", {states['pruned']} given up at half time" if states["pruned"] else "")
    )
    yield f"  {'best':<22}{_set(result['best'])}"
    if result["stable"] is not None:
        stable = result["stable"]
        yield f"  {'on the best plateau':<22}{_set(stable)}  (neighbours {_text(stable['neighbourhood'])})"
        yield f"  {'stability of the best':<22}{_text(stable['stability_of_best'])}"
    for number, each in enumerate(result["front"][:10]):
        yield f"  {'front' if not number else '':<22}{_set(each)}"
    weights = sorted(result["importance"].items(), key=lambda pair: -(pair[1] or 0))
    yield f"  {'what matters':<22}" + ", ".join(f"{name} {value or 0:.0%}" for name, value in weights)
    if result["heat_maps"]:
        yield from _heat(result["heat_maps"][0])
    yield from _worth(result)


def _set(each: dict[str, Any]) -> str:
    parameters = " ".join(f"{name}={value}" for name, value in each["parameters"].items())
    return f"{parameters}  " + ", ".join(f"{name} {_text(value)}" for name, value in each["scores"].items())


def _text(value: float | None, form: str = "{:.4g}") -> str:
    return "-" if value is None else form.format(value)


def _heat(heat_map: dict[str, Any]) -> Iterator[str]:
    """Shades from the worst to the best cell; at most twelve columns, the best of those that fall together."""
    known = [cell for row in heat_map["best"] for cell in row if cell is not None]
    if not known:
        return
    low, high = min(known), max(known)
    together = -(-len(heat_map["x_values"]) // _COLUMNS_MAX)
    heads = heat_map["x_values"][::together]
    yield f"  {heat_map['y'] + ' by ' + heat_map['x']:<22}" + "".join(f"{each!s:>7}" for each in heads)
    for value, row in zip(heat_map["y_values"], heat_map["best"], strict=True):
        cells = [[c for c in row[at : at + together] if c is not None] for at in range(0, len(row), together)]
        yield f"  {value!s:>22}" + "".join(_cell(max(each) if each else None, low, high) for each in cells)


def _cell(value: float | None, low: float, high: float) -> str:
    if value is None:
        return " " * 7
    shade = _SHADES[min(int((value - low) / (high - low) * len(_SHADES)), len(_SHADES) - 1)] if high > low else "█"
    return f"{value:6.2f}{shade}"


def _reading(reading: dict[str, Any]) -> str:
    # results of earlier versions do not tell it
    return "never traded" if reading.get("never_traded") else f"Sharpe {_text(reading['sharpe'], '{:.2f}')}"


def _families(count: int) -> str:
    return "1 family" if count == 1 else f"{count:,} families"


def _worth(result: dict[str, Any]) -> Iterator[str]:
    worth, walk, held_out = result["overfitting"], result["walk_forward"], result["holdout"]
    yield (
        f"  {'trials on record':<22}{worth['trials']:,} in {_families(worth['families'])}, "
        f"worth {_text(worth['independent_trials'], '{:,.0f}')} independent ones"
    )
    yield f"  {'by luck alone':<22}{_text(worth['luck'], '{:.1%}')}"
    yield f"  {'deflated Sharpe':<22}{_text(worth['deflated_sharpe'], '{:.3f}')}"
    yield f"  {'overfitting (PBO)':<22}{_text(worth['pbo'], '{:.0%}')}"
    if result["paths"]:
        paths = result["paths"]
        spread = [_text(paths[name], "{:.2f}") for name in ("sharpe_worst", "sharpe_median", "sharpe_best")]
        yield f"  {'Sharpe over paths':<22}{spread[0]} to {spread[2]}, median {spread[1]} ({paths['paths']} paths)"
    if result["random_entries"]:
        yield f"  {'random entries':<22}as good in {_text(result['random_entries']['p_value'], '{:.1%}')}"
    if walk:
        whole = f"return {_text(walk['total_return'], '{:+.1%}')}, Sharpe {_text(walk['sharpe'], '{:.2f}')}"
        means = f"{_text(walk['mean_inside'])} inside, {_text(walk['mean_outside'])} outside"
        idle = f" ({walk['idle_folds']} never traded)" if walk.get("idle_folds") else ""
        yield f"  {'walk forward':<22}{len(walk['folds'])} folds{idle}, {whole}; {walk['objective']} {means}"
    if held_out:
        reading = held_out["reading"]
        told = _reading(reading) if reading else "not read: --read-holdout"
        yield f"  {'held out':<22}since {held_out['since']}, {told}; looks before: {held_out['looks_before']}"
    gate = result["gate"]
    yield f"  {'gate':<22}{'pass' if gate['passed'] else 'fail'}"
    for reason in gate["reasons"]:
        yield f"  {'':<22}{reason}"
