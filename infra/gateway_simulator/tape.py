"""The tape: lets market time pass, trade by trade and bar by bar, in order and without leaving one out."""

import asyncio
import contextlib
from collections.abc import Collection
from typing import Protocol

from infra.gateway_simulator.calendar import BAR_SECONDS, SESSION_SECONDS, Session
from infra.gateway_simulator.instruments import Instrument
from infra.gateway_simulator.intraday import PRINT_OFFSETS
from infra.gateway_simulator.market import MarketClock, World

# Everything happens on quarters of a second: the prints of a bar, then its end.
_QUARTERS = 4
_BAR = BAR_SECONDS * _QUARTERS
_GRID = (*(round(each * _QUARTERS) for each in PRINT_OFFSETS), _BAR)
_LAST = SESSION_SECONDS * _QUARTERS
_BEFORE_OPEN = -1
_JUST_BEFORE = 0.001  # seconds

IDLE_SECONDS = 60.0  # the longest wait; whoever changes something wakes the tape


class Floor(Protocol):
    """Those for whom the tape plays."""

    def followed(self) -> Collection[Instrument]: ...
    def on_print(self, instrument: Instrument, moment: float, price: int, size: int) -> None: ...
    def on_bar(self, instrument: Instrument, session: Session, bar: int) -> None: ...
    def on_open(self, session: Session) -> None: ...
    def on_close(self, session: Session) -> None: ...
    async def settled(self) -> None: ...


class Tape:
    """Plays what is followed; while nothing is, time passes without events."""

    def __init__(self, world: World, clock: MarketClock, floor: Floor) -> None:
        self._world = world
        self._clock = clock
        self._floor = floor
        self._playing = asyncio.Lock()
        self._changed = asyncio.Event()
        self._session = world.calendar.latest(clock.now())
        self._reached = _BEFORE_OPEN
        self._event: float | None = None
        self._seek(clock.now())

    def now(self) -> float:
        """Market time: an event's own while it is played, never past one that has not been played yet."""
        if self._event is not None:
            return self._event
        if not self._floor.followed():
            return self._clock.now()
        return min(self._clock.now(), self._next()[1] - _JUST_BEFORE)

    def is_open(self) -> bool:
        session = self._world.calendar.latest(self.now())
        return session.open <= self.now() < session.close

    def attend(self, instrument: Instrument) -> None:
        """Play this instrument from now on; call before anybody counts on its events."""
        if not self._floor.followed():
            self._seek(self._clock.now())
        self._world.follow(instrument, self.now())
        self._changed.set()

    async def run(self) -> None:
        """Play as market time passes, for ever."""
        while True:
            self._changed.clear()
            await self.play()
            wait = self._clock.wall_seconds_until(self._next()[1]) if self._floor.followed() else None
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
            while self._floor.followed():
                following, moment = self._next()
                if moment > self._clock.now():
                    return
                self._event = moment
                try:
                    ends_bar = self._step(following)
                finally:
                    self._event = None
                if ends_bar:
                    await self._floor.settled()
            self._seek(self._clock.now())

    def _step(self, following: tuple[Session, int]) -> bool:
        """Play one event; whether it ended a bar."""
        self._session, self._reached = following
        session, reached = following
        if reached == 0:
            self._floor.on_open(session)
            return False
        bar, within = divmod(reached - 1, _BAR)
        for instrument in tuple(self._floor.followed()):
            if within + 1 == _BAR:
                self._floor.on_bar(instrument, session, bar)
            else:
                self._print(instrument, session, bar, reached / _QUARTERS)
        if reached == _LAST:
            self._floor.on_close(session)
        return within + 1 == _BAR

    def _print(self, instrument: Instrument, session: Session, bar: int, offset: float) -> None:
        path = self._world.path(instrument, session)
        for trade in path.prints(bar) if path is not None else ():
            if trade.offset == offset:
                self._floor.on_print(instrument, session.open + offset, trade.price, trade.size)

    def _next(self) -> tuple[tuple[Session, int], float]:
        """The event after the last one played, and its moment."""
        session, reached = self._session, self._reached
        if reached >= _LAST:
            session, reached = self._world.calendar.following(session.day), _BEFORE_OPEN
        if reached < 0:
            return (session, 0), float(session.open)
        bar, within = divmod(reached, _BAR)
        reached = bar * _BAR + next(each for each in _GRID if each > within)
        return (session, reached), session.open + reached / _QUARTERS

    def _seek(self, moment: float) -> None:
        """Take everything until `moment` as passed."""
        self._session = self._world.calendar.latest(moment)
        passed = int((moment - self._session.open) * _QUARTERS) if moment >= self._session.open else _BEFORE_OPEN
        self._reached = min(passed, _LAST)
