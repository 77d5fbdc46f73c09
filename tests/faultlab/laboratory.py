"""The servers that all cases share: one Kafka, one PostgreSQL, one nursery of services."""

import asyncio
import contextlib
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from infra import migrate
from infra.embedded.fostering import Nursery
from infra.embedded.kafka import Folders, KafkaServer
from infra.embedded.postgres import PostgresServer
from infra.embedded.process import DISK_BYTES_MIN
from infra.embedded.waiting import within
from tests.faultlab.disks import Disk, a_disk, may_mount
from tests.integration.conftest import TEMPLATE, groups_can_be_asked_about

MODULES = (
    "consumers.executor",
    "consumers.risk",
    "consumers.portfolio",
    "consumers.persister",
    "consumers.api.trader",
    "consumers.strategist",
    "producers.data_farmer",
    "producers.kill_switch",
    "tests.faultlab.variants",
)
_GONE_SECONDS = 10.0
_DISKS = {"kafka": 4 * DISK_BYTES_MIN, "postgres": 4 * DISK_BYTES_MIN, "log-disk": 64 << 20}
"""Bytes of each; memory is taken for what they hold alone. The servers do not start without so much free space."""


@dataclass(frozen=True)
class Laboratory:
    """Servers whose processes a case may stop and kill; they are whole again before the next one begins."""

    folder: Path
    kafka: KafkaServer
    postgres: PostgresServer
    """Its database of the name TEMPLATE holds the empty tables."""
    nursery: Nursery
    hands: Executor
    """One thread that outlives all cases: a server that is started again ends with the thread that started it."""
    disks: Mapping[str, Disk] = field(default_factory=dict)
    """That can be filled: of Kafka, of PostgreSQL, and one for logs. None where the machine allows no mounts."""

    async def mend(self) -> None:
        """Start what has died; returns when both servers answer."""
        await asyncio.get_running_loop().run_in_executor(self.hands, self._mend)

    async def is_gone(self, server: KafkaServer | PostgresServer) -> None:
        """Wait until it has ended."""
        await asyncio.to_thread(_is_gone, server)

    def log_of(self, server: KafkaServer | PostgresServer) -> Path:
        return self.folder / "logs" / f"{server.name}.log"

    def _mend(self) -> None:
        for server in (self.kafka, self.postgres):
            if server.exit_code is not None:
                server.launch()
        self.kafka.wait_ready()
        self.postgres.wait_ready()


def _is_gone(server: KafkaServer | PostgresServer) -> None:
    for _ in within(_GONE_SECONDS):
        if server.exit_code is not None:
            return
    raise AssertionError(f"{server.name} has not ended")


@contextlib.contextmanager
def a_laboratory(folder: Path, jars: Path) -> Iterator[Laboratory]:
    """Servers of its own, gone afterwards."""
    with contextlib.ExitStack() as mounted:
        sizes = _DISKS if may_mount() else {}
        disks = {name: mounted.enter_context(a_disk(folder / name, size)) for name, size in sizes.items()}
        yield from _with_servers(folder, jars, disks)


def _with_servers(folder: Path, jars: Path, disks: Mapping[str, Disk]) -> Iterator[Laboratory]:
    logs = folder / "logs"
    logs.mkdir(parents=True)
    kafka = KafkaServer(Folders(folder / "kafka", logs, jars), heap_mb=512)
    postgres = PostgresServer(folder / "postgres", logs)
    nursery = Nursery(MODULES, logs)
    try:
        nursery.launch()
        kafka.launch()
        postgres.start()
        kafka.wait_ready()
        asyncio.run(groups_can_be_asked_about(kafka, folder))
        postgres.execute(f"CREATE DATABASE {TEMPLATE}")
        migrate.upgrade(postgres.url_of(TEMPLATE))
        with ThreadPoolExecutor(1) as hands:
            try:
                yield Laboratory(folder, kafka, postgres, nursery, hands, disks)
            finally:
                kafka.stop()
                postgres.stop()
    finally:
        nursery.ask_to_stop()
        nursery.finish()
        kafka.stop()
        postgres.stop()
