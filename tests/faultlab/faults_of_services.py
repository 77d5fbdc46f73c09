"""Faults of our own processes: killed, frozen, cut off, too many, with a wrong clock."""

import asyncio
import contextlib
import signal
from collections.abc import Callable
from datetime import timedelta
from random import Random
from typing import Any

from tests.builders import NOON, a_bar
from tests.faultlab.faults import at, fault
from tests.faultlab.proxy import Trap
from tests.faultlab.stage import Stage, drawn
from tests.integration.an_order_path import until

_HASTE_SECONDS = 3.0


# F1: the executor dies

at("executor-killed-at-its-order", "F1 C4", "killed when the gateway has the order, which works",
    "placeOrder received", signal="KILL", target="executor")  # fmt: skip
at("executor-killed-at-a-lost-order", "F1 C3", "killed when it has sent an order that never arrives",
    "placeOrder received", signal="KILL", target="executor", drop=True)  # fmt: skip
at("executor-killed-at-the-acknowledgement", "F1 C5", "killed when the acknowledgement leaves",
    "ack sent", signal="KILL", target="executor")  # fmt: skip
at("executor-killed-before-the-acknowledgement", "F1 C4", "killed before the acknowledgement leaves",
    "ack sent", signal="KILL", target="executor", before=True)  # fmt: skip
at("executor-killed-at-a-fill", "F1 C6", "killed when a fill leaves", "fill sent", signal="KILL", target="executor")
at("executor-killed-before-a-fill", "F1 C6", "killed before a fill leaves",
    "fill sent", signal="KILL", target="executor", before=True)  # fmt: skip
at("executor-killed-at-a-commission", "F1 C7", "killed when a commission leaves",
    "commission sent", signal="KILL", target="executor")  # fmt: skip
at("executor-killed-at-its-cancel", "F1 C9", "killed when the gateway has its cancel",
    "cancelOrder received", signal="KILL", target="executor")  # fmt: skip


@fault("executor-killed-while-it-reconciles", "F1 C10", "killed, and once more while it asks for the broker's books")
async def _killed_while_it_reconciles(stage: Stage, rng: Random) -> None:
    stage.kill("executor")
    event = rng.choice(("reqAllOpenOrders", "reqExecutions", "reqPositions", "reqCompletedOrders", "reqIds"))
    stage.arm(f"{event} received", rng.randint(1, 2), signal="KILL", target="executor")


@fault("executor-killed-anytime", "F1 C0 C8", "killed within a moment, wherever it is")
async def _killed_anytime(stage: Stage, rng: Random) -> None:
    await asyncio.sleep(drawn(rng, 0, 0.2))
    stage.kill("executor")


@fault("executor-killed-mid-message", "F1 C3", "killed with an order half written to the socket")
async def _killed_mid_message(stage: Stage, rng: Random) -> None:
    needle = stage.named(f"{rng.randint(0, 2)}").encode()
    stage.wire.set(Trap(needle, 1, drawn(rng, 0.1, 0.95), lambda: stage.kill("executor")))


def _at_a_statement(service: str, rng: Random, act: Callable[[], None]) -> Trap:
    """At one of the statements of a service, before the database has it or after it has done it."""
    return Trap(b"", rng.randint(1, 12), rng.choice((0.0, 1.0)), act, f"scizor {service}\0".encode())


def _killed_at_a_statement(service: str, matrix: str, **traits: Any) -> None:
    meaning = f"{service} killed before or after a statement of its own"

    @fault(f"{service}-killed-at-a-statement", matrix, meaning, **traits)
    async def _(stage: Stage, rng: Random) -> None:
        stage.database.set(_at_a_statement(service, rng, lambda: stage.kill(service)))


def _cut_at_a_statement(service: str, matrix: str, **traits: Any) -> None:
    meaning = f"the connection ends before or after a statement of {service}"

    @fault(f"{service}-cut-at-a-statement", matrix, meaning, **traits)
    async def _(stage: Stage, rng: Random) -> None:
        stage.database.set(_at_a_statement(service, rng, lambda: None))


def _cut_at_commit(service: str, **traits: Any) -> None:
    meaning = f"the connection ends before a COMMIT of {service}, or before its answer"

    @fault(f"{service}-cut-at-commit", "F10", meaning, **traits)
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

    @fault(f"{service}-killed-in-a-silence", "F3 F11", meaning, **traits)
    async def _(stage: Stage, rng: Random) -> None:
        stage.database.freeze()
        await asyncio.sleep(drawn(rng, 0.3, 0.6))
        stage.kill(service)
        stage.database.thaw()


for _service in ("executor", "risk", "portfolio"):
    _killed_in_a_silence(_service)


@fault(
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


@fault("risk-killed-anytime", "F2", "risk killed within a moment, wherever it is")
async def _risk_killed(stage: Stage, rng: Random) -> None:
    await asyncio.sleep(drawn(rng, 0, 0.2))
    stage.kill("risk")


@fault("risk-down", "F2", "risk is down for a second: nothing is decided")
async def _risk_down(stage: Stage, rng: Random) -> None:
    await stage.hold("risk")
    with stage.darkness("risk was down", of_decisions=True):
        await asyncio.sleep(drawn(rng, 0.5, 1.5))
    stage.start("risk")


@fault("everything-killed", "F3", "all services killed at once")
async def _everything_killed(stage: Stage, rng: Random) -> None:
    await asyncio.sleep(drawn(rng, 0, 0.2))
    for name in ("executor", "risk", "portfolio"):
        stage.kill(name)


# F4, F31, F32: frozen, slow, one more


def _frozen(service: str, matrix: str) -> None:
    @fault(f"{service}-frozen", matrix, f"{service} is frozen (SIGSTOP) for a second or two")
    async def _(stage: Stage, rng: Random) -> None:
        await asyncio.sleep(drawn(rng, 0, 0.1))
        stage.send(service, signal.SIGSTOP)
        await asyncio.sleep(drawn(rng, 0.5, 2.0))
        stage.send(service, signal.SIGCONT)


_frozen("executor", "F4")
_frozen("risk", "F31")
_frozen("portfolio", "F31")


@fault(
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


@fault("risk-has-a-second-member", "F32", "a second risk joins the group and is killed again")
async def _second_member(stage: Stage, rng: Random) -> None:
    stage.start("risk-2")
    await asyncio.sleep(drawn(rng, 0.3, 1.5))
    await stage.hold("risk-2")


# F30: the clock


def _clock_jumps(service: str, hours: int) -> None:
    where = "ahead" if hours > 0 else "behind"

    @fault(f"{service}-clock-{where}", "F30", f"{service} lives for a while with a clock an hour {where}")
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
