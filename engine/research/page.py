"""A search as one page that needs nothing else: what it found, its heat maps, its walk, and what the best is worth."""

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from engine.report.charts import Frame, Line, chart
from engine.report.page import whole
from engine.report.series import microseconds
from engine.report.words import signed
from schemas.research import OptimizationFinished

_MAPS_MAX = 10
_TRIALS_SHOWN = 200


def page(done: OptimizationFinished) -> str:
    """The page. Raises ValueError for a search that failed."""
    if not done.succeeded:
        raise ValueError(f"there is no report of a search that failed: {done.error}")
    result = done.result
    return whole(
        f"{done.request.backtest.strategy}: search",
        _header(done),
        _warnings(done.warnings),
        _gate(result),
        _sets(result),
        *(_heat_map(each) for each in result["heat_maps"][:_MAPS_MAX]),
        _walk(result, done.request.backtest.cash),
        _worth(result),
        _trials(result),
    )


def _header(done: OptimizationFinished) -> str:
    request = done.request
    searched = ", ".join((*request.axes, *request.constraints))
    return (
        f'<header><p class="over">SCIZOR search</p><h1>{escape(request.backtest.strategy)} on '
        f"{escape(', '.join(request.backtest.symbols))}</h1><p>{done.result['trials_run']:,} parameter sets by "
        f"{request.method}, seed {request.seed}, for {escape(', '.join(request.objectives))}: <code>{escape(searched)}"
        f"</code></p></header>"
    )


def _warnings(warnings: Sequence[str]) -> str:
    if not warnings:
        return ""
    told = "".join(f"<li>{escape(each)}</li>" for each in warnings)
    return f'<section class="warnings"><h2>To know first</h2><ul>{told}</ul></section>'


def _gate(result: dict[str, Any]) -> str:
    gate = result["gate"]
    told = "".join(f"<li>{escape(each)}</li>" for each in (*gate["reasons"], *gate["notes"]))
    word = '<b class="good">pass</b>' if gate["passed"] else '<b class="bad">fail</b>'
    return f'<section class="panel"><h2>Gate: {word}</h2><ul>{told}</ul></section>'


def _sets(result: dict[str, Any]) -> str:
    named = [("Best", result["best"]), *([("On the best plateau", result["stable"])] if result["stable"] else [])]
    named += [(f"Front {number}", each) for number, each in enumerate(result["front"], start=1)]
    rows = [(name, _parameters(each), _scores(each)) for name, each in named]
    stability = f"Stability of the best: {_number((result['stable'] or {}).get('stability_of_best'))}. "
    matters = ", ".join(f"{escape(name)} {value or 0:.0%}" for name, value in result["importance"].items())
    return _panel(
        "Parameters", _table(("", "Set", "Scores"), rows) + f"<p class='dim'>{stability}What matters: {matters}.</p>"
    )


def _heat_map(heat_map: dict[str, Any]) -> str:
    """Cells as strong as they are good; the script of reports is not needed."""
    known = [cell for row in heat_map["best"] for cell in row if cell is not None]
    if not known:
        return ""
    low, high = min(known), max(known)
    head = "".join(f"<th>{escape(str(each))}</th>" for each in heat_map["x_values"])
    rows = "".join(
        f"<tr><th>{escape(str(value))}</th>{''.join(_cell(each, low, high) for each in row)}</tr>"
        for value, row in zip(heat_map["y_values"], heat_map["best"], strict=True)
    )
    name = f"{escape(heat_map['y'])} by {escape(heat_map['x'])} <small>the best of each cell</small>"
    return _panel(name, f'<div class="wide"><table class="months"><tr><th></th>{head}</tr>{rows}</table></div>')


def _cell(value: float | None, low: float, high: float) -> str:
    if value is None:
        return "<td></td>"
    heat = (value - low) / (high - low) if high > low else 1.0
    return f'<td class="gain" style="--heat:{0.75 * heat:.2f}">{value:.2f}</td>'


def _walk(result: dict[str, Any], cash: float) -> str:
    walk = result["walk_forward"]
    if not walk:
        return ""
    times, values = walk["equity"]["time"], walk["equity"]["value"]
    points = [(microseconds(time), value / cash - 1) for time, value in zip(times, values, strict=True)]
    frame = Frame("Return out of sample", "{:.0%}", 280)
    rows = [
        (" to ".join(each["train"]), " to ".join(each["test"]), _parameters(each), _number(each["inside"]),
         _number(each["outside"]), _return(each))
        for each in walk["folds"]
    ]  # fmt: skip
    head = ("Searched", "Tested", "Chosen", f"{walk['objective']} inside", "outside", "return")
    curve = chart(frame, [Line(points, "equity", "tests, stitched")]) if len(points) > 1 else ""
    return _panel("Walk forward <small>tests stitched: no search has seen them</small>", curve + _table(head, rows))


def _return(fold: dict[str, Any]) -> str:
    # results of earlier versions do not tell how many executions there were
    return "never traded" if fold.get("executions") == 0 else _told(fold["total_return"], "{:+.2%}")


_WORTH = (
    ("overfitting", "trials", "Trials on record", "{:,.0f}"),
    ("overfitting", "families", "Families of trials that move together", "{:,.0f}"),
    ("overfitting", "independent_trials", "Worth so many independent trials", "{:,.1f}"),
    ("overfitting", "luck", "As good by luck alone: probability", "{:.1%}"),
    ("overfitting", "probabilistic_sharpe", "Probabilistic Sharpe ratio, of one trial", "{:.3f}"),
    ("overfitting", "deflated_sharpe", "Deflated Sharpe ratio, of all trials", "{:.3f}"),
    ("overfitting", "pbo", "Probability of backtest overfitting (PBO)", "{:.0%}"),
    ("overfitting", "probability_of_loss", "What is best in one half of the time loses in the other", "{:.0%}"),
    ("overfitting", "degradation", "Slope of results outside against those inside", "{:.2f}"),
    ("overfitting", "sessions", "Sessions", "{:,.0f}"),
    ("overfitting", "minimum_track_record", "Sessions needed to believe a Sharpe ratio above zero", "{:,.0f}"),
    ("paths", "sharpe_worst", "Sharpe ratio over paths of cross-validation: worst", "{:.2f}"),
    ("paths", "sharpe_median", "Sharpe ratio over those paths: median", "{:.2f}"),
    ("paths", "sharpe_best", "Sharpe ratio over those paths: best", "{:.2f}"),
    ("paths", "settings_chosen", "Sets chosen on them", "{:,.0f}"),
    ("monte_carlo", "final_equity", "Final equity, trades drawn again: 5, 25, 50, 75, 95 %", "{:,.0f}"),
    ("monte_carlo", "max_drawdown", "Deepest drawdown, the same", "{:.1%}"),
    ("monte_carlo", "loss", "Ends with a loss: probability", "{:.1%}"),
    ("monte_carlo", "ruin", "Ends in ruin: probability", "{:.1%}"),
    ("random_entries", "earned", "Earned by its entries", "{:,.0f}"),
    ("random_entries", "random_mean", "Earned by random ones, mean", "{:,.0f}"),
    ("random_entries", "p_value", "Random entries do as well: probability", "{:.1%}"),
)
"""Group and name within the result, what a reader is told, and how."""


def _worth(result: dict[str, Any]) -> str:
    rows: list[tuple[str, ...]] = []
    for group, name, label, form in _WORTH:
        if name in (told := result[group] or {}):
            values = told[name] if isinstance(told[name], list | tuple) else [told[name]]
            rows.append((label, ", ".join(_told(each, form) for each in values)))
    if held_out := result["holdout"]:
        rows.append(("Held out since", held_out["since"]))
        rows.append(("Looked at before, times", f"{held_out['looks_before']:,}"))
        if reading := held_out["reading"]:
            sharpe = "never traded" if reading.get("never_traded") else _told(reading["sharpe"], "{:.2f}")
            rows.append(("Held out: Sharpe ratio", sharpe))
            rows.append(("Held out: return", _told(reading["total_return"], "{:+.2%}")))
            rows.append(("Held out: closed trades", f"{reading['trades']:,.0f}"))
    return _panel("What it is worth", _table(("", ""), rows))


def _trials(result: dict[str, Any]) -> str:
    rows = [
        (str(each["number"]), _parameters(each), _scores(each), each.get("error") or each["state"])
        for each in result["trials"][:_TRIALS_SHOWN]
    ]
    shown = (
        f" <small>the first {len(rows)} of {result['trials_run']:,}</small>" if len(rows) < result["trials_run"] else ""
    )
    return _panel(f"Trials{shown}", f'<div class="scroll">{_table(("", "Set", "Scores", ""), rows)}</div>')


def _panel(heading: str, body: str) -> str:
    return f'<section class="panel"><h2>{heading}</h2>{body}</section>'


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    heads = "".join(f"<th>{escape(each)}</th>" for each in head)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="wide"><table class="rows"><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>'


def _parameters(each: dict[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in each["parameters"].items())


def _scores(each: dict[str, Any]) -> str:
    return ", ".join(f"{name} {_number(value)}" for name, value in each["scores"].items())


def _number(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _told(value: float | None, form: str) -> str:
    return "-" if value is None else signed(value, form)
