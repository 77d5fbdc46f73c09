"""The whole system on this machine: Kafka, PostgreSQL, the gateway simulator and every service, as one object."""

import contextlib
import fcntl
import http.client
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Self

from infra.clock import Clock, SystemClock
from infra.embedded.memory import trees_mb
from infra.embedded.ports import answers
from infra.embedded.process import failure
from infra.embedded.running import (
    RunFile,
    end_leftovers,
    find_stack,
    process_named,
    read_run_file,
    run_file_path,
    running_settings,
    write_run_file,
)
from infra.embedded.starting import PREPARATIONS, STARTED, Plan, Preparation, Starter, reachable
from infra.embedded.supervisor import Supervisor, Ward
from infra.embedded.waiting import POLL_SECONDS, within
from infra.errors import EnvironmentUnhealthyError, UsageError
from infra.settings import Settings
from infra.topics import ServiceSpec, load_catalogue

__all__ = ["Preparation", "Stack", "StackRunningError", "find_stack", "running_settings"]

READY_SECONDS = 120.0
STOP_SECONDS = 60.0

Progress = Callable[[str, float], None]


class StackRunningError(EnvironmentUnhealthyError):
    """There is one stack per home."""

    def __init__(self, home: Path, pid: int) -> None:
        super().__init__(f"a stack is already running in {home} (process {pid}): stop it with `scizor down`")


class StackStoppedError(EnvironmentUnhealthyError):
    """Somebody stopped the stack before it was up."""

    def __init__(self) -> None:
        super().__init__("the stack was stopped before it was up")


def _silent(_: str, __: float) -> None:
    """Progress that nobody watches."""


def _to_stderr(text: str) -> None:
    sys.stderr.write(f"scizor: {text}\n")


class Stack:
    """Starts, watches and stops the system. Its children end with this process, however that ends.

    `data` is where the servers keep their files, by default `data` in the home; `services` are names of
    topics.yaml, by default all; `jars` is where the broker's jars are kept, by default in the home.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        data: Path | None = None,
        services: Sequence[str | ServiceSpec] | None = None,
        simulator_options: Sequence[str] = (),
        preparations: Sequence[Preparation] = PREPARATIONS,
        jars: Path | None = None,
        clock: Clock | None = None,
        note: Callable[[str], None] = _to_stderr,
    ) -> None:
        home = settings.home.resolve()
        self._plan = Plan(
            data=(data or home / "data").resolve(),
            logs=home / "logs",
            jars=jars or home / "jars",
            services=_chosen(services),
            simulator_options=simulator_options,
            preparations=preparations,
        )
        self._clock = clock or SystemClock()
        self._supervisor = Supervisor(self._clock, note)
        absolute = settings.model_copy(update={"home": home})
        self._starter = Starter(absolute, self._plan, self._supervisor, self._report, self._pause)
        self._progress: Progress = _silent
        self._up = threading.Event()
        self._ended = threading.Event()
        self._ended.set()
        self._stopping = threading.Event()
        self._error: BaseException | None = None
        self._is_ready = False
        self._lock = contextlib.ExitStack()
        self._writing = threading.Lock()
        self._supervisor.on_started.append(lambda _name, _pid: self._write_run_file())

    # what a caller does

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, progress: Progress = _silent) -> None:
        """Bring everything up; returns once every service was launched. They may not be ready: see `wait_ready`."""
        self._progress = progress
        self._lock.enter_context(_one_stack_in(self.settings))
        # All children are born in one thread that outlives them: a leash hangs on the thread that started the child.
        self._ended.clear()
        threading.Thread(target=self._run, name="supervisor", daemon=True).start()
        while not self._up.wait(POLL_SECONDS):
            pass  # in steps, so that Ctrl-C is heard
        self._raise_failure()

    def wait_ready(self, timeout: float = READY_SECONDS) -> None:
        """Until the simulator listens and every service answers /ready with 200."""
        waiting = {"gateway_simulator", *self.health_ports} & set(self.processes)
        total = len(waiting)
        reasons: dict[str, str] = {}
        for _ in within(timeout, self._pause):
            self._raise_failure()
            reasons = {name: reason for name in sorted(waiting) if (reason := self._why_not_ready(name)) is not None}
            for name in sorted(waiting - set(reasons)):
                waiting.remove(name)
                self._report(f"{name} is ready", 1 - (1 - STARTED) * len(waiting) / total)
            if not waiting:
                break
        else:
            who = ", ".join(f"{name} {reason}" for name, reason in reasons.items())
            log = self._plan.logs / f"{next(iter(reasons))}.log"
            raise failure(f"not ready after {timeout:.0f} s: {who}", log, "more with `scizor logs SERVICE`")
        self._is_ready = True
        self._write_run_file()

    def wait(self) -> None:
        """Until the stack was stopped or its supervision has failed."""
        while not self._ended.wait(POLL_SECONDS):
            pass  # in steps, so that Ctrl-C is heard
        self._raise_failure()

    def stop(self) -> None:
        """End everything, services first; safe to call twice."""
        self._stopping.set()
        self._ended.wait(STOP_SECONDS)  # not a join: that one believes the thread has ended when Ctrl-C interrupts it
        self._lock.close()

    @property
    def settings(self) -> Settings:
        """The settings with the real addresses, for use in this process."""
        return self._starter.settings

    @property
    def on_started(self) -> list[Callable[[str, int], None]]:
        """Called with name and pid after each start and restart of a process."""
        return self._supervisor.on_started

    @property
    def processes(self) -> dict[str, int]:
        """Pids by name."""
        return {name: ward.part.pid for name, ward in self._supervisor.wards.items()}

    @property
    def wards(self) -> dict[str, Ward]:
        """Each process with its state and restarts, by name."""
        return self._supervisor.wards

    @property
    def health_ports(self) -> dict[str, int]:
        """Where each service answers /live, /ready and /metrics."""
        return dict(self._starter.health_ports)

    def memory_mb(self) -> dict[str, float]:
        """Proportional set size of every process with those of its children that have no name; `supervisor` is we."""
        return trees_mb({**self.processes, **self._starter.helpers, "supervisor": os.getpid()})

    # the supervising thread

    def _run(self) -> None:
        try:
            end_leftovers(self.settings)
            self._write_run_file()
            self._starter.bring_up()
            self._up.set()
            up_since = self._clock.monotonic()
            while not self._stopping.wait(POLL_SECONDS):
                if self._supervisor.watch():
                    self._write_run_file()
                self._starter.speed_up_next_start(self._clock.monotonic() - up_since)
        except BaseException as error:  # noqa: BLE001 - whoever waits in another thread raises it
            self._error = error
        finally:
            try:
                self._starter.leave()
                self._supervisor.stop()
                run_file_path(self.settings).unlink(missing_ok=True)
            finally:
                self._up.set()
                self._ended.set()

    def _report(self, what: str, fraction: float) -> None:
        self._raise_when_stopped()
        self._progress(what, fraction)

    def _pause(self, seconds: float) -> None:
        self._stopping.wait(seconds)
        self._raise_when_stopped()

    def _raise_when_stopped(self) -> None:
        if self._stopping.is_set():
            raise StackStoppedError

    def _raise_failure(self) -> None:
        if self._error is not None:
            raise self._error

    # what it says about itself

    def _why_not_ready(self, name: str) -> str | None:
        settings = self.settings
        if name in self.health_ports:
            return why_not_ready(reachable(settings.bind), self.health_ports[name])
        return None if answers("127.0.0.1", settings.ib_port) else "does not listen"

    def _write_run_file(self) -> None:
        settings = self.settings
        kafka, postgres = self._starter.kafka, self._starter.postgres
        processes = {
            name: process_named(
                ward.part.pid,
                state=ward.state,
                restarts=ward.restarts,
                metrics_port=self.health_ports.get(name, 0),
            )
            for name, ward in self._supervisor.wards.items()
        }
        run = RunFile(
            supervisor=process_named(os.getpid()),
            ready=self._is_ready,
            home=settings.home,
            data=self._plan.data,
            kafka=settings.kafka or (kafka.address if kafka.pid else ""),
            database_port=postgres.port,
            database_password_file=postgres.password_file if postgres.pid else None,
            ib_host=settings.ib_host,
            ib_port=settings.ib_port,
            farmer_port=settings.farmer_port,
            backtester_port=settings.backtester_port,
            trader_port=settings.trader_port,
            processes=processes,
        )
        with self._writing:
            write_run_file(run_file_path(settings), run)


def why_not_ready(host: str, port: int, seconds: float = 2.0) -> str | None:
    """What a service says keeps it from being ready; None when it is."""
    connection = http.client.HTTPConnection(host, port, timeout=seconds)
    try:
        connection.request("GET", "/ready")
        answer = connection.getresponse()
        body = answer.read(4000).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException) as error:
        return f"does not answer ({error})"
    finally:
        connection.close()
    return None if answer.status == http.client.OK else f"answers {answer.status} {body}"


@contextlib.contextmanager
def _one_stack_in(settings: Settings) -> Iterator[None]:
    """Hold the home: the lock ends with the process that has it."""
    settings.home.mkdir(parents=True, exist_ok=True)
    with (settings.home / "stack.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            run = read_run_file(settings)
            raise StackRunningError(settings.home, run.supervisor.pid if run else 0) from None
        yield


def _chosen(services: Sequence[str | ServiceSpec] | None) -> list[ServiceSpec]:
    """Services by name, all by default."""
    specs = {spec.name: spec for spec in load_catalogue().supervised}
    chosen = list(specs) if services is None else services
    if unknown := sorted({each for each in chosen if isinstance(each, str)} - set(specs)):
        raise UsageError(f"topics.yaml has no service {', '.join(unknown)}; it has {', '.join(specs)}")
    return [specs[each] if isinstance(each, str) else each for each in chosen]
