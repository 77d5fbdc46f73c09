"""`scizor doctor`: checks this machine and the running system; each finding comes with what mends it."""

import asyncio
import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Annotated

import typer

from infra.clock import SystemClock
from infra.embedded.running import RunFile, find_run
from infra.errors import EnvironmentUnhealthyError, ScizorError, UsageError
from infra.settings import Settings
from infra.trading_mode import note_green
from producers.cli import machine_checks, system_checks
from producers.cli.config import load_settings
from producers.cli.finding import Finding, Status


@dataclass(frozen=True)
class Row:
    """A finding with its check's name and duration."""

    check: str
    status: Status
    detail: str
    fix: str
    seconds: float


def doctor(as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False) -> None:
    """Check this machine and the running system; exit 3 when something fails."""
    rows = []
    for name, check in _checks().items():
        row = _examine(name, check)
        rows.append(row)
        if not as_json:
            _print_row(row)
    healthy = all(row.status != "fail" for row in rows)
    if healthy:
        note_green(load_settings(), SystemClock().now())
    if as_json:
        print(json.dumps({"healthy": healthy, "checks": [asdict(row) for row in rows]}, indent=2))
    if not healthy:
        raise typer.Exit(EnvironmentUnhealthyError.exit_code)


def _checks() -> dict[str, Callable[[], Finding]]:
    try:
        settings = load_settings()
    except UsageError as error:
        wrong = Finding("fail", str(error), "correct these variables, or the lines of .env")
        return {"python": machine_checks.python, "settings": lambda: wrong}
    run = find_run(settings)
    checks: dict[str, Callable[[], Finding]] = {
        "python": machine_checks.python,
        "settings": lambda: Finding("ok", f"state in {settings.home.resolve()}"),
        "trading mode": lambda: machine_checks.trading_mode(settings),
        "time zones": machine_checks.time_zones,
        "memory": lambda: machine_checks.memory(run),
        "disk": lambda: machine_checks.disk(settings.home),
        "sandbox": lambda: machine_checks.sandbox(settings),
        "alerts": lambda: machine_checks.alerts(settings),
    }
    if not settings.kafka:
        checks |= {"java": machine_checks.java, "kafka jars": lambda: machine_checks.jars(settings.home)}
    if not settings.database_url.get_secret_value():
        checks["postgres programs"] = machine_checks.postgres_programs
        if os.geteuid() == 0:
            checks["user namespaces"] = machine_checks.user_namespaces
    if run is None:
        checks["ports"] = lambda: machine_checks.ports(settings)
    return {**checks, **_checks_of_running(settings, run)}


def _checks_of_running(settings: Settings, run: RunFile | None) -> dict[str, Callable[[], Finding]]:
    reachable_settings = run.apply_to(settings) if run is not None else settings
    checks: dict[str, Callable[[], Finding]] = {}
    if run is None:
        nothing = Finding("warn", "nothing is running", "scizor up")
        checks["system"] = lambda: nothing
    else:
        checks["system"] = lambda: system_checks.services(run, settings)
        checks["kill switch"] = lambda: asyncio.run(system_checks.kill_switch(settings))
    if reachable_settings.kafka:
        checks["kafka round trip"] = lambda: asyncio.run(system_checks.kafka_round_trip(reachable_settings))
    if reachable_settings.database_url.get_secret_value():
        checks["postgres query"] = lambda: asyncio.run(system_checks.postgres_query(reachable_settings))
        if reachable_settings.kafka:
            checks["growth"] = lambda: asyncio.run(system_checks.growth(reachable_settings))
    if reachable_settings.ib_host or run is not None:
        checks["gateway"] = lambda: system_checks.gateway(reachable_settings)
    return checks


def _examine(name: str, check: Callable[[], Finding]) -> Row:
    clock = SystemClock()
    begun = clock.monotonic()
    try:
        found = check()
    except ScizorError as error:
        found = Finding("fail", str(error), "see the message")
    except (OSError, subprocess.SubprocessError, TimeoutError) as error:
        found = Finding("fail", f"{type(error).__name__}: {error}", "see the message")
    return Row(name, found.status, found.detail, found.fix, round(clock.monotonic() - begun, 3))


def _print_row(row: Row) -> None:
    print(f"{row.status:<5}{row.check:<19}{row.seconds:>7.2f} s  {row.detail}", flush=True)
    if row.fix:
        print(f"{'':<33}fix: {row.fix}", flush=True)
