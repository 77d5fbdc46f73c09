"""What generic ticks and volatility bars tell of an instrument: computed from its days, never invented."""

import math
from datetime import date, timedelta
from itertools import pairwise

from infra.gateway_simulator.instruments.calendar import BAR_SECONDS
from infra.gateway_simulator.instruments.instrument import Instrument
from infra.gateway_simulator.live.market_data import Figures
from infra.gateway_simulator.market.daily import DailyBar, DailySeries
from infra.gateway_simulator.market.derivatives import OPTION_PRINTS
from infra.gateway_simulator.market.market import World
from infra.gateway_simulator.market.prices import UNITS
from infra.gateway_simulator.market.prints import Prints

WEEKS = (13, 26, 52)
VOLATILITY_DAYS = 30
_VOLUME_DAYS = 90
_DAYS_A_YEAR = 252


def figures_of(world: World, instrument: Instrument, now: float) -> Figures:
    """All figures at a moment."""
    series, session = world.series(instrument), instrument.hours.latest(now)
    found = Figures(session.day)
    path = world.path(instrument, session)
    if path is not None:
        done = Prints.of(path).between(0.0, max(0.0, math.nextafter(now - session.open, math.inf)))
        found.money, found.volume, found.trades = int((done.price * done.size).sum()), int(done.size.sum()), len(done)
    days = list(_days_before(series, session.day, max(WEEKS)))
    if days:
        found.extremes = tuple(
            price
            for weeks in WEEKS
            for price in _extremes(series, days, session.day, session.day - timedelta(weeks=weeks))
        )
        recent = days[-_VOLUME_DAYS:]
        found.average_volume = sum(each.volume for each in recent) // len(recent)
        found.ratios = _ratios(series, days, session.day)
    found.volatility = volatility(series, session.day)
    found.implied = world.implied_volatility(instrument, session.day)
    return found


def add_options(found: Figures, world: World, instrument: Instrument, chain: list[Instrument], now: float) -> None:
    """What the options on it have traded and how many are open; of an option those of itself."""
    session = instrument.calendar.session(instrument.hours.latest(now).day)
    bars = max(0, min(session.bars, int((now - session.open) // BAR_SECONDS)))
    rights = [each.option.right for each in chain if each.option is not None]
    found.option_volume = (rights.count("C") * OPTION_PRINTS * bars, rights.count("P") * OPTION_PRINTS * bars)
    found.average_option_volume = len(rights) * OPTION_PRINTS * session.bars
    found.open_interest = world.option_interest(chain)


def volatility(series: DailySeries, day: date) -> float | None:
    """Annual volatility of the thirty daily returns before `day`; None while there are fewer."""
    closes: list[float] = []
    at = series.before(day)
    while at is not None and len(closes) <= VOLATILITY_DAYS:
        closes.append(at.close / series.split_factor(at.day, day))
        at = series.before(at.day)
    if len(closes) <= VOLATILITY_DAYS:
        return None
    returns = [math.log(later / before) for later, before in pairwise(closes)]
    mean = math.fsum(returns) / len(returns)
    variance = math.fsum((each - mean) ** 2 for each in returns) / (len(returns) - 1)
    return round(math.sqrt(variance * _DAYS_A_YEAR), 8)


def _ratios(series: DailySeries, days: list[DailyBar], day: date) -> tuple[tuple[str, float], ...]:
    """Those of IB's fundamental ratios that prices and volumes alone make, by the names that they have there."""
    low, high = _extremes(series, days, day, day - timedelta(weeks=52))
    last = days[-1].close / series.split_factor(days[-1].day, day)
    before = [each for each in days if each.day <= day - timedelta(weeks=13)] or days[:1]
    quarter = before[-1].close / series.split_factor(before[-1].day, day)
    recent = days[-10:]
    return (
        ("NPRICE", last / UNITS),
        ("NHIGH", high / UNITS),
        ("NLOW", low / UNITS),
        ("PR13WKPCT", round((last / quarter - 1) * 100, 5)),
        ("VOL10DAVG", round(sum(each.volume for each in recent) / len(recent) / 1e6, 5)),  # in millions
    )


def _days_before(series: DailySeries, day: date, weeks: int) -> list[DailyBar]:
    """The days of the weeks before `day`, oldest first."""
    found: list[DailyBar] = []
    at = series.before(day)
    while at is not None and at.day >= day - timedelta(weeks=weeks):
        found.append(at)
        at = series.before(at.day)
    return found[::-1]


def _extremes(series: DailySeries, days: list[DailyBar], as_of: date, since: date) -> tuple[int, int]:
    """Lowest and highest price since a day, in today's shares."""
    wanted = [each for each in days if each.day >= since] or days[-1:]
    factors = [series.split_factor(each.day, as_of) for each in wanted]
    lows = [each.low // factor for each, factor in zip(wanted, factors, strict=True)]
    return min(lows), max(each.high // factor for each, factor in zip(wanted, factors, strict=True))
