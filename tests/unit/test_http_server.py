"""The HTTP server of every service: what it does to its connections."""

import asyncio
import socket

from starlette.applications import Starlette

from infra.http import HttpServer


async def test_answers_on_a_kept_connection_do_not_wait_for_acknowledgements() -> None:
    server = HttpServer(Starlette(), "127.0.0.1", 0)
    serving = asyncio.create_task(server.run_until_stopped())
    async with asyncio.timeout(10):
        while not server.started:
            await asyncio.sleep(0)
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        (kept,) = server.server_state.connections
        accepted = kept.transport.get_extra_info("socket")
        at_once = accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        writer.close()
        server.stop()
        await serving

    assert at_once
