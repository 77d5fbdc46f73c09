"""What the monitor looks at again and again: whether services answer, the gateway, lag, and the disk."""

import http.client
import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from infra.alerts import Alert, Severity
from infra.embedded.process import DISK_BYTES_MIN

ANSWER_SECONDS = 2.0
_READ_MAX = 2_000_000
_DISK_COMFORTABLE = 2_000_000_000
_CONNECTED = "scizor_gateway_connected "
_REASONS_MAX = 500


@dataclass(frozen=True)
class Seen:
    """One service at one moment."""

    service: str
    why_down: str = ""
    reasons: Mapping[str, str] = field(default_factory=dict)
    """What /ready says; empty when it is."""
    has_gateway: bool | None = None
    """None for a service that has no connection to it."""


@dataclass(frozen=True)
class Look:
    """Something that was looked at: the alert, when it is not well, and how long it may mend itself."""

    key: str
    alert: Alert | None
    after: float = 0.0


def targets(file: Path) -> dict[str, tuple[str, int]]:
    """Address by service, as Prometheus is told."""
    found = {}
    for each in json.loads(file.read_text(encoding="utf-8")):
        host, _, port = each["targets"][0].rpartition(":")
        found[each["labels"]["service"]] = (host, int(port))
    return found


def see(service: str, host: str, port: int) -> Seen:
    """Ask a service how it is. Blocking."""
    connection = http.client.HTTPConnection(host, port, timeout=ANSWER_SECONDS)
    try:
        _, told = _get(connection, "/ready")
        _, metrics = _get(connection, "/metrics")
        gateway = next((line for line in metrics.splitlines() if line.startswith(_CONNECTED)), None)
        has_gateway = None if gateway is None else float(gateway.removeprefix(_CONNECTED)) == 1.0
        return Seen(service, reasons=json.loads(told)["reasons"], has_gateway=has_gateway)
    except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
        return Seen(service, why_down=f"{type(error).__name__}: {error}")
    finally:
        connection.close()


def _get(connection: http.client.HTTPConnection, path: str) -> tuple[int, str]:
    connection.request("GET", path)
    answer = connection.getresponse()
    return answer.status, answer.read(_READ_MAX).decode("utf-8", "replace")


def of_service(seen: Seen) -> Iterator[Look]:
    """Whether it runs, whether it can do its work, and whether it has its gateway."""
    name = seen.service
    down = None
    if seen.why_down:
        down = Alert(f"down:{name}", Severity.CRITICAL, f"{name} does not answer", f"{seen.why_down}: `scizor status`")
    yield Look(f"down:{name}", down, 30.0)
    if seen.why_down:
        return
    unready = None
    if seen.reasons:
        why = "; ".join(f"{what}: {reason}" for what, reason in seen.reasons.items())[:_REASONS_MAX]
        unready = Alert(f"unready:{name}", Severity.CRITICAL, f"{name} cannot do its work", why)
    yield Look(f"unready:{name}", unready, 60.0)
    if seen.has_gateway is not None:
        gone = None
        if not seen.has_gateway:
            title = f"{name} is disconnected from the gateway"
            gone = Alert(f"gateway:{name}", Severity.CRITICAL, title, seen.reasons.get("gateway", ""))
        yield Look(f"gateway:{name}", gone, 15.0)


def of_lag(service: str, topic: str, records: int, records_max: int) -> Look:
    key = f"lag:{service}:{topic}"
    if records <= records_max:
        return Look(key, None)
    title = f"{service} is {records} records behind on {topic}"
    return Look(key, Alert(key, Severity.WARNING, title, "it takes less than what comes, or nothing"), 120.0)


def of_disk(home: Path) -> Look:
    """Below the first mark Kafka and PostgreSQL stop before long."""
    free = shutil.disk_usage(home).free
    if free >= _DISK_COMFORTABLE:
        return Look("disk", None)
    severity = Severity.CRITICAL if free < DISK_BYTES_MIN else Severity.WARNING
    return Look("disk", Alert("disk", severity, f"{free / 1e9:.1f} GB are left on the disk of {home}", "make room"))
