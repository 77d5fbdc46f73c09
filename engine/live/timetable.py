"""When a live strategy hears of what lies between its bars: a function of the bars alone, by the rules of backtests."""

from collections.abc import Callable, Iterable, Mapping

from engine.facts import Bar, DataGap, Session
from engine.live.desk import FloodError
from engine.market import DAY_US
from engine.moments import Alarm, Closed, Missed, Moment, Opened, Rung
from schemas.validation import Contract

Closes = Callable[[Contract, int], int]
"""When a contract's trading ends on the UTC day of a moment, as far as that is known beforehand; in microseconds."""
_ALARMS_MAX = 1000


def at_midnight(_: Contract, moment_us: int) -> int:
    """Without a calendar a day of UTC is over when it is over."""
    return (moment_us // DAY_US + 1) * DAY_US


class Timetable:
    """Sessions, gaps and timers of one strategy.

    A session is a day of UTC on which bars begin, as in a backtest without sessions of its own. Time is what bars
    tell: nothing is due before a bar has shown that its moment is over.
    """

    def __init__(self, contracts: Mapping[int, Contract], closes: Closes) -> None:
        self._contracts = contracts
        self._closes = closes
        self.begin_anew()

    def begin_anew(self) -> None:
        """The strategy's code does: it has asked for nothing, and its first bar opens a session."""
        self._alarms: list[Alarm] = []  # in the order of asking
        self._day = -1
        self._session: Session | None = None
        self._reached_us = 0
        self._ends: dict[int, tuple[int, int]] = {}  # by contract: when its last bar ended, and in which session

    def ask(self, alarms: Iterable[Alarm]) -> None:
        """Raises FloodError for more timers than anybody can wait for."""
        self._alarms += alarms
        if len(self._alarms) > _ALARMS_MAX:
            raise FloodError(f"more than {_ALARMS_MAX} timers wait to ring")

    def next(self, bar: Bar, until_us: int) -> Moment | None:
        """What else lies before a bar: sessions, then timers in the order of time, then what is missing before it.

        The bar may still be forming: then `until_us` is as far as it has come, and not its end.
        """
        day = bar.start_us // DAY_US
        if day > self._day and self._session is not None:
            session, self._session = self._session, None
            return Closed(Session(session.open_us, max(session.open_us, self._reached_us)))
        if day > self._day:
            self._day = day
            closes_us = max(self._closes(contract, bar.start_us) for contract in self._contracts.values())
            self._session = Session(bar.start_us, closes_us)
            return Opened(self._session)
        return self._rung(bar, until_us) or (self._missed(bar) if until_us >= bar.end_us else None)

    def passed(self, bar: Bar) -> None:
        """The bar is done; one that came late may be of a session that has not begun."""
        day = bar.start_us // DAY_US
        if day <= self._day:
            self._reached_us = max(self._reached_us, bar.end_us)
        self._ends[bar.contract_id] = (bar.end_us, day)

    def _missed(self, bar: Bar) -> Missed | None:
        end_us, day = self._ends.get(bar.contract_id, (bar.start_us, self._day))
        if bar.start_us <= end_us or day != self._day:
            return None
        self._ends[bar.contract_id] = (bar.start_us, day)  # it is told once
        return Missed(DataGap(bar.contract_id, end_us, bar.start_us))

    def _rung(self, bar: Bar, until_us: int) -> Rung | None:
        due = [(each.rings_us(bar.end_us), number) for number, each in enumerate(self._alarms)]
        moment_us, number = min(due, default=(until_us, 0))
        if moment_us >= until_us:
            return None
        alarm = self._alarms.pop(number)
        if alarm.every_us:
            self._alarms.append(Alarm(alarm.name, moment_us + alarm.every_us, alarm.every_us))
        return Rung(alarm.name, moment_us)
