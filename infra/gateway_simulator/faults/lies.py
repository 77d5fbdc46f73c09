"""Answers that are not true: impossible bars, of another day, in another zone, twice, none; orders without permId."""

import re
from collections.abc import Callable
from datetime import date, timedelta

from infra.gateway_simulator.faults.actions import Action
from infra.gateway_simulator.protocol.names import ERROR
from infra.gateway_simulator.protocol.wire import Value, encode

Message = tuple[Value, ...]
Bar = list[Value]  # date, open, high, low, close, volume, average, count

HISTORICAL_DATA, REALTIME_BAR = 17, 50
_WIDTH = 8  # fields of a bar
_FIRST = 5  # where the bars of historicalData begin
_PERMANENT_ID_AT = {3: 6, 5: 25}  # in orderStatus and openOrder
_ELSEWHERE = "Asia/Tokyo"
_YEAR = 364  # days, so that a Monday stays one
_CHUNK = 4096  # bytes that IB's own client reads at a time


def _impossible(bars: list[Bar]) -> list[Bar]:
    """The high of every bar lies below its low."""
    return [[date, opened, low, high, *rest] for date, opened, high, low, *rest in bars]


def _not_a_number(bars: list[Bar]) -> list[Bar]:
    return [[*bar[:4], "NaN", *bar[5:]] if number % 3 == 0 else bar for number, bar in enumerate(bars)]


def _negative_volume(bars: list[Bar]) -> list[Bar]:
    return [[*bar[:5], -1000, *bar[6:]] for bar in bars]


def _spike(bars: list[Bar]) -> list[Bar]:
    """One bar in the middle is a hundred times too high."""
    at = len(bars) // 2
    told = list(bars)
    told[at : at + 1] = [[bar[0], *(_times(each, 100) for each in bar[1:5]), *bar[5:]] for bar in bars[at : at + 1]]
    return told


def _wrong_zone(bars: list[Bar]) -> list[Bar]:
    """The times are as they were, and said to be another zone's."""
    return [[re.sub(r" [A-Za-z]+/[\w/]+$", f" {_ELSEWHERE}", str(bar[0])), *bar[1:]] for bar in bars]


def _out_of_range(bars: list[Bar]) -> list[Bar]:
    """Every bar is a year later than it was."""
    return [[_later(str(bar[0])), *bar[1:]] for bar in bars]


def _empty(bars: list[Bar]) -> list[Bar]:
    return []


def _duplicates(bars: list[Bar]) -> list[Bar]:
    """Every third bar comes twice, the second time with another close."""
    told: list[Bar] = []
    for number, bar in enumerate(bars):
        told.append(bar)
        if number % 3 == 0:
            told.append([*bar[:4], bar[3], *bar[5:]])
    return told


def _disorder(bars: list[Bar]) -> list[Bar]:
    return bars[::-1]


LIES: dict[str, Callable[[list[Bar]], list[Bar]]] = {
    "impossible": _impossible,
    "not_a_number": _not_a_number,
    "negative_volume": _negative_volume,
    "spike": _spike,
    "wrong_zone": _wrong_zone,
    "out_of_range": _out_of_range,
    "empty": _empty,
    "duplicates": _duplicates,
    "disorder": _disorder,
}


def told_wrong(values: Message, lie: str) -> list[Message]:
    """The messages that leave instead of a true one; a message that cannot lie so stays as it is."""
    if values[0] == HISTORICAL_DATA:
        flat = values[_FIRST:]
        bars = [list(flat[at : at + _WIDTH]) for at in range(0, len(flat), _WIDTH)]
        told = LIES[lie](bars)
        return [(*values[: _FIRST - 1], len(told), *(field for bar in told for field in bar))]
    if values[0] in _PERMANENT_ID_AT and isinstance(values[0], int):
        at = _PERMANENT_ID_AT[values[0]]
        return [(*values[:at], 0, *values[at + 1 :])]
    if values[0] == REALTIME_BAR:
        return [(*values[:3], *bar) for bar in LIES[lie]([list(values[3:])])]
    return [values]


def frame_told(values: Message, action: Action, version: int) -> bytes:
    """What leaves in the place of a message, untrue, cut or trapped as the fault wants it."""
    messages = told_wrong(values, action.lie) if action.lie else [values]
    frame = b"".join(encode(each) for each in messages)
    frame = _trapped(frame, version) if action.short_read else frame
    return frame[: action.cut] if action.cut else frame


def _trapped(frame: bytes, version: int) -> bytes:
    """A notice before the message, so long that both end where a chunk ends: IB's client then waits for more."""
    rejection: Message = ("",) if version >= 166 else ()
    least = len(encode((ERROR, 2, -1, 2104, "", *rejection)))
    padding = -(len(frame) + least) % _CHUNK
    return encode((ERROR, 2, -1, 2104, " " * padding, *rejection)) + frame


def _times(value: Value, factor: int) -> Value:
    return value if isinstance(value, str) else value * factor


def _later(when: str) -> str:
    """A year later: a day, a day and time, or epoch seconds."""
    if len(when) == 8 or when[8:9] == " ":
        return f"{date.fromisoformat(when[:8]) + timedelta(days=_YEAR):%Y%m%d}{when[8:]}"
    return str(int(when) + _YEAR * 86_400)
