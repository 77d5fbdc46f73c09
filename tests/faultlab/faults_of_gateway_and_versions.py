"""Faults of a gateway that serves history, and of builds that do not fit each other."""

import asyncio
import contextlib
import itertools
import json
from collections.abc import Callable
from decimal import Decimal
from random import Random
from typing import Any

from infra.store.revision import known_revision
from schemas.orders import OrderIntent
from tests.builders import a_cancel
from tests.faultlab.builds import BACK_OFF_SECONDS, LATER_FIELD, as_a_newer_build, as_an_older_build
from tests.faultlab.faults import fault
from tests.faultlab.long_workloads import COLLECTED, RESTING
from tests.faultlab.stage import Stage, drawn
from tests.integration.an_order_path import CLOCK, a_live_intent, until

_STRUCK_SECONDS = 45.0
_AGAIN_SECONDS = 5.0
PRICE = Decimal(28)
"""Of Microsoft, about."""
_ON_ITS_WAY = 2 / 3
"""Of the back-off: until then a request may arrive that was sent before the complaint was heard."""
REQUESTS_MIN = 8
"""Of the gateway for bars: a collection asks more often."""


async def _struck(stage: Stage, event: str, nth: int, **do: Any) -> int:
    """Arm a fault of the gateway; returns once it has happened, with the moment by CLOCK_MONOTONIC."""
    gateway = stage.simulator.server.gateway
    number = gateway.director.arm({"event": event, "nth": nth}, do)

    async def moment() -> int:
        return next(
            (line["monotonic_ns"] for line in stage.simulator.lines("fault") if line.get("number") == number), 0
        )

    return await until(moment, seconds=_STRUCK_SECONDS)


# F15: the gateway closes while it serves history


@fault("history-cut-at-a-bar", "F15", "the connection ends within an answer with bars", work="collection", pairs=False)
async def _cut_at_a_bar(stage: Stage, rng: Random) -> None:
    bytes_of_bars = rng.randint(60, 20_000)  # an answer of one session has some 25 kB
    await _struck(stage, "historical bars", rng.randint(1, REQUESTS_MIN), cut=bytes_of_bars)


@fault("history-closed-at-a-request", "F15", "the gateway closes instead of serving bars", work="collection",
       pairs=False)  # fmt: skip
async def _closed_at_a_request(stage: Stage, rng: Random) -> None:
    await _struck(stage, "reqHistoricalData received", rng.randint(1, REQUESTS_MIN), close=True)


@fault("history-gateway-restarts", "F15", "the gateway restarts after an answer with bars", work="collection",
       pairs=False)  # fmt: skip
async def _restarts_after_bars(stage: Stage, rng: Random) -> None:
    await _struck(stage, "historical bars", rng.randint(1, REQUESTS_MIN), restart={"seconds": drawn(rng, 0.5, 1.5)})


# F24: pacing


@fault("history-too-fast", "F24", "162: a pacing violation; a cancel of an order comes in the farmer's silence",
       work="collection", pairs=False)  # fmt: skip
async def _too_fast(stage: Stage, rng: Random) -> None:
    resting = stage.named(RESTING)
    complained = await _struck(stage, "reqHistoricalData received", rng.randint(1, 4), error={"code": 162})
    cancel = a_cancel(intent_id=f"{resting}-cancel", order_id=resting, strategy_id=RESTING, event_time=CLOCK.now(),
                      ingest_time=CLOCK.now())  # fmt: skip
    await stage.path.tell(cancel)
    canceled = await _moment_of(stage, "cancel_received", lambda line: line["monotonic_ns"] > complained)
    again = await _moment_of(
        stage,
        "historical_request",
        lambda line: line["monotonic_ns"] > complained + BACK_OFF_SECONDS * _ON_ITS_WAY * 1e9,
    )
    if (silent := (again - complained) / 1e9) < BACK_OFF_SECONDS:
        stage.marks.found.append(f"bars were asked for {silent:.1f} s after the complaint: no back-off")
    if canceled > again:
        stage.marks.found.append("the cancel waited until bars were asked for again")


async def _moment_of(stage: Stage, kind: str, fits: Callable[[dict[str, Any]], bool]) -> int:
    async def found() -> int:
        return next((int(line["monotonic_ns"]) for line in stage.simulator.lines(kind) if fits(line)), 0)

    return await until(found, seconds=_STRUCK_SECONDS)


@fault("history-messages-too-fast", "F24", "100: too many messages from the farmer, and its connection is closed",
       work="collection", pairs=False)  # fmt: skip
async def _farmer_thrown_out(stage: Stage, rng: Random) -> None:
    nth = rng.randint(1, REQUESTS_MIN)
    await _struck(stage, "reqHistoricalData received", nth, error={"code": 100}, close=True)


@fault("orders-too-fast", "F24", "100: too many messages from the executor, and its connection is closed", pairs=False)
async def _executor_thrown_out(stage: Stage, rng: Random) -> None:
    refusal = {"error": {"code": 100, "order": "alive"}, "close": True}
    striking = asyncio.create_task(_struck(stage, "placeOrder received", rng.randint(1, 2), **refusal))
    for number in itertools.count():  # the other orders may all have been sent by now
        name = stage.named(f"too-fast-{number}")
        await stage.path.tell(await _an_intent_in_microsoft(stage, name, Decimal(3 + number)))
        if (await asyncio.wait((striking,), timeout=_AGAIN_SECONDS))[0]:
            striking.result()
            return


async def _an_intent_in_microsoft(stage: Stage, name: str, quantity: Decimal) -> OrderIntent:
    """Of which no other order knows: it crosses none of them."""
    await stage.path.price(COLLECTED["MSFT"], price=PRICE)
    terms = {"contract_id": COLLECTED["MSFT"], "symbol": "MSFT", "reference_price": PRICE, "strategy_id": name}
    return a_live_intent(name, intent_id=name, quantity=quantity, **terms)


# F29: builds that say more, or less


async def _another_build(stage: Stage, rng: Random, build: str, is_told: Callable[[dict[str, Any]], bool]) -> None:
    """One service is of another build until the end; two intents come from another one still."""
    service, topic = rng.choice((("risk", "trading.decisions.v1"), ("executor", "trading.orders.v1")))
    stage.programs[service] = ("tests.faultlab.builds", build, *stage.programs[service])
    stage.kill(service)
    names = [stage.named(f"{build}-{number}") for number in range(2)]
    for number, name in enumerate(names):
        intent = await _an_intent_in_microsoft(stage, name, Decimal(30 + number))
        value = as_a_newer_build(intent.to_json()) if build == "newer" else as_an_older_build(intent)
        await stage.path.raw("trading.intents.v1", b"DU1234567", value, [])
    decided = "SELECT count(*) = 2 FROM decisions WHERE intent_id = ANY(:ids)"
    await until(lambda: stage.path.scalar(decided, ids=names), seconds=_STRUCK_SECONDS)

    async def struck() -> bool:
        return any(is_told(json.loads(each.value)) for each in await stage.path.records(topic))

    await until(struck, seconds=_STRUCK_SECONDS)


@fault("one-newer-build", "F29", "a service tells fields that the others do not know yet, and is told by older ones",
       pairs=False)  # fmt: skip
async def _newer_build(stage: Stage, rng: Random) -> None:
    await _another_build(stage, rng, "newer", lambda told: LATER_FIELD in told)


@fault("one-older-build", "F29", "a service does not tell the fields that came later, and is told them by the others",
       pairs=False)  # fmt: skip
async def _older_build(stage: Stage, rng: Random) -> None:
    await _another_build(stage, rng, "older", lambda told: None not in told.values())


# F38: tables of another build


@fault("tables-of-another-build", "F38", "a service starts over tables of another build: it refuses, until they fit",
       pairs=False)  # fmt: skip
async def _other_tables(stage: Stage, rng: Random) -> None:
    service, revision = rng.choice(("executor", "risk", "portfolio")), rng.choice(("9999", "0001"))
    await stage.path.execute("UPDATE alembic_version SET version_num = :revision", revision=revision)
    await stage.hold(service)
    with (
        stage.darkness("no build fits the tables", of_decisions=service == "risk")
        if service != "portfolio"
        else contextlib.nullcontext()
    ):
        before = stage.starts[service]
        stage.start(service)
        refusal = f"the tables are at revision {revision}"

        async def refused() -> bool:
            return stage.starts[service] > before + 1 and refusal in stage.log(service).read_text(errors="replace")

        await until(refused, seconds=_STRUCK_SECONDS)
    await stage.path.execute("UPDATE alembic_version SET version_num = :revision", revision=known_revision())
