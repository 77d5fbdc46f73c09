"""What nobody needs in the database or beside it any more."""

import asyncio
import shutil
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from infra.archive.manifest import Manifest, archives
from infra.archive.years import archive_year, unfinished
from infra.clock import Clock
from infra.store.bar_years import years_with_bars
from infra.store.cleaning import decided_findings, drop_decided_findings
from infra.store.database import Store


@dataclass(frozen=True)
class Waste:
    """What may go: findings decided long ago, archives without a manifest, years that were restored."""

    decided_findings: int
    unfinished_archives: list[Path]
    restored_years: list[int]


async def waste_of(store: Store, home: Path, before: datetime) -> Waste:
    """`before`: when findings were decided."""
    async with store.reading() as connection:
        findings = await decided_findings(connection, before)
        stored = set(await years_with_bars(connection))
    archived = {Manifest.read(each).year for each in archives(home)}
    return Waste(findings, unfinished(home), sorted(archived & stored))


async def clear(store: Store, home: Path, before: datetime, waste: Waste, clock: Clock) -> None:
    """Take it away. The rows of a restored year go only if an archive holds them all, else into a new one first.

    A rebuild from the topics brings findings and bars back.
    """
    async with store.transaction() as transaction:
        await drop_decided_findings(transaction.connection, before)
    for folder in waste.unfinished_archives:
        await asyncio.to_thread(shutil.rmtree, folder)
    for year in waste.restored_years:
        await archive_year(store, home, year, clock)
