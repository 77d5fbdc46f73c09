"""Comparisons of the books that somebody has asked for and that were not answered yet."""

from collections.abc import Iterable

from schemas.event import Event
from schemas.reconciliation import Reconciled, ReconciliationAsked

REQUESTS_MAX = 1_000
"""Of more that wait at once the oldest are not answered: one comparison answers all of the others."""


class Requests:
    """What its topic says, folded: whoever was not answered before a restart is answered after it."""

    def __init__(self) -> None:
        self._waiting: dict[str, str] = {}
        self._answered: dict[str, None] = {}

    def hear(self, event: Event) -> None:
        if isinstance(event, ReconciliationAsked):
            if event.request_id in self._answered:
                return  # folded at the start with its answer, and delivered after it
            self._waiting[event.request_id] = event.account_id
            while len(self._waiting) > REQUESTS_MAX:
                del self._waiting[next(iter(self._waiting))]
        elif isinstance(event, Reconciled):
            self.forget([event.request_id])

    def of(self, account_id: str) -> list[str]:
        return [request_id for request_id, account in self._waiting.items() if account == account_id]

    def forget(self, request_ids: Iterable[str]) -> None:
        for request_id in request_ids:
            self._waiting.pop(request_id, None)
            self._answered[request_id] = None
        while len(self._answered) > REQUESTS_MAX:
            del self._answered[next(iter(self._answered))]
