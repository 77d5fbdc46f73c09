"""The three HTTP services as the supervisor starts them: own processes, real sockets, a clean end."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import httpx

from infra import topic_admin
from infra.clock import SystemClock
from infra.embedded.ports import free_port
from infra.settings import REPOSITORY, Settings
from infra.store import api_keys
from infra.store.database import Store
from infra.topics import load_catalogue

READ_BY_EVERYBODY = {"farmer": "/subscriptions", "backtester": "/backtests", "trader": "/trading/state"}


@contextmanager
def started(name: str, port: int, settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    environment = os.environ | {
        "SCIZOR_KAFKA": settings.kafka,
        "SCIZOR_DATABASE_URL": settings.database_url.get_secret_value(),
        "SCIZOR_TOPIC_PREFIX": settings.topic_prefix,
        "SCIZOR_HOME": str(settings.home),
        f"SCIZOR_{name.upper()}_PORT": str(port),
    }
    process = subprocess.Popen([sys.executable, "-m", f"consumers.api.{name}"], env=environment, cwd=REPOSITORY)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def ready(client: httpx.Client, base: str, seconds: float = 60) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if client.get(f"{base}/ready").status_code == 200:
                return True
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    return False


async def prepare(settings: Settings) -> None:
    """What `scizor up` does before it starts services."""
    await topic_admin.apply(settings, load_catalogue())
    store = Store(settings, "cli", pool_size=1)
    try:
        await api_keys.ensure_key(store, settings.home / "api-key", SystemClock())
    finally:
        await store.close()


def test_each_service_answers_on_its_port_and_ends_cleanly(stack_settings: Settings) -> None:
    asyncio.run(prepare(stack_settings))
    key = (stack_settings.home / "api-key").read_text(encoding="ascii").strip()
    with ExitStack() as stack, httpx.Client(headers={"X-API-Key": key}, timeout=30) as client:
        ports = {name: free_port() for name in READ_BY_EVERYBODY}
        running = {name: stack.enter_context(started(name, port, stack_settings)) for name, port in ports.items()}
        for name, port in ports.items():
            base = f"http://127.0.0.1:{port}"
            assert ready(client, base), name
            health = client.get(f"{base}/health").json()
            assert (health["status"], health["service"], health["reasons"]) == ("ok", f"api_{name}", {})
            assert client.get(base + READ_BY_EVERYBODY[name]).status_code == 200
            assert httpx.get(base + READ_BY_EVERYBODY[name], timeout=30).status_code == 401
            assert client.get(f"{base}/docs").status_code == 200
            assert "scizor_ready 1.0" in client.get(f"{base}/metrics").text
        for process in running.values():
            process.terminate()
        assert [process.wait(60) for process in running.values()] == [0, 0, 0]
