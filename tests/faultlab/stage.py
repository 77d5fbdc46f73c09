"""One case's world: topics, a database, a gateway and services of its own, on the servers that all cases share."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Any, TypeVar

from aiokafka import TopicPartition
from pydantic import SecretStr

from infra import broker, topic_admin
from infra.delivery import is_transient
from infra.embedded.fostering import Foster
from infra.embedded.ports import free_port
from infra.embedded.process import KILL_SECONDS, Command
from infra.embedded.programs import environment_of
from infra.settings import REPOSITORY, Settings
from infra.store import connection
from infra.topics import Catalogue, load_catalogue
from schemas.account import TradingMode
from tests.faultlab.kafka_wire import KafkaWire
from tests.faultlab.laboratory import Laboratory
from tests.faultlab.marks import Darkness, Marks
from tests.faultlab.proxy import Proxy
from tests.integration.a_simulator import FAST, Simulator, a_simulator
from tests.integration.an_order_path import CLOCK, OrderPath, an_order_path, some_limits, until
from tests.integration.conftest import TEMPLATE, settings_of_this_run

T = TypeVar("T")
SERVICES = {name: f"consumers.{name}" for name in ("risk", "executor", "portfolio", "persister", "strategist")}
SERVICES |= {"api_trader": "consumers.api.trader"}
SERVICES |= {name: f"producers.{name}" for name in ("kill_switch", "data_farmer")}
_WATCH_SECONDS = 0.03
_READY_SECONDS = 60.0
_DELAY_SECONDS_MAX = 3.0
_SERVER_SECONDS = 60.0
_LAST_WORDS = 1500


class Stage:
    """Services are started again when they die, as the supervisor does, unless a fault holds them down."""

    def __init__(self, laboratory: Laboratory, settings: Settings, simulator: Simulator, path: OrderPath) -> None:
        self.laboratory = laboratory
        self.settings = settings
        self.simulator = simulator
        self.path = path
        self._url = connection.url_of(settings.database_url.get_secret_value())
        self.database = Proxy(laboratory.postgres.port)
        self.wire = Proxy(simulator.server.port, notes=True)
        self.kafka_wire = KafkaWire(laboratory.kafka.port)
        """Between Kafka and services, when the case wants one."""
        self.wired = False
        self.logs = settings.home
        self.marks = Marks()
        self.programs: dict[str, tuple[str, ...]] = {name: (module,) for name, module in SERVICES.items()}
        self.held: set[str] = set()
        self.starts: dict[str, int] = {}
        self.worked = asyncio.Event()
        """Everything was told."""
        self._children: dict[str, Foster] = {}
        self._next: dict[str, float] = {}
        """When each may be started again at the earliest."""

    async def patiently(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Of a server that the other fault of a pair may have taken away: asked again until it is there."""
        async with asyncio.timeout(_SERVER_SECONDS):
            while True:
                try:
                    return await ask()
                except Exception as error:
                    if not is_transient(connection.understood(error, self._url) or error):
                        raise
                await asyncio.sleep(_WATCH_SECONDS)

    def named(self, what: str | int) -> str:
        """An id of this case's own."""
        return f"{self.settings.topic_prefix.removesuffix('.')}-{what}"

    def start(self, name: str) -> None:
        """Fork a service: its own slot is what follows a dash in its name."""
        service, _, instance = name.partition("-")
        url = self.settings.database_url.get_secret_value()
        through = url.replace(f":{self.laboratory.postgres.port}/", f":{self.database.port}/")
        own = self.settings.model_copy(
            update={
                "instance": instance or "1",
                "metrics_port": 0,
                "database_url": SecretStr(through),
                "ib_port": self.wire.port,
                "kafka": f"127.0.0.1:{self.kafka_wire.port}" if self.wired else self.settings.kafka,
            }
        )
        command = Command(self.programs[service], self.log(name), environment_of(own), REPOSITORY)
        child = self.laboratory.nursery.fork(command)
        self.starts[name] = count = self.starts.get(name, 0) + 1
        self._next[name] = CLOCK.monotonic() + min(_DELAY_SECONDS_MAX, 0.05 * 2.0**count)
        self._children[name] = child
        self.held.discard(name)
        self.simulator.server.gateway.faults.register(name, child.pid)

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def pid(self, name: str) -> int:
        return self._children[name].pid

    def send(self, name: str, number: int) -> None:
        if name in self._children:
            self._children[name].send(number)

    def kill(self, name: str) -> None:
        self.send(name, signal.SIGKILL)

    async def hold(self, name: str, number: int = signal.SIGKILL) -> None:
        """End a service, and keep it down until it is started again."""
        self.held.add(name)
        self.send(name, number)
        await until(lambda: asyncio.sleep(0, self._children[name].exit_code is not None), seconds=30)

    async def watch(self) -> None:
        """For ever: start again what has died."""
        while True:
            for name, child in tuple(self._children.items()):
                if name not in self.held and child.exit_code is not None and CLOCK.monotonic() >= self._next[name]:
                    self.start(name)
            await asyncio.sleep(_WATCH_SECONDS)

    def last_words(self) -> str:
        """The ends of all logs."""
        logs = {name: self.log(name).read_text(errors="replace")[-_LAST_WORDS:] for name in self._children}
        return "\n".join(f"--- {name}\n{text}" for name, text in logs.items())

    def end(self) -> None:
        for child in self._children.values():
            child.send(signal.SIGKILL)
        for child in self._children.values():
            child.wait(KILL_SECONDS)

    async def is_active(self) -> bool:
        mode = await self.path.scalar("SELECT mode FROM trading_state WHERE scope LIKE 'account:%'")
        return bool(mode == TradingMode.ACTIVE)

    async def active(self, seconds: float = _READY_SECONDS) -> None:
        await until(self.is_active, seconds=seconds)

    async def commits(self, service: str) -> dict[TopicPartition, int]:
        """How many records of each partition a service has committed."""
        admin = broker.admin(self.settings)
        await admin.start()
        try:
            places = await admin.list_consumer_group_offsets(self.settings.topic_prefix + service)
        finally:
            await admin.close()
        return {place: max(0, each.offset) for place, each in places.items()}

    async def committed(self, service: str, topic: str) -> int:
        """How many records of a topic a service has committed."""
        name = self.settings.topic_prefix + topic
        return sum(count for place, count in (await self.commits(service)).items() if place.topic == name)

    def arm(self, event: str, nth: int = 1, times: int = 1, **do: Any) -> None:
        """A fault of the gateway, at the so-manieth message of a kind from now on."""
        self.simulator.server.gateway.director.arm({"event": event, "nth": nth, "times": times}, do)

    def do(self, **action: Any) -> None:
        """A fault of the gateway, now."""
        self.simulator.server.gateway.director.do(action)

    @contextlib.contextmanager
    def darkness(self, why: str, *, of_decisions: bool = False) -> Iterator[None]:
        """While this lasts nobody can know enough to trade; or, `of_decisions`, nobody can approve."""
        begin, at = round(CLOCK.monotonic() * 1e9), CLOCK.now()
        try:
            yield
        finally:
            self.marks.dark.append(Darkness(begin, round(CLOCK.monotonic() * 1e9), at, why, of_decisions))


@contextlib.asynccontextmanager
async def a_stage(
    laboratory: Laboratory,
    name: str,
    programs: Mapping[str, tuple[str, ...]],
    services: tuple[str, ...],
    *,
    wired: bool = False,
    on_a_disk: bool = False,
    **limits: Any,
) -> AsyncIterator[Stage]:
    """Everything up and trading; nothing of it is left afterwards."""
    home = laboratory.folder / name
    home.mkdir(parents=True)
    laboratory.postgres.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
    settings = settings_of_this_run(home).model_copy(
        update={
            "kafka": laboratory.kafka.address,
            "database_url": SecretStr(laboratory.postgres.url_of(name)),
            "topic_prefix": f"{name}.",
            "collect_daily": False,
            "trader_port": free_port(0),
            **FAST,
        }
    )
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(_forget, laboratory, settings, name)
        simulator = await stack.enter_async_context(a_simulator(home))
        path = await stack.enter_async_context(an_order_path(settings))
        stage = Stage(laboratory, settings, simulator, path)
        stage.programs |= programs
        stage.wired = wired
        if on_a_disk:
            stage.logs = laboratory.disks["log-disk"].folder / name
            stage.logs.mkdir()
        for proxy in (stage.database, stage.wire, stage.kafka_wire):
            await proxy.start()
            stack.push_async_callback(proxy.stop)
        stack.callback(stage.end)
        await topic_admin.apply(settings, _read_by(services))
        await path.tell(some_limits(**limits))
        for each in services:
            stage.start(each)
        watching = asyncio.create_task(stage.watch())
        stack.callback(watching.cancel)
        try:
            if "executor" in services:
                await stage.active()
            yield stage
        except Exception as error:
            error.add_note(stage.last_words())
            raise
        if watching.done():
            watching.result()


def _read_by(services: tuple[str, ...]) -> Catalogue:
    full = load_catalogue()
    chosen = {name: full.services[name] for name in services}
    topics = {name: full.topics[name] for spec in chosen.values() for name in spec.reads + spec.replays + spec.writes}
    return full.model_copy(update={"topics": topics, "services": chosen})


async def _forget(laboratory: Laboratory, settings: Settings, name: str) -> None:
    """Whatever became of the case, the servers are whole again, and have forgotten it."""
    await laboratory.mend()
    laboratory.postgres.execute(f"DROP DATABASE {name} WITH (FORCE)")
    admin = broker.admin(settings)
    await admin.start()
    try:
        names = [each for each in await admin.list_topics() if each.startswith(settings.topic_prefix)]
        await admin.delete_topics(names)
    finally:
        await admin.close()


def drawn(rng: Random, low: float, high: float) -> float:
    return low + (high - low) * rng.random()
