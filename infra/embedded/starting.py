"""The order in which the system comes up: servers, then what prepares them, then services."""

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from infra.embedded.fostering import Foster, Nursery
from infra.embedded.kafka import Folders, KafkaServer
from infra.embedded.ports import free_port
from infra.embedded.postgres import PostgresServer
from infra.embedded.process import Child, Command, failure
from infra.embedded.programs import Program, environment_of
from infra.embedded.supervisor import Supervisor
from infra.embedded.waiting import POLL_SECONDS, within
from infra.settings import REPOSITORY, Settings
from infra.topics import ServiceSpec

PREPARATION_SECONDS = 120.0
CACHE_AFTER_SECONDS = 60.0
SIMULATOR = "infra.gateway_simulator"
SERVERS, GATEWAY, SERVICES = range(3)
_BEGUN, _FETCHED, _LAUNCHED, _SERVED, STARTED = 0.05, 0.25, 0.3, 0.6, 0.8
"""How far the start is when the first server begins, Kafka's files are here, servers are launched, servers answer, and
all services are started; they are ready at 1."""

# The setting that holds the port on which a service with a port of its own in topics.yaml listens.
HTTP_PORTS = {8000: "farmer_port", 8001: "backtester_port", 8002: "trader_port"}

Report = Callable[[str, float], None]
Server = KafkaServer | PostgresServer


@dataclass(frozen=True)
class Preparation:
    """A command that runs to its end before services start, as soon as the server it needs answers."""

    name: str
    argv: tuple[str, ...]
    needs: str


PREPARATIONS = (
    Preparation("migrate", ("infra.migrate",), needs="postgres"),
    Preparation("topics", ("infra.topics", "apply"), needs="kafka"),
)


@dataclass(frozen=True)
class Plan:
    """What to start, and where its files go."""

    data: Path
    logs: Path
    jars: Path
    services: Sequence[ServiceSpec]
    simulator_options: Sequence[str]
    preparations: Sequence[Preparation]


class Starter:
    """Starts the parts in order; knows the addresses that came out."""

    def __init__(
        self, settings: Settings, plan: Plan, supervisor: Supervisor, report: Report, pause: Callable[[float], None]
    ) -> None:
        self.settings = settings
        self.health_ports: dict[str, int] = {}
        folders = Folders(plan.data / "kafka", plan.logs, plan.jars)
        self.kafka = KafkaServer(folders, settings.kafka_port, self._report_fetching)
        self.postgres = PostgresServer(plan.data / "postgres", plan.logs, settings.database_port)
        self.nursery = Nursery(_programs(settings, plan), plan.logs)
        self._plan = plan
        self._supervisor = supervisor
        self._report = report
        self._pause = pause
        self._preparing: list[tuple[Preparation, Foster]] = []
        self._cache_maker: Child | None = None

    def bring_up(self) -> None:
        """Everything, in order; raises when a server or a preparation fails, or `pause` says to stop."""
        try:
            self._supervisor.start(self.nursery, SERVERS)  # first: it imports while the servers start
            self._start_servers()
            for preparation, child in self._preparing:
                self._await(preparation, child)
        finally:
            for _, child in self._preparing:
                child.finish(0)
        self._start_services()
        self._write_targets()

    def speed_up_next_start(self, seconds_up: float) -> None:
        """Once the system has run for a while, make in the background the cache with which the broker starts faster."""
        if self._cache_maker is not None:
            _ = self._cache_maker.exit_code  # reaps it
        elif seconds_up > CACHE_AFTER_SECONDS and self.kafka.pid and not self.kafka.has_cache:
            argv = [sys.executable, "-m", "infra.embedded.aot", str(self._plan.jars)]
            self._cache_maker = Child(Command(argv, self._plan.logs / "aot.log", directory=REPOSITORY))

    @property
    def helpers(self) -> dict[str, int]:
        """Pids by name of what works in the background for a while."""
        maker = self._cache_maker
        return {"cache_maker": maker.pid} if maker is not None and maker.exit_code is None else {}

    def leave(self) -> None:
        """End what works in the background."""
        if self._cache_maker is not None:
            self._cache_maker.finish(0)

    def _report_fetching(self, what: str, fraction: float) -> None:
        self._report(what, _BEGUN + (_FETCHED - _BEGUN) * fraction)

    def _start_servers(self) -> None:
        waiting: list[Server] = []
        if not self.settings.database_url.get_secret_value():
            waiting.append(self.postgres)
        if not self.settings.kafka:
            waiting.append(self.kafka)
        for server in waiting:
            self._report(f"starting {server.name}", _BEGUN)
            self._supervisor.start(server, SERVERS)
        if not self.settings.ib_host:
            self._start_simulator()
        for outside in {"kafka", "postgres"} - {server.name for server in waiting}:
            self._prepare(outside, _LAUNCHED)
        total = len(waiting)
        while waiting:
            for server in [each for each in waiting if each.is_ready()]:
                waiting.remove(server)
                fraction = _SERVED - (_SERVED - _LAUNCHED) * len(waiting) / total
                self._report(f"{server.name} is up", fraction)
                self._take_address(server)
                self._prepare(server.name, fraction)
            self._pause(POLL_SECONDS)

    def _take_address(self, server: Server) -> None:
        if isinstance(server, KafkaServer):
            update: dict[str, object] = {"kafka": server.address}
        else:
            update = {"database_url": SecretStr(server.url)}
        self.settings = self.settings.model_copy(update=update)

    def _start_simulator(self) -> None:
        settings = self.settings
        port = free_port(settings.ib_port)
        options = ["--port", str(port), "--now", settings.simulator_now, "--speed", str(settings.simulator_speed)]
        argv = [SIMULATOR, *options, "--seed", str(settings.simulator_seed)]
        # the broker of a database that is kept remembers orders, positions and its time, as a real one does
        argv = [*argv, "--state", str(self._plan.data / "simulator.json"), *self._plan.simulator_options]
        program = Program("gateway_simulator", argv, settings, self._plan.logs, self.nursery)
        self._report("starting the gateway simulator", _LAUNCHED)
        self._supervisor.start(program, GATEWAY)
        # The host stays empty: by that a service knows that no real account is at stake.
        self.settings = settings.model_copy(update={"ib_port": port})

    def _prepare(self, server: str, fraction: float) -> None:
        for preparation in self._plan.preparations:
            if preparation.needs == server:
                self._report(f"preparing {preparation.name}", fraction)
                log = self._plan.logs / f"{preparation.name}.log"
                command = Command(preparation.argv, log, environment_of(self.settings), REPOSITORY)
                self._preparing.append((preparation, self.nursery.fork(command)))

    def _await(self, preparation: Preparation, child: Foster) -> None:
        for _ in within(PREPARATION_SECONDS, self._pause):
            if child.exit_code is not None:
                break
        if child.exit_code != 0:
            how = "takes too long" if child.exit_code is None else f"failed with status {child.exit_code}"
            log = self._plan.logs / f"{preparation.name}.log"
            raise failure(f"preparing {preparation.name} {how}", log, "mend what the log says and start again")

    def _start_services(self) -> None:
        host = self.settings.bind
        ports = {field: free_port(getattr(self.settings, field), host) for field in HTTP_PORTS.values()}
        self.settings = self.settings.model_copy(update=ports)
        for number, spec in enumerate(self._plan.services, start=1):
            port = free_port(0, host) if spec.port is None else ports[HTTP_PORTS[spec.port]]
            self.health_ports[spec.name] = port
            own = self.settings.model_copy(update={"metrics_port": port if spec.port is None else 0})
            fraction = _SERVED + (STARTED - _SERVED) * number / len(self._plan.services)
            self._report(f"starting {spec.name}", fraction)
            program = Program(spec.name, [spec.run], own, self._plan.logs, self.nursery)
            self._supervisor.start(program, SERVICES)

    def _write_targets(self) -> None:
        """Tell a Prometheus, by its file-based discovery, where the metrics are this time."""
        folder = self.settings.home / "prometheus"
        folder.mkdir(exist_ok=True)
        targets = [
            {"targets": [f"{reachable(self.settings.bind)}:{port}"], "labels": {"job": "scizor", "service": name}}
            for name, port in self.health_ports.items()
        ]
        draft = folder / "targets.draft"
        draft.write_text(json.dumps(targets, indent=2), encoding="utf-8")
        draft.replace(folder / "targets.json")


def _programs(settings: Settings, plan: Plan) -> list[str]:
    """All modules that will be run, in the order in which they are needed."""
    prepared = [preparation.argv[0] for preparation in plan.preparations]
    simulator = [] if settings.ib_host else [SIMULATOR]
    return [*simulator, *prepared, *(spec.run for spec in plan.services)]


def reachable(bind: str) -> str:
    """The address by which this machine reaches a server that listens on `bind`."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(bind, bind)
