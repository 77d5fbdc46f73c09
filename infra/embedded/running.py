"""The run file: how every other command finds the stack that is running, or learns that none is."""

import contextlib
import os
import signal
from pathlib import Path

from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError

from infra.embedded.process import started_at
from infra.embedded.waiting import within
from infra.errors import EnvironmentUnhealthyError
from infra.settings import Settings

LEFTOVER_SECONDS = 10.0


class Process(BaseModel):
    """One process of the stack; pid and start time together name it for ever."""

    model_config = ConfigDict(frozen=True)

    pid: int
    started_at: str
    state: str = "running"
    restarts: int = 0
    metrics_port: int = 0

    @property
    def lives(self) -> bool:
        return self.pid > 0 and started_at(self.pid) == self.started_at


class RunFile(BaseModel):
    """What a running stack says about itself; holds no secret, only where the password lies."""

    model_config = ConfigDict(frozen=True)

    supervisor: Process
    ready: bool
    home: Path
    data: Path
    kafka: str
    database_port: int
    database_password_file: Path | None
    ib_host: str
    ib_port: int
    farmer_port: int
    backtester_port: int
    trader_port: int
    processes: dict[str, Process]

    def apply_to(self, settings: Settings) -> Settings:
        """`settings` with the addresses of this stack where they name none themselves."""
        update: dict[str, object] = {
            "farmer_port": self.farmer_port,
            "backtester_port": self.backtester_port,
            "trader_port": self.trader_port,
        }
        if not settings.kafka:
            update["kafka"] = self.kafka
        if not settings.ib_host:
            update |= {"ib_host": self.ib_host, "ib_port": self.ib_port}
        if not settings.database_url.get_secret_value() and self.database_password_file is not None:
            password = self.database_password_file.read_text(encoding="ascii").strip()
            update["database_url"] = SecretStr(f"postgresql://scizor:{password}@127.0.0.1:{self.database_port}/scizor")
        return settings.model_copy(update=update)


def run_file_path(settings: Settings) -> Path:
    return settings.home.resolve() / "stack.json"


def write_run_file(path: Path, run: RunFile) -> None:
    """Replace it in one step, so that nobody reads half of it."""
    draft = path.with_suffix(".draft")
    draft.write_text(run.model_dump_json(indent=2), encoding="utf-8")
    draft.replace(path)


def read_run_file(settings: Settings) -> RunFile | None:
    """What the last stack of this home said, dead or alive."""
    try:
        return RunFile.model_validate_json(run_file_path(settings).read_bytes())
    except (OSError, ValidationError):
        return None


def find_run(settings: Settings) -> RunFile | None:
    """The stack that runs now."""
    run = read_run_file(settings)
    return run if run is not None and run.supervisor.lives else None


def find_stack(settings: Settings) -> Settings | None:
    """Settings with the addresses of the running stack, if one runs."""
    run = find_run(settings)
    return run.apply_to(settings) if run is not None else None


def running_settings(settings: Settings, *, needs_database: bool = True) -> Settings:
    """Settings that reach Kafka and the database: outside addresses win, else those of the running stack."""
    found = find_stack(settings) or settings
    if found.kafka and (found.database_url.get_secret_value() or not needs_database):
        return found
    if found is not settings:
        raise EnvironmentUnhealthyError("the system is still starting: `scizor status` tells when it is ready")
    raise EnvironmentUnhealthyError("nothing is running: start it with `scizor up`")


def process_named(pid: int, **facts: object) -> Process:
    """A living process as the run file describes it."""
    return Process.model_validate({"pid": pid, "started_at": started_at(pid), **facts})


def end_leftovers(settings: Settings) -> None:
    """Wait for what a killed supervisor's children still do, then end it: they hold ports and data."""
    run = read_run_file(settings)
    if run is None:
        return
    for _ in within(LEFTOVER_SECONDS):
        if not any(process.lives for process in run.processes.values()):
            break
    for process in run.processes.values():
        # When the process itself is gone its group may still hold children of its; a pid is not reused before they end.
        if process.pid and (process.lives or not started_at(process.pid)):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    run_file_path(settings).unlink(missing_ok=True)
