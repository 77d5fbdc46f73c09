"""The market's own time, and what every instrument's last trade and quote are at a moment."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from infra.clock import Clock
from infra.gateway_simulator.instruments.calendar import BAR_SECONDS, Session
from infra.gateway_simulator.instruments.instrument import Instrument
from infra.gateway_simulator.instruments.options import Greeks, greeks, implied_in_30_days, open_interest
from infra.gateway_simulator.market.bars import BarHistory, View
from infra.gateway_simulator.market.daily import DailyBar, DailyBook, DailySeries
from infra.gateway_simulator.market.intraday import DayPath, Days
from infra.gateway_simulator.market.noise import pick
from infra.gateway_simulator.market.prices import UNITS

ROUND_LOT = 100
_DAYS_KEPT = 48  # derived ones, besides those of what is followed or held
_HELD_MAX = 512  # instruments whose days are kept for those who hold them: some 130 MB, outside of hours 330 MB
_DRAWN_UNITS = 10_000  # prices enter the draw in these parts of a dollar


class MarketClock:
    """Market time: from a start, `speed` market seconds per wall second, or by hand alone when the speed is 0."""

    def __init__(self, clock: Clock, start: float, speed: float) -> None:
        self._clock = clock
        self._start = start
        self._speed = speed
        self._began = clock.monotonic()

    @property
    def speed(self) -> float:
        return self._speed

    def now(self) -> float:
        """Epoch seconds of market time."""
        return self._start + (self._clock.monotonic() - self._began) * self._speed

    def advance(self, seconds: float) -> None:
        """Let market time pass at once."""
        self._start += seconds

    def set_speed(self, speed: float) -> None:
        """Go on from here at another speed."""
        self._start, self._began = self.now(), self._clock.monotonic()
        self._speed = speed

    def wall_seconds_until(self, moment: float) -> float | None:
        """How long to wait until market time reaches `moment`; None when only a hand moves it."""
        if self._speed == 0:
            return None
        return max(0.0, (moment - self.now()) / self._speed)


@dataclass(slots=True)
class Quote:
    """Last trade and best prices of one instrument, in units; sizes are what is still displayed."""

    moment: float
    last: int
    last_size: int
    bid: int
    ask: int
    bid_size: int
    ask_size: int


@dataclass(slots=True)
class DaySoFar:
    """What a day's trading has shown; volume in shares, prices in units; 0 before the first trade."""

    day: date
    previous_close: int
    open: int = 0
    high: int = 0
    low: int = 0
    volume: int = 0

    def take(self, price: int, size: int) -> None:
        self.open = self.open or price
        self.high = max(self.high, price)
        self.low = min(self.low or price, price)
        self.volume += size


def quote_after(instrument: Instrument, moment: float, price: int, size: int) -> Quote:
    """The quote that a trade leaves behind: an increment around it, with sizes of one to nine lots."""
    drawn = pick(81, instrument.key, round(moment * 100), price * _DRAWN_UNITS // UNITS)
    bid_lots, ask_lots = divmod(drawn, 9)
    bid, ask = instrument.rule.bid_of(price), instrument.rule.ask_of(price)
    return Quote(moment, price, size, bid, ask, (bid_lots + 1) * instrument.lot, (ask_lots + 1) * instrument.lot)


class World:
    """Every instrument's past and present, one and the same for all clients."""

    def __init__(self, daily: DailyBook, seed: int) -> None:
        self._daily = daily
        self._seed = seed
        self._days = Days(daily, seed)
        self.history = BarHistory(daily, self._days)
        self._quotes: dict[int, Quote] = {}
        self._so_far: dict[int, DaySoFar] = {}
        self._followed: set[int] = set()
        self._held: set[int] = set()
        self._looked: dict[int, float] = {}  # the moment of which a quote is known
        self.markets: Counter[str] = Counter()  # how many instruments are followed in each

    def series(self, instrument: Instrument) -> DailySeries:
        return self._daily.series(instrument)

    def path(self, instrument: Instrument, session: Session) -> DayPath | None:
        """The derived day, of as many hours as the session has; None when the instrument did not trade on it."""
        known = self._days.known(instrument, session.day, is_whole=session.is_extended)
        if known is not None:
            return known
        bar = self.series(instrument).on(session.day)
        return None if bar is None else self._days.path(instrument, bar, is_whole=session.is_extended)

    def view(self, instrument: Instrument, day: date, what: str) -> View:
        """How bars of that kind look on their own day."""
        return View(self.series(instrument), (day, day), what, instrument.rule)

    def daily_bar(self, instrument: Instrument, day: date) -> DailyBar | None:
        return self.series(instrument).on(day)

    def quote(self, instrument: Instrument, now: float) -> Quote | None:
        """The quote in force: that of the last trade by `now`; None before the first trade ever."""
        known = self._quotes.get(instrument.contract_id)
        if known is not None and (
            instrument.contract_id in self._followed or self._looked.get(instrument.contract_id) == now
        ):
            return known
        found = self._recovered(instrument, now)
        if known is None or (found is not None and found.moment > known.moment):
            known = found
        if known is not None:
            self._quotes[instrument.contract_id] = known
            self._looked[instrument.contract_id] = now
        return known

    def held_quote(self, instrument: Instrument, now: float) -> Quote | None:
        """The quote of what somebody holds, and will value again and again: its day is kept."""
        if instrument.contract_id not in self._held and len(self._held) < _HELD_MAX:
            self._held.add(instrument.contract_id)
            self._keep_days()
        return self.quote(instrument, now)

    def greeks(self, instrument: Instrument, now: float) -> Greeks | None:
        """Model values of an option at its underlying's last price; None where there is no price."""
        option = instrument.option
        under = self.quote(option.underlying, now) if option is not None else None
        if option is None or under is None:
            return None
        return greeks(self._seed, option, under.last / UNITS, instrument.hours.latest(now).day)

    def implied_volatility(self, instrument: Instrument, day: date) -> float | None:
        """Of thirty days from a day, as the options on it say; None where there are none."""
        return implied_in_30_days(self._seed, instrument, day)

    def option_interest(self, chain: Iterable[Instrument]) -> tuple[int, int]:
        """Open contracts of calls and of puts."""
        found = {"C": 0, "P": 0}
        for each in chain:
            if each.option is not None:
                found[each.option.right] += open_interest(self._seed, each.option)
        return found["C"], found["P"]

    def follow(self, instrument: Instrument, now: float) -> None:
        """From now on every trade is told by `traded`, so that what is remembered is what is true."""
        if instrument.contract_id not in self._followed:
            self.quote(instrument, now)
            self._so_far[instrument.contract_id] = self.counted(instrument, now)
            self._followed.add(instrument.contract_id)
            self._keep_days()
            self.markets[instrument.calendar.market] += 1

    def unfollow(self, instrument: Instrument) -> None:
        if instrument.contract_id in self._followed:
            self._followed.discard(instrument.contract_id)
            market = instrument.calendar.market
            self.markets[market] -= 1
            if not self.markets[market]:
                del self.markets[market]

    def _keep_days(self) -> None:
        self._days.keep(_DAYS_KEPT + len(self._followed | self._held))

    def traded(self, instrument: Instrument, moment: float, price: int, size: int) -> Quote:
        """A trade has happened: the quote after it."""
        day = self.so_far(instrument, moment)
        if instrument.calendar.is_open_at(moment):
            day.take(price, size)
        quote = quote_after(instrument, moment, price, size)
        self._quotes[instrument.contract_id] = quote
        return quote

    def forced(self, instrument: Instrument, moment: float, price: int, size: int) -> Quote:
        """A print by hand: it moves the quote, and is no part of any bar."""
        quote = quote_after(instrument, moment, price, size)
        self._quotes[instrument.contract_id] = quote
        return quote

    def so_far(self, instrument: Instrument, now: float) -> DaySoFar:
        """The open, high, low and volume of the day's regular hours by `now`."""
        known = self._so_far.get(instrument.contract_id)
        day = instrument.hours.latest(now).day
        if known is None or known.day != day or instrument.contract_id not in self._followed:
            known = self._so_far[instrument.contract_id] = self.counted(instrument, now)
        return known

    def counted(self, instrument: Instrument, moment: float) -> DaySoFar:
        """The day as it was at a moment of the past, counted anew."""
        return self._counted(instrument, instrument.calendar.session(instrument.hours.latest(moment).day), moment)

    def _counted(self, instrument: Instrument, session: Session, now: float) -> DaySoFar:
        """All trades of the session before `now`."""
        before = self.series(instrument).before(session.day)
        found = DaySoFar(session.day, self._carried(instrument, before, session.day))
        path = self.path(instrument, session)
        if path is None:
            return found
        complete = max(0, min(session.bars, int((now - session.open) // BAR_SECONDS)))
        if int(path.volume[:complete].sum()):
            found.open, found.volume = int(path.open[0]), int(path.volume[:complete].sum())
            found.high, found.low = int(path.high[:complete].max()), int(path.low[:complete].min())
        for trade in path.trades(complete, min(complete + 1, session.bars)):
            if session.open + trade.offset < now:
                found.take(trade.price, trade.size)
        return found

    def _carried(self, instrument: Instrument, before: DailyBar | None, day: date) -> int:
        """Yesterday's close in today's shares."""
        if before is None:
            return 0
        return before.close // self.series(instrument).split_factor(before.day, day)

    def _recovered(self, instrument: Instrument, now: float) -> Quote | None:
        session = instrument.hours.latest(now)
        regular = instrument.calendar.session(session.day)
        if regular.open <= now < regular.close and (found := self._last_of(instrument, regular, now)) is not None:
            return found  # for which the hours before and after need not be derived
        found = self._last_of(instrument, session, now)
        if found is not None:
            return found
        before = self.series(instrument).before(session.day)
        if before is None:
            return None
        evening = instrument.hours.session(before.day)
        last = self._last_of(instrument, evening, evening.close) if evening.is_extended else None
        if last is not None:
            price = last.last // self.series(instrument).split_factor(before.day, session.day)
            return quote_after(instrument, last.moment, price, last.last_size)
        price = self._carried(instrument, before, session.day)
        return quote_after(instrument, instrument.calendar.session(before.day).close, price, instrument.lot)

    def _last_of(self, instrument: Instrument, session: Session, now: float) -> Quote | None:
        """The quote after the last trade of a session by `now`."""
        path = self.path(instrument, session)
        found = path.last_before(now - session.open) if path is not None else None
        if found is None:
            return None
        return quote_after(instrument, session.open + found.offset, found.price, found.size)
