"""Answers that take a while to find: one at a time, in a thread with a loop of its own, and kept for some seconds."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

from infra.clock import Clock

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

KEPT_SECONDS = 10.0
_KEPT_MAX = 100
_PATIENCE_SECONDS = 30.0


class SlowAnswers(Generic[K, V]):
    """However many ask, and give up waiting, there is one thread: none can be ended that has begun."""

    def __init__(
        self, look: Callable[[K], Coroutine[Any, Any, V]], clock: Clock, *, patience_seconds: float = _PATIENCE_SECONDS
    ) -> None:
        self._look = look
        self._clock = clock
        self._patience_seconds = patience_seconds
        self._one_at_a_time = asyncio.Lock()
        self._looking: asyncio.Task[V] | None = None
        self._known: OrderedDict[K, tuple[float, V]] = OrderedDict()

    async def of(self, asked: K) -> V:
        """Raises TimeoutError after half a minute; what is looked for is found all the same, for who asks next."""
        async with asyncio.timeout(self._patience_seconds):
            if (known := self._fresh(asked)) is not None:
                return known
            await self._one_at_a_time.acquire()
            self._looking = asyncio.create_task(self._found(asked))  # it lets the next one in, not who waits for it
            return await asyncio.shield(self._looking)

    async def _found(self, asked: K) -> V:
        try:
            if (known := self._fresh(asked)) is not None:
                return known
            answer = await asyncio.to_thread(self._look_apart, asked)
            self._known[asked] = self._clock.monotonic(), answer
            self._known.move_to_end(asked)
            if len(self._known) > _KEPT_MAX:
                self._known.popitem(last=False)
            return answer
        finally:
            self._one_at_a_time.release()

    def _look_apart(self, asked: K) -> V:
        return asyncio.run(self._look(asked))

    def _fresh(self, asked: K) -> V | None:
        known = self._known.get(asked)
        return known[1] if known is not None and self._clock.monotonic() - known[0] <= KEPT_SECONDS else None
