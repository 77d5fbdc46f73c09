"""Faults of Kafka and PostgreSQL themselves: killed, silent, locked."""

import asyncio
import os
import signal
from random import Random

from tests.faultlab.faults import fault
from tests.faultlab.stage import Stage, drawn


def _send(pid: int, number: int) -> None:
    assert pid > 1, "a server of the laboratory"
    os.kill(pid, number)


# F5, F6: Kafka


@fault("kafka-killed", "F5", "Kafka is killed and started again")
async def _kafka_killed(stage: Stage, rng: Random) -> None:
    await asyncio.sleep(drawn(rng, 0, 0.2))
    _send(stage.laboratory.kafka.pid, signal.SIGKILL)
    await asyncio.sleep(0.2)
    await stage.laboratory.mend()


@fault("kafka-frozen", "F6", "Kafka hangs (SIGSTOP) for some seconds: no error, no answer")
async def _kafka_frozen(stage: Stage, rng: Random) -> None:
    _send(stage.laboratory.kafka.pid, signal.SIGSTOP)
    try:
        await asyncio.sleep(drawn(rng, 1, 4))
    finally:
        _send(stage.laboratory.kafka.pid, signal.SIGCONT)


# F9, F11: PostgreSQL


@fault("postgres-killed", "F9", "PostgreSQL is killed and started again")
async def _postgres_killed(stage: Stage, rng: Random) -> None:
    await asyncio.sleep(drawn(rng, 0, 0.2))
    _send(stage.laboratory.postgres.pid, signal.SIGKILL)
    await stage.laboratory.postgres_is_gone()
    with stage.darkness("the database was down"):
        await asyncio.sleep(drawn(rng, 0, 1))
    await stage.laboratory.mend()


@fault("postgres-cut", "F9", "all connections to PostgreSQL end at once")
async def _postgres_cut(stage: Stage, rng: Random) -> None:
    await asyncio.sleep(drawn(rng, 0, 0.2))
    stage.database.cut()


@fault("postgres-silent", "F11", "the connections to PostgreSQL stay, and nothing passes for some seconds")
async def _postgres_silent(stage: Stage, rng: Random) -> None:
    stage.database.freeze()
    await asyncio.sleep(0.05)  # what had passed has been acted on
    with stage.darkness("the database did not answer"):
        await asyncio.sleep(drawn(rng, 0.5, 4))
    stage.database.thaw()


@fault("book-locked", "F11", "somebody holds the lock on the account's book for a second or two")
async def _book_locked(stage: Stage, rng: Random) -> None:
    await stage.path.rows(f"SELECT count(*) FROM (SELECT pg_sleep({drawn(rng, 1, 2.5)}) FROM books FOR UPDATE) AS held")
