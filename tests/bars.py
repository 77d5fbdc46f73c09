"""Columns of bars for tests: built from closes, from a seed, or real daily prices."""

import csv
import gzip
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from importlib.resources import files

import numpy as np

from engine.columns import BarColumns
from engine.facts import Bar
from schemas.moments import to_microseconds

APPLE = 265598
IBM = 8314
DAY = timedelta(days=1)
FIRST = datetime(2013, 1, 7, 14, 30, tzinfo=UTC)  # a Monday


def bars_of(
    closes: Sequence[float],
    opens: Sequence[float] | None = None,
    *,
    contract_id: int = APPLE,
    first: datetime = FIRST,
    step: timedelta = DAY,
) -> list[Bar]:
    """One bar a step, 6.5 hours long at most; an open that is not given is the close before."""
    opens = opens or [closes[0], *closes[:-1]]
    start = to_microseconds(first)
    step_us = step // timedelta(microseconds=1)
    length_us = min(step_us, 23_400_000_000)
    return [
        Bar(
            contract_id,
            start + number * step_us,
            start + number * step_us + length_us,
            opening,
            max(opening, close),
            min(opening, close),
            close,
            1000.0,
        )
        for number, (opening, close) in enumerate(zip(opens, closes, strict=True))
    ]


def columns_of(*series: list[Bar]) -> BarColumns:
    """Columns of one or more series."""
    return BarColumns.of([bar for each in series for bar in each], {APPLE: "AAPL", IBM: "IBM"}, ["real"])


def random_bars(seed: int, count: int, *, contract_id: int = APPLE, cents: bool = True) -> list[Bar]:
    """A random walk; in cents it has exact ties."""
    walk = 20 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, 0.01, count)))
    closes = np.round(walk, 2) if cents else walk
    opens = closes + np.random.default_rng(seed + 1).integers(-5, 6, count) / 100
    return bars_of(closes.tolist(), opens.tolist(), contract_id=contract_id)


def real_daily(symbol: str, contract_id: int = APPLE) -> BarColumns:
    """The real daily bars of bokeh_sampledata, New York sessions simplified to 14:30-21:00 UTC."""
    source = files("bokeh_sampledata") / "_data" / "stocks.csv.gz"
    bars = []
    with source.open("rb") as packed, gzip.open(packed, "rt") as text:
        for row in csv.DictReader(text):
            if row["Ticker"] == symbol:
                start = to_microseconds(datetime.fromisoformat(row["Date"]).replace(hour=14, minute=30, tzinfo=UTC))
                prices = (float(row[name]) for name in ("Open", "High", "Low", "Close", "Volume"))
                bars.append(Bar(contract_id, start, start + 23_400_000_000, *prices))
    return BarColumns.of(bars, {contract_id: symbol}, ["real"])
