"""The frame of the three HTTP services: health and docs for everybody, every other route behind its role."""

import gzip
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from consumers.api import access, problems
from consumers.api.declared_query import DeclaredQuery
from consumers.api.keyring import Keyring
from consumers.api.middleware import REQUEST_ID, BodyLimit, RequestContext, Traffic
from consumers.api.quick_routes import quicken
from infra.errors import UsageError
from infra.http import Why, health_routes
from infra.service import Service
from infra.settings import Settings

OPEN_PATHS = frozenset({"/live", "/ready", "/health", "/metrics", "/docs", "/docs/{asset}", "/openapi.json"})
"""The only routes without a role."""

_STATIC = Path(__file__).with_name("static")
_ASSETS = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "start.js": "text/javascript",
}
_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "font-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
_ANSWERS: dict[int | str, dict[str, Any]] = {
    status: {"description": text, "content": {"application/problem+json": {"schema": problems.SCHEMA}}}
    for status, text in {
        401: "No API key, or one that is unknown, revoked or expired.",
        403: "The key's role does not permit this.",
        404: "There is no such thing.",
        409: "It cannot be done as things stand; `detail` says why.",
        413: "The body is larger than a megabyte.",
        422: "The request is not valid; `detail` says what to change.",
        429: "Too many requests with this key.",
        503: "Kafka or the database is away, or the service recovers: try again after `Retry-After`.",
    }.items()
}


@dataclass(frozen=True)
class About:
    """What /docs says about a service."""

    title: str
    description: str


def create_app(
    about: About,
    service: Service,
    keyring: Keyring,
    routers: Sequence[APIRouter],
    *,
    on_refused: access.OnRefused | None = None,
    why_not_ready: Why | None = None,
    health_facts: Callable[[], Mapping[str, Any]] = dict,
) -> FastAPI:
    """The ASGI app of a service. Refuses to be made when a route declares no role.

    `health_facts`: what /health, which is open to everybody, tells beyond what all services do.
    """
    why = why_not_ready or service.why_not_ready
    app = FastAPI(
        title=about.title,
        description=about.description,
        version=version("scizor"),
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
    )
    app.state.guard = access.Guard(keyring, service.clock, why, on_refused)
    _add_routes(app, routers)
    access.assert_every_route_has_a_role(app, routers)
    access.show_roles(app)
    app.state.declared_query = DeclaredQuery(app.openapi())
    app.router.routes += [
        *health_routes(service.metrics, why),
        _health_route(service, why, health_facts),
        *_docs_routes(),
    ]
    problems.install(app)
    _add_middleware(app, service)
    return app


def _add_routes(app: FastAPI, routers: Sequence[APIRouter]) -> None:
    """Each on the app itself: an included router would be searched twice for every request."""
    for router in routers:
        for route in router.routes:
            assert isinstance(route, APIRoute), f"{route} is no API route"
            route.responses = _ANSWERS | route.responses
            quicken(route)
            app.router.routes.append(route)


def _add_middleware(app: FastAPI, service: Service) -> None:
    app.add_middleware(BodyLimit)  # the last one added is the outermost
    if origins := _origins(service.settings):
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_credentials=False,  # keys travel in headers that a page sets itself, never in cookies
            allow_methods=["GET", "POST", "PUT", "DELETE"],
            allow_headers=["Authorization", "X-API-Key", "Content-Type", "Idempotency-Key", REQUEST_ID],
            expose_headers=[REQUEST_ID, "Location", "Retry-After", "X-Next-Cursor", "X-Next-Start", "X-Previous-End"],
        )
    app.add_middleware(
        RequestContext,
        clock=service.clock,
        entropy=service.entropy,
        traffic=Traffic(service.metrics),
        log=service.log,
    )


def _origins(settings: Settings) -> list[str]:
    for origin in settings.cors_origins:
        if "*" in origin or not origin.startswith(("http://", "https://")) or origin.endswith("/"):
            raise UsageError(
                f"SCIZOR_CORS_ORIGINS names {origin!r}: name each origin in full, for instance https://desk.example, "
                "without a slash at the end; a wildcard would let any page in a trader's browser call the services"
            )
    return settings.cors_origins


def _health_route(service: Service, why_not_ready: Why, facts: Callable[[], Mapping[str, Any]]) -> Route:
    async def health(_: Request) -> Response:
        reasons = why_not_ready()
        words = "starting" if "start" in reasons else "degraded"
        body = {
            "status": words if reasons else "ok",
            "service": service.name,
            "version": version("scizor"),
            "time": service.clock.now().isoformat(),
            "reasons": reasons,
            **facts(),
        }
        return JSONResponse(body, 503 if reasons else 200)

    return Route("/health", health)


def _docs_routes() -> list[Route]:
    async def page(_: Request) -> Response:
        html = (_STATIC / "index.html").read_text(encoding="utf-8")
        return Response(html, media_type="text/html", headers={"Content-Security-Policy": _PAGE_POLICY})

    async def asset(request: Request) -> Response:
        name = request.path_params["asset"]
        if name not in _ASSETS:
            return problems.problem(404, "no such file: /docs is the page")
        return _asset(name, "gzip" in request.headers.get("accept-encoding", ""))

    return [Route("/docs", page), Route("/docs/{asset}", asset)]


def _asset(name: str, may_be_packed: bool) -> Response:
    file = _STATIC / name
    headers = {"Cache-Control": "public, max-age=86400", "Vary": "Accept-Encoding"}
    if file.exists():
        return Response(file.read_bytes(), media_type=_ASSETS[name], headers=headers)
    packed = file.with_name(f"{name}.gz").read_bytes()
    if may_be_packed:
        return Response(packed, media_type=_ASSETS[name], headers=headers | {"Content-Encoding": "gzip"})
    return Response(gzip.decompress(packed), media_type=_ASSETS[name], headers=headers)
