"""Numbers and names as a reader of the report sees them."""

from collections.abc import Sequence
from datetime import datetime

from schemas.backtest import BacktestFinished

_MINUS = "\N{MINUS SIGN}"
_NOTHING = '<span class="dim">–</span>'
_FORMS = {
    "amount": "{:,.2f}",
    "money": "{:,.2f}",
    "share": "{:.1%}",
    "times": "{:.1f} ×",
    "number": "{:,.2f}",
    "count": "{:,.0f}",
}


def symbols(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 4 else f"{', '.join(names[:3])} and {len(names) - 3} more"


def title(done: BacktestFinished) -> str:
    return f"{done.request.strategy} on {symbols(done.request.symbols)}"


def benchmark_name(done: BacktestFinished) -> str:
    """What the run is held against; empty when it is held against nothing."""
    if not done.benchmark:
        return ""
    if done.request.benchmark:
        return f"{done.request.benchmark} bought and held"
    return f"{symbols(done.request.symbols)} bought and held"


def bar_size(done: BacktestFinished) -> str:
    seconds = int(done.request.bar_size.total_seconds())
    for length, name in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds % length == 0:
            count = seconds // length
            return f"{count} {name}{'s' if count > 1 else ''}"
    return f"{seconds} seconds"


def moment(text: str) -> str:
    return f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M}"


def signed(value: float, form: str) -> str:
    text = form.format(value)
    if not any(digit in text for digit in "123456789"):
        text = text.lstrip("+-")
    return text.replace("-", _MINUS)


def written(value: float | None, kind: str) -> str:
    if value is None:
        return _NOTHING
    return signed(value, "{:+.2%}" if kind == "percent" else _FORMS[kind])


def mood(value: float | None, kind: str) -> str:
    """Colour for what may be a gain or a loss."""
    if value is None or kind not in ("percent", "money") or value == 0:
        return ""
    return ' class="good"' if value > 0 else ' class="bad"'
