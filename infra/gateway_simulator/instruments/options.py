"""Option chains: which contracts there are, what they are worth by Black and Scholes, and how that moves.

Listed are calls and puts of a few liquid stocks, ending on third Fridays. Prices follow the underlying's: no dividends,
early exercise or smile, an implied volatility for each underlying and expiry drawn from the seed. Time passes by days.
A contract's number is ours and says what it is, so that it is found again after a restart.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from functools import lru_cache

import numpy as np

from infra.gateway_simulator.instruments.calendar import FIRST_DAY, Calendar
from infra.gateway_simulator.instruments.instrument import Instrument, Kind, Option, Source
from infra.gateway_simulator.instruments.products import FRIDAY, QUARTERS, third
from infra.gateway_simulator.instruments.venues import OPTION_PENNIES, US_OPTIONS
from infra.gateway_simulator.market.noise import Integers, pick
from infra.gateway_simulator.market.prices import UNITS

OPTION_IDS = 1_100_000_000
CHAINS = {"AAPL": 1, "GOOG": 2, "IBM": 3, "MSFT": 4, "SPY": 5}  # a number once given stays
MULTIPLIER = 100
RATE = 0.01  # interest a year
LISTED = timedelta(days=365)  # before its last day

_CHAINS_MAX, _MONTHS_MAX, _STRIKES_MAX = 16, 512, 8192  # of what a number can say
_STRIKE_GRAIN = Decimal("0.5")
_GRID = ((Decimal(200), Decimal(5)), (Decimal(100), Decimal("2.5")), (Decimal(25), Decimal(1)))
_REACH = Decimal("0.35")  # strikes this far around the underlying's last close are listed
_NEAR_MONTHS = 3  # every month so far ahead, then quarters
_KEPT = 10_000
_DAYS_A_YEAR = 365.0


@dataclass(frozen=True, slots=True)
class Greeks:
    """Model values of one option: theta a day, vega a point of volatility, prices in dollars."""

    implied_volatility: float
    price: float
    delta: float
    gamma: float
    vega: float
    theta: float
    underlying_price: float
    dividends: float = 0.0


def strike_step(strike: Decimal) -> Decimal:
    """The distance between listed strikes at that level."""
    return next((step for edge, step in _GRID if strike >= edge), _STRIKE_GRAIN)


def strikes_around(price: Decimal) -> list[Decimal]:
    """Listed strikes while the underlying's last close is `price`."""
    lowest, highest = price * (1 - _REACH), price * (1 + _REACH)
    step = strike_step(lowest)
    strike, found = max(lowest // step * step, step), []
    while strike <= highest:
        found.append(strike)
        strike += strike_step(strike)
    return found


class Chains:
    """The options of all underlyings that have any."""

    def __init__(self, underlyings: dict[str, Instrument]) -> None:
        self._by_place = {place: underlyings[symbol] for symbol, place in CHAINS.items() if symbol in underlyings}
        self._places = {each.contract_id: place for place, each in self._by_place.items()}
        self._made = lru_cache(maxsize=_KEPT)(self._make)

    def has(self, instrument: Instrument) -> bool:
        return instrument.contract_id in self._places

    def underlying(self, symbol: str) -> Instrument | None:
        return self._by_place.get(CHAINS.get(symbol, 0))

    def expiries(self, calendar: Calendar, today: date) -> list[date]:
        """Last trading days of what is listed on that day."""
        found = []
        for ahead in range(13):
            year, month = divmod(today.year * 12 + today.month - 1 + ahead, 12)
            expiry = third(calendar, FRIDAY, year, month + 1)
            is_listed = ahead <= _NEAR_MONTHS or month + 1 in QUARTERS
            if expiry is not None and is_listed and today <= expiry <= today + LISTED:
                found.append(expiry)
        return found

    def ending_in(self, underlying: Instrument, text: str) -> list[date]:
        """The last trading day that a month or a day is meant to name, as 201303 or 20130315."""
        if len(text) < 6 or not text[:8].isdigit() or not 1 <= int(text[4:6]) <= 12:
            return []
        expiry = third(underlying.calendar, FRIDAY, int(text[:4]), int(text[4:6]))
        return [expiry] if expiry is not None and f"{expiry:%Y%m%d}".startswith(text[:8]) else []

    def contract(self, underlying: Instrument, expiry: date, strike: Decimal, right: str) -> Instrument | None:
        """The option that is meant; None when there is none such."""
        place = self._places.get(underlying.contract_id)
        if place is None or strike <= 0 or strike % strike_step(strike) or right not in ("C", "P"):
            return None
        if expiry != third(underlying.calendar, FRIDAY, expiry.year, expiry.month):
            return None
        month = (expiry.year - FIRST_DAY.year) * 12 + expiry.month - 1
        grains = int(strike / _STRIKE_GRAIN)
        if not (0 <= month < _MONTHS_MAX and grains < _STRIKES_MAX):
            return None
        return self._made(place, month, right == "P", grains)

    def with_id(self, number: int) -> Instrument | None:
        """The option of that number."""
        rest, grains = divmod(number - OPTION_IDS, _STRIKES_MAX)
        rest, is_put = divmod(rest, 2)
        place, month = divmod(rest, _MONTHS_MAX)
        if number < OPTION_IDS or place not in self._by_place:
            return None
        underlying = self._by_place[place]
        expiry = third(underlying.calendar, FRIDAY, FIRST_DAY.year + month // 12, month % 12 + 1)
        if expiry is None:
            return None
        return self.contract(underlying, expiry, grains * _STRIKE_GRAIN, "P" if is_put else "C")

    def listed(self, underlying: Instrument, today: date, close: Decimal) -> Iterator[Instrument]:
        """All that is listed on that day, after the underlying has last closed at `close`."""
        strikes = strikes_around(close)
        for expiry in self.expiries(underlying.calendar, today):
            for strike in strikes:
                for right in ("C", "P"):
                    found = self.contract(underlying, expiry, strike, right)
                    if found is not None:
                        yield found

    def _make(self, place: int, month: int, is_put: bool, grains: int) -> Instrument:
        underlying, strike, right = self._by_place[place], grains * _STRIKE_GRAIN, "P" if is_put else "C"
        expiry = third(underlying.calendar, FRIDAY, FIRST_DAY.year + month // 12, month % 12 + 1)
        assert expiry is not None, "whoever asks has looked at the calendar"
        number = OPTION_IDS + ((place * _MONTHS_MAX + month) * 2 + is_put) * _STRIKES_MAX + grains
        return Instrument(
            contract_id=number,
            symbol=underlying.symbol,
            name=underlying.name,
            venue=US_OPTIONS,
            source=Source.SYNTHETIC,
            rule=OPTION_PENNIES,
            currency=underlying.currency,
            kind=Kind.OPTION,
            multiplier=Decimal(MULTIPLIER),
            lot=10,
            local_symbol=f"{underlying.symbol:<6}{expiry:%y%m%d}{right}{int(strike * 1000):08}",
            trading_class=underlying.symbol,
            option=Option(underlying, expiry, strike, right),
        )


def volatility(seed: int, option: Option) -> float:
    """A year's, as implied by the option's prices."""
    return _implied(seed, option.underlying.symbol, option.expiry)


def _implied(seed: int, symbol: str, expiry: date) -> float:
    base = 18 + pick(18, seed, "volatility", symbol)
    return (base + pick(5, seed, "term", symbol, expiry.toordinal())) / 100


def implied_in_30_days(seed: int, underlying: Instrument, day: date) -> float | None:
    """What its options imply for thirty days from `day`, between the expiries around them; None where it has none."""
    if underlying.symbol not in CHAINS or underlying.kind is not Kind.STOCK or underlying.currency != "USD":
        return None
    target = day + timedelta(days=30)
    months = (divmod(target.year * 12 + target.month - 1 + more, 12) for more in (-1, 0, 1))
    found = [third(underlying.calendar, FRIDAY, year, month + 1) for year, month in months]
    ends = [each for each in found if each is not None]
    before = max((each for each in ends if each <= target), default=None)
    after = min((each for each in ends if each > target), default=before)
    if before is None or after is None:
        return None
    near, far = (_implied(seed, underlying.symbol, each) for each in (before, after))
    share = (target - before).days / (after - before).days if after > before else 0.0
    return round(near + (far - near) * share, 8)


def open_interest(seed: int, option: Option) -> int:
    """How many contracts are open: invented, and the same all its life."""
    name = f"{option.underlying.symbol} {option.expiry} {option.strike:f} {option.right}"
    return 100 + pick(5_000, seed, "open interest", name)


def greeks(seed: int, option: Option, underlying_price: float, day: date) -> Greeks:
    """Model values on a day at a price of the underlying, in dollars."""
    strike, iv, years = float(option.strike), volatility(seed, option), _years(option, day)
    root = iv * math.sqrt(years)
    first = (math.log(underlying_price / strike) + (RATE + iv * iv / 2) * years) / root
    second, sign = first - root, 1 if option.right == "C" else -1
    density = math.exp(-first * first / 2) / math.sqrt(2 * math.pi)
    discount = strike * math.exp(-RATE * years)
    price = sign * (underlying_price * _below(sign * first) - discount * _below(sign * second))
    decay = -underlying_price * density * iv / (2 * math.sqrt(years)) - sign * RATE * discount * _below(sign * second)
    return Greeks(
        implied_volatility=iv,
        price=price,
        delta=sign * _below(sign * first),
        gamma=density / (underlying_price * root),
        vega=underlying_price * density * math.sqrt(years) / 100,
        theta=decay / _DAYS_A_YEAR,
        underlying_price=underlying_price,
    )


def option_prices(seed: int, option: Option, day: date, underlying: Integers) -> Integers:
    """What the option is worth at each price of the underlying, in units, rounded to its increments."""
    distinct, places = np.unique(underlying, return_inverse=True)
    worth = np.array([greeks(seed, option, int(each) / UNITS, day).price for each in distinct]) * UNITS
    rounded = np.maximum(OPTION_PENNIES.nearest(worth), OPTION_PENNIES.least).astype(np.int64)
    found: Integers = rounded[places].reshape(underlying.shape)
    return found


def _years(option: Option, day: date) -> float:
    """Until the end of the last trading day."""
    return max((option.expiry - day).days + 1, 1) / _DAYS_A_YEAR


def _below(value: float) -> float:
    """How much of a normal distribution lies below."""
    return 0.5 * math.erfc(-value / math.sqrt(2))
