"""The kill switch as a process: it starts and works whether or not Kafka, PostgreSQL and the gateway are there."""

import asyncio
from collections.abc import Awaitable

from infra import logs
from infra.clock import Clock, Entropy, SystemClock, SystemEntropy
from infra.garbage import spare_the_collector
from infra.gateway import ClientSlot, Connection
from infra.gateway.gauges import measure
from infra.http import HttpServer, health_app
from infra.kill import KillFlag
from infra.kill_line import socket_path
from infra.metrics import Metrics
from infra.publish import Publisher
from infra.settings import Settings
from infra.signals import ended_by_signals
from infra.store.database import Store
from infra.topics import load_catalogue
from producers.kill_switch.door import Door
from producers.kill_switch.known import KnownKills
from producers.kill_switch.records import Records
from producers.kill_switch.sweep import Sweep
from producers.kill_switch.switch import KillSwitch

NAME = "kill_switch"


class KillSwitchProcess:
    """Wires the parts, and runs them until SIGTERM, SIGINT or `stop`."""

    def __init__(self, settings: Settings, *, clock: Clock | None = None, entropy: Entropy | None = None) -> None:
        clock, entropy = clock or SystemClock(), entropy or SystemEntropy()
        self._settings = settings
        self._metrics = Metrics(NAME)
        self._log = log = logs.configure(settings, NAME)
        self._flag = flag = KillFlag(settings.home)
        self._connection = Connection(settings, ClientSlot.KILL_SWITCH, clock=clock, entropy=entropy)
        measure(self._connection, self._metrics.registry)
        executor_id = settings.ib_client_id + ClientSlot.EXECUTOR
        self._sweep = Sweep(self._connection, flag, executor_id, log)
        self._records = Records(settings.home, clock, log)
        self._switch = KillSwitch(
            flag,
            self._sweep,
            self._records,
            KnownKills(settings.home, log),
            clock,
            entropy,
            log=log,
            registry=self._metrics.registry,
        )
        self._door = Door(socket_path(settings.home), self._switch.answer, log)
        self._publisher = Publisher(NAME, settings, load_catalogue(), clock, self._metrics)
        self._store = Store(settings, NAME, pool_size=1) if settings.database_url.get_secret_value() else None
        self._stopping = asyncio.Event()

    def why_not_ready(self) -> dict[str, str]:
        """Kafka and the database are not needed; without the gateway it can stop what we send, and cancel nothing."""
        why = self._connection.why_not_ready()
        return {"gateway": why} if why else {}

    def stop(self) -> None:
        """Ask it to end cleanly."""
        self._stopping.set()

    async def run(self) -> None:
        with ended_by_signals(self.stop):
            await self._run()

    async def _run(self) -> None:
        server = HttpServer(
            health_app(self._metrics, self.why_not_ready), self._settings.bind, self._settings.metrics_port
        )
        await self._connection.start()
        await self._door.open()
        self._switch.resume()
        spare_the_collector()
        self._log.info("started", killed=[kill.scope for kill in self._flag.read().kills])
        try:
            parts = [server.run_until_stopped(), self._connection.watch(), self._sweep.run()]
            if self._settings.kafka:
                parts.append(self._records.tell_states(self._publisher))
            if self._store is not None:
                parts.append(self._records.tell_audit(self._store))
            await self._until_stopped(*parts)
        finally:
            server.stop()
            await self._door.close()
            await self._connection.stop()
            await self._publisher.stop()
            if self._store is not None:
                await self._store.close()
            self._flag.close()

    async def _until_stopped(self, *parts: Awaitable[None]) -> None:
        running = {asyncio.ensure_future(part) for part in parts}
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait({stopping, *running}, return_when=asyncio.FIRST_COMPLETED)
            for part in running:
                if part.done():
                    part.result()
        finally:
            for task in (stopping, *running):
                task.cancel()
            await asyncio.wait({stopping, *running}, timeout=5)
