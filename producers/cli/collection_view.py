"""A collection run as a person sees it: a live table while it goes on, a report when it is done."""

import sys
from collections.abc import Iterable
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table

from producers.cli.collection import Collected
from producers.cli.progress import progress
from schemas.collection import Gap, SymbolCollected, SymbolOutcome

_ROWS_MAX = 25
_AROUND_ROWS = 9
"""Lines of the monitor that are no rows: its head, its frame, what stands below."""
_GAPS_TOLD_MAX = 5
_SYMBOLS_TOLD_MAX = 20
_GOOD = {SymbolOutcome.COLLECTED, SymbolOutcome.UP_TO_DATE}


class Monitor:
    """A table that changes in place: what failed first, then what came last."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(file=sys.stderr)
        self._live = Live(console=self._console, refresh_per_second=4)

    def __enter__(self) -> "Monitor":
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def __call__(self, told: Collected) -> None:
        rows_max = max(1, min(_ROWS_MAX, self._console.height - _AROUND_ROWS))
        self._live.update(monitor_table(told, rows_max))


def monitor_table(told: Collected, rows_max: int = _ROWS_MAX) -> Group:
    """The table, and how far the run is below it, over the whole width."""
    what = f"{told.run.what} {told.run.exchange}".strip()
    table = Table(title=f"{what}, {error_rate(told):.1%} failed")
    for head in ("symbol", "outcome", "bars", "new", "sessions", "what"):
        table.add_column(head, justify="right" if head in ("bars", "new", "sessions") else "left")
    last = list(told.outcomes.values())[::-1]
    rows = [*(each for each in last if each.outcome not in _GOOD), *(each for each in last if each.outcome in _GOOD)]
    for each in rows[:rows_max]:
        table.add_row(*_cells(each))
    return Group(table, progress(told.run))


def _cells(each: SymbolCollected) -> tuple[str, ...]:
    sessions = f"{each.sessions_complete}/{each.sessions}"
    why = each.reason or (gap_text(each.gaps[0]) if each.gaps else "")
    return each.symbol, each.outcome.value, str(each.bars_received), str(each.bars_published), sessions, why


def error_rate(told: Collected) -> float:
    """The part of the symbols that are done which failed."""
    done = len(told.outcomes)
    return sum(each.outcome is SymbolOutcome.FAILED for each in told.outcomes.values()) / done if done else 0.0


def gap_text(gap: Gap) -> str:
    days = f"{gap.first_day}" if gap.first_day == gap.last_day else f"{gap.first_day} to {gap.last_day}"
    return f"{days}: {gap.sessions} session{'s' if gap.sessions > 1 else ''} missing, {gap.reason}"


def report(told: Collected) -> Iterable[str]:
    """What was brought, what is complete and what is missing, and why."""
    run = told.run
    yield (
        f"{run.bars_received} bars received, {run.bars_published} new or changed, {run.quarantined} set aside; "
        f"{run.sessions_complete} of {run.sessions} sessions complete"
    )
    if rate := error_rate(told):
        yield f"{rate:.1%} of {len(told.outcomes)} symbols failed"
    outcomes = sorted(told.outcomes.values(), key=lambda each: each.symbol)
    if len(outcomes) > _SYMBOLS_TOLD_MAX:  # of so many, only what somebody should look at
        good = [each for each in outcomes if each.outcome in _GOOD and not each.gaps and not each.reason]
        yield f"{len(good)} of {len(outcomes)} symbols have all their sessions"
        outcomes = [each for each in outcomes if each not in good]
    for each in outcomes:
        sessions = f"{each.sessions_complete} of {each.sessions} sessions"
        words = f"{each.symbol}: {each.outcome.value}, {each.bars_received} bars, {sessions}"
        yield f"  {words}{': ' + each.reason if each.reason else ''}"
        for gap in each.gaps[:_GAPS_TOLD_MAX]:
            yield f"    {gap_text(gap)}"
        if len(each.gaps) > _GAPS_TOLD_MAX:
            yield f"    and {len(each.gaps) - _GAPS_TOLD_MAX} gaps more: --json tells all of them"


def document(told: Collected) -> dict[str, Any]:
    """For --json."""
    hidden = {"type", "event_time", "ingest_time"}
    outcomes = [
        each.model_dump(mode="json", exclude={*hidden, "run_id"})
        for each in sorted(told.outcomes.values(), key=lambda each: each.symbol)
    ]
    run = told.run.model_dump(mode="json", exclude=hidden)
    return {**run, "error_rate": round(error_rate(told), 4), "outcomes": outcomes}
