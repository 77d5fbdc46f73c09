"""Exchanges of the simulated world: increments, sessions, half days, and one tape for all of them."""

from collections.abc import Collection
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache

import numpy as np
import pytest

from infra.clock import ManualClock
from infra.gateway_simulator.instruments.calendar import Session
from infra.gateway_simulator.instruments.catalogue import Catalogue
from infra.gateway_simulator.instruments.instrument import Instrument
from infra.gateway_simulator.instruments.venues import ASX_STOCKS, HALF_PIPS, MARKET_RULES, QUARTER_POINTS
from infra.gateway_simulator.market.bars import Candle, Span
from infra.gateway_simulator.market.daily import DailyBook
from infra.gateway_simulator.market.market import MarketClock, World
from infra.gateway_simulator.market.prices import UNITS, US_STOCKS, PriceRule
from infra.gateway_simulator.market.tape import Tape

CATALOGUE = Catalogue()
APPLE, BHP, EURO = (CATALOGUE.by_symbol[each] for each in ("AAPL", "BHP", "EUR.USD"))


@cache
def world() -> World:
    return World(DailyBook(7, {}), 7)


@pytest.mark.parametrize(
    ("rule", "price", "fits"),
    [
        (ASX_STOCKS, "0.099", True),
        (ASX_STOCKS, "0.101", False),
        (ASX_STOCKS, "0.105", True),
        (ASX_STOCKS, "1.995", True),
        (ASX_STOCKS, "2.005", False),
        (ASX_STOCKS, "2.01", True),
        (US_STOCKS, "440.01", True),
        (US_STOCKS, "440.015", False),
        (HALF_PIPS, "1.30125", True),
        (HALF_PIPS, "1.301251", False),
        (QUARTER_POINTS, "1500.25", True),
        (QUARTER_POINTS, "1500.10", False),
    ],
)
def test_a_price_is_a_multiple_of_the_increment_where_it_is(rule: PriceRule, price: str, fits: bool) -> None:
    assert rule.fits(Decimal(price)) is fits


@pytest.mark.parametrize(
    ("last", "bid", "ask"), [("2.00", "1.995", "2.01"), ("0.1", "0.099", "0.105"), ("5", "4.99", "5.01")]
)
def test_best_prices_lie_one_increment_around_the_last(last: str, bid: str, ask: str) -> None:
    units = int(Decimal(last) * UNITS)

    assert Decimal(ASX_STOCKS.bid_of(units)) / UNITS == Decimal(bid)
    assert Decimal(ASX_STOCKS.ask_of(units)) / UNITS == Decimal(ask)


def test_every_rule_is_found_by_its_number() -> None:
    assert {each.rule.number for each in CATALOGUE.by_id.values()} <= set(MARKET_RULES)
    assert all(MARKET_RULES[each.rule.number] is each.rule for each in CATALOGUE.by_id.values())


@pytest.mark.parametrize("symbol", ["BHP", "A2M", "VAS", "PLS", "EUR.USD", "USD.JPY", "EUR.GBP", "BTC.USD", "SPX"])
def test_invented_prices_lie_on_the_increments_of_their_venue(symbol: str) -> None:
    found = CATALOGUE.by_symbol[symbol]
    prices = world().series(found).rows.prices
    path = world().path(found, found.calendar.session(date(2013, 2, 28)))

    assert path is not None
    for column in (prices, path.open, path.high, path.low, path.close):
        assert (column % found.rule.steps_of(column) == 0).all()


def test_prices_that_cross_a_step_of_the_increments_stay_on_them() -> None:
    cheap = next(
        each
        for each in CATALOGUE.by_id.values()
        if each.venue.name == "ASX" and (world().series(each).rows.prices < 10_000).any()
    )
    rows = world().series(cheap).rows
    at = int(np.argmax((rows.prices[:, 2] < 10_000) & (rows.prices[:, 1] > 10_000)))
    path = world().path(cheap, cheap.calendar.session(date.fromordinal(int(rows.days[at]))))

    assert path is not None
    assert (path.low.min(), path.high.max()) == (rows.prices[at, 2], rows.prices[at, 1])
    assert (path.high % cheap.rule.steps_of(path.high) == 0).all()
    assert (path.low % cheap.rule.steps_of(path.low) == 0).all()


@pytest.mark.parametrize(
    ("symbol", "day", "bars"),
    [
        ("AAPL", date(2013, 2, 28), 4680),
        ("AAPL", date(2012, 11, 23), 2520),
        ("BHP", date(2012, 12, 21), 4320),
        ("BHP", date(2012, 12, 24), 3000),
        ("EUR.USD", date(2013, 2, 28), 17_100),
        ("BTC.USD", date(2013, 3, 2), 17_280),
    ],
)
def test_a_day_fits_into_its_session(symbol: str, day: date, bars: int) -> None:
    found = CATALOGUE.by_symbol[symbol]
    session = found.calendar.session(day)
    path, bar = world().path(found, session), world().daily_bar(found, day)

    assert path is not None
    assert bar is not None
    assert len(path.open) == session.bars == bars
    assert (path.open[0], path.high.max(), path.low.min(), path.close[-1]) == (bar.open, bar.high, bar.low, bar.close)
    assert path.volume.sum() == bar.volume


def candles(instrument: Instrument, span: Span) -> list[Candle]:
    return [each for part in world().history.candles(instrument, span) for each in part]


def test_a_half_day_has_fewer_minutes_and_the_same_daily_bar() -> None:
    session = APPLE.calendar.session(date(2012, 11, 23))
    now = APPLE.calendar.session(date(2013, 3, 1)).close
    minutes, days = (candles(APPLE, Span(session.open, session.close, size, "TRADES", now)) for size in (60, 86_400))

    assert len(minutes) == 210
    assert f"{datetime.fromtimestamp(minutes[-1].start + 60, UTC):%H:%M}" == "18:00"
    assert (minutes[0].open, minutes[-1].close) == (days[0].open, days[0].close) == (567.17, 571.5)
    assert sum(each.volume for each in minutes) == days[0].volume


def test_a_session_that_began_yesterday_is_one_day() -> None:
    session = EURO.calendar.session(date(2013, 2, 28))
    span = Span(session.open, session.close, 86_400, "MIDPOINT", session.close + 1)
    (day,) = candles(EURO, span)

    assert f"{datetime.fromtimestamp(day.start, UTC):%Y%m%d %H:%M}" == "20130227 22:15"
    assert day.day == date(2013, 2, 28)


class Listener:
    """Writes down what the tape plays."""

    def __init__(self) -> None:
        self.instruments: list[Instrument] = []
        self.told: list[tuple[float, str]] = []

    def followed(self) -> Collection[Instrument]:
        return self.instruments

    def on_print(self, instrument: Instrument, moment: float, price: int, size: int) -> None:
        self.told.append((moment, instrument.symbol))

    def on_bar(self, instrument: Instrument, session: Session, bar: int) -> None:
        self.told.append((session.open + (bar + 1) * 5, f"{instrument.symbol} bar"))

    def on_day_begin(self, session: Session) -> None:
        """Nothing that the tests ask for."""

    def on_day_end(self, session: Session) -> None:
        """Nothing that the tests ask for."""

    def on_open(self, session: Session) -> None:
        self.told.append((session.open, f"{session.market} opens"))

    def on_close(self, session: Session) -> None:
        self.told.append((session.close, f"{session.market} closes"))

    async def settled(self) -> None:
        """Nobody has to be waited for."""


def a_tape(now: datetime, *instruments: Instrument) -> tuple[Tape, Listener]:
    listener, clock = Listener(), ManualClock(now)
    tape = Tape(World(DailyBook(7, {}), 7), MarketClock(clock, now.timestamp(), 0.0), listener)
    for each in instruments:
        tape.attend(each)
        listener.instruments.append(each)
    return tape, listener


async def test_the_tape_plays_all_markets_in_one_order_of_time() -> None:
    tape, listener = a_tape(datetime(2013, 2, 28, 20, 59, tzinfo=UTC), APPLE, EURO, BHP)
    await tape.advance(4 * 3600)  # over New York's close, the pause of forex, and Sydney's open at 23:00

    moments = [moment for moment, _ in listener.told]
    assert moments == sorted(moments)
    turns = [what for _, what in listener.told if what.endswith(("opens", "closes"))]
    assert turns == ["XNYS closes", "FOREX closes", "FOREX opens", "XASX opens"]
    closed = datetime(2013, 2, 28, 21, tzinfo=UTC).timestamp()
    assert max(moment for moment, what in listener.told if what == "AAPL bar") == closed + 4 * 3600 - 60
    assert closed < max(moment for moment, what in listener.told if what == "AAPL")
    assert min(moment for moment, what in listener.told if what.startswith("BHP")) > closed + 7200


async def test_a_market_that_is_joined_later_plays_from_then_on() -> None:
    alone, first = a_tape(datetime(2013, 2, 28, 15, tzinfo=UTC), APPLE)
    both, second = a_tape(datetime(2013, 2, 28, 15, tzinfo=UTC), APPLE)
    for tape in (alone, both):
        await tape.advance(60)
    both.attend(EURO)
    second.instruments.append(EURO)
    for tape in (alone, both):
        await tape.advance(60)

    joined = datetime(2013, 2, 28, 15, 1, tzinfo=UTC).timestamp()
    assert min(moment for moment, what in second.told if what.startswith("EUR")) > joined
    assert [each for each in second.told if each[1].startswith("AAPL")] == first.told
