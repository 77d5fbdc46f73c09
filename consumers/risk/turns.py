"""Who is at the books takes turns with all others of the process: nobody's work is void for what another one wrote."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Turns:
    """First come, first served."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._waiting = 0

    @property
    def wanted(self) -> bool:
        """Whether somebody waits: who has long work lets him in between."""
        return self._waiting > 0

    @asynccontextmanager
    async def taken(self) -> AsyncIterator[None]:
        """Alone at the books inside the block."""
        self._waiting += 1
        try:
            await self._lock.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._lock.release()
