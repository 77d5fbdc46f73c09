"""What every HTTP service does around its routes: headers, limits, docs without the internet, clear problems."""

import gzip
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from fastapi import APIRouter, FastAPI

from consumers.api.access import Viewer
from consumers.api.application import About, create_app
from consumers.api.keyring import Keyring
from consumers.api.middleware import BODY_BYTES_MAX
from consumers.api.models import Body
from infra.api_keys import KeyRecord, Role, new_key
from infra.clock import ManualClock
from infra.errors import EnvironmentUnhealthyError, UsageError
from infra.service import Service
from infra.settings import Settings
from tests.builders import SEEN

KEY = new_key()
DESK = "https://desk.example"


class Note(Body):
    text: str


async def echo(caller: Viewer, body: Note) -> Note:
    return body


async def by_id(caller: Viewer, note_id: str) -> dict[str, str]:
    return {"caller": caller.label}


async def broken(caller: Viewer) -> None:
    raise ValueError("the secret recipe")


async def away(caller: Viewer) -> None:
    raise EnvironmentUnhealthyError("PostgreSQL at localhost:5432/scizor does not answer")


def an_app(**changes: object) -> FastAPI:
    settings = Settings.model_construct(
        **{
            **{name: field.get_default(call_default_factory=True) for name, field in Settings.model_fields.items()},
            "home": Path("/nonexistent"),
            **changes,
        }
    )
    service = Service("api_farmer", settings, clock=ManualClock(SEEN))

    async def load() -> list[KeyRecord]:
        return [KeyRecord(KEY.key_id, "desk", KEY.digest, Role.VIEWER, SEEN)]

    router = APIRouter()
    router.post("/notes")(echo)
    router.get("/notes/{note_id}")(by_id)
    router.get("/broken")(broken)
    router.get("/away")(away)
    keyring = Keyring(load, service.clock, service.log)
    return create_app(About("Notes", "Of tests."), service, keyring, [router], why_not_ready=dict)


def client_of(app: FastAPI) -> httpx.AsyncClient:
    headers = {"X-API-Key": KEY.text}
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://scizor", headers=headers)


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(an_app()) as opened:
        yield opened


async def test_a_request_id_is_kept_when_it_is_sane_and_made_up_otherwise(client: httpx.AsyncClient) -> None:
    kept = await client.get("/notes/1", headers={"X-Request-Id": "desk-7.0001"})
    replaced = await client.get("/notes/1", headers={"X-Request-Id": "x'); DROP TABLE audit_log"})

    assert kept.headers["X-Request-Id"] == "desk-7.0001"
    assert re.fullmatch(r"[0-9a-f-]{36}", replaced.headers["X-Request-Id"])


async def test_every_answer_is_hardened_also_a_problem(client: httpx.AsyncClient) -> None:
    for answer in (await client.get("/notes/1"), await client.get("/nothing"), await client.get("/broken")):
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert answer.headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert answer.headers["Cache-Control"] == "no-store"


async def test_a_fault_of_ours_gives_a_request_id_and_no_secret(client: httpx.AsyncClient) -> None:
    answer = await client.get("/broken")

    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["X-Request-Id"] in answer.json()["detail"]
    assert "recipe" not in answer.text


async def test_who_is_away_is_named_and_when_to_come_back(client: httpx.AsyncClient) -> None:
    answer = await client.get("/away")

    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
    assert "PostgreSQL at localhost:5432/scizor does not answer: try again" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("content", "detail"),
    [
        (b'{"text": 5}', "body.text: Input should be a valid string"),
        (b'{"texd": "x"}', "body: unknown field 'texd' (did you mean text?): known are text"),
        (b"{", "body: not JSON: Expecting property name enclosed in double quotes"),
        (b"", "body: Field required"),
    ],
)
async def test_a_wrong_body_is_told_in_one_line(client: httpx.AsyncClient, content: bytes, detail: str) -> None:
    answer = await client.post("/notes", content=content, headers={"Content-Type": "application/json"})

    assert (answer.status_code, answer.json()["detail"]) == (422, detail)


async def test_a_body_over_a_megabyte_is_refused_announced_or_not(client: httpx.AsyncClient) -> None:
    large = json.dumps({"text": "x" * BODY_BYTES_MAX}).encode()

    async def in_pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(large), 100_000):
            yield large[start : start + 100_000]

    headers = {"Content-Type": "application/json"}
    announced = await client.post("/notes", content=large, headers=headers)
    unannounced = await client.post("/notes", content=in_pieces(), headers=headers)
    fits = await client.post("/notes", json={"text": "x" * (BODY_BYTES_MAX - 100)})

    assert (announced.status_code, unannounced.status_code, fits.status_code) == (413, 413, 200)
    assert announced.headers["content-type"] == unannounced.headers["content-type"] == "application/problem+json"


async def test_a_listed_origin_may_call_and_no_other() -> None:
    async with client_of(an_app(cors_origins=[DESK])) as client:
        listed = await client.get("/notes/1", headers={"Origin": DESK})
        other = await client.get("/notes/1", headers={"Origin": "https://evil.example"})
        asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "X-API-Key"}
        may = await client.options("/notes", headers={"Origin": DESK} | asked)
        may_not = await client.options("/notes", headers={"Origin": "https://evil.example"} | asked)

    assert listed.headers["Access-Control-Allow-Origin"] == DESK
    assert "Access-Control-Allow-Credentials" not in listed.headers
    assert "Access-Control-Allow-Origin" not in other.headers
    assert (may.status_code, may_not.status_code) == (200, 400)


@pytest.mark.parametrize("origin", ["*", "https://*.example", "desk.example", "https://desk.example/", "null"])
def test_a_service_does_not_start_with_an_origin_that_is_none(origin: str) -> None:
    with pytest.raises(UsageError, match="SCIZOR_CORS_ORIGINS"):
        an_app(cors_origins=[origin])


async def test_the_docs_page_asks_nothing_from_outside(client: httpx.AsyncClient) -> None:
    page = await client.get("/docs")
    links = re.findall(r'(?:src|href)="([^"]+)"', page.text)

    assert page.headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self';")
    assert all(link.startswith(("/", "data:")) for link in links)
    for link in (link for link in links if link.startswith("/")):
        assert (await client.get(link)).status_code == 200, link
    assert "http" not in (await client.get("/docs/start.js")).text


async def test_the_docs_are_served_packed_or_not(client: httpx.AsyncClient) -> None:
    packed = await client.get("/docs/swagger-ui.css", headers={"Accept-Encoding": "gzip"})
    plain = await client.get("/docs/swagger-ui.css", headers={"Accept-Encoding": "identity"})
    other = await client.get("/docs/NOTICE")

    assert (packed.headers["Content-Encoding"], "Content-Encoding" in plain.headers) == ("gzip", False)
    assert packed.content == plain.content
    assert other.status_code == 404
    assert len(gzip.compress(plain.content)) > 10_000


async def test_requests_are_counted_by_route_never_by_address(client: httpx.AsyncClient) -> None:
    await client.get("/notes/secret-id")
    exposition = (await client.get("/metrics")).text

    assert 'scizor_http_requests_total{method="GET",route="/notes/{note_id}",status="200"} 1.0' in exposition
    assert "secret-id" not in exposition


async def test_the_description_shows_the_role_and_what_a_problem_looks_like(client: httpx.AsyncClient) -> None:
    operation = (await client.get("/openapi.json")).json()["paths"]["/notes/{note_id}"]["get"]

    assert operation["description"] == "Role: **viewer**."
    assert operation["responses"]["401"]["content"]["application/problem+json"]["schema"]["required"][3] == "detail"


async def test_health_says_why_it_is_not_well() -> None:
    app = an_app()
    service = Service("api_farmer", app_settings())
    app = create_app(
        About("x", "x"),
        service,
        Keyring(no_keys, service.clock, service.log),
        [],
        why_not_ready=lambda: {"database": "it does not answer"},
    )
    async with client_of(app) as client:
        answer = await client.get("/health")

    assert answer.status_code == 503
    assert answer.json() | {"time": "", "version": ""} == {
        "status": "degraded",
        "service": "api_farmer",
        "version": "",
        "time": "",
        "reasons": {"database": "it does not answer"},
    }


async def no_keys() -> list[KeyRecord]:
    return []


def app_settings() -> Settings:
    return Settings.model_construct(
        **{name: field.get_default(call_default_factory=True) for name, field in Settings.model_fields.items()}
    )
