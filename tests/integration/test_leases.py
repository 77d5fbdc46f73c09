"""A lease on the real database: one holder at a time, and a former one finds out."""

import asyncio

import pytest

from infra.clock import SystemClock
from infra.settings import Settings
from infra.store import leases as ours
from infra.store.leases import Lease, LeaseLostError
from tests.integration.an_order_path import an_order_path

CLOCK = SystemClock()
CUT = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'scizor lease executor'"
    " AND datname = current_database()"
)


@pytest.fixture
def trusting(monkeypatch: pytest.MonkeyPatch) -> None:
    """A holder that nobody disturbs trusts its lease, however long a busy machine makes it wait."""
    monkeypatch.setattr(ours, "_BEAT_PATIENCE_SECONDS", 60.0)


@pytest.mark.usefixtures("trusting")
async def test_a_second_holder_waits_and_leads_with_a_higher_epoch(stack_settings: Settings) -> None:
    first, second = (Lease(stack_settings, "executor", CLOCK) for _ in range(2))
    await first.acquire()
    epoch = first.epoch
    waiting = asyncio.create_task(second.acquire())
    await asyncio.sleep(0.6)
    assert first.fresh
    assert not waiting.done()
    assert not second.fresh

    await first.release()
    await asyncio.wait_for(waiting, 30)
    assert (second.epoch, second.fresh, first.fresh) == (epoch + 1, True, False)
    await second.release()


@pytest.mark.usefixtures("trusting")
async def test_another_slot_waits_for_as_long_as_a_holder_that_was_cut_off_may_trust_its_lease(
    stack_settings: Settings,
) -> None:
    first, standby = (Lease(stack_settings.model_copy(update={"instance": i}), "executor", CLOCK) for i in "12")
    async with an_order_path(stack_settings) as path:
        await first.acquire()
        await path.rows(CUT)
        waiting = asyncio.create_task(standby.acquire())
        await asyncio.sleep(0.6)
        assert (first.fresh, waiting.done()) == (True, False)
        await path.execute("UPDATE leases SET expires_at = now()")  # as if that time were over
        await asyncio.wait_for(waiting, 30)
        assert standby.epoch == first.epoch + 1
    await standby.release()
    await first.release()


async def test_leases_of_other_names_do_not_mind_each_other(stack_settings: Settings) -> None:
    leases = [Lease(stack_settings, name, CLOCK) for name in ("executor", "strategist")]
    for lease in leases:
        await asyncio.wait_for(lease.acquire(), 30)
        assert lease.epoch > 0
    for lease in leases:
        await lease.release()


async def test_the_epochs_of_a_database_that_was_lost_and_made_anew_lie_above_those_of_before(
    stack_settings: Settings,
) -> None:
    """Journals hold epochs, too: whoever leads after the loss must not look like a former holder."""
    before = 0
    async with an_order_path(stack_settings) as path:
        for _ in range(2):
            await path.execute("DELETE FROM leases")
            lease = Lease(stack_settings, "strategist", CLOCK)
            await lease.acquire()
            assert lease.epoch > before
            before = lease.epoch
            await lease.release()
            await path.rows("SELECT pg_sleep(1.1 - extract(epoch FROM now() - date_trunc('second', now())))")


async def test_a_lease_is_raised_above_what_topics_hold_of_another_life_of_the_database(
    stack_settings: Settings,
) -> None:
    lease, next_one = (Lease(stack_settings, "strategist", CLOCK) for _ in range(2))
    await lease.acquire()
    far = lease.epoch + 1000
    await lease.raise_above(far)
    assert (lease.epoch, lease.fresh) == (far + 1, True)
    await lease.confirm()
    await lease.release()
    await next_one.acquire()
    assert next_one.epoch == far + 2
    async with an_order_path(stack_settings) as path:
        await path.execute("UPDATE leases SET epoch = epoch + 1")  # another leads
    with pytest.raises(LeaseLostError, match="another process may lead now"):
        await next_one.raise_above(far)
    await next_one.release()


@pytest.mark.parametrize(
    "trouble",
    ["UPDATE leases SET epoch = epoch + 1", CUT],
    ids=["the epoch moved on", "the session was cut"],
)
async def test_a_holder_that_lost_its_lease_stops(stack_settings: Settings, trouble: str) -> None:
    lease = Lease(stack_settings, "executor", CLOCK)
    async with an_order_path(stack_settings) as path:
        await lease.acquire()
        keeping = asyncio.create_task(lease.keep())
        await path.rows(trouble) if trouble.startswith("SELECT") else await path.execute(trouble)
        with pytest.raises(LeaseLostError, match="another process may lead now"):
            await asyncio.wait_for(keeping, 30)
        await lease.release()
