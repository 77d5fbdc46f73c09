"""Larger live bars of the sizes that are wanted, by the sessions of each contract's exchange."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from engine.facts import bar_of
from engine.live_bars import LargerBar, SessionBars
from infra.clock import Clock
from infra.gateway import hours
from schemas.market import LIVE_BAR, Bar
from schemas.moments import to_datetime, to_microseconds
from schemas.validation import Contract

_STEP_US = LIVE_BAR // timedelta(microseconds=1)
_DAY = timedelta(days=1)
GRACE = timedelta(seconds=10)
"""A bar that did not come so long after its end is not expected any more."""


@dataclass
class _Maker:
    sizes: tuple[timedelta, ...] = ()
    session: SessionBars | None = None
    reached: datetime | None = None
    """Up to here nothing is missing."""
    last: Bar | None = None


class LargerBars:
    """Every small bar is taken in as it is told; what it completes is given back."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._makers: dict[int, _Maker] = {}

    def want(self, contract_id: int, sizes: tuple[timedelta, ...]) -> None:
        """These sizes from now on: the first bar of each is one that begins after this."""
        if sizes:
            self._makers.setdefault(contract_id, _Maker()).sizes = tuple(sorted(sizes))
        else:
            self._makers.pop(contract_id, None)

    @property
    def wanted(self) -> bool:
        return bool(self._makers)

    def recall(self, bar: Bar, contract: Contract) -> None:
        """A bar that a former process published, oldest first."""
        maker = self._makers.get(bar.contract_id)
        if maker is None:
            return
        if bar.bar_size == LIVE_BAR:
            self._take(maker, bar, contract, joined=maker.reached == bar.start)
        elif maker.session is not None and maker.session.open_us <= to_microseconds(bar.start):
            size_us = bar.bar_size // timedelta(microseconds=1)
            maker.session.recall(bar_of(bar), size_us, bar.revision)

    def on_bar(self, bar: Bar, contract: Contract, *, joined: bool) -> list[Bar]:
        """What is to be told after this bar."""
        maker = self._makers.get(bar.contract_id)
        return self._take(maker, bar, contract, joined=joined) if maker is not None else []

    def on_time(self, contract_id: int, market_time: datetime) -> list[Bar]:
        """What is to be told because time has passed, of a contract whose feed is well."""
        maker = self._makers.get(contract_id)
        if maker is None or maker.session is None or maker.reached is None or maker.last is None:
            return []
        until = market_time - GRACE
        if until <= maker.reached or to_microseconds(maker.reached) >= maker.session.close_us:
            return []
        maker.session.nothing_else(to_microseconds(maker.reached), to_microseconds(until))
        maker.reached = until
        return self._due(maker)

    def correct(self, bars: list[Bar], start: datetime, end: datetime, contract_id: int) -> list[Bar]:
        """What follows from bars that came too late to be told themselves: they are all there are of that time."""
        maker = self._makers.get(contract_id)
        if maker is None or maker.session is None or maker.last is None:
            return []
        for bar in map(bar_of, bars):
            if maker.session.holds(bar):
                maker.session.put(bar, late=True)
        maker.session.nothing_else(to_microseconds(start), to_microseconds(end))
        return self._due(maker)

    def _take(self, maker: _Maker, bar: Bar, contract: Contract, *, joined: bool) -> list[Bar]:
        fact, told = bar_of(bar), []
        since = maker.reached if joined else None
        if maker.session is None or not maker.session.holds(fact):
            if maker.session is not None and since is not None:
                maker.session.nothing_else(to_microseconds(since), maker.session.close_us)
                told = self._due(maker)
            maker.session = _session_of(contract, bar)
        maker.reached, maker.last = bar.event_time, bar
        if maker.session is None:
            return told  # outside of the exchange's hours
        if since is not None:
            maker.session.nothing_else(to_microseconds(since), fact.start_us)
        maker.session.put(fact, late=bar.late)
        return told + self._due(maker)

    def _due(self, maker: _Maker) -> list[Bar]:
        assert maker.session is not None, "a session has begun"
        assert maker.last is not None, "a bar has come"
        last = maker.last
        found = [
            self._event(last, larger, size)
            for size in maker.sizes
            for larger in maker.session.due(size // timedelta(microseconds=1))
        ]
        return sorted(found, key=lambda bar: (bar.event_time, bar.bar_size))

    def _event(self, last: Bar, larger: LargerBar, size: timedelta) -> Bar:
        fact = larger.bar
        prices = {name: getattr(fact, name) for name in ("open", "high", "low", "close", "volume")}
        return last.revised(
            **prices,
            bar_size=size,
            start=to_datetime(fact.start_us),
            event_time=to_datetime(fact.end_us),
            ingest_time=self._clock.now(),
            revision=larger.revision,
            late=larger.late,
        )


def session_at(contract: Contract, moment: datetime) -> tuple[datetime, datetime] | None:
    """Open and close of the session that holds the moment; None between sessions."""
    return next((each for each in _sessions_near(contract, moment) if each[0] <= moment < each[1]), None)


def _sessions_near(contract: Contract, moment: datetime) -> Iterator[tuple[datetime, datetime]]:
    today = moment.astimezone(hours.zone(contract.time_zone)).date()
    for day in hours.trading_days(contract, today - _DAY, today + _DAY):
        yield hours.session(contract, day.day)


def _session_of(contract: Contract, bar: Bar) -> SessionBars | None:
    found = session_at(contract, bar.start)
    if found is None or bar.event_time > found[1]:
        return None
    return SessionBars(bar.contract_id, to_microseconds(found[0]), to_microseconds(found[1]), _STEP_US)
