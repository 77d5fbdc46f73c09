"""How long the disk lasts, by what came in the last days."""

from datetime import timedelta

from infra import topic_admin
from infra.clock import SystemClock
from infra.columns import frame_of
from infra.settings import Settings
from infra.store.bars import add_bars
from infra.store.database import Store
from producers.cli import system_checks
from producers.cli.desk import Desk
from producers.cli.growth import Growth, growth_of
from tests.builders import NOON, a_historical_bar

DAY = timedelta(days=1)


async def test_growth_counts_the_bars_of_the_last_days_and_what_a_bar_takes(stack_settings: Settings) -> None:
    await topic_admin.apply(stack_settings)
    now = SystemClock().now()
    assert (await growth_of(stack_settings)).days_until_full(10**9) == float("inf")
    old, new = now - 30 * DAY, now - DAY
    bars = [a_historical_bar(start=NOON + n * DAY, ingest_time=old if n < 30 else new) for n in range(100)]
    async with Desk(stack_settings) as desk:
        for bar in bars:
            await desk.publish(bar)
    store = Store(stack_settings, "persister", pool_size=1)
    async with store.transaction() as transaction:
        await add_bars(transaction.connection, frame_of(bars))
    async with store.looking() as connection:
        await connection.exec_driver_sql("ANALYZE bars")
    await store.close()

    growth = await growth_of(stack_settings)
    found = await system_checks.growth(stack_settings)

    assert growth.bars_per_day == 10
    assert growth.bytes_per_bar > 100
    assert growth.tables_bytes > 0
    assert "10 bars a day" in found.detail


def test_a_disk_that_will_soon_be_full_is_told_in_days() -> None:
    growth = Growth(bars_per_day=1_000_000, bytes_per_bar=400, tables_bytes=0, topics_bytes=0)
    assert growth.days_until_full(4_000_000_000) == 10
