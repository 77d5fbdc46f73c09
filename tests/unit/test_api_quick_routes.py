"""Routes that are read without FastAPI's search through dependencies say what FastAPI's own would say."""

import inspect
import json
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI, Header, Query, Request, Response

from consumers.api.access import Viewer
from consumers.api.application import About, create_app
from consumers.api.keyring import Keyring
from consumers.api.models import BarSize, Body, Limit
from infra.api_keys import KeyRecord, Role, new_key
from infra.clock import ManualClock
from infra.service import Service
from infra.settings import Settings
from tests.builders import SEEN

KEY = new_key()


class Kind(StrEnum):
    BAR = "bar"
    TICK = "tick"


class Wanted(Body):
    search: str | None = None
    stale: bool = False


async def show(
    request: Request,
    caller: Viewer,
    number: int,
    since: str,
    size: Annotated[BarSize, Query()] = timedelta(days=1),
    limit: Limit = 100,
    kinds: Annotated[list[Kind], Query()] = [*Kind],  # noqa: B006 # FastAPI copies defaults
    last_event_id: Annotated[str | None, Header(max_length=3)] = None,
) -> Response:
    told = [caller.label, number, since, size.total_seconds(), limit, kinds, last_event_id, request.method]
    return Response(json.dumps(told), media_type="application/json")


async def search(caller: Viewer, wanted: Annotated[Wanted, Query()]) -> Response:
    return Response(wanted.model_dump_json(), media_type="application/json")


def an_app(*, quick: bool) -> FastAPI:
    settings = Settings.model_construct(
        **{name: field.get_default(call_default_factory=True) for name, field in Settings.model_fields.items()}
    )
    service = Service("api_farmer", settings, clock=ManualClock(SEEN))

    async def load() -> list[KeyRecord]:
        return [KeyRecord(KEY.key_id, "desk", KEY.digest, Role.VIEWER, SEEN)]

    router = APIRouter()
    # what says it gives anything else than a Response is left to FastAPI
    for path, endpoint in (("/things/{number}", show), ("/things", search)):
        router.get(path, response_model=None)(endpoint if quick else _as_anything(endpoint))
    return create_app(About("x", "x"), service, Keyring(load, service.clock, service.log), [router], why_not_ready=dict)


def _as_anything(endpoint: Any) -> Any:
    async def same(**values: Any) -> Any:
        return await endpoint(**values)

    same.__signature__ = inspect.signature(endpoint).replace(return_annotation=Any)  # type: ignore[attr-defined]
    return same


@pytest.mark.parametrize(
    "address",
    [
        "/things/7?since=2012",
        "/things/7?since=2012&limit=5&size=1m&kinds=tick&kinds=bar",
        "/things/7",
        "/things/seven?since=2012&limit=0&kinds=tock",
        "/things/7?since=2012&size=often",
        "/things/7?since=2012&limit=5&limit=6",
        "/things/7?since=2012&unheard=1",
        "/things",
        "/things?search=AAPL&stale=true",
        "/things?stale=perhaps",
    ],
)
async def test_a_request_is_read_or_refused_as_fastapi_does(address: str) -> None:
    headers = {"X-API-Key": KEY.text, "Last-Event-Id": "abc"}
    answers = [await _answer(quick, address, headers) for quick in (True, False)]

    assert answers[0] == answers[1]


@pytest.mark.parametrize("headers", [{}, {"X-API-Key": "none"}, {"X-API-Key": KEY.text, "Last-Event-Id": "too long"}])
async def test_who_may_not_and_headers_that_are_wrong_are_told_likewise(headers: dict[str, str]) -> None:
    answers = [await _answer(quick, "/things/7?since=2012", headers) for quick in (True, False)]

    assert answers[0] == answers[1]
    assert answers[0][0] in (401, 422)


async def _answer(quick: bool, address: str, headers: dict[str, str]) -> tuple[int, Any]:
    transport = httpx.ASGITransport(app=an_app(quick=quick))
    async with httpx.AsyncClient(transport=transport, base_url="http://scizor", headers=headers) as client:
        answer = await client.get(address)
    return answer.status_code, answer.json()
