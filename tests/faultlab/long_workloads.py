"""More that goes on while faults strike: days that are collected, and a minute's storm of orders."""

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

from schemas.collection import CollectHistory, RunState
from schemas.orders import OrderType
from tests.faultlab.stage import Stage, drawn
from tests.faultlab.workloads import LIMIT_PRICE, WORKLOADS, Workload, orders
from tests.integration.an_order_path import CLOCK, a_live_intent, until

ORDER_PATH = ("risk", "executor", "portfolio")

# days that are collected

RUN, RESTING = "collection", "resting"
COLLECTED = {"AAPL": 265598, "IBM": 8314, "MSFT": 272093, "GE": 905180070}
FIRST_DAY, LAST_DAY = datetime(2013, 2, 26, tzinfo=UTC), datetime(2013, 2, 27, tzinfo=UTC).date()
SESSIONS, MINUTES_A_SESSION = 2, 390
_COLLECTED_SECONDS = 60.0
_LOOK_SECONDS = 0.2


async def _an_order_rests(stage: Stage) -> None:
    name = stage.named(RESTING)
    terms: dict[str, Any] = {"order_type": OrderType.LIMIT, "limit_price": LIMIT_PRICE, "strategy_id": RESTING}
    await stage.path.tell(a_live_intent(name, intent_id=name, quantity=Decimal(3), **terms))

    async def works() -> bool:
        return any(line["order_ref"] == name for line in stage.simulator.lines("order_received"))

    await until(works, seconds=_COLLECTED_SECONDS)


async def collection(stage: Stage, rng: Random) -> None:
    """Minutes of two sessions of four symbols are collected, while orders come."""
    now = CLOCK.now()
    stage.marks.history = dict.fromkeys(COLLECTED.values(), SESSIONS * MINUTES_A_SESSION)
    request = CollectHistory(
        event_time=now, ingest_time=now, run_id=RUN, symbols=tuple(COLLECTED), bar_size=timedelta(minutes=1),
        start=FIRST_DAY, last_day=LAST_DAY, requested_by="laboratory",
    )  # fmt: skip
    await asyncio.sleep(drawn(rng, 0.5, 0.8))  # faults are armed by then
    await stage.path.tell(request)
    await orders(stage, rng)
    await until(lambda: _collected(stage), seconds=_COLLECTED_SECONDS)


async def _collected(stage: Stage) -> bool:
    await asyncio.sleep(_LOOK_SECONDS)  # each look reads a topic from its beginning
    told = [each for each in await stage.path.events("collection.runs.v1") if each.run_id == RUN]
    assert not told or told[-1].state is not RunState.FAILED, told[-1]
    return bool(told) and told[-1].state is RunState.DONE


WORKLOADS["collection"] = Workload(
    "",
    "days are collected while orders come",
    collection,
    services=("data_farmer", "persister", *ORDER_PATH),
    prepare=_an_order_rests,
    programs={"data_farmer": ("tests.faultlab.builds", "briefly", "producers.data_farmer")},
)

# ten times the normal rate

STORM_SECONDS = 60.0
STORM_RATE = 10.0
"""Orders a second: ten times the sixty a minute that the limits of a new account allow."""
_STRATEGIES = 50
"""In turn, so that no order is taken for a repetition of the one before it."""


async def storm(stage: Stage, rng: Random) -> None:
    """Ten orders a second for a minute; in the middle of them the executor is killed."""
    begun = CLOCK.monotonic()
    dies_at = begun + STORM_SECONDS / 2 + drawn(rng, -5, 5)
    for number in range(round(STORM_SECONDS * STORM_RATE)):
        await asyncio.sleep(max(0.0, begun + number / STORM_RATE - CLOCK.monotonic()))
        if CLOCK.monotonic() >= dies_at and not stage.marks.deaths:
            stage.kill("executor")
            stage.marks.deaths.append(round(CLOCK.monotonic() * 1e9))
        name = stage.named(f"storm-{number}")
        strategy = f"storm-{number % _STRATEGIES}"
        await stage.path.tell(a_live_intent(name, intent_id=name, strategy_id=strategy, quantity=Decimal(1)))
    assert stage.marks.deaths, "the executor was killed in the middle"


WORKLOADS["storm"] = Workload(
    "F33",
    "ten times the normal rate of orders for a minute, the executor killed in the middle",
    storm,
    limits={"strategy_orders_per_minute_max": 1_000},
    takes_minutes=True,
)
