"""Around every request: its id, a bound on its body, headers that harden the answer, a metric and a log line."""

import re
from collections.abc import Awaitable, Callable

from prometheus_client import Counter, Histogram
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bind_contextvars, reset_contextvars
from structlog.typing import FilteringBoundLogger

from consumers.api.problems import problem
from infra.clock import Clock, Entropy
from infra.metrics import Metrics

BODY_BYTES_MAX = 1_000_000
REQUEST_ID = "X-Request-Id"
_REQUEST_ID_NAME = REQUEST_ID.lower().encode()
_REQUEST_ID_SHAPE = re.compile(r"[A-Za-z0-9._:-]{8,64}")
_JSON_POLICY = "default-src 'none'; frame-ancestors 'none'"
_HARDENING = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"content-security-policy", _JSON_POLICY.encode()),
    (b"cache-control", b"no-store"),
)
"""Unless an answer says otherwise. Names are in lower case, as everywhere in ASGI."""
_DURATIONS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


def header(scope: Scope, name: bytes) -> str:
    """The first header of this name, or an empty text."""
    for known, value in scope["headers"]:
        if known == name:
            return str(value, "latin-1")
    return ""


class Traffic:
    """Requests counted by route template, never by address: ids are no labels."""

    def __init__(self, metrics: Metrics) -> None:
        labels = ("method", "route", "status")
        self._requests = Counter("scizor_http_requests", "Requests answered", labels, registry=metrics.registry)
        self._duration = Histogram(
            "scizor_http_request_duration_seconds",
            "Time to answer",
            ("method", "route"),
            buckets=_DURATIONS,
            registry=metrics.registry,
        )

        self._children: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        found = self._children.get((method, route, status))
        if found is None:
            found = self._requests.labels(method, route, str(status)), self._duration.labels(method, route)
            self._children[method, route, status] = found
        found[0].inc()
        found[1].observe(seconds)


class RequestContext:
    """Outermost: gives each request its id, and answers what nobody else caught."""

    def __init__(
        self, app: ASGIApp, *, clock: Clock, entropy: Entropy, traffic: Traffic, log: FilteringBoundLogger
    ) -> None:
        self._app = app
        self._clock = clock
        self._entropy = entropy
        self._traffic = traffic
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        wished = header(scope, _REQUEST_ID_NAME)
        request_id = wished if _REQUEST_ID_SHAPE.fullmatch(wished) else self._entropy.new_id()
        scope.setdefault("state", {})["request_id"] = request_id
        begun = self._clock.monotonic()
        status = 0

        async def send_hardened(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                said = {name for name, _ in message["headers"]}
                hardening = [each for each in _HARDENING if each[0] not in said]
                message["headers"] = [*message["headers"], (_REQUEST_ID_NAME, request_id.encode()), *hardening]
            await send(message)

        before = bind_contextvars(correlation_id=request_id)
        try:
            await self._app(scope, receive, send_hardened)
        except Exception:
            self._log.exception("request failed", method=scope["method"], path=scope["path"])
            if status:
                raise
            detail = f"a fault of ours: it is in the log under request id {request_id}"
            await problem(500, detail)(scope, receive, send_hardened)
        finally:
            reset_contextvars(**before)
        self._note(scope, status, self._clock.monotonic() - begun)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "unknown")
        self._traffic.count(_method(scope), route, status, seconds)
        key_id = scope["state"].get("key_id", "")
        self._log.debug("answered", method=scope["method"], route=route, status=status, seconds=seconds, key_id=key_id)


def _method(scope: Scope) -> str:
    """The method as a label: what a stranger makes up is one label."""
    method: str = scope["method"]
    return method if method in {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"} else "OTHER"


class BodyLimit:
    """Refuses bodies over a megabyte, announced or not."""

    def __init__(self, app: ASGIApp, *, bytes_max: int = BODY_BYTES_MAX) -> None:
        self._app = app
        self._bytes_max = bytes_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = header(scope, b"content-length") or "0"
        if not announced.isdigit() or int(announced) > self._bytes_max:
            await self._refuse(scope, receive, send)
            return
        await self._app(scope, self._counting(receive), send)

    def _counting(self, receive: Receive) -> Callable[[], Awaitable[Message]]:
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self._bytes_max:
                raise HTTPException(413, _too_large(self._bytes_max))  # FastAPI turns any other class into a 400
            return message

        return counted

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        await problem(413, _too_large(self._bytes_max))(scope, receive, send)


def _too_large(bytes_max: int) -> str:
    return f"a body holds at most {bytes_max} bytes: send less"
