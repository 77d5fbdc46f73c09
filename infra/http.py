"""The HTTP side of every service: /metrics, /live and /ready, alone or beside a service's own routes."""

import contextlib
import socket
from collections.abc import Callable, Iterator

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp

from infra.errors import EnvironmentUnhealthyError
from infra.metrics import Metrics

Why = Callable[[], dict[str, str]]
"""What keeps the service from being ready, by name; empty when it is."""


_MESSAGE_BYTES_MAX = 16_384
"""Over a WebSocket clients have little to say."""


def _has_websockets(app: ASGIApp) -> bool:
    return any(isinstance(route, WebSocketRoute) for route in getattr(app, "routes", ()))


def health_routes(metrics: Metrics, why_not_ready: Why) -> list[Route]:
    async def live(_: Request) -> Response:
        return JSONResponse({"status": "live"})

    async def ready(_: Request) -> Response:
        reasons = why_not_ready()
        metrics.ready.set(0 if reasons else 1)
        status = {"status": "not ready" if reasons else "ready", "reasons": reasons}
        return JSONResponse(status, status_code=503 if reasons else 200)

    async def exposition(_: Request) -> Response:
        metrics.ready.set(0 if why_not_ready() else 1)
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    return [Route("/live", live), Route("/ready", ready), Route("/metrics", exposition)]


def health_app(metrics: Metrics, why_not_ready: Why) -> Starlette:
    return Starlette(routes=health_routes(metrics, why_not_ready))


class HttpServer(uvicorn.Server):
    """Uvicorn inside a service's loop; signals belong to the service."""

    def __init__(self, app: ASGIApp, host: str, port: int) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                host=host,
                port=port,
                log_config=None,
                access_log=False,
                lifespan="off",
                timeout_graceful_shutdown=5,
                ws="websockets-sansio" if _has_websockets(app) else "none",
                ws_max_size=_MESSAGE_BYTES_MAX,
            )
        )
        self._socket = self._bind(host, port)

    @staticmethod
    def _bind(host: str, port: int) -> socket.socket:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        # asyncio sets TCP_NODELAY only where the protocol is said; without, a body waits 40 ms for its head's ACK
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            listener.close()
            raise EnvironmentUnhealthyError(
                f"cannot listen on {host}:{port}: {error.strerror}; choose another port in the settings"
            ) from error
        return listener

    @property
    def port(self) -> int:
        return int(self._socket.getsockname()[1])

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def run_until_stopped(self) -> None:
        await self.serve(sockets=[self._socket])

    def stop(self) -> None:
        self.should_exit = True
