"""Several backtests on one page: their curves over each other, their figures side by side."""

from collections.abc import Sequence
from html import escape

from engine.report import figures
from engine.report.charts import Frame, Line, chart
from engine.report.page import known, whole
from engine.report.series import equity_points
from engine.report.words import benchmark_name, mood, title, written
from schemas.backtest import BacktestFinished

RUNS_MAX = 8


def comparison(runs: Sequence[BacktestFinished]) -> str:
    """The page. Raises ValueError for fewer than two runs, more than eight, or one that failed."""
    if not 2 <= len(runs) <= RUNS_MAX:
        raise ValueError(f"a comparison takes 2 to {RUNS_MAX} backtests, not {len(runs)}")
    for done in runs:
        known(done)
    names = [f"{number}. {_name(done)}" for number, done in enumerate(runs, start=1)]
    return whole(
        "Backtests compared",
        f'<header><p class="over">SCIZOR backtests</p><h1>{len(runs)} backtests compared</h1></header>',
        _curves(runs, names),
        _settings(runs, names),
        *(_group(group, runs, names) for group in figures.GROUPS),
    )


def _name(done: BacktestFinished) -> str:
    given = " ".join(f"{name}={value}" for name, value in done.request.parameters.items())
    return f"{title(done)} {given}".strip()


def _curves(runs: Sequence[BacktestFinished], names: Sequence[str]) -> str:
    lines = [
        Line([(time, value / done.request.cash - 1) for time, value in equity_points(done)], f"run-{number}", name)
        for number, (done, name) in enumerate(zip(runs, names, strict=True))
    ]
    frame = Frame("Return over time", "{:.0%}", 320)
    return f'<section class="panel"><h2>Return</h2>{chart(frame, lines)}</section>'


def _settings(runs: Sequence[BacktestFinished], names: Sequence[str]) -> str:
    rows = (
        ("Time", [f"{done.equity[0][0][:10]} to {done.equity[-1][0][:10]}" for done in runs]),
        ("Bars", [f"{done.bars:,}" for done in runs]),
        ("Same bars as the first", ["yes" if done.data_digest == runs[0].data_digest else "no" for done in runs]),
        ("Starting cash", [f"{done.request.cash:,.2f}" for done in runs]),
        ("Commission, bps", [f"{done.request.commission_bps:g}" for done in runs]),
        ("Slippage, bps", [f"{done.request.slippage_bps:g}" for done in runs]),
        ("Other rules", [_rules(done) for done in runs]),
        ("Benchmark", [benchmark_name(done) or "none" for done in runs]),
        ("Backtest", [done.backtest_id for done in runs]),
    )
    body = "".join(
        f"<tr><td>{escape(label)}</td>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"
        for label, cells in rows
    )
    return _table("How they were run", body, names)


def _rules(done: BacktestFinished) -> str:
    given = {**done.request.rules, **({} if done.request.basis == "split_adjusted" else {"basis": done.request.basis})}
    return " ".join(f"{name}={value}" for name, value in given.items()) or "none"


def _group(group: str, runs: Sequence[BacktestFinished], names: Sequence[str]) -> str:
    rows = []
    for name, label, kind in figures.GROUPS[group]:
        values = [done.metrics.get(name) for done in runs]
        cells = "".join(f"<td{mood(value, kind)}>{written(value, kind)}</td>" for value in values)
        rows.append(f"<tr><td>{escape(label)}</td>{cells}</tr>")
    return _table(group, "".join(rows), names)


def _table(heading: str, body: str, names: Sequence[str]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    return (
        f'<section class="panel"><h2>{escape(heading)}</h2><div class="wide"><table class="rows">'
        f"<thead><tr><th></th>{head}</tr></thead><tbody>{body}</tbody></table></div></section>"
    )
