"""All bars of one contract into Parquet files, before they are removed."""

import asyncio
import io
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
from sqlalchemy import func, select

from infra.archive.manifest import write_whole
from infra.bar_replay import BarFilter
from infra.bar_replay import read_bars as replayed_bars
from infra.settings import Settings
from infra.store.bars import read_revisions
from infra.store.database import Store
from infra.store.tables import bars


@dataclass(frozen=True)
class Archived:
    """Where the bars went, one file a year; none when there were no bars."""

    folder: Path | None
    bars: int


async def archive_bars(settings: Settings, store: Store | None, contract_id: int, moment: datetime) -> Archived:
    """Every revision of every bar that is stored, year by year; without a database the newest ones of the topics.

    The folder carries `moment`, so that no archive overwrites another; it is complete once this returns.
    """
    folder = settings.home / "archive" / f"{contract_id}-{moment:%Y%m%dT%H%M%S.%fZ}"
    everything = BarFilter(contract_ids=[contract_id], price_kind=None, basis=None)
    if store is None:
        frame = await replayed_bars(settings, wanted=everything)
        return Archived(folder if len(frame) else None, await _write(folder / "bars.parquet", frame))
    count = 0
    for year in await _years(store, contract_id):
        part = BarFilter(
            contract_ids=[contract_id],
            start_us=_year_begins(year),
            end_us=_year_begins(year + 1),
            price_kind=None,
            basis=None,
        )
        async with store.reading() as connection:
            frame = await read_revisions(connection, part)
        count += await _write(folder / f"{year}.parquet", frame)
    return Archived(folder if count else None, count)


async def _years(store: Store, contract_id: int) -> range:
    async with store.reading() as connection:
        whole = select(func.min(bars.c.start), func.max(bars.c.start)).where(bars.c.contract_id == contract_id)
        first, last = (await connection.execute(whole)).one()
    return range(0) if first is None else range(first.astimezone(UTC).year, last.astimezone(UTC).year + 1)


def _year_begins(year: int) -> int:
    return int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000


async def _write(file: Path, frame: pl.DataFrame) -> int:
    """Nothing is written where there is nothing."""
    if frame.is_empty():
        return 0

    def write() -> None:
        content = io.BytesIO()
        frame.write_parquet(content)
        write_whole(file, content.getvalue())

    await asyncio.to_thread(write)
    return len(frame)
