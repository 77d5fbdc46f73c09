"""Years of bars into files and back: nothing is dropped before it was proved, nothing is different afterwards."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from infra.archive.manifest import MANIFEST, ArchiveBrokenError, Manifest, archived_spans, archives
from infra.archive.years import (
    NotArchivedError,
    NothingToArchiveError,
    archive_year,
    restore_year,
    unfinished,
    without_rows,
)
from infra.bar_replay import BarFilter
from infra.clock import SystemClock
from infra.columns import frame_of
from infra.settings import Settings
from infra.store import bar_years
from infra.store.bars import add_bars, read_revisions
from infra.store.database import Store
from schemas.market import Basis, PriceKind, Source
from tests.builders import APPLE, NOON, SEEN, a_historical_bar
from tests.integration.a_data_shelf import real_days

EVERYTHING = BarFilter(price_kind=None, basis=None)
DAY = timedelta(days=1)


@pytest.fixture
async def store(database_url: str, stack_settings: Settings) -> AsyncIterator[Store]:
    store = Store(stack_settings, "persister", pool_size=2)
    yield store
    await store.close()


def bars_of_2012_and_2013() -> pl.DataFrame:
    """Real days, and what else there can be: revisions, other sizes, kinds, bases and sources, another contract."""
    some = a_historical_bar(start=NOON, open=440.1)
    others = [
        some.revised(revision=1, open=440.2, late=True, ingest_time=SEEN + DAY),
        some.revised(price_kind=PriceKind.BID_ASK),
        some.revised(basis=Basis.TOTAL_RETURN, source=Source.IB),
        some.revised(
            contract_id=1,
            start=datetime(2013, 12, 31, 23, 59, 55, tzinfo=UTC),
            event_time=datetime(2014, 1, 1, tzinfo=UTC),
        ),
    ]
    return pl.concat(
        [frame_of([some, *others]), real_days(date(2012, 1, 1), date(2013, 3, 1), basis=Basis.SPLIT_ADJUSTED)]
    )


async def stored(store: Store) -> pl.DataFrame:
    async with store.reading() as connection:
        return await read_revisions(connection, EVERYTHING)


async def put(store: Store, frame: pl.DataFrame) -> None:
    async with store.transaction() as transaction:
        await add_bars(transaction.connection, frame)


async def test_a_year_goes_into_files_and_comes_back_row_by_row(store: Store, tmp_path: Path) -> None:
    await put(store, bars_of_2012_and_2013())
    before = await stored(store)

    archived = await archive_year(store, tmp_path, 2013, SystemClock())
    without = await stored(store)
    async with store.reading() as connection:
        left = await bar_years.years_with_bars(connection)
    spans = archived_spans(tmp_path, APPLE, DAY)
    restored = await restore_year(store, tmp_path, 2013)
    again = await restore_year(store, tmp_path, 2013)

    assert (archived.rows, archived.dropped) == (len(before) - len(without), True)
    assert left == [2012]
    assert spans[0][0].year == 2013
    assert (restored.rows, again.rows) == (archived.rows, 0), "what is there already is not counted"
    assert (await stored(store)).equals(before)

    once_more = await archive_year(store, tmp_path, 2013, SystemClock())
    assert once_more.folder == archived.folder, "what an archive holds already is not written again"
    assert (await stored(store)).equals(without)


async def test_a_year_that_grew_since_gets_another_archive_and_both_come_back(store: Store, tmp_path: Path) -> None:
    await put(store, bars_of_2012_and_2013())
    await archive_year(store, tmp_path, 2013, SystemClock())
    late = frame_of([a_historical_bar(start=NOON + DAY)])
    await put(store, late)
    await archive_year(store, tmp_path, 2013, SystemClock())
    await restore_year(store, tmp_path, 2013)

    assert len(archives(tmp_path)) == 2
    assert len(await stored(store)) == len(bars_of_2012_and_2013()) + 1


async def test_rows_stay_when_their_archive_is_not_wanted_or_not_whole(store: Store, tmp_path: Path) -> None:
    await put(store, bars_of_2012_and_2013())
    before = await stored(store)
    kept = await archive_year(store, tmp_path, 2012, SystemClock(), drop=False)
    assert (await stored(store)).equals(before)

    file = kept.folder / Manifest.read(kept.folder).parts[0].file
    file.write_bytes(file.read_bytes()[:-100] + bytes(100))
    with pytest.raises(ArchiveBrokenError, match="missing or has changed"):
        await archive_year(store, tmp_path, 2012, SystemClock())
    with pytest.raises(ArchiveBrokenError, match="missing or has changed"):
        await restore_year(store, tmp_path, 2012)
    assert (await stored(store)).equals(before)

    (kept.folder / MANIFEST).write_text("{")
    with pytest.raises(ArchiveBrokenError, match="cannot be read"):
        await restore_year(store, tmp_path, 2012)
    (kept.folder / MANIFEST).unlink()
    assert unfinished(tmp_path) == [kept.folder]


async def test_a_bar_that_came_while_the_archive_was_made_keeps_the_rows(store: Store, tmp_path: Path) -> None:
    await put(store, bars_of_2012_and_2013())
    made = await archive_year(store, tmp_path, 2013, SystemClock(), drop=False)
    await put(store, frame_of([a_historical_bar(start=NOON + DAY)]))

    with pytest.raises(ArchiveBrokenError, match="came while it was made"):
        await without_rows(store, made.folder, Manifest.read(made.folder), drop=True)
    assert len(await stored(store)) == len(bars_of_2012_and_2013()) + 1


async def test_years_without_bars_or_archives_are_told(store: Store, tmp_path: Path) -> None:
    with pytest.raises(NothingToArchiveError, match="no bars of 2001"):
        await archive_year(store, tmp_path, 2001, SystemClock())
    with pytest.raises(NotArchivedError, match="there are archives of: none"):
        await restore_year(store, tmp_path, 2001)
