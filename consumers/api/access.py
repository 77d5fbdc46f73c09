"""Who may do what: one declaration both shows the role in the OpenAPI file and enforces it."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Security
from fastapi.openapi.models import HTTPBearer
from fastapi.routing import APIRoute
from fastapi.security.base import SecurityBase
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection

from consumers.api.keyring import Keyring
from consumers.api.problems import ForbiddenError, TooManyError, UnauthenticatedError, UnavailableError
from infra.api_keys import Role
from infra.clock import Clock
from infra.http import Why
from infra.kill import as_name

REQUESTS_PER_SECOND_MAX = 50.0
"""Of one key. Halting is exempt: nobody waits for a safety stop."""
BURST_MAX = 100.0

_KILL = "POST /trading/emergency-stop"
"""Needs nothing that a service that starts has to wait for."""
_STOPS = frozenset({"POST /trading/halt", _KILL})
_HEADER = "X-API-Key"
_ALSO = {"header": {"type": "apiKey", "description": "The same key.", "in": "header", "name": _HEADER}}
"""The other way to send a key, for the OpenAPI file."""


@dataclass(frozen=True)
class Caller:
    """Who asks: the label and role of a key, and the id of the request."""

    key_id: str
    label: str
    role: Role
    request_id: str

    @property
    def actor(self) -> str:
        """Who it was, as a name that every record takes."""
        return as_name(f"key {self.label}")


OnRefused = Callable[[Caller, str, str], Awaitable[None]]
"""Told about a change (method and path) that a caller's role does not permit, and why."""


class Limiter:
    """A bucket of requests for each key, refilled steadily."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}

    def allows(self, key_id: str) -> bool:
        now = self._clock.monotonic()
        left, since = self._buckets.get(key_id, (BURST_MAX, now))
        left = min(BURST_MAX, left + (now - since) * REQUESTS_PER_SECOND_MAX)
        self._buckets[key_id] = (left - 1 if left >= 1 else left, now)
        return left >= 1


class Guard:
    """Stands before every route that has a role."""

    def __init__(self, keyring: Keyring, clock: Clock, why_not_ready: Why, on_refused: OnRefused | None = None) -> None:
        self._keyring = keyring
        self._on_refused = on_refused
        self._limiter = Limiter(clock)
        self._why_not_ready = why_not_ready

    async def admit(self, request: HTTPConnection, role: Role, text: str | None) -> Caller:
        """The caller, or the reason why not: no key, too low a role, too many requests, not yet recovered."""
        if text is None:
            raise UnauthenticatedError("this address needs an API key")
        record = await self._keyring.find(text)
        if record is None:
            raise UnauthenticatedError("the API key is unknown, revoked or expired")
        request.state.key_id = record.key_id
        caller = Caller(record.key_id, record.label, record.role, request.state.request_id)
        permitted = caller.role.includes(role)
        asked = _asked(request)
        if not (permitted and asked in _STOPS) and not self._limiter.allows(caller.key_id):
            raise TooManyError(f"more than {REQUESTS_PER_SECOND_MAX:.0f} requests a second: slow down")
        if not permitted:
            why = f"this needs the role {role}, the key has {caller.role}: ask an administrator"
            if self._on_refused is not None and (method := request.scope.get("method", "GET")) != "GET":
                await self._on_refused(caller, f"{method} {request.scope['path']}", why)
            raise ForbiddenError(why)
        if asked != _KILL and (recovering := self._why_not_ready().get("start")):
            raise UnavailableError(f"the service is not ready yet ({recovering}): try again in a moment")
        return caller


def _asked(request: HTTPConnection) -> str:
    """Method and route, as it was declared: what callers put into an address counts for nothing."""
    return f"{request.scope.get('method', '')} {getattr(request.scope.get('route'), 'path', '')}"


class Key(SecurityBase):
    """Hands the key of a request, and the role that is declared, to the app's guard.

    One dependency that reads both headers: FastAPI's own would be three for every request.
    """

    scheme_name = "bearer"
    model = HTTPBearer(description="An API key: `scizor keys create`.")

    def __init__(self, role: Role) -> None:
        self._role = role

    async def __call__(self, request: HTTPConnection) -> Caller:
        state = request.app.state
        caller: Caller = await state.guard.admit(request, self._role, key_in(request.headers))
        state.declared_query.check(request)
        return caller


def key_in(headers: Headers) -> str | None:
    """The key as a bearer, or else in a header of its own."""
    scheme, _, bearer = headers.get("authorization", "").partition(" ")
    return (scheme.lower() == "bearer" and bearer.strip()) or headers.get(_HEADER)


Viewer = Annotated[Caller, Security(Key(Role.VIEWER), scopes=[Role.VIEWER.value])]
Trader = Annotated[Caller, Security(Key(Role.TRADER), scopes=[Role.TRADER.value])]
Admin = Annotated[Caller, Security(Key(Role.ADMIN), scopes=[Role.ADMIN.value])]


def declared_role(operation: dict[str, Any]) -> Role | None:
    """The role that an operation of an OpenAPI file declares."""
    roles = {role for requirement in operation.get("security", []) for each in requirement.values() for role in each}
    return Role(roles.pop()) if len(roles) == 1 else None


def assert_every_route_has_a_role(app: FastAPI, routers: Iterable[APIRouter]) -> None:
    """A route that forgot its role, or hides from the OpenAPI file, does not start."""
    for router in routers:
        for route in router.routes:
            assert isinstance(route, APIRoute), f"{route} is no API route"
            assert route.include_in_schema, f"{route.path} hides from the OpenAPI file"
    for path, operations in app.openapi()["paths"].items():
        for method, operation in operations.items():
            assert declared_role(operation), f"{method.upper()} {path} declares no role"


def show_roles(app: FastAPI) -> None:
    """Let each operation's description say its role: readers of the page do not see it otherwise. And both headers."""
    document = app.openapi()
    document.setdefault("components", {}).setdefault("securitySchemes", {}).update(_ALSO)
    for operations in document["paths"].values():
        for operation in operations.values():
            role = declared_role(operation)
            operation["security"] += [{name: [role]} for name in _ALSO]
            operation["description"] = f"{operation.get('description', '')}\n\nRole: **{role}**.".strip()
    app.openapi = lambda: document  # type: ignore[method-assign] # else a WebSocket that is added makes it anew
