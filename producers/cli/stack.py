"""`scizor up`, `down`, `status`, `logs`: the whole system on this machine."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer

from infra import trading_mode
from infra.clock import SystemClock
from infra.embedded.memory import trees_mb
from infra.embedded.process import tail
from infra.embedded.running import Process, RunFile, find_run
from infra.embedded.stack import Stack, StackRunningError, why_not_ready
from infra.embedded.starting import reachable
from infra.embedded.waiting import POLL_SECONDS, within
from infra.errors import EnvironmentUnhealthyError, UsageError
from infra.kill import KillFlag
from infra.settings import Settings
from infra.signals import handled
from producers.cli.config import load_settings
from producers.cli.keys import make_admin_key

DETACH_SECONDS = 180.0
DOWN_SECONDS = 60.0

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


def up(
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Leave it running in the background.")] = False,
    as_json: AsJson = False,
) -> None:
    """Start Kafka, PostgreSQL, the gateway simulator and all services; a second call finds the first."""
    settings = load_settings()
    run = find_run(settings)
    if run is not None and (detach or run.ready):
        _note(f"already running (process {run.supervisor.pid})")
        _show(_wait_until_ready(settings) if detach else run, as_json)
        return
    if detach:
        _show(_detached(settings), as_json)
        return
    clock = SystemClock()
    trading_mode.refuse_unproved(settings, clock.now())
    with _ended_by_sigterm(), Stack(settings) as stack:
        begun = clock.monotonic()
        try:
            stack.start(_progress)
        except StackRunningError:
            _note("already starting elsewhere")
            _show(_wait_until_ready(settings), as_json)
            return
        make_admin_key(stack.settings)
        stack.wait_ready()
        _note(f"ready after {clock.monotonic() - begun:.1f} s")
        run = find_run(settings)
        assert run is not None, "a stack that is ready has said so"
        _show(run, as_json)
        if not as_json:
            print("Ctrl-C stops everything", flush=True)
        stack.wait()


def down(as_json: AsJson = False) -> None:
    """Stop what `up` started, services first; nothing running is fine."""
    settings = load_settings()
    run = find_run(settings)
    if run is not None:
        os.kill(run.supervisor.pid, signal.SIGTERM)
        for _ in within(DOWN_SECONDS):
            if not run.supervisor.lives:
                break
        else:
            os.kill(run.supervisor.pid, signal.SIGKILL)  # its children are on leashes and end with it
            _note(f"process {run.supervisor.pid} did not end within {DOWN_SECONDS:.0f} s and was killed")
    _note("nothing is running" if run is None else "stopped")
    if as_json:
        print(json.dumps({"stopped": run is not None}))


def status(as_json: AsJson = False) -> None:
    """What is running, with addresses, health and memory; exit 3 when nothing is or something is unhealthy."""
    settings = load_settings()
    run = find_run(settings)
    if run is None:
        if as_json:
            print(json.dumps({"running": False}))
        raise EnvironmentUnhealthyError("nothing is running: start it with `scizor up`")
    document = _describe(run, settings)
    if as_json:
        print(json.dumps(document, indent=2))
    else:
        _print_status(document)
    if not all(row["healthy"] for row in document["processes"].values()):
        raise typer.Exit(EnvironmentUnhealthyError.exit_code)


def logs(
    service: Annotated[str, typer.Argument(help="A service, kafka, postgres, nursery, migrate, topics and others.")],
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, max=10_000, help="How many of the last lines.")] = 100,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as it grows, until Ctrl-C.")] = False,
) -> None:
    """Show the log of one service."""
    folder = load_settings().home.resolve() / "logs"
    path = folder / f"{service}.log"
    if not path.is_file() or path.parent != folder:
        known = ", ".join(sorted(each.stem for each in folder.glob("*.log"))) or "none yet: start with `scizor up`"
        raise UsageError(f"no log of {service!r} in {folder}; there is {known}")
    print(tail(path, lines))
    if follow:
        _follow(path)


def _follow(path: Path) -> None:
    position = path.stat().st_size
    while True:
        size = path.stat().st_size if path.exists() else 0
        position = position if size >= position else 0  # it was rotated: begin again
        if size > position:
            with path.open("rb") as file:
                file.seek(position)
                text = file.read()
            position += len(text)
            sys.stdout.write(text.decode("utf-8", "replace"))
            sys.stdout.flush()
        time.sleep(POLL_SECONDS)


def _detached(settings: Settings) -> RunFile:
    """Start the supervisor as a process of its own session, and wait until it says that all is ready."""
    log = settings.home.resolve() / "logs" / "up.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        child = subprocess.Popen(
            [sys.executable, "-m", "producers.cli.main", "up"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=output,
            start_new_session=True,
        )
    return _wait_until_ready(settings, child, log)


def _wait_until_ready(
    settings: Settings, child: "subprocess.Popen[bytes] | None" = None, log: Path | None = None
) -> RunFile:
    said = 0
    for _ in within(DETACH_SECONDS):
        if log is not None:
            lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
            for line in lines[said:]:
                print(line, file=sys.stderr)
            said = len(lines)
        run = find_run(settings)
        if run is not None and run.ready:
            return run
        if child is not None and child.poll() is not None:
            raise EnvironmentUnhealthyError(f"it ended with status {child.returncode} while starting; log: {log}")
    raise EnvironmentUnhealthyError(f"not ready after {DETACH_SECONDS:.0f} s: see `scizor logs up`")


def _describe(run: RunFile, settings: Settings) -> dict[str, Any]:
    host = reachable(settings.bind)
    pids = {name: process.pid for name, process in run.processes.items()}
    memory = trees_mb({**pids, "supervisor": run.supervisor.pid})
    rows = {name: _describe_process(process, host, memory[name]) for name, process in run.processes.items()}
    return {
        "running": True,
        "ready": run.ready,
        "home": str(run.home),
        "trading_mode": settings.trading_mode,
        "supervisor": run.supervisor.pid,
        "kills": [kill.model_dump(mode="json") for kill in KillFlag(run.home).read().kills],
        "addresses": addresses(run, host),
        "processes": rows,
        "memory_mb": round(sum(memory.values()), 1),
    }


def _describe_process(process: Process, host: str, memory_mb: float) -> dict[str, Any]:
    reason = "not running" if not process.lives else ""
    if process.lives and process.metrics_port:
        reason = why_not_ready(host, process.metrics_port) or ""
    return {
        "pid": process.pid,
        "state": process.state,
        "healthy": not reason,
        "reason": reason,
        "restarts": process.restarts,
        "memory_mb": round(memory_mb, 1),
        "health": f"http://{host}:{process.metrics_port}" if process.metrics_port else "",
    }


def addresses(run: RunFile, host: str) -> dict[str, str]:
    """Where a person or a program reaches the running system."""
    return {
        "kafka": run.kafka,
        "postgres": f"127.0.0.1:{run.database_port}" if run.database_password_file else "outside",
        "gateway": f"{run.ib_host}:{run.ib_port}" if run.ib_host else f"127.0.0.1:{run.ib_port} (simulator)",
        "data farmer": f"http://{host}:{run.farmer_port}/docs",
        "backtester": f"http://{host}:{run.backtester_port}/docs",
        "algo trader": f"http://{host}:{run.trader_port}/docs",
    }


def _show(run: RunFile, as_json: bool) -> None:
    found = addresses(run, reachable(load_settings().bind))
    if as_json:
        print(json.dumps({"supervisor": run.supervisor.pid, "addresses": found}, indent=2), flush=True)
        return
    for name, address in found.items():
        print(f"  {name:<14}{address}", flush=True)


def _print_status(document: dict[str, Any]) -> None:
    print(f"{'process':<20}{'pid':>8}  {'state':<12}{'restarts':>8}{'MB':>8}  health")
    for name, row in document["processes"].items():
        health = row["reason"] or row["health"] or "ok"
        print(f"{name:<20}{row['pid']:>8}  {row['state']:<12}{row['restarts']:>8}{row['memory_mb']:>8.0f}  {health}")
    print(f"all together {document['memory_mb']:.0f} MB, state in {document['home']}")
    print(f"trading mode: {document['trading_mode']}")
    for kill in document["kills"]:
        print(f"KILLED: {kill['scope']} since {kill['at']} by {kill['by']}: {kill['reason']} (`scizor arm` lifts it)")
    for name, address in document["addresses"].items():
        print(f"  {name:<14}{address}")


def _progress(what: str, fraction: float) -> None:
    _note(f"{fraction:4.0%} {what}")


def _note(text: str) -> None:
    print(f"scizor: {text}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """SIGTERM, which `down` sends, and a closed terminal unwind like Ctrl-C, but count as a good end."""

    def end(_number: int, _frame: FrameType | None) -> None:
        raise SystemExit(0)

    with handled(end, signal.SIGTERM, signal.SIGHUP):
        yield
