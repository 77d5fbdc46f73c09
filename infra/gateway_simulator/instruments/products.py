"""Forex pairs, indices, their futures, and crypto: what there is besides stocks.

Numbers of futures are ours: a base for each product, then the months since January 2000.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from infra.gateway_simulator.instruments.calendar import FIRST_DAY, LAST_DAY, Calendar
from infra.gateway_simulator.instruments.instrument import Future, Instrument, Kind, Source
from infra.gateway_simulator.instruments.venues import (
    CRYPTO_CENTS,
    CRYPTO_QUARTERS,
    HALF_PIPS,
    HALF_PIPS_YEN,
    NASDAQ_INDICES,
    SYDNEY_INDICES,
    VENUES,
    Venue,
)

SYNTHETIC_IDS = 900_000_000  # numbers from here on are ours, not IB's
FUTURE_IDS = 1_000_000_000
_SYNTHETIC_COUNT = 10_000_000
_IDS_A_PRODUCT = 1_000
_MONTH_CODES = "FGHJKMNQUVXZ"
QUARTERS = (3, 6, 9, 12)
THURSDAY, FRIDAY = 3, 4
_COIN_PART = Decimal("0.00000001")
LISTED = timedelta(days=730)  # before its last day

# Conids that public sources state; 0 where none was found.
_PAIRS = (
    (12087792, "EUR", "USD", "European Monetary Union Euro"),
    (14433401, "AUD", "USD", "Australian dollar"),
    (12087797, "GBP", "USD", "British pound"),
    (15016059, "USD", "JPY", "United States dollar"),
    (15016062, "USD", "CAD", "United States dollar"),
    (0, "USD", "CHF", "United States dollar"),
    (0, "NZD", "USD", "New Zealand dollar"),
    (12087807, "EUR", "GBP", "European Monetary Union Euro"),
)
_COINS = ((479624278, "BTC", "Bitcoin", CRYPTO_QUARTERS), (495759171, "ETH", "Ethereum", CRYPTO_CENTS))


@dataclass(frozen=True, slots=True)
class Product:
    """An index and the series of its futures; `place` is part of their numbers, `weekday` the last one."""

    place: int
    index: str
    name: str
    home: Venue
    symbol: str
    trading_class: str
    venue: Venue
    multiplier: int
    weekday: int


PRODUCTS = (
    Product(1, "SPX", "S&P 500 Stock Index", VENUES["CBOE"], "ES", "ES", VENUES["CME"], 50, FRIDAY),
    Product(2, "NDX", "NASDAQ 100 Stock Index", NASDAQ_INDICES, "NQ", "NQ", VENUES["CME"], 20, FRIDAY),
    Product(3, "XJO", "S&P/ASX 200 Index", SYDNEY_INDICES, "SPI", "AP", VENUES["SNFE"], 25, THURSDAY),
)


def synthetic_id(symbol: str, exchange: str) -> int:
    """A number for what has none of IB's here: a function of symbol and exchange alone."""
    return SYNTHETIC_IDS + zlib.crc32(f"{symbol}@{exchange}".encode()) % _SYNTHETIC_COUNT


def products() -> Iterator[Instrument]:
    """Everything that is no stock and no option."""
    yield from _forex()
    yield from _crypto()
    for product in PRODUCTS:
        index = _index(product)
        yield index
        yield from _futures(product, index)


def _forex() -> Iterator[Instrument]:
    pairs: dict[str, Instrument] = {}
    for number, base, quoted, name in _PAIRS:
        local = f"{base}.{quoted}"
        legs = (f"{base}.USD", f"{quoted}.USD")
        pairs[local] = Instrument(
            contract_id=number or synthetic_id(local, "IDEALPRO"),
            symbol=base,
            name=f"{name} in {quoted}",
            venue=VENUES["IDEALPRO"],
            source=Source.SYNTHETIC,
            rule=HALF_PIPS_YEN if quoted == "JPY" else HALF_PIPS,
            currency=quoted,
            kind=Kind.FOREX,
            lot=250_000,
            local_symbol=local,
            trading_class=local,
            cross=(pairs[legs[0]], pairs[legs[1]]) if "USD" not in (base, quoted) else None,
        )
    yield from pairs.values()


def _crypto() -> Iterator[Instrument]:
    for number, symbol, name, rule in _COINS:
        yield Instrument(
            contract_id=number,
            symbol=symbol,
            name=f"{name} cryptocurrency",
            venue=VENUES["PAXOS"],
            source=Source.SYNTHETIC,
            rule=rule,
            currency="USD",
            kind=Kind.CRYPTO,
            lot=1,
            size_increment=_COIN_PART,
            local_symbol=f"{symbol}.USD",
            trading_class=symbol,
        )


def _index(product: Product) -> Instrument:
    return Instrument(
        contract_id=synthetic_id(product.index, product.home.name),
        symbol=product.index,
        name=product.name,
        venue=product.home,
        source=Source.SYNTHETIC,
        rule=product.home.rule,
        currency=product.home.currency,
        kind=Kind.INDEX,
        lot=1,
        local_symbol=product.index,
        trading_class=product.index,
    )


def _futures(product: Product, index: Instrument) -> Iterator[Instrument]:
    venue = product.venue
    for year in range(FIRST_DAY.year, LAST_DAY.year + 1):
        for month in QUARTERS:
            expiry = third(venue.calendar, product.weekday, year, month)
            if expiry is None:
                continue
            place = (year - FIRST_DAY.year) * 12 + month
            yield Instrument(
                contract_id=FUTURE_IDS + product.place * _IDS_A_PRODUCT + place,
                symbol=product.symbol,
                name=product.name,
                venue=venue,
                source=Source.SYNTHETIC,
                rule=venue.rule,
                currency=venue.currency,
                kind=Kind.FUTURE,
                multiplier=Decimal(product.multiplier),
                lot=5,
                local_symbol=f"{product.trading_class}{_MONTH_CODES[month - 1]}{year % 10}",
                trading_class=product.trading_class,
                future=Future(index, expiry),
            )


def third(calendar: Calendar, weekday: int, year: int, month: int) -> date | None:
    """The month's third Friday, say, or the last trading day before it; None outside of the calendar."""
    first = date(year, month, 1)
    day = first + timedelta(days=(weekday - first.weekday()) % 7 + 14)
    known = calendar.between(first, day)
    return known[-1] if known else None
