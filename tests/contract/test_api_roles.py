"""Every route of the HTTP services has a role, shown in the OpenAPI file and enforced; cases come from that file."""

import functools
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from pydantic import SecretStr
from starlette.routing import Route

from consumers.api import backtester, farmer, trader
from consumers.api.access import declared_role
from consumers.api.application import OPEN_PATHS, About
from consumers.api.front import Front
from infra.api_keys import KeyRecord, Role, new_key
from infra.settings import Settings

BUILDERS: dict[str, Callable[[Front], FastAPI]] = {
    "api_farmer": farmer.build,
    "api_backtester": backtester.build,
    "api_trader": trader.build,
}
CALLERS = ("nobody", "unknown", "expired", "revoked", *(role.value for role in Role))
YEAR_AGO = datetime(2025, 11, 21, tzinfo=UTC)
NOW = datetime(2026, 11, 21, tzinfo=UTC)


@dataclass(frozen=True)
class Subject:
    """A built service that reaches neither Kafka nor a database, and a key of each kind."""

    app: FastAPI
    front: Front
    keys: dict[str, str]


@functools.cache
def subject_of(service: str) -> Subject:
    nowhere = SecretStr("postgresql://nobody:none@127.0.0.1:9/nothing")
    settings = Settings.model_construct(
        **{
            **{name: field.get_default(call_default_factory=True) for name, field in Settings.model_fields.items()},
            "database_url": nowhere,
            "kafka": "127.0.0.1:9",
            "home": Path("/nonexistent"),
        }
    )
    front = Front(service, settings)
    app = BUILDERS[service](front)
    keys, records = {}, []
    for caller in CALLERS[1:]:
        drawn = new_key()
        keys[caller] = drawn.text
        role = Role(caller) if caller in set(Role) else Role.ADMIN
        record = KeyRecord(drawn.key_id, caller, drawn.digest, role, YEAR_AGO)
        if caller == "expired":
            record = KeyRecord(drawn.key_id, caller, drawn.digest, role, YEAR_AGO, expires_at=NOW - timedelta(days=1))
        if caller == "revoked":
            record = KeyRecord(drawn.key_id, caller, drawn.digest, role, YEAR_AGO, revoked_at=NOW)
        if caller != "unknown":
            records.append(record)
    know(front, records)
    return Subject(app, front, keys)


def know(front: Front, records: Sequence[KeyRecord]) -> None:
    """Let the keyring hold these keys, as if the database had just told them."""

    async def load() -> Sequence[KeyRecord]:
        return records

    front.keyring._load = load


def operations() -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    for service in BUILDERS:
        for path, methods in subject_of(service).app.openapi()["paths"].items():
            for method, operation in methods.items():
                yield service, method.upper(), path, operation


def expected(required: Role, caller: str) -> str:
    if caller not in set(Role):
        return "401"
    return "let in" if Role(caller).includes(required) else "403"


CASES = [
    pytest.param(service, method, path, operation, caller, id=f"{service} {method} {path} {caller}")
    for service, method, path, operation in operations()
    for caller in CALLERS
]


@pytest.mark.parametrize(("service", "method", "path", "operation", "caller"), CASES)
async def test_a_route_lets_in_those_whose_role_permits_it(
    service: str, method: str, path: str, operation: dict[str, Any], caller: str
) -> None:
    role = declared_role(operation)
    assert role is not None, f"{method} {path} declares no role"
    subject = subject_of(service)
    headers = {"Authorization": f"Bearer {subject.keys[caller]}"} if caller in subject.keys else {}
    transport = httpx.ASGITransport(app=subject.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://scizor") as client:
        answer = await client.request(method, re.sub(r"\{\w+\}", "some", path), headers=headers)

    verdict = str(answer.status_code) if answer.status_code in {401, 403} else "let in"
    assert verdict == expected(role, caller), answer.text
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("service", BUILDERS)
def test_nothing_is_served_without_a_role_but_health_and_docs(service: str) -> None:
    app = subject_of(service).app
    plain = {str(route.path) for route in app.routes if isinstance(route, Route) and not isinstance(route, APIRoute)}

    assert plain == OPEN_PATHS
    assert not plain & set(app.openapi()["paths"])


@pytest.mark.parametrize("service", BUILDERS)
@pytest.mark.parametrize("path", [*sorted(OPEN_PATHS - {"/docs/{asset}"}), "/docs/start.js"])
async def test_health_and_docs_are_open_to_everybody(service: str, path: str) -> None:
    transport = httpx.ASGITransport(app=subject_of(service).app)
    async with httpx.AsyncClient(transport=transport, base_url="http://scizor") as client:
        answer = await client.get(path)

    assert answer.status_code == (503 if path in {"/health", "/ready"} else 200), "the service has not started"


def test_the_roles_are_those_that_were_promised() -> None:
    """Reading is for viewers; only what permits more risk than before, or clears data away, is for admins alone."""
    by_role: dict[str, list[str]] = {}
    for _, method, path, operation in operations():
        role = declared_role(operation)
        assert role is not None
        by_role.setdefault(role, []).append(f"{method} {path}")

    assert all(operation.startswith("GET ") for operation in by_role["viewer"])
    assert by_role["admin"] == ["DELETE /symbols/{symbol}", "POST /orders/{order_id}/resolve", "POST /trading/arm"]


@pytest.mark.parametrize(("hidden", "message"), [(False, "declares no role"), (True, "hides from the OpenAPI file")])
def test_a_service_with_a_route_without_a_role_cannot_be_built(hidden: bool, message: str) -> None:
    router = APIRouter()

    @router.get("/forgotten", include_in_schema=not hidden)
    async def forgotten() -> dict[str, str]:
        return {}

    with pytest.raises(AssertionError, match=message):
        subject_of("api_farmer").front.app(About("x", "x"), [router])
