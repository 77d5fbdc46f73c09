"""Derived days add up to the real ones, for every symbol, day and bar size."""

import hashlib
from datetime import date
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.gateway_simulator.instruments.calendar import market_calendar
from infra.gateway_simulator.instruments.catalogue import Catalogue
from infra.gateway_simulator.market.bars import BAR_SIZES, DAY, BarHistory, Span
from infra.gateway_simulator.market.daily import DailyBar, DailyBook
from infra.gateway_simulator.market.intraday import DayPath, Days, Frame, derive
from infra.gateway_simulator.market.prices import UNITS, US_STOCKS

REAL = ("AAPL", "GOOG", "IBM", "MSFT", "FB")
LAST_REAL = date(2013, 3, 1)
NEW_YORK = market_calendar("XNYS")
CATALOGUE = Catalogue()


@cache
def daily() -> DailyBook:
    return DailyBook(7, {})


def real_day(symbol: str, place: float) -> DailyBar:
    series = daily().series(CATALOGUE.by_symbol[symbol])
    days = NEW_YORK.between(series.first_day, LAST_REAL)
    found = series.on(days[int(place * len(days))])
    assert found is not None, "every real symbol traded on every day after its first"
    return found


def derived(symbol: str, day: DailyBar, seed: int = 7, bars: int = 4680) -> DayPath:
    return derive(seed, Frame(symbol, US_STOCKS, bars), day)


places = st.floats(0, 1, exclude_max=True)


@pytest.mark.parametrize("symbol", REAL)
@settings(max_examples=30)
@given(place=places)
def test_bars_of_five_seconds_add_up_to_the_real_day(symbol: str, place: float) -> None:
    day = real_day(symbol, place)
    path = derived(symbol, day)

    assert (path.open[0], path.high.max(), path.low.min(), path.close[-1]) == (day.open, day.high, day.low, day.close)
    assert path.volume.sum() == day.volume
    assert (path.open[1:] == path.close[:-1]).all()
    assert (path.low <= np.minimum(path.open, path.close)).all()
    assert (path.high >= np.maximum(path.open, path.close)).all()


@pytest.mark.parametrize("symbol", REAL)
@settings(max_examples=30)
@given(place=places, bar=st.integers(0, 4679))
def test_trades_add_up_to_their_bar(symbol: str, place: float, bar: int) -> None:
    path = derived(symbol, real_day(symbol, place))
    trades = path.prints(bar)
    prices = [each.price for each in trades]

    assert (prices[0], max(prices), min(prices), prices[-1]) == tuple(
        int(column[bar]) for column in (path.open, path.high, path.low, path.close)
    )
    assert sum(each.size for each in trades) == path.volume[bar]
    assert sum(each.size * each.price for each in trades) == path.money[bar]
    assert len(trades) == path.count[bar]
    assert [each.offset for each in trades] == sorted({each.offset for each in trades})


@pytest.mark.parametrize("symbol", REAL)
@settings(max_examples=30)
@given(place=places, size=st.sampled_from([each for each in BAR_SIZES.values() if each <= DAY]))
def test_bars_of_any_size_add_up_to_the_split_adjusted_day(symbol: str, place: float, size: int) -> None:
    day = real_day(symbol, place)
    history = BarHistory(daily(), Days(daily(), 7))
    now = NEW_YORK.session(LAST_REAL).close
    session = NEW_YORK.session(day.day)
    span = Span(session.open, session.close, size, "TRADES", now)
    candles = [each for portion in history.candles(CATALOGUE.by_symbol[symbol], span) for each in portion]
    factor = daily().series(CATALOGUE.by_symbol[symbol]).split_factor(day.day, LAST_REAL)

    def adjusted(units: int) -> float:
        return units / (UNITS * factor)

    assert candles[0].open == adjusted(day.open)
    assert max(each.high for each in candles) == adjusted(day.high)
    assert min(each.low for each in candles) == adjusted(day.low)
    assert candles[-1].close == adjusted(day.close)
    assert sum(each.volume for each in candles) == day.volume * factor
    assert [each.start for each in candles] == sorted({each.start for each in candles})


@settings(max_examples=50)
@given(
    volume=st.integers(0, 100_000),
    prices=st.lists(st.integers(1, 10**9), min_size=4, max_size=4).map(sorted),
    rising=st.booleans(),
)
def test_thin_and_odd_days_add_up_too(volume: int, prices: list[int], rising: bool) -> None:
    low, first, second, high = prices
    opened, close = (first, second) if rising else (second, first)
    day = DailyBar(LAST_REAL, opened, high, low, close, volume)
    path = derived("THIN", day, seed=1)

    assert (path.open[0], path.high.max(), path.low.min(), path.close[-1]) == (opened, high, low, close)
    assert path.volume.sum() == volume
    assert path.volume.min() >= 0
    assert sum(each.size for each in path.trades(0, 4680)) == volume


def test_the_same_seed_gives_the_same_bytes_on_every_machine() -> None:
    path = derived("AAPL", real_day("AAPL", 0.999))
    finer = UNITS // 10_000  # the sum is of parts of a dollar that were once the smallest
    priced = [each // finer for each in (path.open, path.high, path.low, path.close)]
    columns = (*priced, path.volume, path.money // finer, path.count)
    digest = hashlib.sha256(b"".join(each.astype("<i8").tobytes() for each in columns)).hexdigest()

    assert digest == "596a9b3fedf7b974b39f2972f82e3af8da451f90049f39cea766883e9bd4ac36"
    assert (derived("AAPL", real_day("AAPL", 0.999), seed=8).close != path.close).any()


def test_the_last_trade_before_a_moment_is_found() -> None:
    path = derived("AAPL", real_day("AAPL", 0.999))
    trades = list(path.trades(0, 4680))

    assert path.last_before(0.4) is None
    assert path.last_before(0.5) == trades[0]
    assert path.last_before(23_400) == trades[-1]
    assert path.last_before(1000) == [each for each in trades if each.offset <= 1000][-1]


def test_days_keep_only_the_most_recent_ones() -> None:
    days = Days(daily(), 7, kept=2)
    apple = CATALOGUE.by_symbol["AAPL"]
    kept = [days.path(apple, real_day("AAPL", place)) for place in (0.1, 0.2, 0.3)]

    assert days.path(apple, real_day("AAPL", 0.3)) is kept[2]
    assert days.path(apple, real_day("AAPL", 0.1)) is not kept[0]
