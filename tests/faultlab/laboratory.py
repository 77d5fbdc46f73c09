"""The servers that all cases share: one Kafka, one PostgreSQL, one nursery of services."""

import asyncio
from pathlib import Path
from typing import Self

from infra import migrate
from infra.embedded.fostering import Nursery
from infra.embedded.kafka import Folders, KafkaServer
from infra.embedded.postgres import PostgresServer
from infra.embedded.waiting import within
from tests.integration.conftest import groups_can_be_asked_about

MODULES = (
    "consumers.executor",
    "consumers.risk",
    "consumers.portfolio",
    "consumers.persister",
    "producers.kill_switch",
    "tests.faultlab.variants",
)
TEMPLATE = "template_faultlab"


class Laboratory:
    """Servers whose processes a case may stop and kill; they are whole again before the next one begins."""

    def __init__(self, folder: Path, jars: Path) -> None:
        logs = folder / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.kafka = KafkaServer(Folders(folder / "kafka", logs, jars), heap_mb=512)
        self.postgres = PostgresServer(folder / "postgres", logs)
        self.nursery = Nursery(MODULES, logs)

    def __enter__(self) -> Self:
        try:
            self.nursery.launch()
            self.kafka.launch()
            self.postgres.start()
            self.kafka.wait_ready()
            asyncio.run(groups_can_be_asked_about(self.kafka, self.folder))
            self.postgres.execute(f"CREATE DATABASE {TEMPLATE}")
            migrate.upgrade(self.postgres.url_of(TEMPLATE))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.nursery.ask_to_stop()
        self.nursery.finish()
        self.kafka.stop()
        self.postgres.stop()

    def mend(self) -> None:
        """Start what has died; returns when both servers answer."""
        for server in (self.kafka, self.postgres):
            if server.exit_code is not None:
                server.launch()
        self.kafka.wait_ready()
        self.postgres.wait_ready()

    def postgres_is_gone(self) -> None:
        """Wait until PostgreSQL has ended."""
        for _ in within(10.0):
            if self.postgres.exit_code is not None:
                return
        raise AssertionError("PostgreSQL outlives a SIGKILL")
