"""The raw limit of an HTTP service here: one FastAPI route that says a constant, under the same server settings."""

import asyncio
import sys

from fastapi import FastAPI

from infra.http import HttpServer


def app() -> FastAPI:
    bare = FastAPI()

    @bare.get("/bare")
    async def _() -> dict[str, str]:
        return {"status": "ok"}

    return bare


async def _serve() -> None:
    server = HttpServer(app(), "127.0.0.1", 0)
    sys.stdout.write(f"{server.port}\n")
    sys.stdout.flush()
    await server.run_until_stopped()


if __name__ == "__main__":
    asyncio.run(_serve())
