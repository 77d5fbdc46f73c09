"""One real Kafka and one real PostgreSQL for the whole run; each test gets its own topic prefix and database."""

import asyncio
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from infra import broker, migrate
from infra.embedded.kafka import Folders, KafkaServer
from infra.embedded.postgres import PostgresServer
from infra.settings import Settings

TEMPLATE = "template_scizor"


def settings_of_this_run(home: Path) -> Settings:
    """Defaults alone: neither the developer's environment nor a .env file may decide what a test does."""
    defaults = {name: field.get_default(call_default_factory=True) for name, field in Settings.model_fields.items()}
    return Settings.model_construct(**{**defaults, "home": home, "log_format": "console"})


@pytest.fixture(scope="session")
def servers_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("servers")


@pytest.fixture(scope="session")
def kafka_server(servers_home: Path, jars: Path) -> Iterator[KafkaServer]:
    """A real broker, started when the first test asks for it."""
    server = KafkaServer(Folders(servers_home / "kafka", servers_home / "logs", jars))
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def postgres_server(servers_home: Path) -> Iterator[PostgresServer]:
    """A real PostgreSQL whose database `template_scizor` holds the migrated, empty tables."""
    server = PostgresServer(servers_home / "postgres", servers_home / "logs")
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
    """A database of this test's own, copied from the migrated template."""
    name = topic_prefix.rstrip(".")
    postgres_server.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
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


async def delete_topics(settings: Settings) -> None:
    """Each test makes a hundred partitions: the broker's memory and open files are not for all tests together."""
    admin = broker.admin(settings)
    await admin.start()
    try:
        if names := [name for name in await admin.list_topics() if name.startswith(settings.topic_prefix)]:
            await admin.delete_topics(names)
    finally:
        await admin.close()
