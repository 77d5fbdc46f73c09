"""Alerts to people, through any service that apprise knows, by severity."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from infra.errors import ScizorError, UsageError
from infra.settings import Settings

if TYPE_CHECKING:
    import apprise

_BODY_MAX = 2000


class Severity(StrEnum):
    """How much it matters; each is told where the milder ones go, and further."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        return list(Severity).index(self)


@dataclass(frozen=True)
class Alert:
    """One thing that a person should know; those of the same `key` are about the same."""

    key: str
    severity: Severity
    title: str
    body: str
    resolved: bool = False


class AlertUnsentError(ScizorError):
    def __init__(self, where: str, failed: Collection[int]) -> None:
        self.failed = failed
        """Which of the addresses of its severity."""
        super().__init__(f"an alert could not be sent to {where}: check that address, and `scizor alerts test`")


class Channel(Protocol):
    """Where alerts go."""

    def send(self, alert: Alert, only: Collection[int] | None = None) -> None:
        """Blocking; to all addresses of its severity or `only` these. AlertUnsentError says which did not take it."""


class Apprise:
    """The addresses of the settings. apprise is loaded only when there is one: it is large."""

    def __init__(self, settings: Settings) -> None:
        self._by_severity: dict[Severity, list[apprise.NotifyBase]] = {}
        for severity in Severity:
            urls = getattr(settings, f"alert_urls_{severity}").get_secret_value().split()
            self._by_severity[severity] = [_service(url, severity) for url in urls]

    @property
    def is_silent(self) -> bool:
        """Nobody is told anything."""
        return not any(self._by_severity.values())

    def addresses(self, severity: Severity) -> list[str]:
        """Where alerts of this severity go, without secrets."""
        return [_shown(each) for each in self._of(severity)]

    def send(self, alert: Alert, only: Collection[int] | None = None) -> None:
        """To every address; one that fails does not keep the others from it."""
        services = self._of(alert.severity)
        numbers = range(len(services)) if only is None else only
        failed = [number for number in numbers if not _notify(services[number], alert)]
        if failed:
            raise AlertUnsentError(", ".join(_shown(services[number]) for number in failed), failed)

    def _of(self, severity: Severity) -> "Sequence[apprise.NotifyBase]":
        return [each for of, services in self._by_severity.items() if of.rank <= severity.rank for each in services]


def _service(url: str, severity: Severity) -> "apprise.NotifyBase":
    import apprise  # slow to load, and not needed by most

    found = apprise.Apprise.instantiate(url, suppress_exceptions=True)
    if found is None:
        kind = url.partition(":")[0]
        raise UsageError(f"SCIZOR_ALERT_URLS_{severity.upper()}: apprise does not understand the address {kind}://...")
    return found


def _shown(service: "apprise.NotifyBase") -> str:
    """Its address, without secrets."""
    return str(service.url(privacy=True)).partition("?")[0]  # type: ignore[no-untyped-call] # apprise has types in part


def _notify(service: "apprise.NotifyBase", alert: Alert) -> bool:
    import apprise

    kinds = {
        Severity.INFO: apprise.NotifyType.INFO,
        Severity.WARNING: apprise.NotifyType.WARNING,
        Severity.CRITICAL: apprise.NotifyType.FAILURE,
    }
    kind = apprise.NotifyType.SUCCESS if alert.resolved else kinds[alert.severity]
    return bool(service.notify(body=alert.body[:_BODY_MAX] or alert.title, title=alert.title, notify_type=kind))
