"""Charts as inline SVG: sizes, ticks and paths, no script and no outside file."""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape

from engine.report.words import signed

WIDTH, LEFT, RIGHT, TOP, BOTTOM = 1000, 74, 14, 12, 26
COLUMNS_MAX = 900
"""Points drawn at most: one a pixel; of the points that share a pixel, the lowest and highest stay."""
_DECIMALS_MORE_MAX = 6
_PRECISION = re.compile(r"\.(\d+)")

Points = Sequence[tuple[int, float]]
"""(microseconds since 1970, value), ascending."""


@dataclass(frozen=True)
class Line:
    """A line over time, with at least one point; `area` fills down to the chart's floor, in the class `css`-area."""

    points: Points
    css: str
    name: str = ""
    area: bool = False


@dataclass(frozen=True)
class Mark:
    """A triangle at a point: upwards below it for a purchase, downwards above it for a sale."""

    time_us: int
    value: float
    up: bool
    told: str


@dataclass(frozen=True)
class Frame:
    """What the lines share: a name, the format of values, a height, and where areas end (none: the lower edge)."""

    name: str
    form: str
    """As of `str.format`, with a precision; more decimals are written where it would make two ticks the same."""

    height: int = 260
    floor: float | None = None


def chart(frame: Frame, lines: Sequence[Line], marks: Sequence[Mark] = ()) -> str:
    """The SVG element; lines with a name get a legend."""
    drawn = [(line, thinned(line.points, COLUMNS_MAX // 2)) for line in lines]
    times = [points[place][0] for _, points in drawn for place in (0, -1)]
    first, last = min(times), max(*times, min(times) + 1)
    ticks = _ticks([value for _, points in drawn for _, value in points] + [mark.value for mark in marks])
    low, high = ticks[0], ticks[-1]
    bottom = frame.height - BOTTOM

    def x(time_us: int) -> float:
        return LEFT + (time_us - first) / (last - first) * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        return TOP + (high - value) / (high - low) * (bottom - TOP)

    base = y(min(max(low if frame.floor is None else frame.floor, low), high))
    parts = [_axis(frame, ticks, y), _times(frame, first, last, x)]
    for line, points in drawn:
        path = " ".join(f"{x(time_us):.1f},{y(value):.1f}" for time_us, value in points)
        if line.area:
            begin, end = x(points[0][0]), x(points[-1][0])
            area = f"{begin:.1f},{base:.1f} {path} {end:.1f},{base:.1f}"
            parts.append(f'<polygon class="{line.css}-area" points="{area}"/>')
        parts.append(f'<polyline class="{line.css}" points="{path}"/>')
    parts += [_triangle(mark, x(mark.time_us), y(mark.value)) for mark in marks]
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {frame.height}" role="img" aria-label="{escape(frame.name)}">'
        f"{''.join(parts)}</svg>{_legend(lines)}"
    )


def histogram(frame: Frame, values: Sequence[float], bars: int = 41) -> str:
    """How often values fall where; what lies beyond the 0.5 % at either end is counted in the outermost bars."""
    ordered = sorted(values)
    cut = len(ordered) // 200
    low, high = ordered[cut], ordered[-1 - cut]
    if high <= low:
        low, high = low - 0.5, high + 0.5
    counts = [0] * bars
    for value in values:
        counts[min(max(int((value - low) / (high - low) * bars), 0), bars - 1)] += 1
    bottom, most = frame.height - BOTTOM, max(counts)
    width = (WIDTH - LEFT - RIGHT) / bars
    drawn = []
    for place, count in enumerate(counts):
        middle = low + (place + 0.5) * (high - low) / bars
        tall = count / most * (bottom - TOP)
        css = "bar-gain" if middle > 0 else "bar-loss"
        drawn.append(
            f'<rect class="{css}" x="{LEFT + place * width + 0.5:.1f}" y="{bottom - tall:.1f}" '
            f'width="{width - 1:.1f}" height="{tall:.1f}"/>'
        )
    parts = (0.0, 0.25, 0.5, 0.75, 1.0)
    told = _distinct([low + part * (high - low) for part in parts], frame.form)
    texts = "".join(
        f'<text class="tick" x="{LEFT + part * (WIDTH - LEFT - RIGHT):.1f}" y="{frame.height - 6}" '
        f'text-anchor="{anchor}">{escape(text)}</text>'
        for part, anchor, text in zip(parts, ("start", "middle", "middle", "middle", "end"), told, strict=True)
    )
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {frame.height}" role="img" aria-label="{escape(frame.name)}">'
        f"{''.join(drawn)}{texts}</svg>"
    )


def thinned(points: Points, buckets: int) -> list[tuple[int, float]]:
    """At most two points a bucket of time, its lowest and its highest, so that no dip is lost; the ends stay."""
    if len(points) <= 2 * buckets:
        return list(points)
    kept = [points[0]]
    size = (len(points) - 2) / buckets
    for number in range(buckets):
        part = points[1 + int(number * size) : 1 + int((number + 1) * size)]
        extremes = {min(part, key=lambda point: point[1]), max(part, key=lambda point: point[1])} if part else set()
        kept += sorted(extremes)
    return [*kept, points[-1]]


def _axis(frame: Frame, ticks: Sequence[float], y: Callable[[float], float]) -> str:
    return "".join(
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>'
        f'<text class="tick" x="{LEFT - 9}" y="{y(tick) + 4:.1f}" text-anchor="end">{escape(text)}</text>'
        for tick, text in zip(ticks, _distinct(ticks, frame.form), strict=True)
    )


def _distinct(values: Sequence[float], form: str) -> list[str]:
    """The values as texts that differ wherever a few more decimals make them differ."""
    texts: list[str] = []
    for more in range(_DECIMALS_MORE_MAX + 1):
        finer = _PRECISION.sub(lambda found, more=more: f".{int(found[1]) + more}", form)  # type: ignore[misc] # bound at once
        texts = [signed(value, finer) for value in values]
        if len(set(texts)) == len(texts):
            break
    return texts


def _times(frame: Frame, first: int, last: int, x: Callable[[int], float]) -> str:
    return "".join(
        f'<text class="tick" x="{x(time_us):.1f}" y="{frame.height - 6}" text-anchor="{anchor}">{escape(text)}</text>'
        for time_us, text, anchor in _dates(first, last)
    )


def _triangle(mark: Mark, x: float, y: float) -> str:
    tip, base, css = (y + 4, y + 12, "buy") if mark.up else (y - 4, y - 12, "sell")
    points = f"{x:.1f},{tip:.1f} {x - 4.5:.1f},{base:.1f} {x + 4.5:.1f},{base:.1f}"
    return f'<polygon class="{css}" points="{points}"><title>{escape(mark.told)}</title></polygon>'


def _legend(lines: Sequence[Line]) -> str:
    named = [line for line in lines if line.name]
    items = "".join(f'<span><i class="key-{line.css}"></i>{escape(line.name)}</span>' for line in named)
    return f'<p class="legend">{items}</p>' if named else ""


def _ticks(values: Sequence[float]) -> list[float]:
    """Four to seven round values that enclose all of `values`."""
    low, high = min(values), max(values)
    if high - low <= 1e-9 * max(abs(low), abs(high), 1e-9):
        low, high = low - max(abs(low) * 0.01, 0.01), high + max(abs(high) * 0.01, 0.01)
    rough = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)
    return [step * number for number in range(math.floor(low / step), math.ceil(high / step) + 1)]


def _dates(first: int, last: int) -> list[tuple[int, str, str]]:
    """Five moments evenly over the time: position, text, anchor."""
    span_days = (last - first) / 86_400_000_000
    forms = ((6 * 365, "%Y"), (120, "%b %Y"), (4, "%d %b %Y"), (-1, "%d %b %H:%M"))
    form = next(form for days, form in forms if span_days > days)
    moments = [first + (last - first) * quarter // 4 for quarter in range(5)]
    anchors = ("start", "middle", "middle", "middle", "end")
    texts = [datetime.fromtimestamp(each / 1e6, UTC).strftime(form) for each in moments]
    return list(zip(moments, texts, anchors, strict=True))
