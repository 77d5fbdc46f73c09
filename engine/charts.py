"""Line charts as inline SVG: sizes, ticks and paths, no script and no outside file."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape

WIDTH, LEFT, RIGHT, TOP, BOTTOM = 1000, 74, 14, 12, 26
COLUMNS_MAX = 900
"""Points drawn at most: one a pixel; of the points that share a pixel, the lowest and highest stay."""


@dataclass(frozen=True)
class Line:
    """A line over time: `points` are (microseconds since 1970, value), ascending; at least one."""

    points: Sequence[tuple[int, float]]
    name: str
    css: str
    """Class of the line; its area below is drawn in the class with `-area` added."""
    write: Callable[[float], str]
    """How a value is written on the axis."""
    height: int = 260
    floor: float | None = None
    """Where the area ends; none: at the lower edge."""


def chart(line: Line) -> str:
    """The SVG element."""
    points = thinned(line.points, COLUMNS_MAX // 2)
    first, last = points[0][0], max(points[-1][0], points[0][0] + 1)
    ticks = _ticks([value for _, value in points])
    low, high = ticks[0], ticks[-1]
    bottom = line.height - BOTTOM

    def x(time_us: int) -> float:
        return LEFT + (time_us - first) / (last - first) * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        return TOP + (high - value) / (high - low) * (bottom - TOP)

    path = " ".join(f"{x(time_us):.1f},{y(value):.1f}" for time_us, value in points)
    base = y(min(max(low if line.floor is None else line.floor, low), high))
    area = f"{x(points[0][0]):.1f},{base:.1f} {path} {x(points[-1][0]):.1f},{base:.1f}"
    rows = "".join(
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>'
        f'<text class="tick" x="{LEFT - 9}" y="{y(tick) + 4:.1f}" text-anchor="end">{escape(line.write(tick))}</text>'
        for tick in ticks
    )
    dates = "".join(
        f'<text class="tick" x="{x(time_us):.1f}" y="{line.height - 6}" text-anchor="{anchor}">{escape(text)}</text>'
        for time_us, text, anchor in _dates(first, last)
    )
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {line.height}" role="img" aria-label="{escape(line.name)}">'
        f'{rows}{dates}<polygon class="{line.css}-area" points="{area}"/>'
        f'<polyline class="{line.css}" points="{path}"/></svg>'
    )


def thinned(points: Sequence[tuple[int, float]], buckets: int) -> list[tuple[int, float]]:
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
