"""Market data for tests: sessions of the real calendar filled with bars, and the real prices of Apple."""

import csv
import gzip
from datetime import date, datetime, timedelta
from importlib.resources import files
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl

from infra.calendars.calendar import Session, calendar_of
from infra.columns import BAR_SCHEMA, frame_of
from schemas.market import Basis, Source
from schemas.moments import to_microseconds
from tests.builders import APPLE, SEEN, a_historical_bar

DAY = timedelta(days=1)
NEW_YORK = ZoneInfo("America/New_York")
SPLIT_DAY = date(2005, 2, 28)


def sessions(first: date, last: date) -> list[Session]:
    return calendar_of("NASDAQ").sessions(first, last)


def real_days(first: date, last: date, *, basis: Basis, seen: datetime = SEEN) -> pl.DataFrame:
    """Apple's real days of 2000 to 2013; adjusted for its split of 2005 unless they are raw."""
    source = files("bokeh_sampledata") / "_data" / "stocks.csv.gz"
    bars = []
    with source.open("rb") as packed, gzip.open(packed, "rt") as text:
        for row in csv.DictReader(text):
            day = date.fromisoformat(row["Date"])
            session = calendar_of("NASDAQ").session(day)
            if row["Ticker"] != "AAPL" or not first <= day <= last or session is None:
                continue
            shares = 2 if basis is not Basis.RAW and day < SPLIT_DAY else 1
            opening, high, low, close = (float(row[name]) / shares for name in ("Open", "High", "Low", "Close"))
            bars.append(
                a_historical_bar(
                    bar_size=DAY,
                    start=session.open,
                    event_time=session.close,
                    open=opening,
                    high=high,
                    low=low,
                    close=close,
                    volume=float(row["Volume"]) * shares,
                    source=Source.REAL,
                    basis=basis,
                    ingest_time=seen,
                )
            )
    return frame_of(bars)


def minutes(first: date, last: date, *, contract_id: int = APPLE) -> pl.DataFrame:
    """A bar for every minute of every session."""
    starts = np.concatenate(
        [
            np.arange(to_microseconds(each.open), to_microseconds(each.close), 60_000_000)
            for each in sessions(first, last)
        ]
    )
    dice = np.random.default_rng(7)
    close = np.round(440 + np.cumsum(dice.normal(0, 0.05, len(starts))), 2)
    opening = np.concatenate([close[:1], close[:-1]])
    constants = {
        "contract_id": contract_id,
        "bar_size_seconds": 60,
        "ingest_us": to_microseconds(SEEN),
        "source": "derived",
        "price_kind": "trades",
        "basis": "split_adjusted",
        "revision": 0,
        "late": False,
    }
    frame = pl.DataFrame(
        {
            "start_us": starts,
            "end_us": starts + 60_000_000,
            "open": opening,
            "high": np.maximum(opening, close) + 0.02,
            "low": np.minimum(opening, close) - 0.02,
            "close": close,
            "volume": dice.integers(1, 9000, len(starts)).astype(np.float64),
        }
    )
    return frame.with_columns(**{name: pl.lit(value) for name, value in constants.items()}).select(
        pl.col(name).cast(dtype) for name, dtype in BAR_SCHEMA.items()
    )
