"""The main job as a user runs it: the demo from the command line, a reader of ten lines beside it, and Ctrl-C."""

import asyncio
import json
import os
import signal
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from infra.embedded.ports import free_port
from infra.settings import REPOSITORY, Settings
from tests.examples import example

DEMO_SECONDS = 240
KEYS = {
    "market_time",
    "symbols",
    "bars_served",
    "bars_published",
    "bars_stored",
    "backtests",
    "live",
    "dead_letters",
    "seconds",
    "memory_mb",
}
MEMORY_MAX_MB = 1400
"""Of the eighteen processes that stay; what makes the next start faster works for a minute once and is not counted."""
DAILY_BARS = 12_144
"""All that the five symbols have up to the day before the demo's."""
BARS_A_SESSION = 4_680
"""Of five seconds; two symbols are followed live."""


@pytest.fixture
def home(tmp_path: Path, jars: Path) -> Path:
    """A state folder of its own, but not another download of the broker."""
    folder = tmp_path / "home"
    folder.mkdir()
    jars.mkdir(parents=True, exist_ok=True)
    (folder / "jars").symlink_to(jars)
    return folder


def environment(home: Path) -> dict[str, str]:
    """The user's environment, with free ports, so that nothing that runs already is in the way, or connects to us."""
    ports = {f"SCIZOR_{name}_PORT": "0" for name in ("KAFKA", "DATABASE", "FARMER", "BACKTESTER", "TRADER")}
    ports["SCIZOR_IB_PORT"] = str(free_port())
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SCIZOR_")}
    return {**clean, "SCIZOR_HOME": str(home), **ports}


async def until(found: Callable[[], Any], seconds: float, what: str) -> Any:
    try:
        async with asyncio.timeout(seconds):
            while not (value := found()):
                await asyncio.sleep(0.1)
            return value
    except TimeoutError:
        raise AssertionError(f"waited {seconds} s for {what}") from None


def stack_of(home: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads((home / "stack.json").read_text())
    except (OSError, ValueError):
        return None
    return found if found["kafka"] and found["processes"].get("strategist") else None


async def lines_of(process: asyncio.subprocess.Process, count: int) -> list[str]:
    assert process.stdout is not None
    return [(await process.stdout.readline()).decode() for _ in range(count)]


def lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


@pytest.mark.timeout(DEMO_SECONDS + 60)
async def test_the_demo_holds_what_it_promises_and_leaves_nothing_behind(home: Path, tmp_path: Path) -> None:
    reader = tmp_path / "subscribe.py"
    reader.write_text(example("README.md", "subscribe"), encoding="utf-8")
    demo = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "producers.cli.main", "demo", "--json"),
        cwd=REPOSITORY,
        env=environment(home),
        stdout=asyncio.subprocess.PIPE,
        limit=2**20,
    )
    try:
        stack = await until(lambda: stack_of(home), 90, "the services to start")
        subscriber = await asyncio.create_subprocess_exec(
            sys.executable, str(reader), stack["kafka"], stdout=asyncio.subprocess.PIPE
        )
        try:
            async with asyncio.timeout(DEMO_SECONDS):
                printed, (document,) = await asyncio.gather(lines_of(subscriber, 3), lines_of(demo, 1))
        finally:
            subscriber.kill()
            await subscriber.communicate()
        result = json.loads(document)
        check_document(result)
        assert all("AAPL" in line or "GOOG" in line for line in printed)
        await check_services(home, stack)
        demo.send_signal(signal.SIGINT)
        async with asyncio.timeout(120):
            await demo.communicate()
        assert demo.returncode == 0
    finally:
        if demo.returncode is None:
            demo.kill()
            await demo.communicate()
    left = {name: each["pid"] for name, each in stack["processes"].items()}
    await until(lambda: not any(lives(pid) for pid in left.values()), 30, f"the end of {left}")


def check_document(result: dict[str, Any]) -> None:
    assert set(result) >= KEYS
    assert result["symbols"] == ["AAPL", "FB", "GOOG", "IBM", "MSFT"]
    assert result["bars_served"] == result["bars_published"] == result["bars_stored"]
    assert result["bars_stored"] == DAILY_BARS + 2 * BARS_A_SESSION
    assert result["dead_letters"] == 0
    assert len(result["backtests"]) == 15
    assert {each["strategy"] for each in result["backtests"]} == {
        "moving_average_crossover",
        "rsi_mean_reversion",
        "buy_and_hold",
    }
    live = result["live"]
    assert live["position_matches_broker"]
    assert live["denied"] >= 1
    assert live["fills"] >= 1
    assert live["intents"] - live["denied"] >= live["orders"] >= 1
    assert sum(size for name, size in result["memory_mb"].items() if name != "cache_maker") <= MEMORY_MAX_MB


async def check_services(home: Path, stack: dict[str, Any]) -> None:
    """The three services answer with the key that lies in the state folder, and with nothing without it."""
    key_file = home / "api-key"
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    key = {"Authorization": f"Bearer {key_file.read_text().strip()}"}
    routes = {"farmer_port": "/symbols", "backtester_port": "/backtests", "trader_port": "/positions"}
    async with httpx.AsyncClient(timeout=60) as client:
        for port, route in routes.items():
            address = f"http://{Settings().bind}:{stack[port]}"
            assert (await client.get(f"{address}/health")).status_code == 200
            assert (await client.get(f"{address}/docs")).status_code == 200
            assert (await client.get(f"{address}{route}")).status_code == 401
            answer = await client.get(f"{address}{route}", headers=key)
            assert answer.status_code == 200, answer.text
    for log in (home / "logs").iterdir():
        assert key_file.read_text().strip() not in log.read_text(errors="replace")
