"""A calendar as arrays: whether a bar lies in a session, and how much trading lies between two bars."""

from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

from infra.calendars.calendar import ExchangeCalendar, UnknownExchangeError, calendar_of
from schemas.moments import to_datetime, to_microseconds

Times = NDArray[np.int64]
_SECOND_US = 1_000_000
_MARGIN = timedelta(days=15)


class TradingHours:
    """The sessions of one exchange around the bars in question; grows as it is asked. Times in microseconds."""

    def __init__(self, calendar: ExchangeCalendar) -> None:
        self._calendar = calendar
        self._first = self._last = date.min
        self._opens = self._closes = self._traded = np.empty(0, dtype=np.int64)

    @classmethod
    def of(cls, exchange: str) -> "TradingHours | None":
        """None for an exchange that has no calendar: then no rule about sessions applies."""
        try:
            return cls(calendar_of(exchange))
        except UnknownExchangeError:
            return None

    def outside(self, starts: Times, ends: Times) -> NDArray[np.bool_]:
        """Which spans have no moment in common with a session; a day whose holidays are not known has none outside."""
        self._cover(starts, ends)
        if not len(self._opens):
            return np.zeros(len(starts), dtype=bool)
        following = np.minimum(np.searchsorted(self._closes, starts, side="right"), len(self._opens) - 1)
        return np.asarray(self._opens[following] >= ends)

    def missing(self, ends: Times, starts: Times) -> tuple[Times, Times, NDArray[np.bool_]]:
        """Between each end and the following start: microseconds of trading, whole sessions, and whether the start is
        in another session than the end."""
        self._cover(ends, starts)
        traded = np.maximum(self._traded_until(starts) - self._traded_until(ends), 0)
        whole = np.searchsorted(self._closes, starts, side="right") - np.searchsorted(self._opens, ends, side="left")
        changed = np.searchsorted(self._opens, starts, side="right") != np.searchsorted(self._opens, ends - 1, "right")
        return traded, np.maximum(whole, 0), changed

    def knows(self, moment_us: int) -> bool:
        """Whether the holidays of that day are known; else a missing session proves nothing."""
        return self._calendar.is_known(_day(moment_us))

    def _traded_until(self, moments: Times) -> Times:
        """Microseconds of trading from the first session to each moment."""
        if not len(self._opens):
            return np.zeros(len(moments), dtype=np.int64)
        number = np.searchsorted(self._opens, moments, side="right") - 1
        at = np.maximum(number, 0)
        inside = np.clip(moments - self._opens[at], 0, self._closes[at] - self._opens[at])
        return np.asarray(np.where(number < 0, 0, self._traded[at] + inside))

    def _cover(self, some: Times, others: Times) -> None:
        if not len(some):
            return
        first = _day(min(int(some.min()), int(others.min()))) - _MARGIN
        last = _day(max(int(some.max()), int(others.max()))) + _MARGIN
        if self._first <= first and last <= self._last:
            return
        known = self._first != date.min
        # whole years: collection goes on from day to day, and all sessions are computed anew each time
        self._first = min(date(first.year, 1, 1), self._first) if known else date(first.year, 1, 1)
        self._last = max(date(last.year, 12, 31), self._last)
        sessions = self._calendar.sessions(self._first, self._last)
        self._opens = np.array([to_microseconds(each.open) for each in sessions], dtype=np.int64)
        self._closes = np.array([to_microseconds(each.close) for each in sessions], dtype=np.int64)
        self._traded = np.concatenate([[0], np.cumsum(self._closes - self._opens)[:-1]]).astype(np.int64)


def _day(moment_us: int) -> date:
    return (to_datetime(moment_us)).date()
