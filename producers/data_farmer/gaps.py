"""What is wanted of a contract's past, what of it is missing, and in which requests it is asked for."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from itertools import groupby

from infra.calendars.calendar import Session
from infra.gateway import Series, Span, hours
from infra.gateway.past import DAY
from schemas.collection import CollectDaily, CollectHistory, Gap
from schemas.validation import Contract

_GAPS_MAX = 100
_YEAR = timedelta(days=365)

Missing = Callable[[Span], Sequence[Span]]
"""The parts of a span that the gateway has not answered for."""


@dataclass(frozen=True)
class Wanted:
    """From when to when, in moments and in days of the exchange."""

    start: datetime
    end: datetime
    first_day: date = date.min
    last_day: date = date.max

    @classmethod
    def by(cls, request: CollectHistory | CollectDaily, now: datetime) -> "Wanted":
        """Where no beginning is said, somebody has to ask for that of the data."""
        if isinstance(request, CollectDaily):
            return cls(now - timedelta(days=request.days), now)
        end = min(request.end or now, now)
        start = request.start or datetime.min.replace(tzinfo=UTC)
        first, last = request.first_day or date.min, request.last_day or date.max
        if request.years is not None and request.start is None and request.first_day is None:
            first = _years_before(min(end.date(), last), request.years)
        return cls(start, end, first, last)

    @property
    def begins(self) -> bool:
        """Whether it is said where it begins."""
        return self.first_day != date.min or self.start != datetime.min.replace(tzinfo=UTC)

    def beginning(self, moment: datetime) -> "Wanted":
        return replace(self, start=moment)


def sessions_of(contract: Contract, wanted: Wanted, series: Series) -> list[Session]:
    """The sessions that are wanted, or their parts; of daily bars only those that are over."""
    found = []
    first = max(wanted.first_day, _day_before(wanted.start))
    last = min(wanted.last_day, wanted.end.date() + DAY)
    for session in hours.trading_days(contract, first, last):
        begin = session.open if wanted.first_day != date.min else max(session.open, wanted.start)
        finish = min(session.close, wanted.end)
        if series.bar_size >= DAY:
            if wanted.start < session.close <= wanted.end:
                found.append(session)
        elif begin < finish:
            found.append(replace(session, open=begin, close=finish))
    return found


def _years_before(day: date, years: int) -> date:
    try:
        return day.replace(year=day.year - years)
    except ValueError:  # the 29th of February
        return day.replace(year=day.year - years, day=28)


def _day_before(moment: datetime) -> date:
    return date.min if moment.year == 1 else moment.date() - DAY


def bars_expected(session: Session, series: Series) -> int:
    return 1 if series.bar_size >= DAY else (session.close - session.open) // series.bar_size


@dataclass(frozen=True)
class Lack:
    """A session, or pieces of one, that are not there."""

    session: Session
    parts: tuple[Span, ...]


def lacks(sessions: Iterable[Session], series: Series, stored: Mapping[date, int], missing: Missing) -> list[Lack]:
    """What is neither stored nor known not to exist."""
    found = []
    for session in sessions:
        if stored.get(session.day, 0) >= bars_expected(session, series):
            continue
        parts = tuple(_pieces(session, series, missing))
        if parts:
            found.append(Lack(session, parts))
    return found


def _pieces(session: Session, series: Series, missing: Missing) -> Iterator[Span]:
    if series.size.step >= DAY:
        if left := missing(Span(session.open, session.close)):
            yield Span(session.open if series.bar_size >= DAY else left[0].start, left[-1].end)
        return
    begin = session.open
    while begin < session.close:
        end = min(begin + series.size.step, session.close)
        if left := missing(Span(begin, end)):
            yield Span(left[0].start, left[-1].end)
        begin = end


def chunks_of(found: Iterable[Lack], series: Series) -> list[Span]:
    """The requests that bring all of it: each within one stretch of the calendar that IB serves at once."""
    step = series.size.step
    if step < DAY:
        return [part for lack in found for part in lack.parts]
    chunks = []
    for _, some in groupby(found, lambda lack: _stretch(lack.session.day, step)):
        together = list(some)
        chunks.append(Span(together[0].parts[0].start, together[-1].parts[-1].end))
    return chunks


def _stretch(day: date, step: timedelta) -> tuple[int, ...]:
    if step == DAY:
        return (day.toordinal(),)
    if step == timedelta(days=7):
        return tuple(day.isocalendar()[:2])
    return (day.year, day.month) if step < _YEAR else (day.year,)


def gaps_of(
    sessions: Sequence[Session],
    series: Series,
    stored: Mapping[date, int],
    reason_of: Callable[[Session, int], str | None],
) -> tuple[int, list[Gap]]:
    """How many sessions are complete, and the others in a row with the reason why; no reason: it is what there is."""
    complete = 0
    gaps: list[Gap] = []
    in_a_row = False
    for session in sessions:
        count = stored.get(session.day, 0)
        reason = None if count >= bars_expected(session, series) else reason_of(session, count)
        if reason is None:
            complete += 1
            in_a_row = False
            continue
        if in_a_row and gaps[-1].reason == reason:
            gaps[-1] = gaps[-1].model_copy(update={"last_day": session.day, "sessions": gaps[-1].sessions + 1})
        else:
            gaps.append(Gap(first_day=session.day, last_day=session.day, sessions=1, reason=reason))
        in_a_row = True
    return complete, gaps[:_GAPS_MAX]
