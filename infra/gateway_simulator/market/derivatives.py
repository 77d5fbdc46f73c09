"""Daily bars that follow from others: futures from their index, options from their stock, crosses from two pairs."""

from datetime import date, timedelta

import numpy as np

from infra.gateway_simulator.instruments import options, products
from infra.gateway_simulator.instruments.instrument import Instrument
from infra.gateway_simulator.instruments.options import option_prices
from infra.gateway_simulator.market.noise import Floats, Integers, Noise
from infra.gateway_simulator.market.prices import UNITS
from infra.gateway_simulator.market.rows import Rows

_CARRY = 0.02  # a year, what a future costs more than its index
_DAYS_A_YEAR = 365.0
_CROSS_MOVE = 0.001
OPTION_PRINTS = 4  # contracts of an option that trade in every five seconds


def window_of(instrument: Instrument, listed: timedelta) -> Integers:
    """The ordinals of its trading days."""
    expiry = instrument.expiry
    assert expiry is not None, f"{instrument.key} does not end"
    days = instrument.calendar.between(expiry - listed, expiry)
    return np.array([day.toordinal() for day in days], dtype=np.int64)


def future_rows(index: Rows, instrument: Instrument) -> Rows:
    """The index's prices and what carrying them costs; on days without an index its last close all day."""
    assert instrument.expiry is not None, "a future ends"
    days = window_of(instrument, products.LISTED)
    at = np.maximum(np.searchsorted(index.days, days, side="right") - 1, 0)
    prices = index.prices[at]
    stale = index.days[at] != days
    prices[stale] = prices[stale, 3:4]
    years = (instrument.expiry.toordinal() - days) / _DAYS_A_YEAR
    carried = instrument.rule.nearest(prices * (1.0 + _CARRY * years)[:, np.newaxis]).astype(np.int64)
    return Rows(days, carried, np.where(stale, index.volumes[at] // 10, index.volumes[at]))


def option_rows(seed: int, underlying: Rows, instrument: Instrument) -> Rows:
    """What the option was worth at the underlying's prices of each day."""
    option = instrument.option
    assert option is not None, f"{instrument.key} is no option"
    days = window_of(instrument, options.LISTED)
    days = days[np.isin(days, underlying.days)]
    at = np.searchsorted(underlying.days, days)
    worth = [
        option_prices(seed, option, date.fromordinal(int(day)), underlying.prices[place])
        for day, place in zip(days, at, strict=True)
    ]
    prices = np.array(worth, dtype=np.int64).reshape(len(days), 4)
    if option.right == "P":
        prices = prices[:, [0, 2, 1, 3]]
    bars = [instrument.calendar.session(date.fromordinal(int(day))).bars for day in days]
    return Rows(days, prices, np.array(bars, dtype=np.int64) * OPTION_PRINTS)


def cross_rows(seed: int, instrument: Instrument, first: Rows, second: Rows) -> Rows:
    """How many of the second currency the first one buys, where both are quoted in dollars."""
    noise, rule, count = Noise(seed, "cross", instrument.key), instrument.rule, len(first.days)

    def ratio(column: int) -> Floats:
        found: Floats = first.prices[:, column] / second.prices[:, column]
        return found

    opens, closes = (rule.nearest(ratio(column) * UNITS) for column in (0, 3))
    highs = rule.nearest(np.maximum(opens, closes) * (1.0 + np.abs(noise.bell(count)) * _CROSS_MOVE))
    lows = rule.nearest(np.minimum(opens, closes) * (1.0 - np.abs(noise.bell(count)) * _CROSS_MOVE))
    prices = np.stack([opens, highs, lows, closes], axis=1).astype(np.int64)
    return Rows(first.days, prices, np.minimum(first.volumes, second.volumes))
