"""Who is told first, and what an address that is dead keeps from whom."""

from collections.abc import Collection

from prometheus_client import CollectorRegistry, Counter

from consumers.monitor.telling import AGAIN_SECONDS, WAITING_MAX, Telling
from infra.alerts import Alert, AlertUnsentError, Severity
from infra.clock import ManualClock
from tests.builders import SEEN
from tests.unit.test_kill_switch import SILENT


class Addresses:
    """Two; the second may be dead."""

    def __init__(self) -> None:
        self.is_dead = True
        self.tried: list[str] = []
        self.taken: list[str] = []

    def send(self, alert: Alert, only: Collection[int] | None = None) -> None:
        self.tried.append(alert.title)
        if only is None:
            self.taken.append(f"{alert.title} at 0")
        if self.is_dead:
            raise AlertUnsentError("dead", [1])
        self.taken.append(f"{alert.title} at 1")


class Desk:
    def __init__(self) -> None:
        self.clock, self.addresses, self.registry = ManualClock(SEEN), Addresses(), CollectorRegistry()
        told = Counter("alerts", "", ("severity", "outcome"), registry=self.registry)
        self.telling = Telling(self.addresses, self.clock, told, SILENT)

    def add(self, title: str, severity: Severity = Severity.WARNING, key: str = "") -> None:
        self.telling.add(Alert(key or title, severity, title, ""))

    async def send_all(self) -> None:
        while await self.telling.send_next():
            pass

    def count(self, severity: Severity, outcome: str) -> float | None:
        return self.registry.get_sample_value("alerts_total", {"severity": severity, "outcome": outcome})


async def test_a_grave_alert_waits_for_no_mild_one_that_cannot_be_sent() -> None:
    desk = Desk()
    for number in range(20):
        desk.add(f"lag {number}")
    await desk.telling.send_next()
    desk.add("kill", Severity.CRITICAL)
    await desk.telling.send_next()

    assert desk.addresses.tried == ["lag 0", "kill"]


async def test_what_an_address_has_not_taken_is_sent_to_it_alone_once_it_is_due() -> None:
    desk = Desk()
    desk.add("lag")
    await desk.send_all()
    await desk.send_all()
    assert desk.addresses.tried == ["lag"]

    desk.clock.advance(AGAIN_SECONDS[0])
    desk.addresses.is_dead = False
    await desk.send_all()

    assert desk.addresses.taken == ["lag at 0", "lag at 1"]
    assert desk.count(Severity.WARNING, "sent") == 1


async def test_nobody_tries_for_ever() -> None:
    desk = Desk()
    desk.add("lag")
    for seconds in (0.0, *AGAIN_SECONDS, 1000.0):
        desk.clock.advance(seconds)
        await desk.send_all()

    assert len(desk.addresses.tried) == 1 + len(AGAIN_SECONDS)
    assert desk.count(Severity.WARNING, "failed") == 1


async def test_what_is_too_much_is_the_mildest_and_of_those_the_oldest() -> None:
    desk = Desk()
    desk.add("old", Severity.INFO)
    desk.add("new", Severity.INFO)
    for number in range(WAITING_MAX - 1):
        desk.add(f"{number}", Severity.CRITICAL)
    desk.addresses.is_dead = False
    await desk.send_all()

    assert desk.addresses.tried[-1] == "new"
    assert desk.count(Severity.INFO, "dropped") == 1
    desk.add("late", Severity.INFO)
    await desk.send_all()
    assert desk.addresses.tried[-1] == "late"


async def test_old_news_are_not_told_again_after_newer_ones_of_the_same() -> None:
    desk = Desk()
    desk.add("killed", Severity.CRITICAL, key="state")
    await desk.send_all()
    desk.add("resolved", Severity.CRITICAL, key="state")
    desk.addresses.is_dead = False
    desk.clock.advance(1000.0)
    await desk.send_all()

    assert desk.addresses.taken == ["killed at 0", "resolved at 0", "resolved at 1"]
