"""The table of faults: what is done to a running stage, and at which moment.

`place` is called while orders come. What it arms strikes by itself, at a message; what it stops it lets go on.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from random import Random
from typing import Any

from tests.builders import NOON, a_bar
from tests.faultlab.proxy import Trap
from tests.faultlab.stage import Stage, drawn
from tests.integration.an_order_path import a_live_intent, some_limits, until

Place = Callable[[Stage, Random], Awaitable[None]]


@dataclass(frozen=True)
class Fault:
    """One row: its name, the row of the matrix, what happens in words, and how it is placed."""

    name: str
    matrix: str
    meaning: str
    place: Place
    halts: bool = False
    """Whether it may end in an account that stays halted until a person has looked."""
    work: str = "orders"
    """What goes on while it strikes, when it is placed alone."""
    pairs: bool = True
    """Whether it may strike together with another one."""


FAULTS: dict[str, Fault] = {}
_HASTE_SECONDS = 3.0


def _fault(name: str, matrix: str, meaning: str, **traits: Any) -> Callable[[Place], Place]:
    def enter(place: Place) -> Place:
        FAULTS[name] = Fault(name, matrix, meaning, place, **traits)
        return place

    return enter


def _at(name: str, matrix: str, meaning: str, event: str, **do: Any) -> None:
    """A fault that the gateway places at one of the next messages of a kind."""

    async def place(stage: Stage, rng: Random) -> None:
        stage.arm(event, rng.randint(1, 3), **do)

    FAULTS[name] = Fault(name, matrix, meaning, place)


# F1: the executor dies

_at("executor-killed-at-its-order", "F1 C4", "killed when the gateway has the order, which works",
    "placeOrder received", signal="KILL", target="executor")  # fmt: skip
_at("executor-killed-at-a-lost-order", "F1 C3", "killed when it has sent an order that never arrives",
    "placeOrder received", signal="KILL", target="executor", drop=True)  # fmt: skip
_at("executor-killed-at-the-acknowledgement", "F1 C5", "killed when the acknowledgement leaves",
    "ack sent", signal="KILL", target="executor")  # fmt: skip
_at("executor-killed-before-the-acknowledgement", "F1 C4", "killed before the acknowledgement leaves",
    "ack sent", signal="KILL", target="executor", before=True)  # fmt: skip
_at("executor-killed-at-a-fill", "F1 C6", "killed when a fill leaves", "fill sent", signal="KILL", target="executor")
_at("executor-killed-before-a-fill", "F1 C6", "killed before a fill leaves",
    "fill sent", signal="KILL", target="executor", before=True)  # fmt: skip
_at("executor-killed-at-a-commission", "F1 C7", "killed when a commission leaves",
    "commission sent", signal="KILL", target="executor")  # fmt: skip
_at("executor-killed-at-its-cancel", "F1 C9", "killed when the gateway has its cancel",
    "cancelOrder received", signal="KILL", target="executor")  # fmt: skip


@_fault("executor-killed-while-it-reconciles", "F1 C10", "killed, and once more while it asks for the broker's books")
async def _killed_while_it_reconciles(stage: Stage, rng: Random) -> None:
    stage.kill("executor")
    event = rng.choice(("reqAllOpenOrders", "reqExecutions", "reqPositions", "reqCompletedOrders", "reqIds"))
    stage.arm(f"{event} received", rng.randint(1, 2), signal="KILL", target="executor")


@_fault("executor-killed-anytime", "F1 C0 C8", "killed within a moment, wherever it is")
async def _killed_anytime(stage: Stage, rng: Random) -> None:
    await asyncio.sleep(drawn(rng, 0, 0.2))
    stage.kill("executor")


@_fault("executor-killed-mid-message", "F1 C3", "killed with an order half written to the socket")
async def _killed_mid_message(stage: Stage, rng: Random) -> None:
    needle = stage.named(f"{rng.randint(0, 2)}").encode()
    stage.wire.set(Trap(needle, 1, drawn(rng, 0.1, 0.95), lambda: stage.kill("executor")))


def _at_a_statement(service: str, rng: Random, act: Callable[[], None]) -> Trap:
    """At one of the statements of a service, before the database has it or after it has done it."""
    return Trap(b"", rng.randint(1, 12), rng.choice((0.0, 1.0)), act, f"scizor {service}\0".encode())


def _killed_at_a_statement(service: str, matrix: str, **traits: Any) -> None:
    meaning = f"{service} killed before or after a statement of its own"

    @_fault(f"{service}-killed-at-a-statement", matrix, meaning, **traits)
    async def _(stage: Stage, rng: Random) -> None:
        stage.database.set(_at_a_statement(service, rng, lambda: stage.kill(service)))


def _cut_at_a_statement(service: str, matrix: str, **traits: Any) -> None:
    meaning = f"the connection ends before or after a statement of {service}"

    @_fault(f"{service}-cut-at-a-statement", matrix, meaning, **traits)
    async def _(stage: Stage, rng: Random) -> None:
        stage.database.set(_at_a_statement(service, rng, lambda: None))


def _cut_at_commit(service: str, **traits: Any) -> None:
    meaning = f"the connection ends before a COMMIT of {service}, or before its answer"

    @_fault(f"{service}-cut-at-commit", "F10", meaning, **traits)
    async def _(stage: Stage, rng: Random) -> None:
        who = f"scizor {service}\0".encode()
        stage.database.set(Trap(b"COMMIT", rng.randint(1, 4), rng.choice((0.0, 1.0)), lambda: None, who))


_killed_at_a_statement("executor", "F1 C1 C2 C5-C8")
_killed_at_a_statement("risk", "F2 R0-R3")
_killed_at_a_statement("portfolio", "F3")
for _service in ("executor", "risk", "portfolio"):
    _cut_at_a_statement(_service, "F10")
    _cut_at_commit(_service)
_killed_at_a_statement("persister", "F3", work="bars", pairs=False)
_cut_at_a_statement("persister", "F10", work="bars", pairs=False)
_cut_at_commit("persister", work="bars", pairs=False)


def _killed_in_a_silence(service: str, **traits: Any) -> None:
    meaning = f"{service} killed while it waits for a database that does not answer"

    @_fault(f"{service}-killed-in-a-silence", "F3 F11", meaning, **traits)
    async def _(stage: Stage, rng: Random) -> None:
        stage.database.freeze()
        await asyncio.sleep(drawn(rng, 0.3, 0.6))
        stage.kill(service)
        stage.database.thaw()


for _service in ("executor", "risk", "portfolio"):
    _killed_in_a_silence(_service)


@_fault(
    "persister-killed-in-a-silence",
    "F3 F11",
    "persister killed with bars in hand that a silent database did not take",
    work="bars",
    pairs=False,
)
async def _killed_with_bars(stage: Stage, rng: Random) -> None:
    await stage.worked.wait()
    stage.database.freeze()
    before = await stage.committed("persister", "market.bars.v1")
    later = [a_bar(start=NOON + timedelta(days=1, seconds=5 * n), volume=float(n)) for n in range(40)]
    await stage.path.tell(*later)
    with contextlib.suppress(AssertionError):  # who does as promised commits none of them before it has stored them
        await until(lambda: _grew(stage, before), seconds=_HASTE_SECONDS)
    stage.kill("persister")
    stage.database.thaw()


async def _grew(stage: Stage, before: int) -> bool:
    return await stage.committed("persister", "market.bars.v1") > before


@_fault("risk-killed-anytime", "F2", "risk killed within a moment, wherever it is")
async def _risk_killed(stage: Stage, rng: Random) -> None:
    await asyncio.sleep(drawn(rng, 0, 0.2))
    stage.kill("risk")


@_fault("risk-down", "F2", "risk is down for a second: nothing is decided")
async def _risk_down(stage: Stage, rng: Random) -> None:
    await stage.hold("risk")
    with stage.darkness("risk was down"):
        await asyncio.sleep(drawn(rng, 0.5, 1.5))
    stage.start("risk")


@_fault("everything-killed", "F3", "all services killed at once")
async def _everything_killed(stage: Stage, rng: Random) -> None:
    await asyncio.sleep(drawn(rng, 0, 0.2))
    for name in ("executor", "risk", "portfolio"):
        stage.kill(name)


# F4, F31, F32: frozen, slow, one more


def _frozen(service: str, matrix: str) -> None:
    @_fault(f"{service}-frozen", matrix, f"{service} is frozen (SIGSTOP) for a second or two")
    async def _(stage: Stage, rng: Random) -> None:
        await asyncio.sleep(drawn(rng, 0, 0.1))
        stage.send(service, signal.SIGSTOP)
        await asyncio.sleep(drawn(rng, 0.5, 2.0))
        stage.send(service, signal.SIGCONT)


_frozen("executor", "F4")
_frozen("risk", "F31")
_frozen("portfolio", "F31")


@_fault(
    "executor-frozen-with-a-standby",
    "F4",
    "the leader is frozen and its lease cut; the standby leads; the first one wakes",
    pairs=False,
)
async def _standby(stage: Stage, rng: Random) -> None:
    stage.start("executor-2")
    await asyncio.sleep(drawn(rng, 0.5, 1.0))
    stage.send("executor", signal.SIGSTOP)
    stage.database.cut(b"scizor lease executor\0")
    await asyncio.sleep(drawn(rng, 10.5, 12.0))  # another slot waits until the lease has run out
    stage.send("executor", signal.SIGCONT)
    await asyncio.sleep(drawn(rng, 0, 0.5))
    await stage.hold("executor-2")


@_fault("risk-has-a-second-member", "F32", "a second risk joins the group and is killed again")
async def _second_member(stage: Stage, rng: Random) -> None:
    stage.start("risk-2")
    await asyncio.sleep(drawn(rng, 0.3, 1.5))
    await stage.hold("risk-2")


# F5, F6: Kafka


@_fault("kafka-killed", "F5", "Kafka is killed and started again")
async def _kafka_killed(stage: Stage, rng: Random) -> None:
    await asyncio.sleep(drawn(rng, 0, 0.2))
    _send(stage.laboratory.kafka.pid, signal.SIGKILL)
    await asyncio.sleep(0.2)
    await stage.laboratory.mend()


@_fault("kafka-frozen", "F6", "Kafka hangs (SIGSTOP) for some seconds: no error, no answer")
async def _kafka_frozen(stage: Stage, rng: Random) -> None:
    _send(stage.laboratory.kafka.pid, signal.SIGSTOP)
    try:
        await asyncio.sleep(drawn(rng, 1, 4))
    finally:
        _send(stage.laboratory.kafka.pid, signal.SIGCONT)


# F9, F11: PostgreSQL


@_fault("postgres-killed", "F9", "PostgreSQL is killed and started again")
async def _postgres_killed(stage: Stage, rng: Random) -> None:
    await asyncio.sleep(drawn(rng, 0, 0.2))
    _send(stage.laboratory.postgres.pid, signal.SIGKILL)
    await stage.laboratory.postgres_is_gone()
    with stage.darkness("the database was down"):
        await asyncio.sleep(drawn(rng, 0, 1))
    await stage.laboratory.mend()


@_fault("postgres-cut", "F9", "all connections to PostgreSQL end at once")
async def _postgres_cut(stage: Stage, rng: Random) -> None:
    await asyncio.sleep(drawn(rng, 0, 0.2))
    stage.database.cut()


@_fault("postgres-silent", "F11", "the connections to PostgreSQL stay, and nothing passes for some seconds")
async def _postgres_silent(stage: Stage, rng: Random) -> None:
    stage.database.freeze()
    await asyncio.sleep(0.05)  # what had passed has been acted on
    with stage.darkness("the database did not answer"):
        await asyncio.sleep(drawn(rng, 0.5, 4))
    stage.database.thaw()


@_fault("book-locked", "F11", "somebody holds the lock on the account's book for a second or two")
async def _book_locked(stage: Stage, rng: Random) -> None:
    await stage.path.rows(f"SELECT count(*) FROM (SELECT pg_sleep({drawn(rng, 1, 2.5)}) FROM books FOR UPDATE) AS held")


# F14-F23: the gateway

_at("closed-before-acknowledgement", "F14", "the gateway closes instead of acknowledging",
    "ack sent", drop=True, close=True)  # fmt: skip
_at("closed-after-acknowledgement", "F14", "the gateway closes after an acknowledgement", "ack sent", close=True)
_at("closed-at-an-order", "F14", "the gateway closes when an order comes",
    "placeOrder received", close=True)  # fmt: skip
_at("closed-at-a-fill", "F14", "the gateway closes instead of telling a fill", "fill sent", drop=True, close=True)
_at("cut-mid-message", "F14", "the connection ends within a status", "status sent", cut=20)
_at("outage-data-lost", "F16", "1100 at an acknowledgement, 1101 after two seconds",
    "ack sent", outage={"seconds": 2, "restored": 1101})  # fmt: skip
_at("outage-data-kept", "F16", "1100 at an order, 1102 after two seconds; orders are held",
    "placeOrder received", outage={"seconds": 2, "restored": 1102})  # fmt: skip
_at("outage-orders-lost", "F16", "1100 at an acknowledgement; orders that come meanwhile are lost",
    "ack sent", outage={"seconds": 2, "orders": "lost"})  # fmt: skip
_at("gateway-frozen", "F17", "the gateway neither reads nor writes for three seconds",
    "ack sent", freeze={"seconds": 3})  # fmt: skip
_at("gateway-restarts", "F18", "the gateway restarts after a fill", "fill sent", restart={"seconds": 1.5})
_at("fill-dropped", "F19", "exactly one fill is never told", "fill sent", drop=True)
_at("order-dropped", "F19", "an order is lost on its way", "placeOrder received", drop=True)
_at("status-dropped", "F20", "a status is never told", "status sent", drop=True)
_at("order-refused", "F22", "201: an order never comes to the book", "placeOrder received", error={"code": 201})
_at("order-killed", "F22", "202: the exchange throws an order out", "status sent", throw_out={"code": 202})
for _code in (103, 104, 105, 321):
    _at(f"error-{_code}-order-lives", "F22", f"error {_code} for an order that works all the same",
        "placeOrder received", error={"code": _code, "order": "alive"})  # fmt: skip
for _code in (161, 10147):
    _at(f"error-{_code}-cancel-refused", "F22", f"error {_code}: a cancel is refused, the order works on",
        "cancelOrder received", error={"code": _code})  # fmt: skip
_at("execution-corrected", "F21", "an execution is corrected: one share less",
    "fill sent", correct={"quantity_by": -1, "after": 0.3})  # fmt: skip
_at("execution-repriced", "F21", "an execution is corrected: another price",
    "fill sent", correct={"price_by": -0.5, "after": 0.3})  # fmt: skip
_at("execution-busted", "F21", "an execution is taken back", "fill sent", bust={"after": 0.3})


@_fault("everything-told-twice", "F20", "statuses, fills and commissions are told twice, and once more later")
async def _told_twice(stage: Stage, rng: Random) -> None:
    for event in ("status sent", "fill sent", "commission sent"):
        stage.arm(event, 1, 50, duplicate=True, echo=drawn(rng, 0.2, 0.8))


@_fault("everything-told-late", "F20", "statuses and fills come late and are overtaken")
async def _told_late(stage: Stage, rng: Random) -> None:
    stage.arm("status sent", 1, 6, delay=drawn(rng, 0.1, 0.8), overtake=True)
    stage.arm("fill sent", rng.randint(1, 3), 2, delay=drawn(rng, 0.1, 0.8), overtake=True)


@_fault("fill-beyond-the-order", "F20", "an order is filled beyond its quantity", halts=True, pairs=False)
async def _overfill(stage: Stage, rng: Random) -> None:
    stage.arm("fill sent", rng.randint(1, 2), overfill={"quantity": 5, "after": 0.2})


@_fault("ids-fall-back", "F22", "the next valid id falls back behind ids that were used", halts=True, pairs=False)
async def _ids_fall_back(stage: Stage, rng: Random) -> None:
    stage.arm("fill sent", rng.randint(1, 3), next_id={"by": 1000, "client_id": 10})
    stage.arm("commission sent", rng.randint(1, 3), close=True)


@_fault("client-id-in-use", "F23", "the executor is killed, and its client id counts as in use for two seconds")
async def _id_in_use(stage: Stage, rng: Random) -> None:
    stage.arm("disconnected noted", occupied={"seconds": 2})
    stage.kill("executor")


@_fault("order-of-a-person", "F22", "a person buys in TWS itself")
async def _person(stage: Stage, rng: Random) -> None:
    stage.do(manual_order={"symbol": "AAPL", "side": "BUY", "quantity": rng.randint(1, 9)})


def _send(pid: int, number: int) -> None:
    assert pid > 1, "a server of the laboratory"
    os.kill(pid, number)


# F25-F27, F31: records


@_fault("records-told-again", "F25 F26", "everything on the topics of trading is told again, in another order")
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
    @_fault(f"poison-on-{topic.rpartition('.')[0]}", "F27", f"records on {topic} that nobody can read", **traits)
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
    await until(lambda: stage.path.scalar(decided, ids=ids), seconds=30)


@_fault("limit-lowered", "F37", "the limit on positions is lowered while orders are in flight")
async def _limit_lowered(stage: Stage, rng: Random) -> None:
    await stage.worked.wait()
    await stage.path.tell(some_limits(version=2, position_max=Decimal(5), quantity_max=Decimal(5)))
    await until(lambda: stage.path.scalar("SELECT count(*) = 1 FROM risk_limits WHERE version = 2"), seconds=30)
    await _refused(stage, "lowered", "it is beyond the limit that was lowered before")
    await stage.path.tell(some_limits(version=3))


@_fault("limits-missing", "F37", "the account's limits are gone from the database: nothing may be approved")
async def _limits_missing(stage: Stage, rng: Random) -> None:
    await stage.worked.wait()
    await stage.path.settled("risk", ["risk.limits.v1"])  # what the topic still brings would set them again
    await stage.path.execute("DELETE FROM risk_limits")
    await _refused(stage, "unlimited", "there were no limits")
    await stage.path.tell(some_limits(version=2))


def _clock_jumps(service: str, hours: int) -> None:
    where = "ahead" if hours > 0 else "behind"

    @_fault(f"{service}-clock-{where}", "F30", f"{service} lives for a while with a clock an hour {where}")
    async def _(stage: Stage, rng: Random) -> None:
        honest = stage.programs[service]
        stage.programs[service] = ("tests.faultlab.variants", f"clock-{where}", *honest)
        stage.kill(service)
        await asyncio.sleep(drawn(rng, 1.5, 3))
        stage.programs[service] = honest
        stage.kill(service)


for _service in ("executor", "risk"):
    for _hours in (-1, 1):
        _clock_jumps(_service, _hours)


@_fault("prices-are-old", "F31", "the newest price is older than the limits allow: nothing may be approved")
async def _prices_are_old(stage: Stage, rng: Random) -> None:
    await stage.worked.wait()
    await stage.path.execute("UPDATE marks SET received_at = received_at - interval '1 hour'")
    await _refused(stage, "old", "nobody had seen a price for an hour")
    await stage.path.execute("UPDATE marks SET received_at = now()")
