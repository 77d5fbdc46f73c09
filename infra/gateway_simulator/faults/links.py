"""Faults of the links: between gateway and IB, between gateway and clients, of data farms and of market data."""

from collections.abc import Callable
from functools import partial
from typing import Protocol

from infra.errors import UsageError
from infra.gateway_simulator.faults import farms
from infra.gateway_simulator.faults.actions import (
    Deaf,
    FarmNotice,
    Fragments,
    Frozen,
    Lasting,
    Notice,
    Occupied,
    Outage,
    Restart,
    Restriction,
    Silence,
    Skew,
)
from infra.gateway_simulator.faults.armed import Event
from infra.gateway_simulator.faults.weather import EVERYTHING, Weather
from infra.gateway_simulator.floor import Shared
from infra.gateway_simulator.live.feed import LiveBars, Subscription, TickByTick
from infra.gateway_simulator.live.market_data import MarketData
from infra.gateway_simulator.live.permissions import Permission
from infra.gateway_simulator.protocol import codes
from infra.gateway_simulator.protocol.session import Session


class Door(Protocol):
    """What listens for clients."""

    def shut(self) -> None: ...
    def open(self) -> None: ...


class House(Protocol):
    """The gateway, as far as faults change it."""

    def forget_subscriptions(self) -> None: ...
    def compete(self, is_competing: bool) -> None: ...


class Links:
    """`door` is set by whoever listens."""

    def __init__(self, house: House, shared: Shared) -> None:
        self._house = house
        self._shared = shared
        self._outages = 0
        self._streams_die = False
        self.door: Door | None = None

    @property
    def _weather(self) -> Weather:
        return self._shared.weather

    def _clients(self, client_id: int | None = None) -> list[Session]:
        return [each for each in tuple(self._shared.sessions.values()) if client_id in (None, each.client_id)]

    def _after(self, seconds: float | None, call: Callable[[], None]) -> None:
        """The end of something that lasts; never, when no time is given."""
        if seconds is not None:
            self._shared.timetable.after(seconds, call)

    # between the gateway and IB

    def notice(self, what: Notice, cause: Event | None = None) -> None:
        for session in self._clients(what.client_id):
            session.error(-1, what.code, codes.text_for(what.code, -1, what.text))

    def outage(self, what: Outage, cause: Event | None = None) -> None:
        weather = self._weather
        weather.link_down, weather.orders_lost = True, what.orders == "lost"
        weather.changed()
        self._outages += 1
        self._streams_die = what.streams_die
        if what.announced:
            self._tell_lost(self._outages, what.repeat)
        self._after(what.seconds, partial(self._end_outage, self._outages, what.restored))

    def _tell_lost(self, outage: int, repeat: float | None) -> None:
        if self._weather.link_down and outage == self._outages:
            self.notice(Notice(code=codes.LOST))
            self._after(repeat, partial(self._tell_lost, outage, repeat))

    def _end_outage(self, outage: int, code: int) -> None:
        if self._weather.link_down and outage == self._outages:
            self.restore(code)

    def restore(self, code: int, cause: Event | None = None) -> None:
        """The link is back; also told when it was never lost."""
        self._weather.link_down = self._weather.orders_lost = False
        self._weather.changed()
        if code == codes.RESTORED_EMPTY:
            self._house.forget_subscriptions()
        for session in self._clients() if self._streams_die else ():
            session.dead_streams |= session.streams
        self._streams_die = False
        self.notice(Notice.model_validate({"code": code}))
        for name in farms.AT_START:
            self._tell_farm(name, "broken" if name in self._weather.broken else "ok")
        self._resume()

    def _resume(self) -> None:
        for session in self._clients():
            session.resume()

    def farm(self, what: FarmNotice, cause: Event | None = None) -> None:
        if what.state == "broken":
            self._weather.broken[what.name] = what.history
            if what.kills_subscriptions:
                self._kill_subscriptions(what.name)
            mended = FarmNotice(name=what.name, state="ok")
            self._after(what.seconds, partial(self.farm, mended))
        else:
            self._weather.broken.pop(what.name, None)
        self._weather.changed()
        self._tell_farm(what.name, what.state)
        self._resume()

    def _tell_farm(self, name: str, state: str) -> None:
        code, text = farms.notice(name, state)
        self.notice(Notice(code=code, text=text))

    def _kill_subscriptions(self, farm: str) -> None:
        """Without a word."""
        feed = self._shared.feed
        known: list[Subscription] = [*feed.every(MarketData), *feed.every(LiveBars), *feed.every(TickByTick)]
        for each in known:
            if farms.market_farm(each.instrument) == farm:
                feed.remove(each.session, each.request_id)
        self._shared.refollow()

    # between the gateway and its clients

    def restart(self, what: Restart, cause: Event | None = None) -> None:
        """All clients are sent away; the port refuses until the gateway is back. What is known stays known."""
        if what.code is not None:
            self.notice(Notice.model_validate({"code": what.code}))
        if self.door is not None:
            self.door.shut()
            self._shared.timetable.after(what.seconds, self.door.open)
        for session in tuple(self._shared.sockets):
            session.close()

    def half_open(self, what: Silence, cause: Event | None = None) -> None:
        """The sockets stay, until the gateway notices that they are dead."""
        for session in self._clients(what.client_id):
            session.freeze(lost=True)
            self._after(what.seconds, session.abort)

    def freeze(self, what: Silence, cause: Event | None = None) -> None:
        for session in self._clients(what.client_id):
            session.freeze(lost=False)
            self._after(what.seconds, session.thaw)

    def deaf(self, what: Deaf, cause: Event | None = None) -> None:
        self._weather.deaf = True
        self._after(what.seconds, self._hear)

    def _hear(self) -> None:
        self._weather.deaf = False
        for session in self._shared.sockets - set(self._clients()):
            session.thaw()

    def occupied(self, what: Occupied, cause: Event | None = None) -> None:
        client_id = what.client_id if cause is None or what.client_id is not None else cause.client_id
        if client_id is None:
            raise UsageError("occupied needs a client_id, or the event of a client")
        self._weather.occupied[client_id] = self._shared.clock.monotonic() + what.seconds

    def fragments(self, what: Fragments, cause: Event | None = None) -> None:
        self._break_up(what.bytes)
        self._after(what.seconds, partial(self._break_up, 0))

    def _break_up(self, size: int) -> None:
        self._weather.fragment = size
        for session in self._shared.sockets:
            session.break_up(size)

    def clock_skew(self, what: Skew, cause: Event | None = None) -> None:
        self._weather.skew = what.seconds
        self._weather.changed()

    # market data

    def competing(self, what: Lasting, cause: Event | None = None) -> None:
        """Another session of the same user begins: market data ends, each subscription is told."""
        self._house.compete(True)
        self._after(what.seconds, partial(self._house.compete, False))

    def frozen(self, what: Frozen, cause: Event | None = None) -> None:
        symbols = set(what.symbols) or {EVERYTHING}
        self._weather.frozen |= symbols
        self._weather.changed()
        self._after(what.seconds, partial(self._melt, symbols))

    def _melt(self, symbols: set[str]) -> None:
        self._weather.frozen -= symbols
        self._weather.changed()

    def restriction(self, what: Restriction, cause: Event | None = None) -> None:
        known = self._shared.permissions.of
        before = {symbol: known.get(symbol, Permission.LIVE) for symbol in what.symbols}
        known |= dict.fromkeys(what.symbols, Permission(what.data))
        self._after(what.seconds, partial(known.update, before))
