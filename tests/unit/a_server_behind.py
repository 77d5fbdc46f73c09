"""A server of a test's own behind one of the laboratory's wires."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

from tests.faultlab.proxy import Proxy

Wire = TypeVar("Wire", bound=Proxy)


@contextlib.asynccontextmanager
async def a_server_behind(
    wire_to: Callable[[int], Wire], answer: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
) -> AsyncIterator[Wire]:
    """`wire_to`: makes the wire to a port; `answer`: what the server does with a connection."""
    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        wire = wire_to(server.sockets[0].getsockname()[1])
        await wire.start()
        try:
            yield wire
        finally:
            await wire.stop()
