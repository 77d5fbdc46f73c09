"""The past is one: bars of every size and kind are what the ticks add up to."""

from datetime import date
from functools import cache
from itertools import pairwise

import pytest

from infra.gateway_simulator.history.past_bars import candles, volatility_candles
from infra.gateway_simulator.history.past_request import SIZES
from infra.gateway_simulator.history.past_ticks import PastTicks, message, whole_seconds
from infra.gateway_simulator.instruments.catalogue import Catalogue
from infra.gateway_simulator.instruments.instrument import Instrument
from infra.gateway_simulator.market.bars import DAY, MONTH, WEEK, Candle, Span
from infra.gateway_simulator.market.daily import DailyBook
from infra.gateway_simulator.market.figures import figures_of, volatility
from infra.gateway_simulator.market.market import Quote, World
from infra.gateway_simulator.market.prices import UNITS
from infra.gateway_simulator.market.prints import Prints
from infra.gateway_simulator.market.quote_bars import asks, bids

THURSDAY = date(2013, 2, 28)


@cache
def world() -> World:
    return World(DailyBook(7, {}), 7)


def stock(symbol: str = "AAPL") -> Instrument:
    return Catalogue().by_symbol[symbol]


def bars(symbol: str, begin: float, end: float, size: int, what: str = "TRADES") -> list[Candle]:
    span = Span(begin, end, size, what, end)
    return [each for portion in candles(world(), stock(symbol), span) for each in portion]


@cache
def ticks_of_the_day(symbol: str = "AAPL") -> list[Quote]:
    session = stock(symbol).calendar.session(THURSDAY)
    return list(PastTicks(world()).between(stock(symbol), session.open, session.close))


def minutes(symbol: str, what: str, size: int) -> list[tuple[Candle, list[Quote]]]:
    """The first bars of the day, each with its ticks."""
    opened, seconds = stock(symbol).calendar.session(THURSDAY).open, max(60, 2 * size)
    made = bars(symbol, opened, opened + seconds, size, what)
    ticks = ticks_of_the_day(symbol)[: 4 * seconds]
    ends = [*(each.start for each in made[1:]), opened + seconds]
    return [
        (each, [tick for tick in ticks if each.start <= tick.moment < end])
        for each, end in zip(made, ends, strict=True)
    ]


@pytest.mark.parametrize("symbol", ["AAPL", "GOOG", "SPY"])
def test_columns_of_trades_are_the_trades_of_the_path(symbol: str) -> None:
    session = stock(symbol).calendar.session(THURSDAY)
    path = world().path(stock(symbol), session)
    assert path is not None
    found = Prints.of(path)

    expected = [(each.offset, each.price, each.size) for each in path.trades(0, session.bars)]
    assert list(zip(found.offset.tolist(), found.price.tolist(), found.size.tolist(), strict=True)) == expected
    assert len(Prints.of(path, 10, 20)) == len(list(path.trades(10, 20)))


@pytest.mark.parametrize("size", [each for each in sorted(set(SIZES.values())) if each < DAY])
def test_bars_of_trades_add_up_from_ticks(size: int) -> None:
    for bar, ticks in minutes("AAPL", "TRADES", size):
        if not ticks:
            assert size == 1
            assert (bar.volume, bar.count) == (0, 0)
            assert bar.open == bar.high == bar.low == bar.close == bar.average
            continue
        prices = [each.last / UNITS for each in ticks]
        assert (bar.open, bar.high, bar.low, bar.close) == (prices[0], max(prices), min(prices), prices[-1])
        assert (bar.volume, bar.count) == (sum(each.last_size for each in ticks), len(ticks))
        money = sum(each.last * each.last_size for each in ticks)
        assert bar.average == pytest.approx(money / bar.volume / UNITS, abs=1e-6)


@pytest.mark.parametrize("size", [1, 5, 60, 300])
@pytest.mark.parametrize("what", ["MIDPOINT", "BID", "ASK"])
def test_bars_of_quotes_add_up_from_ticks(what: str, size: int) -> None:
    for bar, ticks in minutes("IBM", what, size):
        weights = {"BID": (1.0, 0.0), "ASK": (0.0, 1.0), "MIDPOINT": (0.5, 0.5)}[what]
        prices = [(each.bid * weights[0] + each.ask * weights[1]) / UNITS for each in ticks]
        if prices:
            assert (bar.open, bar.high, bar.low, bar.close) == (prices[0], max(prices), min(prices), prices[-1])
        assert (bar.volume, bar.average, bar.count) == (-1, -1, -1)


@pytest.mark.parametrize("size", [5, 60, 600])
def test_bid_and_ask_bars_open_and_close_at_the_averages_over_time(size: int) -> None:
    for bar, ticks in minutes("AAPL", "BID_ASK", size):
        moments = [float(bar.start), *(each.moment for each in ticks[1:]), float(bar.start + size)]
        held = [end - begin for begin, end in pairwise(moments)]
        bid = sum(each.bid * time for each, time in zip(ticks, held, strict=True)) / size / UNITS
        ask = sum(each.ask * time for each, time in zip(ticks, held, strict=True)) / size / UNITS
        assert bar.open == pytest.approx(bid, abs=1e-5)
        assert bar.close == pytest.approx(ask, abs=1e-5)
        assert bar.low == min(each.bid for each in ticks) / UNITS <= bar.open
        assert bar.close <= bar.high == max(each.ask for each in ticks) / UNITS


@pytest.mark.parametrize("size", [DAY, WEEK, MONTH])
def test_long_bid_and_ask_bars_average_over_their_days(size: int) -> None:
    calendar = stock().calendar
    begin, end = calendar.session(date(2013, 1, 2)).open, calendar.session(date(2013, 2, 28)).close
    found = bars("AAPL", begin, end, size, "BID_ASK")
    trades = bars("AAPL", begin, end, size)

    assert [each.day for each in found] == [each.day for each in trades]
    assert all(each.low <= each.open < each.close <= each.high for each in found)
    assert all(after.low - 0.02 < each.low < after.low for each, after in zip(found, trades, strict=True))


def test_quotes_of_many_prices_are_those_of_each() -> None:
    rule = stock().rule
    prices = world().path(stock(), stock().calendar.session(THURSDAY))
    assert prices is not None
    some = prices.high[:500]

    assert bids(rule, some).tolist() == [rule.bid_of(int(each)) for each in some]
    assert asks(rule, some).tolist() == [rule.ask_of(int(each)) for each in some]


def test_ticks_end_with_whole_seconds() -> None:
    ticks = ticks_of_the_day()
    taken = whole_seconds(iter(ticks), 11)
    backwards = whole_seconds(reversed(ticks), 10)

    assert len(taken) >= 11
    assert int(ticks[len(taken)].moment) > int(taken[-1].moment)
    assert int(ticks[-len(backwards) - 1].moment) < int(backwards[-1].moment)
    assert taken == ticks[: len(taken)]
    assert backwards[::-1] == ticks[-len(backwards) :]


def test_ticks_reach_over_the_night_in_both_directions() -> None:
    past, calendar = PastTicks(world(), regular=True), stock().calendar
    opened = calendar.session(THURSDAY).open
    before = whole_seconds(past.before(stock(), opened + 1), 5)
    after = whole_seconds(past.after(stock(), opened - 3600, opened + 100), 5)

    assert [each.moment < opened for each in before] == [False, True, True, True, True]
    assert after[0].moment == opened + 0.5
    assert list(past.after(stock(), opened - 3600, opened - 1)) == []


def test_size_changes_alone_are_left_out_on_request() -> None:
    ticks = ticks_of_the_day()[:2000]
    taken = whole_seconds(iter(ticks), 5000, new_prices_only=True)

    assert 0 < len(taken) < 2000
    assert all((a.bid, a.ask) != (b.bid, b.ask) for a, b in pairwise(taken))


def test_each_kind_of_ticks_has_its_message() -> None:
    quotes = ticks_of_the_day()[:1]
    (first,) = quotes
    bid, ask = first.bid / UNITS, first.ask / UNITS
    second = int(first.moment)

    assert message(5, stock(), "TRADES", quotes) == (98, 5, 1, second, 0, 444.05, first.last_size, "NASDAQ", "", True)
    assert message(5, stock(), "BID_ASK", quotes) == (
        *(97, 5, 1, second, 0, bid, ask, first.bid_size, first.ask_size),
        True,
    )
    assert message(5, stock(), "MIDPOINT", quotes) == (96, 5, 1, second, 0, (bid + ask) / 2, 0, True)
    assert message(5, stock(), "TRADES", []) == (98, 5, 0, True)


def test_volatility_is_that_of_thirty_daily_returns() -> None:
    series = world().series(stock())
    found = volatility(series, THURSDAY)
    assert found is not None
    (bar,) = (
        each
        for portion in volatility_candles(
            world(),
            stock(),
            Span(
                stock().calendar.session(THURSDAY).open,
                stock().calendar.session(THURSDAY).close,
                DAY,
                "HISTORICAL_VOLATILITY",
                stock().calendar.session(THURSDAY).close,
            ),
        )
        for each in portion
    )

    assert 0.1 < found < 0.6
    assert (bar.open, bar.high, bar.low, bar.close, bar.volume) == (found, found, found, found, -1)
    assert volatility(series, series.first_day) is None


def test_figures_of_the_day_are_those_of_its_ticks() -> None:
    now = stock().calendar.session(THURSDAY).open + 600.1
    found = figures_of(world(), stock(), now)
    ticks = list(PastTicks(world()).between(stock(), stock().hours.session(THURSDAY).open, now))

    assert found.trades == len(ticks)
    assert found.volume == sum(each.last_size for each in ticks)
    assert found.money == sum(each.last * each.last_size for each in ticks)
    low_13, high_13, low_26, high_26, low_52, high_52 = found.extremes
    assert low_52 <= low_26 <= low_13 < high_13 <= high_26 <= high_52 == 70507000
    assert found.average_volume > 10_000_000
