"""Who is let in, how often, and when: stopping is let in always, and nothing else hides behind its address."""

import asyncio
from pathlib import Path

import httpx
import pytest
import structlog
from fastapi import APIRouter, FastAPI

from consumers.api.access import BURST_MAX, Trader, Viewer
from consumers.api.application import About, create_app
from consumers.api.keyring import Keyring
from infra.api_keys import KeyRecord, Role, new_key
from infra.clock import ManualClock
from infra.embedded.ports import free_port
from infra.http import Why
from infra.service import Service
from infra.topics import load_catalogue
from tests.builders import SEEN
from tests.unit.test_trading_mode import some_settings

KEY = new_key()


async def done(caller: Trader) -> str:
    return caller.label


async def seen(caller: Viewer) -> str:
    return caller.label


async def one(caller: Viewer, name: str) -> str:
    return name


def an_app(service: Service, why_not_ready: Why | None) -> FastAPI:
    async def load() -> list[KeyRecord]:
        return [KeyRecord(KEY.key_id, "desk", KEY.digest, Role.TRADER, SEEN)]

    router = APIRouter()
    for path in ("/trading/halt", "/trading/emergency-stop", "/orders"):
        router.post(path)(done)
    router.get("/trading/emergency-stop")(seen)
    router.get("/bars/{name}")(one)
    router.post("/strategies/{name}")(one)
    keyring = Keyring(load, service.clock, service.log)
    return create_app(About("Desk", "Of tests."), service, keyring, [router], why_not_ready=why_not_ready)


def a_client(tmp_path: Path, why_not_ready: Why = dict) -> httpx.AsyncClient:
    service = Service("api_trader", some_settings(tmp_path), clock=ManualClock(SEEN))

    app = an_app(service, why_not_ready)
    transport = httpx.ASGITransport(app=app)
    return httpx.AsyncClient(transport=transport, base_url="http://scizor", headers={"X-API-Key": KEY.text})


@pytest.mark.parametrize(
    ("method", "path", "refused"),
    [
        ("POST", "/trading/halt", False),
        ("POST", "/trading/emergency-stop", False),
        ("GET", "/trading/emergency-stop", True),
        ("GET", "/bars/halt", True),
        ("POST", "/strategies/emergency-stop", True),
        ("POST", "/orders", True),
    ],
)
async def test_only_stopping_is_never_too_much(tmp_path: Path, method: str, path: str, refused: bool) -> None:
    async with a_client(tmp_path) as client:
        for _ in range(int(BURST_MAX)):
            assert (await client.request(method, path)).status_code == 200

        assert (await client.request(method, path)).status_code == (429 if refused else 200)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/trading/emergency-stop", 200),
        ("POST", "/trading/halt", 503),  # goes by Kafka
        ("POST", "/orders", 503),
        ("GET", "/trading/emergency-stop", 503),
    ],
)
async def test_a_service_that_is_still_recovering_passes_a_kill_on(
    tmp_path: Path, method: str, path: str, status: int
) -> None:
    async with a_client(tmp_path, lambda: {"start": "recovering"}) as client:
        assert (await client.request(method, path)).status_code == status


async def test_a_service_whose_kafka_is_away_goes_on_to_pass_kills_on(tmp_path: Path) -> None:
    settings = some_settings(tmp_path, kafka="127.0.0.1:9", trader_port=free_port())
    catalogue = load_catalogue()
    alone = catalogue.services["api_trader"].model_copy(update={"reads": ()})
    service = Service(
        "api_trader",
        settings,
        catalogue=catalogue.model_copy(update={"services": {**catalogue.services, "api_trader": alone}}),
    )
    running = asyncio.create_task(service.run(an_app(service, None)))
    address = f"http://127.0.0.1:{settings.trader_port}/trading/emergency-stop"
    with structlog.testing.capture_logs() as logged:
        service.log = structlog.get_logger()
        async with asyncio.timeout(30), httpx.AsyncClient(headers={"X-API-Key": KEY.text}) as client:
            while not any(line["event"] == "waiting for Kafka" for line in logged):
                assert not running.done(), running.result()
                await asyncio.sleep(0.01)
            answer = await client.post(address)
        service.stop()
        await asyncio.wait_for(running, 30)

    assert answer.status_code == 200
