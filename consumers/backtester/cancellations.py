"""Who does not want a result any more: read beside the queue of work, in which a cancellation would wait its turn."""

import asyncio

from consumers.backtester import beside
from infra.settings import Settings
from infra.topics import TopicSpec
from schemas.backtest import BacktestCanceled
from schemas.event import Event
from schemas.research import OptimizationCanceled

_REMEMBERED_MAX = 10_000


class Cancellations:
    """The backtests, or searches, that were canceled: the newest 10,000 of them."""

    def __init__(self, settings: Settings, topic: TopicSpec) -> None:
        self._settings = settings
        self._topic = topic
        self._canceled: dict[str, str] = {}
        self._caught_up = asyncio.Event()

    def by(self, backtest_id: str) -> str | None:
        """Who canceled it; None when nobody did."""
        return self._canceled.get(backtest_id)

    async def caught_up(self) -> None:
        """Wait until what was in the topic at the start has been read."""
        await self._caught_up.wait()

    async def follow(self) -> None:
        """Read the topic from its beginning, for ever."""
        await beside.follow(self._settings, self._topic, self._note, self._caught_up)

    def _note(self, event: Event) -> None:
        if isinstance(event, BacktestCanceled | OptimizationCanceled):
            subject = event.backtest_id if isinstance(event, BacktestCanceled) else event.optimization_id
            self._canceled[subject] = event.by
            if len(self._canceled) > _REMEMBERED_MAX:
                del self._canceled[next(iter(self._canceled))]
