"""One real Kafka and one real PostgreSQL for the whole run; each test gets its own topic prefix and database."""

import asyncio
import contextlib
import os
import shutil
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from aiokafka.errors import GroupCoordinatorNotAvailableError
from pydantic import SecretStr

from infra import broker, migrate
from infra.embedded.fostering import Nursery
from infra.embedded.kafka import Folders, KafkaServer
from infra.embedded.postgres import PostgresServer
from infra.settings import Settings
from infra.store.database import Store
from tests.integration.a_forked_service import MODULES

TEMPLATE = "template_scizor"
NO_GATEWAY_PORT = 9
MEMORY = Path("/dev/shm")
MEMORY_BYTES_MIN = 4 << 30


def settings_of_this_run(home: Path) -> Settings:
    """Defaults alone: neither the developer's environment nor a .env file may decide what a test does.

    And nobody's gateway hears of it: at the default port one may run, also that of a demo beside these tests.
    """
    defaults = {name: field.get_default(call_default_factory=True) for name, field in Settings.model_fields.items()}
    return Settings.model_construct(**{**defaults, "home": home, "log_format": "console", "ib_port": NO_GATEWAY_PORT})


@pytest.fixture(scope="session")
def servers_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("servers")


@pytest.fixture(scope="session")
def servers_data(servers_home: Path) -> Iterator[Path]:
    """In memory where there is room: hundreds of files come and go with every test, and no test pulls the plug."""
    if not MEMORY.is_dir() or shutil.disk_usage(MEMORY).free < MEMORY_BYTES_MIN:
        yield servers_home
        return
    for left_by_a_killed_run in MEMORY.glob("scizor-tests-*-*"):
        if not Path("/proc", left_by_a_killed_run.name.split("-")[2]).exists():
            shutil.rmtree(left_by_a_killed_run, ignore_errors=True)
    prefix = f"scizor-tests-{os.getpid()}-"
    with tempfile.TemporaryDirectory(prefix=prefix, dir=MEMORY, ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def kafka_server(servers_home: Path, servers_data: Path, jars: Path) -> Iterator[KafkaServer]:
    """A real broker, started when the first test asks for it. It remembers something of all the topics there were."""
    server = KafkaServer(Folders(servers_data / "kafka", servers_home / "logs", jars), heap_mb=512)
    try:
        server.start()
        asyncio.run(groups_can_be_asked_about(server, servers_home))
        yield server
    finally:
        server.stop()


async def groups_can_be_asked_about(server: KafkaServer, home: Path) -> None:
    """A broker makes the topic of its groups when the first one is asked about, and answers a moment later."""
    admin = broker.admin(settings_of_this_run(home).model_copy(update={"kafka": server.address}))
    await admin.start()
    try:
        async with asyncio.timeout(30):
            while True:
                with contextlib.suppress(GroupCoordinatorNotAvailableError):
                    await admin.find_coordinator("any")
                    return
                await asyncio.sleep(0.05)
    finally:
        await admin.close()


@pytest.fixture(scope="session")
def nursery(servers_home: Path) -> Iterator[Nursery]:
    """Where tests that kill services get them from."""
    logs = servers_home / "nursery"
    logs.mkdir()
    nursery = Nursery(MODULES, logs)
    nursery.launch()
    try:
        yield nursery
    finally:
        nursery.ask_to_stop()
        nursery.finish()


@pytest.fixture(scope="session")
def postgres_server(servers_home: Path, servers_data: Path) -> Iterator[PostgresServer]:
    """A real PostgreSQL whose database `template_scizor` holds the migrated, empty tables."""
    server = PostgresServer(servers_data / "postgres", servers_home / "logs")
    try:
        server.start()
        server.execute(f"CREATE DATABASE {TEMPLATE}")
        migrate.upgrade(server.url_of(TEMPLATE))
        yield server
    finally:
        server.stop()


@pytest.fixture
def topic_prefix() -> str:
    """Before every topic and group of one test, so that tests never meet."""
    return f"t{uuid.uuid4().hex[:10]}."


@pytest.fixture
def database_url(postgres_server: PostgresServer, topic_prefix: str) -> Iterator[str]:
    """A database of this test's own, the migrated template copied as files: by the log it costs ten times as much."""
    name = topic_prefix.rstrip(".")
    postgres_server.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE} STRATEGY FILE_COPY")
    yield postgres_server.url_of(name)
    postgres_server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def stack_settings(
    kafka_server: KafkaServer, database_url: str, topic_prefix: str, tmp_path: Path
) -> Iterator[Settings]:
    """Settings that point to the run's servers, with this test's own prefix and database."""
    settings = settings_of_this_run(tmp_path / "home").model_copy(
        update={
            "kafka": kafka_server.address,
            "database_url": SecretStr(database_url),
            "topic_prefix": topic_prefix,
        }
    )
    yield settings
    asyncio.run(delete_topics(settings))


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    """This test's own database, and no broker."""
    update = {"database_url": SecretStr(database_url), "kafka": "nowhere:1"}
    return settings_of_this_run(tmp_path / "home").model_copy(update=update)


@pytest.fixture
async def store(settings: Settings) -> AsyncIterator[Store]:
    """The tables as risk has them."""
    store = Store(settings, "risk")
    await store.start()
    yield store
    await store.close()


async def delete_topics(settings: Settings) -> None:
    """Each test makes a hundred partitions: the broker's memory and open files are not for all tests together."""
    admin = broker.admin(settings)
    await admin.start()
    try:
        if names := [name for name in await admin.list_topics() if name.startswith(settings.topic_prefix)]:
            await admin.delete_topics(names)
    finally:
        await admin.close()
