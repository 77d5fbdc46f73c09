"""How complete the stored bars of a contract are: what the calendar leads one to expect, beside what is there."""

import itertools
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, computed_field
from sqlalchemy.ext.asyncio import AsyncConnection

from infra.archive.manifest import archived_sizes, archived_spans
from infra.bar_moments import bar_size_text
from infra.calendars.calendar import ExchangeCalendar, Session, UnknownExchangeError, calendar_of
from infra.store.coverage import StoredSeries, bars_by_session, stored_sizes, stored_span
from infra.store.findings import spans_kept_out
from schemas.market import QuarantineRule
from schemas.validation import Contract

DAY = timedelta(days=1)
RANGES_MAX = 1000
_OPENING_SLACK = timedelta(minutes=10)
"""ASX opens its shares in groups over ten minutes: a session without its first minutes is whole all the same."""

State = Literal["complete", "partial", "missing"]


class Tally(BaseModel):
    """Sessions of some time by what there is of them, and the bars in all of them."""

    sessions: int = 0
    complete: int = 0
    partial: int = 0
    missing: int = 0
    bars: int = 0
    expected: int = 0

    @computed_field  # type: ignore[prop-decorator] # mypy knows no decorated properties
    @property
    def percent(self) -> float:
        return 100.0 if not self.expected else round(100 * min(1.0, self.bars / self.expected), 2)


@dataclass(frozen=True)
class Lack:
    """Sessions in a row that are not complete, for one reason."""

    first: date
    last: date
    sessions: int
    state: State
    reason: str
    bars: int
    expected: int


@dataclass
class Coverage:
    """Of one series of one contract. `note` says why nothing could be judged."""

    symbol: str
    contract_id: int
    exchange: str
    bar_size_seconds: int
    first: datetime | None = None
    last: datetime | None = None
    note: str = ""
    total: Tally = field(default_factory=Tally)
    years: dict[int, Tally] = field(default_factory=dict)
    lacks: list[Lack] = field(default_factory=list)
    lacks_left_out: int = 0

    def as_dict(self) -> dict[str, Any]:
        """For an answer: everything, with percentages."""
        return {
            **asdict(self),
            "total": self.total.model_dump(),
            "years": [{**tally.model_dump(), "year": year} for year, tally in self.years.items()],
        }


def bars_expected(session: Session, size: timedelta) -> int:
    return 1 if size >= DAY else math.ceil((session.close - session.open) / size)


async def coverage_of(
    connection: AsyncConnection,
    contract: Contract,
    size: timedelta,
    home: Path,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
) -> Coverage:
    """From `start` to `end`; without them, from the first to the last bar that is stored or archived."""
    exchange = contract.primary_exchange or contract.exchange
    series = StoredSeries(contract.contract_id, int(size.total_seconds()))
    found = Coverage(contract.symbol, contract.contract_id, exchange, series.bar_size_seconds)
    span = await stored_span(connection, series)
    if span is not None:
        found.first, found.last = span
    known = [*([span] if span else []), *archived_spans(home, contract.contract_id, size)]
    begin = start or min((first for first, _ in known), default=None)
    finish = end or max((last for _, last in known), default=None)
    if begin is None or finish is None:
        others = {*await stored_sizes(connection, contract.contract_id), *archived_sizes(home, contract.contract_id)}
        found.note = _none_of(contract.symbol, size, sorted(others))
        return found
    try:
        calendar = calendar_of(exchange)
    except UnknownExchangeError as error:
        found.note = str(error)
        return found
    sessions = _sessions(calendar, begin, finish)
    counts = await bars_by_session(connection, series, [each.open for each in sessions], finish + DAY)
    reasons = await _Reasons.read(connection, contract.contract_id, size, sessions, home)
    judged = [(session, counts.get(number, 0)) for number, session in enumerate(sessions)]
    for session, bars in judged:
        for tally in (found.total, found.years.setdefault(session.day.year, Tally())):
            _count(tally, bars, session, size)
    lacks = list(_lacks(judged, size, reasons))
    found.lacks, found.lacks_left_out = lacks[:RANGES_MAX], max(0, len(lacks) - RANGES_MAX)
    return found


def _none_of(symbol: str, size: timedelta, others: Sequence[int]) -> str:
    """What there is instead, and how to see it or to bring what was asked for."""
    wanted, texts = bar_size_text(size), [bar_size_text(timedelta(seconds=each)) for each in others]
    if not texts:
        return f"no bars of any size are stored: `scizor collect history {symbol}` or POST /collections brings some"
    return (
        f"no bars of {wanted} are stored, but of {', '.join(texts)}: "
        f"`scizor data coverage {symbol} --bar-size {texts[-1]}` or ?bar_size={texts[-1]} shows how complete they are"
    )


def _sessions(calendar: ExchangeCalendar, begin: datetime, finish: datetime) -> list[Session]:
    """Those that have begun at `begin` or later and are over at `finish`."""
    first, last = begin.astimezone(calendar.zone).date(), finish.astimezone(calendar.zone).date()
    sessions = calendar.sessions(first - DAY, last + DAY)
    # a stored bar's hours are the contract's, which may differ from the calendar's by minutes
    return [each for each in sessions if each.close > begin and each.close <= finish + timedelta(hours=1)]


def _state(bars: int, session: Session, size: timedelta) -> State:
    expected = bars_expected(session, size)
    slack = 0 if size >= DAY else _OPENING_SLACK // size
    if bars >= expected - slack:
        return "complete"
    return "partial" if bars else "missing"


def _count(tally: Tally, bars: int, session: Session, size: timedelta) -> None:
    tally.sessions += 1
    state = _state(bars, session, size)
    setattr(tally, state, getattr(tally, state) + 1)
    tally.bars += bars
    tally.expected += bars_expected(session, size)


def _lacks(judged: Sequence[tuple[Session, int]], size: timedelta, reasons: "_Reasons") -> Iterator[Lack]:
    """Sessions in a row that lack something for the same reason."""
    told = [(session, bars, _state(bars, session, size)) for session, bars in judged]
    named = [(session, bars, state, reasons.why(session, state)) for session, bars, state in told]
    for (state, why), group in itertools.groupby(named, lambda each: each[2:]):
        if state == "complete":
            continue
        some = list(group)
        expected = sum(bars_expected(session, size) for session, *_ in some)
        bars = sum(each[1] for each in some)
        yield Lack(some[0][0].day, some[-1][0].day, len(some), state, why, bars, expected)


class _Reasons:
    """Why a session lacks bars, as far as anybody has said so."""

    def __init__(self, found: dict[str, list[tuple[datetime, datetime]]]) -> None:
        self._found = found

    @classmethod
    async def read(
        cls, connection: AsyncConnection, contract_id: int, size: timedelta, sessions: Sequence[Session], home: Path
    ) -> "_Reasons":
        if not sessions:
            return cls({})
        first, last = sessions[0].open, sessions[-1].close
        found: dict[str, list[tuple[datetime, datetime]]] = {
            "archived: `scizor data restore` brings it back": archived_spans(home, contract_id, size)
        }
        for row in await spans_kept_out(connection, contract_id, first, last + 40 * DAY):
            asked = row["rule"] == QuarantineRule.EMPTY_ANSWER
            span = _span_of(json.loads(row["record"]), row["event_time"], size)
            if span is not None:
                why = "the gateway had no bars" if asked else f"kept out: {row['rule']}"
                found.setdefault(why, []).append(span)
        return cls(found)

    def why(self, session: Session, state: State) -> str:
        for reason, spans in self._found.items():
            if any(first < session.close and session.open < last for first, last in spans):
                return reason
        return {"complete": "", "partial": "bars are missing", "missing": "never collected"}[state]


def _span_of(record: dict[str, Any], end: datetime, size: timedelta) -> tuple[datetime, datetime] | None:
    """The time that a finding is about, if it is about bars of this size."""
    if record.get("bar_size") != str(size) or "start" not in record:
        return None
    return datetime.fromisoformat(record["start"]).astimezone(UTC), end
