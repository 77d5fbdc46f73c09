"""Archives from the command line, in the name of the persister: the table of bars is its."""

from datetime import timedelta

from infra.archive.upkeep import Waste, clear, waste_of
from infra.archive.years import ArchivedYear, archive_year, restore_year
from infra.clock import SystemClock
from infra.rebuild import WRITER
from infra.settings import Settings
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


async def clean(settings: Settings, days: int, *, act: bool) -> Waste:
    """What may go, and with `act` is gone."""
    clock = SystemClock()
    before = clock.now() - timedelta(days=days)
    store = Store(settings, WRITER, pool_size=1)
    try:
        waste = await waste_of(store, settings.home, before)
        if act:
            await clear(store, settings.home, before, waste, clock)
    finally:
        await store.close()
    return waste
