"""The tape: lets market time pass, trade by trade and bar by bar, in order and without leaving one out."""

import asyncio
import contextlib
from collections.abc import Collection
from typing import Protocol

from infra.gateway_simulator.instruments.calendar import BAR_SECONDS, Calendar, Session, market_calendar, market_hours
from infra.gateway_simulator.instruments.instrument import Instrument
from infra.gateway_simulator.market.intraday import PRINT_OFFSETS
from infra.gateway_simulator.market.market import MarketClock, World

# Everything happens on quarters of a second: the prints of a bar, then its end.
_QUARTERS = 4
_BAR = BAR_SECONDS * _QUARTERS
_GRID = (*(round(each * _QUARTERS) for each in PRINT_OFFSETS), _BAR)
_BEFORE_OPEN = -1
_JUST_BEFORE = 0.001  # seconds

IDLE_SECONDS = 60.0  # the longest wait; whoever changes something wakes the tape


class Floor(Protocol):
    """Those for whom the tape plays.

    A day begins and ends with the first and the last trade; its regular hours open and close within it. Bars are told
    with the session of the instrument's own hours, and counted within that.
    """

    def followed(self) -> Collection[Instrument]: ...
    def on_print(self, instrument: Instrument, moment: float, price: int, size: int) -> None: ...
    def on_bar(self, instrument: Instrument, session: Session, bar: int) -> None: ...
    def on_day_begin(self, session: Session) -> None: ...
    def on_open(self, session: Session) -> None: ...
    def on_close(self, session: Session) -> None: ...
    def on_day_end(self, session: Session) -> None: ...
    async def settled(self) -> None: ...


class Reel:
    """How far one market has been played: its session, and the quarter of a second that was reached in it."""

    def __init__(self, calendar: Calendar, moment: float) -> None:
        self.calendar = calendar
        self.seek(moment)

    def seek(self, moment: float) -> None:
        """Take everything until `moment` as passed."""
        self.session = self.calendar.latest(moment)
        passed = int((moment - self.session.open) * _QUARTERS) if moment >= self.session.open else _BEFORE_OPEN
        self.reached = min(passed, self._last)
        self._find_next()

    def step(self) -> None:
        """Take the next event as passed."""
        self.session, self.reached = self.following
        self._find_next()

    @property
    def _last(self) -> int:
        return (self.session.close - self.session.open) * _QUARTERS

    def _find_next(self) -> None:
        """The event after the last one played, and its moment."""
        session, reached = self.session, self.reached
        if reached >= self._last:
            session, reached = self.calendar.following(session.day), _BEFORE_OPEN
        if reached >= 0:
            bar, within = divmod(reached, _BAR)
            reached = bar * _BAR + next(each for each in _GRID if each > within)
        else:
            reached = 0
        self.following = session, reached
        self.moment = session.open + reached / _QUARTERS


class Tape:
    """Plays what is followed, all markets in one order of time; while nothing is, time passes without events."""

    def __init__(self, world: World, clock: MarketClock, floor: Floor) -> None:
        self._world = world
        self._clock = clock
        self._floor = floor
        self._playing = asyncio.Lock()
        self._changed = asyncio.Event()
        self._reels: dict[str, Reel] = {}
        self._event: float | None = None

    def now(self) -> float:
        """Market time: an event's own while it is played, never past one that has not been played yet."""
        if self._event is not None:
            return self._event
        following = self._next()
        if following is None:
            return self._clock.now()
        return min(self._clock.now(), following.moment - _JUST_BEFORE)

    def attend(self, instrument: Instrument) -> None:
        """Play this instrument from now on; call before anybody counts on its events."""
        calendar, now = instrument.calendar, self.now()
        if calendar.market not in self._world.markets:
            self._reels[calendar.market] = Reel(market_hours(calendar.market), now)
        self._world.follow(instrument, now)
        self._changed.set()

    async def run(self) -> None:
        """Play as market time passes, for ever."""
        while True:
            self._changed.clear()
            await self.play()
            following = self._next()
            wait = self._clock.wall_seconds_until(following.moment) if following is not None else None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(IDLE_SECONDS if wait is None else min(wait, IDLE_SECONDS)):
                    await self._changed.wait()

    async def advance(self, seconds: float) -> None:
        """Let market time pass at once, and play all that happens in it."""
        self._clock.advance(seconds)
        await self.play()
        self._changed.set()

    def set_speed(self, speed: float) -> None:
        """Market seconds per wall second from now on; 0 stops market time."""
        self._clock.set_speed(speed)
        self._changed.set()

    async def play(self) -> None:
        """Play all events that market time has reached."""
        async with self._playing:
            while (following := self._next()) is not None and following.moment <= self._clock.now():
                self._event = following.moment
                try:
                    ends_bar = self._step(following)
                finally:
                    self._event = None
                if ends_bar:
                    await self._floor.settled()

    def _step(self, reel: Reel) -> bool:
        """Play one event; whether it ended a bar."""
        reel.step()
        session, reached = reel.session, reel.reached
        if reached == 0:
            self._floor.on_day_begin(session)
            if not session.before:
                self._floor.on_open(session)
            return False
        bar, within = divmod(reached - 1, _BAR)
        for instrument, own, at in self._playing_now(session, bar):
            if within + 1 == _BAR:
                self._floor.on_bar(instrument, own, at)
            else:
                self._print(instrument, own, at, within + 1)
        if within + 1 == _BAR:
            self._end_bar(session, bar + 1)
        return within + 1 == _BAR

    def _playing_now(self, session: Session, bar: int) -> list[tuple[Instrument, Session, int]]:
        """What trades at that bar of the market's day, each with its own session and the bar's place in it."""
        here = [each for each in self._floor.followed() if each.calendar.market == session.market]
        if not session.is_extended:
            return [(each, session, bar) for each in here]
        if not session.is_regular(bar):
            return [(each, session, bar) for each in here if each.trades_outside]
        regular, at = market_calendar(session.market).session(session.day), bar - session.before
        return [(each, session, bar) if each.trades_outside else (each, regular, at) for each in here]

    def _end_bar(self, session: Session, ended: int) -> None:
        regular = market_calendar(session.market).session(session.day)
        if session.before and ended == session.before:
            self._floor.on_open(regular)
        if ended == session.bars - session.after:
            self._floor.on_close(regular)
        if ended == session.bars:
            self._floor.on_day_end(session)

    def _print(self, instrument: Instrument, session: Session, bar: int, within: int) -> None:
        path = self._world.path(instrument, session)
        offset = bar * BAR_SECONDS + within / _QUARTERS
        for trade in path.prints(bar) if path is not None else ():
            if trade.offset == offset:
                self._floor.on_print(instrument, session.open + offset, trade.price, trade.size)

    def _next(self) -> Reel | None:
        """The market whose next event comes first, of those in which something is followed."""
        reels = [self._reels[market] for market in self._world.markets]
        return min(reels, key=lambda each: (each.moment, each.calendar.market)) if reels else None
