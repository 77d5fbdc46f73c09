"""Whether a strategy knows the future: the past must look the same however the bars go on."""

from collections.abc import Iterable, Sequence

from engine.columns import BarColumns
from engine.scrutiny.findings import Finding, Lines, Severity
from engine.scrutiny.recording import Row, Trial, unlike, until
from schemas.moments import to_datetime

CUTS = 16
"""At how many moments the bars are cut; half of them where the strategy said something."""


def lookahead(trial: Trial, columns: BarColumns, whole: Sequence[Row], lines: Lines) -> list[Finding]:
    """Run over the bars until several moments, and compare what was seen and said with the run over all of them.

    Then the indicators bar by bar, as live. At last the first cut again: what it says may not depend on earlier runs.
    """
    names, found = trial.names(), list[Finding]()
    cuts = moments(columns, whole)
    for cut in cuts:
        found += _compared(names, whole, trial.backtested(until(columns, cut)), cut, lines)
    found += _alive(trial, columns, whole, lines)
    first = trial.backtested(until(columns, cuts[-1]))
    if first != trial.backtested(until(columns, cuts[-1])) or list(whole) != trial.backtested(columns):
        text = "two runs over the same bars differ: state of the file or the class outlives a run"
        found.append(Finding(Severity.ERROR, "shared", text, lines.function("on_bar")))
    return list(dict.fromkeys(found))


def moments(columns: BarColumns, rows: Sequence[Row]) -> list[int]:
    """Ends of bars to cut after, the first twentieth left whole: some where it said something, some evenly spread."""
    ends = sorted(set(columns.end_us.tolist()))
    later = ends[len(ends) // 20 : -1] or ends
    spoken = sorted({row.end_us for row in rows if row.told != "None" and later[0] <= row.end_us <= later[-1]})
    return sorted({*_spread(spoken, CUTS // 2), *_spread(later, CUTS - CUTS // 2)})


def _spread(values: Sequence[int], count: int) -> Iterable[int]:
    if len(values) <= count:
        return values
    return [values[place * (len(values) - 1) // (count - 1)] for place in range(count)]


def _compared(names: list[str], whole: Sequence[Row], part: Sequence[Row], cut: int, lines: Lines) -> list[Finding]:
    """The first difference between a run that ended at `cut` and one that went on."""
    ending = f"where the bars end on {_day(cut)}"
    for known, row in zip((row for row in whole if row.end_us <= cut), part, strict=False):
        place = unlike(row.values, known.values)
        if place is not None:
            less, more = row.values[place], known.values[place]
            text = (
                f"{names[place]} is {less:.10g} on {_day(row.end_us)} {ending}, {more:.10g} once later bars are there"
            )
            return [Finding(Severity.ERROR, "lookahead", text, lines.attribute(names[place]))]
        if row.told != known.told:
            less_said, more_said = _short(row.told), _short(known.told)
            text = f"on {_day(row.end_us)} it says {less_said} {ending}, {more_said} once later bars are there"
            return [Finding(Severity.ERROR, "lookahead", text, lines.function("on_bar"))]
    return []


def _alive(trial: Trial, columns: BarColumns, whole: Sequence[Row], lines: Lines) -> list[Finding]:
    """Indicators as columns against their twins."""
    names = trial.names()
    if not names:
        return []
    for known, row in zip(whole, trial.lived(columns), strict=False):
        place = unlike(row.values, known.values)
        if place is not None:
            alive, column = row.values[place], known.values[place]
            values = f"{column:.10g} on {_day(row.end_us)} as a column, but {alive:.10g} bar by bar, as live"
            text = f"{names[place]} is {values}"
            return [Finding(Severity.ERROR, "lookahead", text, lines.attribute(names[place]))]
    return []


def _day(time_us: int) -> str:
    return f"{to_datetime(time_us):%Y-%m-%d %H:%M}"


def _short(told: str) -> str:
    return "nothing" if told == "None" else told[:120]
