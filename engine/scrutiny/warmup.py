"""Whether a longer history changes what a strategy sees and says."""

from collections.abc import Sequence

from engine.columns import BarColumns
from engine.scrutiny.findings import Finding, Lines, Severity
from engine.scrutiny.recording import Row, Trial, since, unlike
from schemas.moments import to_datetime


def warm_up(trial: Trial, columns: BarColumns, whole: Sequence[Row], lines: Lines) -> list[Finding]:
    """Run over the later half of the bars, and compare from the bar on which all indicators have settled."""
    built = trial.strategy(trial.config)
    found = [
        Finding(
            Severity.WARNING,
            "warm-up",
            f"{slot.indicator.name} counts from the first bar: its level depends on where history begins",
        )
        for slot in built.slots
        if slot.indicator.anchored
    ]
    ends = sorted(set(columns.end_us.tolist()))
    later = trial.backtested(since(columns, ends[len(ends) // 2]))
    settled = _from_settled(later, built.settled - built.warmup)
    if not settled:
        text = f"its indicators settle after {built.settled} bars: too many for these bars to tell more"
        return [*found, Finding(Severity.NOTE, "warm-up", text)]
    before = {(row.end_us, row.contract_id): row for row in whole}
    pairs = [(before[row.end_us, row.contract_id], row) for row in settled]
    if not found:
        found += _values(trial.names(), pairs, built.settled, lines)
    return [*found, *_said(pairs, lines)]


def _from_settled(rows: Sequence[Row], skipped: int) -> list[Row]:
    """Each contract's rows without the first `skipped`."""
    seen: dict[int, int] = {}
    kept = []
    for row in rows:
        seen[row.contract_id] = seen.get(row.contract_id, 0) + 1
        if seen[row.contract_id] > skipped:
            kept.append(row)
    return kept


def _values(names: list[str], pairs: Sequence[tuple[Row, Row]], settled: int, lines: Lines) -> list[Finding]:
    scales = [max(abs(known.values[place]) for known, _ in pairs) for place in range(len(names))]
    for known, row in pairs:
        place = unlike(row.values, known.values, scales)
        if place is not None:
            short, long, day = row.values[place], known.values[place], f"{to_datetime(row.end_us):%Y-%m-%d}"
            text = f"{names[place]} is {short:.10g} on {day} after {settled} bars or more, {long:.10g} with all history"
            return [Finding(Severity.ERROR, "warm-up", text, lines.attribute(names[place]))]
    return []


def _said(pairs: Sequence[tuple[Row, Row]], lines: Lines) -> list[Finding]:
    """Decisions may differ for a while, where they depend on what is held; not for ever."""
    unlike_at = [number for number, (known, row) in enumerate(pairs) if known.told != row.told]
    if not unlike_at:
        return []
    line = lines.function("on_bar")
    if unlike_at[-1] >= len(pairs) * 3 // 4:
        text = "its decisions depend on where history begins, and go on to: what it keeps between bars never settles"
        return [Finding(Severity.WARNING, "warm-up", text, line)]
    day = f"{to_datetime(pairs[unlike_at[-1]][1].end_us):%Y-%m-%d}"
    first = f"{to_datetime(pairs[0][1].end_us):%Y-%m-%d}"
    text = f"after its indicators settled on {first}, where history began shows in decisions until {day}, then no more"
    return [Finding(Severity.NOTE, "warm-up", text, line)]
