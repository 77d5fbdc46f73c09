"""Faults of Kafka and PostgreSQL themselves: killed, silent, locked."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

from infra.errors import EnvironmentUnhealthyError
from tests.faultlab.faults import fault
from tests.faultlab.proxy import Trap
from tests.faultlab.stage import Stage, drawn
from tests.integration.an_order_path import until


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


# F7: the way to Kafka


@fault(
    "kafka-half-open", "F7", "connections to Kafka stay, nothing that is said arrives, and then they break", wired=True
)
async def _kafka_half_open(stage: Stage, rng: Random) -> None:
    with stage.kafka_wire.half_open():
        await asyncio.sleep(drawn(rng, 1, 4))
        await until(lambda: asyncio.sleep(0, stage.kafka_wire.lost > 0))
    stage.marks.strikes += 1


@fault("kafka-slow", "F7", "each request to Kafka is answered two seconds late", wired=True)
async def _kafka_slow(stage: Stage, rng: Random) -> None:
    stage.kafka_wire.latency_seconds = 1.0
    await asyncio.sleep(drawn(rng, 2, 4))
    stage.kafka_wire.latency_seconds = 0.0
    assert stage.kafka_wire.held_up, "nothing was said to Kafka"
    stage.marks.strikes += 1


@fault(
    "kafka-cut-mid-produce", "F7", "the connection to Kafka ends before, within or after a batch of records", wired=True
)
async def _kafka_cut_mid_produce(stage: Stage, rng: Random) -> None:
    passed = rng.choice((0.0, drawn(rng, 0.05, 0.95), 1.0))
    trap = stage.kafka_wire.set(Trap(b"", rng.randint(1, 8), passed, lambda: None))
    await until(lambda: asyncio.sleep(0, trap.sprung))


# F8, F12: full disks


_USE_UP_THE_LOG = """
SELECT pg_logical_emit_message(false, 'a full', 'disk'), pg_switch_wal() FROM generate_series(1, 500)"""
"""Each segment of the log that is there, and one that is not."""


class Complaints:
    """What a server says of a full disk from now on."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._known = log.stat().st_size

    def are_told(self) -> bool:
        with self._log.open("rb") as file:
            file.seek(self._known)
            return b"No space left on device" in file.read()


@fault(
    "kafka-disk-full",
    "F8",
    "the disk of Kafka is full, of which it dies; there is room again",
    pairs=False,
    on_a_disk=True,
)
async def _kafka_disk_full(stage: Stage, rng: Random) -> None:
    kafka, disk = stage.laboratory.kafka, stage.laboratory.disks["kafka"]
    complaints = Complaints(stage.laboratory.log_of(kafka))
    disk.fill()
    try:
        await stage.laboratory.is_gone(kafka)
        assert complaints.are_told(), "Kafka has died of something else"
        stage.marks.strikes += 1
        await asyncio.sleep(drawn(rng, 0, 1))
    finally:
        disk.free()
        await stage.laboratory.mend()


@contextlib.asynccontextmanager
async def _a_full_disk_of_postgres(stage: Stage) -> AsyncIterator[Complaints]:
    """Until there is room again, and the server answers."""
    disk = stage.laboratory.disks["postgres"]
    complaints = Complaints(stage.laboratory.log_of(stage.laboratory.postgres))
    disk.fill()
    try:
        yield complaints
        assert complaints.are_told(), "PostgreSQL has not missed the room"
        stage.marks.strikes += 1
    finally:
        disk.free()
        await stage.laboratory.mend()


@fault("postgres-disk-full", "F12", "no table of PostgreSQL can grow; there is room again", pairs=False, on_a_disk=True)
async def _postgres_disk_full(stage: Stage, rng: Random) -> None:
    async with _a_full_disk_of_postgres(stage) as complaints:
        await until(lambda: asyncio.sleep(0, complaints.are_told()))
        await asyncio.sleep(drawn(rng, 1, 3))


@fault(
    "postgres-log-disk-full",
    "F12",
    "there is no room for PostgreSQL's write-ahead log, of which it dies; there is room again",
    pairs=False,
    on_a_disk=True,
)
async def _postgres_wal_disk_full(stage: Stage, rng: Random) -> None:
    postgres = stage.laboratory.postgres
    async with _a_full_disk_of_postgres(stage):
        with contextlib.suppress(EnvironmentUnhealthyError):  # it dies of it
            await asyncio.to_thread(postgres.execute, _USE_UP_THE_LOG)
        await stage.laboratory.is_gone(postgres)
        with stage.darkness("the database's disk was full"):
            await asyncio.sleep(drawn(rng, 0, 2))


# F9, F11: PostgreSQL


@fault("postgres-killed", "F9", "PostgreSQL is killed and started again")
async def _postgres_killed(stage: Stage, rng: Random) -> None:
    await asyncio.sleep(drawn(rng, 0, 0.2))
    _send(stage.laboratory.postgres.pid, signal.SIGKILL)
    await stage.laboratory.is_gone(stage.laboratory.postgres)
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
    locked = f"SELECT count(*) FROM (SELECT pg_sleep({drawn(rng, 1, 2.5)}) FROM books FOR UPDATE) AS held"
    await stage.patiently(lambda: stage.path.rows(locked))
