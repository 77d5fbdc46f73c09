"""More that goes on while faults strike: days that are collected, strategies that trade, a storm of orders."""

import asyncio
from datetime import UTC, datetime, timedelta
from random import Random

from schemas.collection import CollectHistory, RunState
from tests.faultlab.stage import Stage, drawn
from tests.faultlab.workloads import WORKLOADS, Workload, orders
from tests.integration.an_order_path import CLOCK, until

ORDER_PATH = ("risk", "executor", "portfolio")

# days that are collected

RUN = "collection"
COLLECTED = {"AAPL": 265598, "IBM": 8314, "MSFT": 272093, "GE": 905180070}
FIRST_DAY, LAST_DAY = datetime(2013, 2, 26, tzinfo=UTC), datetime(2013, 2, 27, tzinfo=UTC).date()
SESSIONS, MINUTES_A_SESSION = 2, 390
_COLLECTED_SECONDS = 60.0


async def collection(stage: Stage, rng: Random) -> None:
    """Minutes of two sessions of four symbols are collected, while orders come."""
    now = CLOCK.now()
    stage.marks.history = dict.fromkeys(COLLECTED.values(), SESSIONS * MINUTES_A_SESSION)
    request = CollectHistory(
        event_time=now, ingest_time=now, run_id=RUN, symbols=tuple(COLLECTED), bar_size=timedelta(minutes=1),
        start=FIRST_DAY, last_day=LAST_DAY, requested_by="laboratory",
    )  # fmt: skip
    await asyncio.sleep(drawn(rng, 0.2, 0.5))  # faults are armed by then
    await stage.path.tell(request)
    await orders(stage, rng)
    await until(lambda: _collected(stage), seconds=_COLLECTED_SECONDS)


async def _collected(stage: Stage) -> bool:
    told = [each for each in await stage.path.events("collection.runs.v1") if each.run_id == RUN]
    assert not told or told[-1].state is not RunState.FAILED, told[-1]
    return bool(told) and told[-1].state is RunState.DONE


WORKLOADS["collection"] = Workload(
    "F3", "days are collected while orders come", collection, services=("data_farmer", "persister", *ORDER_PATH)
)
