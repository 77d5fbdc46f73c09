"""Archives from the command line, in the name of the persister: the table of bars is its."""

import shutil
from datetime import timedelta
from typing import Any

from infra.archive.manifest import Manifest, archives
from infra.archive.years import ArchivedYear, archive_year, restore_year, unfinished
from infra.clock import SystemClock
from infra.rebuild import WRITER
from infra.settings import Settings
from infra.store.bar_years import years_with_bars
from infra.store.cleaning import decided_findings, drop_decided_findings
from infra.store.database import Store
from producers.cli.telling import Telling


async def archive(settings: Settings, year: int, *, drop: bool) -> ArchivedYear:
    telling = Telling(SystemClock())
    store = Store(settings, WRITER, pool_size=1)
    try:
        with telling.phase("archive", f"Archiving the bars of {year}"):
            return await archive_year(store, settings.home, year, SystemClock(), drop=drop, on_part=telling.step)
    finally:
        await store.close()


async def restore(settings: Settings, year: int) -> ArchivedYear:
    telling = Telling(SystemClock())
    store = Store(settings, WRITER, pool_size=1)
    try:
        with telling.phase("restore", f"Restoring the bars of {year}"):
            return await restore_year(store, settings.home, year, on_part=telling.step)
    finally:
        await store.close()


async def clean(settings: Settings, days: int, *, act: bool) -> dict[str, Any]:
    """What may go, and with `act` is gone. A rebuild from the topics brings decided findings back."""
    clock = SystemClock()
    before = clock.now() - timedelta(days=days)
    store = Store(settings, WRITER, pool_size=1)
    try:
        async with store.reading() as connection:
            findings = await decided_findings(connection, before)
            stored = set(await years_with_bars(connection))
        folders = unfinished(settings.home)
        restored = sorted({Manifest.read(each).year for each in archives(settings.home)} & stored)
        if act:
            async with store.transaction() as transaction:
                await drop_decided_findings(transaction.connection, before)
            for folder in folders:
                shutil.rmtree(folder)
            for year in restored:
                await archive_year(store, settings.home, year, clock)
    finally:
        await store.close()
    return {"decided_findings": findings, "unfinished_archives": len(folders), "restored_years": restored}
