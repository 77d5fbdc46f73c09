"""A collection run as a person sees it: lines or a live table while it goes on, a report when it is done."""

import sys
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

from infra.clock import Clock
from producers.cli.collection import GATEWAY, Collected
from schemas.collection import CollectionRun, Gap, SymbolCollected, SymbolOutcome

_LINE_EVERY_SECONDS = 1.0
_PLAIN_WIDTH = 140
_ROWS_MAX = 25
_GAPS_TOLD_MAX = 5
_GOOD = {SymbolOutcome.COLLECTED, SymbolOutcome.UP_TO_DATE}


def progress(run: CollectionRun) -> str:
    """One line."""
    parts = [f"{run.state.value}: {run.symbols_done} of {run.symbols} symbols"]
    if run.chunks:
        parts.append(f"{run.chunks_done} of {run.chunks} requests")
        parts.append(f"{run.bars_received} bars received, {run.bars_published} published")
    if run.eta_seconds is not None:
        parts.append(f"{run.chunks_per_minute:.0f} requests/min")
        parts.append(f"done in about {timedelta(seconds=round(run.eta_seconds))}")
    if run.retries:
        parts.append(f"{run.retries} asked again")
    if waiting := run.failures.get(GATEWAY):
        parts.append(waiting)
    return ", ".join(parts)


class Lines:
    """A line on stderr now and then, and at each change of state."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last: tuple[str, bool] | None = None
        self._at = float("-inf")

    def __enter__(self) -> "Lines":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __call__(self, told: Collected) -> None:
        state = (told.run.state.value, GATEWAY in told.run.failures)
        now = self._clock.monotonic()
        if state != self._last or now - self._at >= _LINE_EVERY_SECONDS:
            self._last, self._at = state, now
            print(progress(told.run), file=sys.stderr)


class Monitor:
    """A table that changes in place: what failed first, then what came last."""

    def __init__(self, console: Console | None = None) -> None:
        self._live = Live(console=console or Console(file=sys.stderr), refresh_per_second=4)

    def __enter__(self) -> "Monitor":
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def __call__(self, told: Collected) -> None:
        self._live.update(monitor_table(told))


def monitor_table(told: Collected) -> Table:
    failed = error_rate(told)
    caption = f"{progress(told.run)}, {failed:.1%} failed"
    table = Table(title=f"{told.run.what} {told.run.exchange}".strip(), caption=caption)
    for head in ("symbol", "outcome", "bars", "new", "sessions", "what"):
        table.add_column(head, justify="right" if head in ("bars", "new", "sessions") else "left")
    last = list(told.outcomes.values())[::-1]
    rows = [*(each for each in last if each.outcome not in _GOOD), *(each for each in last if each.outcome in _GOOD)]
    for each in rows[:_ROWS_MAX]:
        table.add_row(*_cells(each))
    return table


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
    for each in sorted(told.outcomes.values(), key=lambda each: each.symbol):
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
    return {**told.run.model_dump(mode="json", exclude=hidden), "outcomes": outcomes}


def plain_console() -> Console:
    width = None if sys.stderr.isatty() else _PLAIN_WIDTH
    return Console(file=sys.stderr, highlight=False, width=width)
