"""Years of bars into Parquet files and out of the database, and back; nothing goes before it was read back."""

import asyncio
import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
from sqlalchemy.ext.asyncio import AsyncConnection

from infra.archive.manifest import (
    MANIFEST,
    ArchiveBrokenError,
    Manifest,
    Part,
    archives,
    file_digest,
    write_whole,
    years_folder,
)
from infra.bar_replay import BarFilter
from infra.clock import Clock
from infra.columns import BAR_SCHEMA
from infra.errors import UsageError
from infra.store import bar_years
from infra.store.bars import add_bars, read_revisions
from infra.store.database import Store
from schemas.moments import to_datetime

Progress = Callable[[str], None]


class NothingToArchiveError(UsageError):
    def __init__(self, year: int) -> None:
        super().__init__(
            f"there are no bars of {year} in the database: `scizor data coverage` shows which years there are"
        )


class NotArchivedError(UsageError):
    def __init__(self, year: int, years: list[int]) -> None:
        known = ", ".join(map(str, years)) or "none"
        super().__init__(f"no archive of {year}; there are archives of: {known}")


@dataclass(frozen=True)
class ArchivedYear:
    """What became of a year: where its files are, and how many rows went into them or came back."""

    year: int
    folder: Path
    rows: int
    bytes: int
    dropped: bool


async def archive_year(
    store: Store, home: Path, year: int, clock: Clock, *, drop: bool = True, on_part: Progress = lambda _: None
) -> ArchivedYear:
    """Write all revisions of a year's bars, read them back, and only then drop the rows.

    Between the comparison and the end of the rows nobody can add one: the table of the year is locked for writers.
    """
    now = clock.now()
    folder = years_folder(home) / f"{year}-{now:%Y%m%dT%H%M%S.%fZ}"
    async with store.reading() as connection:
        series = await bar_years.series_of(connection, year)
    if not series:
        raise NothingToArchiveError(year)
    if (made := await _made_before(store, home, year)) is not None:
        return await without_rows(store, *made, drop=drop)
    parts = []
    for contract_id, size in series:
        on_part(f"contract {contract_id}, bars of {timedelta(seconds=size)}")
        async with store.reading() as connection:
            frame = await read_revisions(connection, _wanted(year, contract_id, size))
        parts.append(await asyncio.to_thread(_write, folder, frame, contract_id, size))
    digest = _together([digest for _, digest in parts])
    manifest = Manifest(year, now, sum(part.rows for part, _ in parts), digest, tuple(part for part, _ in parts))
    manifest.write(folder)
    await asyncio.to_thread(_verified, folder)
    return await without_rows(store, folder, manifest, drop=drop)


async def _made_before(store: Store, home: Path, year: int) -> tuple[Path, Manifest] | None:
    """An archive of exactly the rows that there are, as after a year was restored and nothing was added."""
    known = [(folder, Manifest.read(folder)) for folder in archives(home)]
    if not any(manifest.year == year for _, manifest in known):
        return None
    async with store.reading() as connection:
        digest = await _digest_of(connection, year)
    for folder, manifest in known:
        if (manifest.year, manifest.digest) == (year, digest):
            return folder, await asyncio.to_thread(_verified, folder)
    return None


async def without_rows(store: Store, folder: Path, manifest: Manifest, *, drop: bool) -> ArchivedYear:
    """Drop the rows, if they are those of the archive still."""
    year = manifest.year
    if drop:
        async with store.transaction() as transaction:
            await bar_years.lock(transaction.connection, year)
            if await _digest_of(transaction.connection, year) != manifest.digest:
                raise ArchiveBrokenError(folder, f"bars of {year} came while it was made: archive the year again")
            await bar_years.drop_rows(transaction.connection, year)
    return ArchivedYear(year, folder, manifest.rows, _bytes_in(folder), drop)


def _bytes_in(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir())


async def restore_year(store: Store, home: Path, year: int, *, on_part: Progress = lambda _: None) -> ArchivedYear:
    """Bring a year back, from its last archive and those before it; rows that are there already stay as they are."""
    folders = [folder for folder in archives(home) if Manifest.read(folder).year == year]
    if not folders:
        raise NotArchivedError(year, sorted({Manifest.read(folder).year for folder in archives(home)}))
    rows = size = 0
    for folder in folders:
        manifest = await asyncio.to_thread(_verified, folder)
        for part in manifest.parts:
            on_part(part.file)
            frame = await asyncio.to_thread(pl.read_parquet, folder / part.file)
            async with store.transaction() as transaction:
                rows += (await add_bars(transaction.connection, frame.select(BAR_SCHEMA.names()))).new
        size += _bytes_in(folder)
    return ArchivedYear(year, folders[-1], rows, size, dropped=False)


def unfinished(home: Path) -> list[Path]:
    """Folders of archives that were never finished: their rows are in the database still."""
    folder = years_folder(home)
    return [each for each in sorted(folder.glob("*")) if each.is_dir() and not (each / MANIFEST).exists()]


def _wanted(year: int, contract_id: int, size: int) -> BarFilter:
    first, last = (int(datetime(each, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000 for each in (year, year + 1))
    return BarFilter([contract_id], size, first, last, price_kind=None, basis=None)


def _write(folder: Path, frame: pl.DataFrame, contract_id: int, size: int) -> tuple[Part, str]:
    content = io.BytesIO()
    frame.write_parquet(content)
    name = f"{contract_id}-{size}s.parquet"
    write_whole(folder / name, content.getvalue())
    first, last = (to_datetime(int(frame[column].sort()[place])) for column, place in (("start_us", 0), ("end_us", -1)))
    part = Part(name, contract_id, size, first, last, len(frame), hashlib.sha256(content.getvalue()).hexdigest())
    return part, rows_digest(frame)


def _verified(folder: Path) -> Manifest:
    """The manifest, after every file was found to be what it says; ArchiveBrokenError otherwise."""
    manifest = Manifest.read(folder)
    digests = []
    for part in manifest.parts:
        file = folder / part.file
        if not file.is_file() or file_digest(file) != part.sha256:
            raise ArchiveBrokenError(folder, f"{part.file} is missing or has changed")
        frame = pl.read_parquet(file)
        if frame.schema != BAR_SCHEMA or len(frame) != part.rows:
            raise ArchiveBrokenError(folder, f"{part.file} does not hold the {part.rows} bars it should")
        digests.append(rows_digest(frame))
    if _together(digests) != manifest.digest:
        raise ArchiveBrokenError(folder, "its rows are not those that were written")
    return manifest


async def _digest_of(connection: AsyncConnection, year: int) -> str:
    digests = []
    for contract_id, size in await bar_years.series_of(connection, year):
        frame = await read_revisions(connection, _wanted(year, contract_id, size))
        digests.append(await asyncio.to_thread(rows_digest, frame))
    return _together(digests)


def rows_digest(frame: pl.DataFrame) -> str:
    """SHA-256 over all columns of BAR_SCHEMA, one after the other, of rows sorted by their key."""
    key = ["contract_id", "bar_size_seconds", "start_us", "price_kind", "basis", "source", "revision"]
    digest = hashlib.sha256()
    for name, column in frame.sort(key).to_dict().items():
        if column.dtype == pl.String:
            digest.update("\0".join(column.to_list()).encode())
        else:
            digest.update(column.to_numpy().astype("<f8" if column.dtype == pl.Float64 else "<i8").tobytes())
        digest.update(name.encode())
    return digest.hexdigest()


def _together(digests: list[str]) -> str:
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()
