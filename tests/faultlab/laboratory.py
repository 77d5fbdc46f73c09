"""The servers that all cases share: one Kafka, one PostgreSQL, one nursery of services."""

import asyncio
import contextlib
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from infra import migrate
from infra.embedded.fostering import Nursery
from infra.embedded.kafka import Folders, KafkaServer
from infra.embedded.postgres import PostgresServer
from infra.embedded.waiting import within
from tests.integration.conftest import TEMPLATE, groups_can_be_asked_about

MODULES = (
    "consumers.executor",
    "consumers.risk",
    "consumers.portfolio",
    "consumers.persister",
    "producers.kill_switch",
    "tests.faultlab.variants",
)
_GONE_SECONDS = 10.0


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

    async def mend(self) -> None:
        """Start what has died; returns when both servers answer."""
        await asyncio.get_running_loop().run_in_executor(self.hands, self._mend)

    async def postgres_is_gone(self) -> None:
        """Wait until PostgreSQL has ended."""
        await asyncio.to_thread(self._postgres_is_gone)

    def _mend(self) -> None:
        for server in (self.kafka, self.postgres):
            if server.exit_code is not None:
                server.launch()
        self.kafka.wait_ready()
        self.postgres.wait_ready()

    def _postgres_is_gone(self) -> None:
        for _ in within(_GONE_SECONDS):
            if self.postgres.exit_code is not None:
                return
        raise AssertionError("PostgreSQL outlives a SIGKILL")


@contextlib.contextmanager
def a_laboratory(folder: Path, jars: Path) -> Iterator[Laboratory]:
    """Servers of its own, gone afterwards."""
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
                yield Laboratory(folder, kafka, postgres, nursery, hands)
            finally:
                kafka.stop()
                postgres.stop()
    finally:
        nursery.ask_to_stop()
        nursery.finish()
        kafka.stop()
        postgres.stop()
