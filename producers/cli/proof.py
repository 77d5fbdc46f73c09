"""The demo checks itself: the same bars in simulator, topic and database; positions as the broker has them."""

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from infra.bar_replay import read_bars
from infra.columns import NATURAL_KEY, bar_digest, newest
from infra.errors import ScizorError
from infra.replay import fold
from infra.settings import Settings
from infra.store import bars as stored_bars
from infra.store.database import Store
from infra.topics import DEAD_LETTER_SUFFIX, load_catalogue
from producers.cli.records import offsets, with_dead_letters
from schemas.account import Position

_MICROSECONDS = 1_000_000
_PRICED = ("open", "high", "low", "close", "volume")
_SCHEMA = dict.fromkeys(NATURAL_KEY, pl.Int64) | dict.fromkeys(_PRICED, pl.Float64)


class ProofFailedError(ScizorError):
    def __init__(self, complaints: list[str]) -> None:
        super().__init__("the demo's own checks failed: " + "; ".join(complaints))


@dataclass(frozen=True)
class Bars:
    """How many bars each side has, and the digest over their keys and values."""

    served: int
    published: int
    stored: int
    digests: tuple[str, str, str]

    def complaint(self) -> str | None:
        if len(set(self.digests)) == 1:
            return None
        return f"bars differ: {self.served} served, {self.published} published, {self.stored} stored"


def _row(line: dict[str, Any], start: str, values: list[float]) -> tuple[int | float, ...]:
    start_us = round(datetime.fromisoformat(start).timestamp() * _MICROSECONDS)
    return (line["contract_id"], line["bar_size_seconds"], start_us, *values)


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


async def compare_bars(settings: Settings, ledger: Path) -> Bars:
    """The three sides of every bar: served by the simulator, on the topics, in the database."""
    served = bars_of_ledger(ledger)
    published = await read_bars(settings)
    store = Store(settings, "cli", pool_size=1)
    try:
        async with store.reading() as connection:
            stored = await stored_bars.read_bars(connection)
    finally:
        await store.close()
    digests = (bar_digest(served), bar_digest(published), bar_digest(stored))
    return Bars(len(served), len(published), len(stored), digests)


async def count_stored(settings: Settings) -> int:
    store = Store(settings, "cli", pool_size=1)
    try:
        async with store.reading() as connection:
            return len(await stored_bars.read_bars(connection))
    finally:
        await store.close()


async def positions(settings: Settings, account: str) -> dict[int, float]:
    """Our positions by contract, as the portfolio tells them; none that is flat."""
    found: dict[int, float] = {}
    async for event, _ in fold(settings, ["trading.positions.v1"]):
        if isinstance(event, Position) and event.account_id == account:
            found[event.contract_id] = float(event.quantity)
    return {contract: quantity for contract, quantity in found.items() if quantity}


async def count_dead_letters(settings: Settings) -> int:
    catalogue = load_catalogue()
    letters = with_dead_letters(catalogue).topics
    specs = [letters[source + DEAD_LETTER_SUFFIX] for source in catalogue.dead_letter_sources]
    return sum(end - begin for begin, end in (await offsets(settings, specs)).values())
