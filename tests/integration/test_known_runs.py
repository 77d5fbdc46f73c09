"""A run that was asked for before changes nothing, also when more have come since than the data farmer remembers."""

import pytest

from infra import topic_admin
from infra.service import Service
from infra.settings import Settings
from infra.store.collection import put_runs
from infra.store.database import Store
from producers.data_farmer.known_runs import KnownRuns
from schemas.collection import CollectionRun
from tests.integration.test_persister import a_run, send

RUNS = [f"run-{number}" for number in range(5)]


def runs() -> list[CollectionRun]:
    return [a_run(run_id=run_id) for run_id in RUNS]


@pytest.mark.parametrize("stored", [True, False], ids=["in the table", "in the topic"])
async def test_a_run_that_was_forgotten_is_recognised(stack_settings: Settings, stored: bool) -> None:
    service = Service("data_farmer", stack_settings)
    store = Store(stack_settings, "persister") if stored else None
    if store is not None:
        async with store.transaction() as transaction:
            await put_runs(transaction.connection, runs())
    else:
        await topic_admin.apply(stack_settings)
        await send(stack_settings, *runs())
    known = KnownRuns(service, store, remembered_max=2)

    known.add(RUNS)

    assert len(known) == 2
    assert [await known.have(run_id) for run_id in RUNS] == [True] * 5
    assert not await known.have("run-5")
    if store is not None:
        await store.close()
