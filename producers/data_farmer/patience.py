"""Work that needs the gateway: waited for when it is away, done again when it went away meanwhile."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

from infra.gateway import Connection, GatewayUnavailableError
from infra.service import Service
from producers.data_farmer.runs import GATEWAY, Run
from schemas.collection import RunState

T = TypeVar("T")
_ATTEMPTS = 3


class Patience:
    """Waits a bounded time, visibly."""

    def __init__(self, service: Service, connection: Connection, seconds: float) -> None:
        self._connection = connection
        self._service = service
        self._seconds = seconds

    async def have(self, run: Run, work: Callable[[], Awaitable[T]]) -> T:
        """GatewayUnavailableError when the gateway stayed away, or went away again and again."""
        for attempt in range(1, _ATTEMPTS + 1):
            await self._usable(run)
            try:
                return await work()
            except GatewayUnavailableError:
                if attempt == _ATTEMPTS or run.gave_up:
                    raise
                run.retries += 1
        raise AssertionError("the last attempt returns or raises")

    async def _usable(self, run: Run) -> None:
        state = self._connection.state
        if state.usable:
            return
        if GATEWAY not in run.failures:
            run.fail(GATEWAY, f"waiting for the gateway: {state.reason or state.status.value}")
            await self._service.publish(run.told(RunState.RUNNING))
        await self._connection.usable(self._seconds)
        run.failures.pop(GATEWAY, None)

    def lost(self, run: Run, error: GatewayUnavailableError) -> None:
        """The run ends here."""
        run.gave_up = True
        run.fail(GATEWAY, f"gave up after {self._seconds:g} s: {error.reason}")


@contextlib.asynccontextmanager
async def together() -> AsyncIterator[asyncio.TaskGroup]:
    """A group of tasks that ends with the first failure, raised as it is."""
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
