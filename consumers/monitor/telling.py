"""Alerts that wait to be told: the gravest first, and again after a while where an address did not take them."""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, replace

from prometheus_client import Counter
from structlog.typing import FilteringBoundLogger

from infra.alerts import Alert, AlertUnsentError, Channel
from infra.clock import Clock

WAITING_MAX = 500
AGAIN_SECONDS = (1.0, 10.0, 60.0)
"""After each failure; then it makes no sense any more."""


@dataclass(frozen=True)
class _Waiting:
    alert: Alert
    number: int
    """In the order in which they came."""
    due: float
    failures: int = 0
    only: Collection[int] | None = None
    """The addresses that have not taken it; None: all."""

    @property
    def rank(self) -> tuple[int, int]:
        return -self.alert.severity.rank, self.number


class Telling:
    """No alert waits for another one's address to come back."""

    def __init__(self, channel: Channel, clock: Clock, told: Counter, log: FilteringBoundLogger) -> None:
        self._channel = channel
        self._clock = clock
        self._told = told
        """By severity and what became of it."""
        self._log = log
        self._waiting: list[_Waiting] = []
        self._count = 0

    def add(self, alert: Alert) -> None:
        """In the log in any case. Takes the place of older news of the same that some address has not taken yet."""
        self._log.warning("alert", severity=alert.severity, title=alert.title, body=alert.body)
        overtaken = [each for each in self._waiting if each.failures and each.alert.key == alert.key]
        self._count += 1
        self._waiting = [each for each in self._waiting if each not in overtaken]
        self._waiting.append(_Waiting(alert, self._count, self._clock.monotonic()))
        for each in overtaken:
            self._note(each.alert, "overtaken")
        if len(self._waiting) > WAITING_MAX:
            mildest = max(self._waiting, key=lambda each: (each.rank[0], -each.number))
            self._waiting.remove(mildest)
            self._note(mildest.alert, "dropped")

    async def send_next(self) -> bool:
        """Try the gravest that is due; False when none is."""
        now = self._clock.monotonic()
        due = [each for each in self._waiting if each.due <= now]
        if not due:
            return False
        first = min(due, key=lambda each: each.rank)
        self._waiting.remove(first)
        try:
            await asyncio.to_thread(self._channel.send, first.alert, first.only)
        except AlertUnsentError as error:
            self._log.error("alert not sent", title=first.alert.title, reason=str(error))
            self._put_back(first, error.failed)
        else:
            self._note(first.alert, "sent")
        return True

    def _put_back(self, tried: _Waiting, failed: Collection[int]) -> None:
        if tried.failures == len(AGAIN_SECONDS):
            self._note(tried.alert, "failed")
        elif any(each.number > tried.number and each.alert.key == tried.alert.key for each in self._waiting):
            self._note(tried.alert, "overtaken")
        else:
            due = self._clock.monotonic() + AGAIN_SECONDS[tried.failures]
            self._waiting.append(replace(tried, due=due, failures=tried.failures + 1, only=failed))

    def _note(self, alert: Alert, outcome: str) -> None:
        self._told.labels(alert.severity, outcome).inc()
