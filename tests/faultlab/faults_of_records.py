"""Faults of what is told: again, unreadable, with limits that are gone and prices that are old."""

from decimal import Decimal
from random import Random
from typing import Any

from tests.faultlab.faults import fault
from tests.faultlab.stage import Stage
from tests.integration.an_order_path import a_live_intent, some_limits, until

# F25-F27, F31: records


@fault("records-told-again", "F25 F26", "everything on the topics of trading is told again, in another order")
async def _told_again(stage: Stage, rng: Random) -> None:
    await stage.worked.wait()
    for topic in ("trading.intents.v1", "trading.decisions.v1", "trading.orders.v1", "trading.fills.v1"):
        records = await stage.path.records(topic)
        if rng.random() < 0.5:
            rng.shuffle(records)
        for each in records:
            await stage.path.raw(topic, each.key, each.value, each.headers)


POISON = (
    b"{",
    b"null",
    b"\xff\xfe",
    b'{"type":"Nobody"}',
    b'{"type":"Bar","contract_id":NaN}',
    b'{"type":"OrderIntent","intent_id":"' + b"x" * 500_000 + b'"}',
    b"[" * 50_000,
)


def _poison(topic: str, **traits: Any) -> None:
    @fault(f"poison-on-{topic.rpartition('.')[0]}", "F27", f"records on {topic} that nobody can read", **traits)
    async def _(stage: Stage, rng: Random) -> None:
        for value in rng.sample(POISON, 3):
            place = await stage.path.raw(topic, b"DU1234567", value, [])
            stage.marks.poison.append((topic, place.partition, place.offset))


_poison("market.bars.v1")
_poison("trading.intents.v1", halts=True, pairs=False)
_poison("trading.orders.v1", halts=True, pairs=False)


async def _refused(stage: Stage, name: str, why: str) -> None:
    """Intents that must never reach the gateway; returns when they were decided about."""
    ids = [stage.named(f"{name}-{number}") for number in range(3)]
    for number, each in enumerate(ids):
        stage.marks.forbidden[each] = why
        await stage.path.tell(a_live_intent(number, intent_id=each, quantity=Decimal(50 + number)))
    decided = "SELECT count(*) = 3 FROM decisions WHERE intent_id = ANY(:ids)"
    await until(lambda: stage.patiently(lambda: stage.path.scalar(decided, ids=ids)))


@fault("limit-lowered", "F37", "the limit on positions is lowered while orders are in flight")
async def _limit_lowered(stage: Stage, rng: Random) -> None:
    await stage.worked.wait()
    await stage.path.tell(some_limits(version=2, position_max=Decimal(5), quantity_max=Decimal(5)))
    known = "SELECT count(*) = 1 FROM risk_limits WHERE version = 2"
    await until(lambda: stage.patiently(lambda: stage.path.scalar(known)))
    await _refused(stage, "lowered", "it is beyond the limit that was lowered before")
    await stage.path.tell(some_limits(version=3))


@fault("limits-missing", "F37", "the account's limits are gone from the database: nothing may be approved")
async def _limits_missing(stage: Stage, rng: Random) -> None:
    await stage.worked.wait()
    # what the topic still brings would set them again
    await stage.patiently(lambda: stage.path.settled("risk", ["risk.limits.v1"]))
    await stage.patiently(lambda: stage.path.execute("DELETE FROM risk_limits"))
    await _refused(stage, "unlimited", "there were no limits")
    await stage.path.tell(some_limits(version=2))


@fault("prices-are-old", "F31", "the newest price is older than the limits allow: nothing may be approved")
async def _prices_are_old(stage: Stage, rng: Random) -> None:
    await stage.worked.wait()
    await stage.patiently(lambda: stage.path.execute("UPDATE marks SET received_at = received_at - interval '1 hour'"))
    await _refused(stage, "old", "nobody had seen a price for an hour")
    await stage.patiently(lambda: stage.path.execute("UPDATE marks SET received_at = now()"))
