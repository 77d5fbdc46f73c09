"""A system of its own for a bench: embedded servers, the simulator at a fixed moment of 2013, some of the services."""

import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import asyncpg
from pydantic import SecretStr

from infra.embedded.ports import free_port
from infra.embedded.stack import Stack
from infra.settings import Settings

_PORTS = ("kafka_port", "database_port", "farmer_port", "backtester_port", "trader_port")


@contextlib.contextmanager
def a_folder() -> Iterator[Path]:
    """Where the system keeps everything; gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="scizor-bench-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def a_system(folder: Path, services: Sequence[str], *, options: Sequence[str] = (), **changes: Any) -> Iterator[Stack]:
    """Ready when it is given; `options` are the simulator's, `changes` settings."""
    base = Settings()
    settings = base.model_copy(
        update={
            "home": folder,
            "kafka": "",
            "database_url": SecretStr(""),
            "ib_host": "",
            "ib_port": free_port(),
            "simulator_now": "2013-02-28T11:00:00-05:00",
            **dict.fromkeys(_PORTS, 0),
            **changes,
        }
    )
    with Stack(settings, services=services, simulator_options=options, jars=base.home.resolve() / "jars") as stack:
        stack.start()
        stack.wait_ready()
        yield stack


async def connect(settings: Settings) -> "asyncpg.Connection[asyncpg.Record]":
    """The system's database, bare."""
    return await asyncpg.connect(settings.database_url.get_secret_value().replace("postgresql+asyncpg", "postgresql"))


@contextlib.asynccontextmanager
async def a_database(settings: Settings) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """One bare connection to it."""
    connection = await connect(settings)
    try:
        yield connection
    finally:
        await connection.close()
