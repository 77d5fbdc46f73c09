"""Keeps the sizes of strategies near the plan of their account, by commands that are inputs like any other."""

from collections.abc import Iterable

from engine.live.allocation import Share, sizes
from engine.live.running import RunningStrategy
from infra.clock import Clock, Entropy
from infra.replay import fold
from infra.settings import Settings
from infra.topics import load_catalogue
from schemas.strategy import Allocate, AllocationPlan

_CHECK_SECONDS = 60.0
_BY = "allocation"


class Allocator:
    """The newest plan of each account, looked after once a minute and when it changes."""

    def __init__(self, clock: Clock, entropy: Entropy) -> None:
        self._clock = clock
        self._entropy = entropy
        self._plans: dict[str, AllocationPlan] = {}
        self._next = 0.0

    async def recover(self, settings: Settings) -> None:
        topic = load_catalogue().topic_of(AllocationPlan).name
        async for event, _ in fold(settings, [topic]):
            if isinstance(event, AllocationPlan):
                self.take(event)

    def take(self, plan: AllocationPlan) -> None:
        self._plans[plan.account_id] = plan
        self._next = 0.0

    def due(self, strategies: Iterable[RunningStrategy]) -> list[Allocate]:
        """The commands that are needed now."""
        if self._clock.monotonic() < self._next:
            return []
        self._next = self._clock.monotonic() + _CHECK_SECONDS
        live = [each for each in strategies if not each.ended]
        return [
            self._command(name, wanted)
            for plan in self._plans.values()
            if plan.capital
            for name, wanted in sizes(plan, self._shares(plan, live)).items()
        ]

    def _shares(self, plan: AllocationPlan, live: list[RunningStrategy]) -> dict[str, Share]:
        return {
            each.strategy_id: each.share()
            for each in live
            if each.strategy_id in plan.weights and each.deployment.account_id == plan.account_id
        }

    def _command(self, strategy_id: str, wanted: dict[str, float]) -> Allocate:
        now = self._clock.now()
        return Allocate(
            command_id=self._entropy.new_id(),
            strategy_id=strategy_id,
            by=_BY,
            quantity=max(*wanted.values(), 1.0),
            quantities=wanted,
            event_time=now,
            ingest_time=now,
        )
