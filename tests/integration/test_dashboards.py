"""A real Prometheus scrapes a running service; every panel of the dashboard shows something, every alert rule works."""

import asyncio
import contextlib
import json
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from aiokafka import AIOKafkaProducer

from infra import broker, topic_admin
from infra.embedded.ports import free_port
from infra.publish import Origin
from infra.service import Service
from infra.settings import REPOSITORY, Settings
from infra.topics import load_catalogue
from schemas.orders import Fill
from tests.builders import a_fill
from tests.debian import unpacked

FOLDER = REPOSITORY / "infra" / "dashboards"
DASHBOARD = json.loads((FOLDER / "grafana" / "pipeline.json").read_text(encoding="utf-8"))
EXPRESSIONS = {
    f"{panel['title']} {target['refId']}": target["expr"]
    for panel in DASHBOARD["panels"]
    for target in panel.get("targets", [])
}
# what a panel shows when all is well; the other half of such an expression has to show something too
_FALLBACK = re.compile(r" or (?:vector\(0\)|sum by \(service\) \(0 \* scizor_ready\{[^}]*\}\))$")
_PACE = re.compile(r"(scrape_interval|scrape_timeout|evaluation_interval): \w+")
NOTHING_TO_COUNT = {"Not ready A"}
SECONDS_MAX = 120


@dataclass
class Prometheus:
    url: str

    async def query(self, expression: str) -> list[object]:
        answer = await self._get("query", query=expression)
        result = answer["result"]
        assert isinstance(result, list)
        return result

    async def rule_health(self) -> dict[str, str]:
        groups = (await self._get("rules"))["groups"]
        return {rule["name"]: rule["health"] for group in groups for rule in group["rules"]}

    async def _get(self, path: str, **parameters: str) -> dict[str, Any]:
        async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
            answer = await client.get(f"{self.url}/api/v1/{path}", params=parameters)
        document = answer.json()
        assert document["status"] == "success", document
        data = document["data"]
        assert isinstance(data, dict)
        return data


@pytest.fixture
def metrics_port() -> int:
    return free_port()


@pytest.fixture
def prometheus(tmp_path: Path, metrics_port: int) -> Iterator[Prometheus]:
    """Debian's Prometheus with the committed configuration, only in more of a hurry."""
    program = unpacked("prometheus") / "usr" / "bin" / "prometheus"
    shutil.copytree(FOLDER / "prometheus", tmp_path / "prometheus")
    config = tmp_path / "prometheus" / "prometheus.yml"
    hurried = _PACE.sub(r"\1: 1s", config.read_text(encoding="utf-8"))
    config.write_text(hurried, encoding="utf-8")
    (tmp_path / "prometheus" / "targets").mkdir()
    target = {"targets": [f"127.0.0.1:{metrics_port}"], "labels": {"job": "scizor", "service": "portfolio"}}
    (tmp_path / "prometheus" / "targets" / "test.json").write_text(json.dumps([target]), encoding="utf-8")
    port = free_port()
    command = [str(program), f"--config.file={config}", f"--storage.tsdb.path={tmp_path / 'data'}"]
    with (tmp_path / "prometheus.log").open("wb") as log:
        process = subprocess.Popen([*command, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log)
    try:
        yield Prometheus(f"http://127.0.0.1:{port}")
    finally:
        process.terminate()
        try:
            process.wait(30)
        finally:
            process.kill()


@contextlib.asynccontextmanager
async def a_busy_service(settings: Settings) -> AsyncIterator[AIOKafkaProducer]:
    """A service that applies good fills, publishes them again, and fails on those of one account."""
    catalogue = load_catalogue()
    spec = catalogue.services["portfolio"].model_copy(
        update={"reads": ("trading.fills.v1",), "replays": (), "writes": ("trading.fills.v1",)}
    )
    catalogue = catalogue.model_copy(update={"services": {**catalogue.services, "portfolio": spec}})
    service = Service("portfolio", settings, catalogue=catalogue)
    once = asyncio.Event()

    async def on_fill(fill: Fill, origin: Origin) -> None:
        if fill.revision == 1:
            await service.publish(fill.revised(revision=2), cause=origin)
        elif not once.is_set():
            once.set()
            raise ValueError("the first of them fails once")

    service.on(Fill, on_fill)
    producer = broker.producer(settings)
    await producer.start()
    task = asyncio.create_task(service.run())
    try:
        yield producer
    finally:
        service.stop()
        await task
        await producer.stop()


async def test_every_panel_shows_something_and_every_alert_rule_can_be_evaluated(
    prometheus: Prometheus, metrics_port: int, stack_settings: Settings
) -> None:
    settings = stack_settings.model_copy(update={"metrics_port": metrics_port})
    await topic_admin.apply(settings)
    waiting = {name: filled_in(expression) for name, expression in EXPRESSIONS.items()}
    waiting |= {
        f"{name} without its fallback": _FALLBACK.sub("", expression)
        for name, expression in waiting.items()
        if _FALLBACK.search(expression) and name not in NOTHING_TO_COUNT
    }
    async with a_busy_service(settings) as producer, asyncio.timeout(SECONDS_MAX):
        while waiting:
            topic = settings.topic_prefix + "trading.fills.v1"
            for value in (a_fill().to_json(), b"{poison"):
                await producer.send_and_wait(topic, value, key=b"DU1234567")
            await asyncio.sleep(0.5)
            with contextlib.suppress(httpx.TransportError):  # it is starting
                shown = [name for name, expression in waiting.items() if await prometheus.query(expression)]
                waiting = {name: expression for name, expression in waiting.items() if name not in shown}
        while set((await prometheus.rule_health()).values()) != {"ok"}:
            await asyncio.sleep(0.5)


def filled_in(expression: str) -> str:
    """As Grafana would send it."""
    return expression.replace("$__rate_interval", "20s").replace("$service", "portfolio|risk")


def test_the_configuration_is_valid_and_each_alert_fires_when_it_should_and_not_before() -> None:
    promtool = str(unpacked("prometheus") / "usr" / "bin" / "promtool")
    stories = REPOSITORY / "tests" / "integration" / "alerts.yml"
    rules = yaml.safe_load((FOLDER / "prometheus" / "alerts.yml").read_text(encoding="utf-8"))["groups"][0]["rules"]

    for command in (
        ["check", "config", str(FOLDER / "prometheus" / "prometheus.yml")],
        ["test", "rules", str(stories)],
    ):
        done = subprocess.run([promtool, *command], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    told = stories.read_text(encoding="utf-8")
    assert [rule["alert"] for rule in rules if f'alertname="{rule["alert"]}"' not in told] == []
