"""Seeded synthetic daily bars: random walks for everything of which no real prices are at hand."""

from dataclasses import dataclass
from datetime import date

import numpy as np

from infra.gateway_simulator.instruments.instrument import Instrument, Kind
from infra.gateway_simulator.market.noise import Integers, Noise, pick
from infra.gateway_simulator.market.prices import UNITS, PriceRule
from infra.gateway_simulator.market.rows import Rows

_CHEAPEST = 100  # increments

# First price, daily move, daily drift, volume of a day; roughly what these markets were about the year 2000.
_KNOWN = {
    "EUR.USD": ("1.10", 0.003, 0.0, 500_000_000),
    "AUD.USD": ("0.85", 0.003, 0.0, 300_000_000),
    "GBP.USD": ("1.55", 0.003, 0.0, 300_000_000),
    "USD.JPY": ("105", 0.003, 0.0, 400_000_000),
    "USD.CAD": ("1.20", 0.003, 0.0, 200_000_000),
    "USD.CHF": ("1.10", 0.003, 0.0, 200_000_000),
    "NZD.USD": ("0.75", 0.003, 0.0, 100_000_000),
    "BTC.USD": ("200", 0.02, 0.0006, 60_000),
    "ETH.USD": ("20", 0.02, 0.0006, 200_000),
    "SPX": ("1400", 0.008, 0.0001, 1_500_000),
    "NDX": ("3000", 0.010, 0.0001, 500_000),
    "XJO": ("3200", 0.008, 0.0001, 120_000),
}
_STOCK_MOVE, _STOCK_DRIFT = 0.015, 0.0003


@dataclass(frozen=True, slots=True)
class Style:
    """How a series looks: its name for the noise, first price in units, daily move and drift, volume of a day."""

    name: str
    start: int
    volume: int
    move: float = _STOCK_MOVE
    drift: float = _STOCK_DRIFT


def style_of(seed: int, instrument: Instrument) -> Style:
    name = instrument.key
    if instrument.kind is not Kind.STOCK:
        start, move, drift, volume = _KNOWN[instrument.local_symbol]
        return Style(name, round(float(start) * UNITS), volume, move, drift)
    if instrument.currency == "AUD":
        return Style(name, _australian(pick(10_000, seed, "price", name)), _volume(seed, name) // 5)
    return Style(name, (20 + pick(180, seed, "price", name)) * UNITS, _volume(seed, name))


def _volume(seed: int, name: str) -> int:
    return (2 + pick(40, seed, "volume", name)) * 1_000_000


def _australian(drawn: int) -> int:
    """One in ten costs cents, two in ten a few dollars, the others up to 60."""
    tenth, rest = divmod(drawn, 1000)
    if tenth == 0:
        return (50 + rest // 2) * UNITS // 1000
    if tenth <= 2:
        return (50 + rest // 2) * UNITS // 100
    return (500 + rest * 11 // 2) * UNITS // 100


def synthetic_rows(seed: int, style: Style, rule: PriceRule, days: Integers) -> Rows:
    """A random walk over `days`, which are ordinals."""
    noise = Noise(seed, "daily", style.name)
    count = len(days)
    moves = noise.bell(count) * style.move + style.drift
    closes = np.maximum(rule.nearest(style.start * np.cumprod(1.0 + moves)), _CHEAPEST * rule.least)
    before = np.concatenate(([float(style.start)], closes[:-1]))
    opens = rule.nearest(before * (1.0 + noise.bell(count) * style.move / 3))
    upper, lower = np.maximum(opens, closes), np.minimum(opens, closes)
    highs = rule.nearest(upper * (1.0 + np.abs(noise.bell(count)) * style.move / 2))
    lows = rule.nearest(lower * (1.0 - np.abs(noise.bell(count)) * style.move / 2))
    volumes = np.rint(style.volume * (0.5 + noise.uniform(count)) / 100) * 100
    prices = np.stack([opens, np.maximum(highs, upper), np.minimum(lows, lower), closes], axis=1)
    return Rows(days, prices.astype(np.int64), volumes.astype(np.int64))


def continued(seed: int, instrument: Instrument, rows: Rows) -> Rows:
    """`rows`, and synthetic days after them until the calendar ends."""
    calendar = instrument.calendar
    later = calendar.between(date.fromordinal(int(rows.days[-1]) + 1), calendar.days[-1])
    if not later:
        return rows
    last_close, volume = int(rows.prices[-1, 3]), max(int(rows.volumes[-60:].mean()), 1)
    days = np.array([day.toordinal() for day in later], dtype=np.int64)
    more = synthetic_rows(seed, Style(instrument.key, last_close, volume), instrument.rule, days)
    known = rows.adjusted if rows.adjusted is not None else rows.prices[:, 3] / UNITS
    ratio = float(known[-1]) / (last_close / UNITS)  # later adjusted closes stay on the same scale
    return Rows(
        np.concatenate([rows.days, more.days]),
        np.concatenate([rows.prices, more.prices]),
        np.concatenate([rows.volumes, more.volumes]),
        np.concatenate([known, more.prices[:, 3] / UNITS * ratio]),
    )
