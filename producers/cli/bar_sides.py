"""`python -m producers.cli.bar_sides LEDGER`: how many bars simulator, topics and database have, and their digests.

One JSON list of three pairs on stdout, in that order.
"""

import asyncio
import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from infra.bar_replay import read_bars
from infra.columns import BAR_SCHEMA, NATURAL_KEY, bar_digest, newest
from infra.settings import Settings
from infra.store import bars as stored_bars
from infra.store.database import Store
from schemas.market import Basis, PriceKind

_MICROSECONDS = 1_000_000
_PRICED = ("open", "high", "low", "close", "volume")
_SCHEMA = {name: BAR_SCHEMA[name] for name in (*NATURAL_KEY, *_PRICED)}


def _row(line: dict[str, Any], start: str, values: list[float]) -> tuple[int | float | str, ...]:
    start_us = round(datetime.fromisoformat(start).timestamp() * _MICROSECONDS)
    series = (PriceKind.TRADES.value, Basis.SPLIT_ADJUSTED.value)
    return (line["contract_id"], line["bar_size_seconds"], start_us, *series, *values)


def bars_of_ledger(ledger: Path) -> pl.DataFrame:
    """Every trade bar that the simulator served to anybody, once per natural key."""
    rows = []
    with ledger.open(encoding="utf-8") as lines:
        for text in lines:
            if '"kind":"bar' not in text:
                continue
            line = json.loads(text)
            if line["what"] != "TRADES":
                continue
            if line["kind"] == "bars":
                rows += [_row(line, start, values) for start, *values in line["bars"]]
            elif line["clients"]:
                rows.append(_row(line, line["start"], [line[name] for name in _PRICED]))
    return newest(pl.DataFrame(rows, schema=_SCHEMA, orient="row"))


async def sides(settings: Settings, ledger: Path) -> list[tuple[int, str]]:
    """Count and digest of the bars that were served, published and stored."""
    served = bars_of_ledger(ledger)
    published = await read_bars(settings)
    store = Store(settings, "cli", pool_size=1)
    try:
        async with store.reading() as connection:
            stored = await stored_bars.read_bars(connection)
    finally:
        await store.close()
    return [(len(side), bar_digest(side)) for side in (served, published, stored)]


if __name__ == "__main__":
    print(json.dumps(asyncio.run(sides(Settings(), Path(sys.argv[1])))))
