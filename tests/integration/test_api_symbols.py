"""The registry over HTTP: anybody searches, traders change, administrators clear away; each change is audited."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

from consumers.persister import build as build_persister
from infra import topic_admin
from infra.api_keys import Role
from infra.clock import SystemClock
from infra.settings import Settings
from infra.store import symbols
from schemas.validation import Symbol, SymbolState
from tests.builders import APPLE
from tests.integration.a_gateway import simulator
from tests.integration.an_api import Api, serving
from tests.integration.test_api_farmer import a_symbol
from tests.integration.test_data_farmer import farming
from tests.integration.test_service import running


@contextlib.asynccontextmanager
async def everything_running(settings: Settings) -> AsyncIterator[Api]:
    await topic_admin.apply(settings)
    persister = running(build_persister(settings))
    async with (
        simulator() as gateway,
        persister,
        farming(settings, gateway.port),
        serving("api_farmer", settings) as api,
    ):
        yield api


async def know(api: Api, *entries: Symbol) -> None:
    await api.store(lambda connection: symbols.put_symbols(connection, entries))


async def seen(api: Api, path: str, field: str, value: object) -> Any:
    """The answer, once the persister has stored what makes `field` this `value`."""
    async with asyncio.timeout(30):
        while True:
            answer = await api.ask("GET", path)
            if answer.status_code == 200 and answer.json()[field] == value:
                return answer.json()
            await asyncio.sleep(0.05)


async def test_the_registry_is_filtered_counted_and_paged(stack_settings: Settings) -> None:
    now = SystemClock().now()
    registry = [
        a_symbol().revised(kind="stock", tags=("core", "tech"), last_verified=now - timedelta(days=91)),
        a_symbol("MSFT", contract_id=272093).revised(last_verified=now),
        a_symbol("VAS", contract_id=7).revised(
            exchange="ASX", currency="AUD", kind="etf", symbol_id="vas", last_verified=now
        ),
        a_symbol("NOPE", SymbolState.REJECTED),
        a_symbol("GONE", SymbolState.REMOVED),
    ]
    async with serving("api_farmer", stack_settings) as api:
        await know(api, *registry)
        found = {
            query: [item["symbol"] for item in (await api.get(f"/symbols?{query}"))["items"]]
            for query in ("exchange=asx", "currency=aud", "kind=etf", "tag=tech", "state=removed", "stale=true")
        }
        page = await api.get("/symbols?limit=3")
        apple = await api.get("/symbols/AAPL:NASDAQ")
        elsewhere = await api.ask("GET", "/symbols/AAPL:NYSE")

    assert found == {
        "exchange=asx": ["VAS"],
        "currency=aud": ["VAS"],
        "kind=etf": ["VAS"],
        "tag=tech": ["AAPL"],
        "state=removed": ["GONE"],
        "stale=true": ["AAPL"],
    }
    assert ([item["symbol"] for item in page["items"]], page["total"], page["next_offset"]) == (
        ["AAPL", "MSFT", "NOPE"],
        4,
        3,
    )
    assert (apple["symbol"], apple["contract_id"], apple["collect"], apple["stale"]) == ("AAPL", APPLE, True, True)
    assert elsewhere.status_code == 404


async def test_a_symbol_is_validated_changed_and_removed_and_each_step_is_audited(stack_settings: Settings) -> None:
    async with everything_running(stack_settings) as api:
        asked = await api.ask("POST", "/symbols?wait=10", Role.TRADER, json={"symbols": ["AAPL", "NOSUCH"]})
        await seen(api, "/symbols/AAPL", "state", "valid")
        body = {"state": "suspended", "note": "pending\nsplit", "tags": ["watch"], "collect": False}
        changed = await api.ask("PATCH", "/symbols/AAPL?wait=10", Role.TRADER, json=body)
        suspended = await seen(api, "/symbols/AAPL", "state", "suspended")
        impossible = await api.ask("PATCH", "/symbols/NOSUCH", Role.TRADER, json={"state": "delisted"})
        forbidden = await api.ask("DELETE", "/symbols/AAPL", Role.TRADER)
        removed = await api.ask("DELETE", "/symbols/AAPL?wait=10", Role.ADMIN)
        listed = await seen(api, "/symbols?state=removed", "total", 1)
        gone = await api.ask("GET", "/symbols/AAPL")
        audit = await api.audit()

    assert (asked.status_code, asked.json()["run"]["state"]) == (200, "done")
    assert list(asked.json()["run"]["failures"]) == ["NOSUCH"]
    assert (changed.status_code, changed.json()["run"]["kind"]) == (200, "change")
    assert {name: suspended[name] for name in body} == body
    assert (impossible.status_code, "NOSUCH is rejected" in impossible.json()["detail"]) == (409, True)
    assert forbidden.status_code == 403
    assert (removed.status_code, removed.json()["run"]["kind"]) == (200, "remove")
    assert [item["symbol"] for item in listed["items"]] == ["AAPL"]
    assert (gone.status_code, "removed by test admin" in gone.json()["detail"]) == (404, True)
    assert [(row.action, row.target, row.outcome) for row in audit if row.action != "POST /symbols"] == [
        ("PATCH /symbols/{symbol}", "AAPL", "done"),
        ("PATCH /symbols/{symbol}", "NOSUCH", "done"),
        ("DELETE /symbols/AAPL", "/symbols/AAPL", "refused"),
        ("DELETE /symbols/{symbol}", "AAPL", "done"),
    ]


async def test_without_an_outcome_in_time_the_answer_says_where_it_will_be(stack_settings: Settings) -> None:
    async with serving("api_farmer", stack_settings) as api:  # no data farmer
        await know(api, a_symbol())
        answer = await api.ask("DELETE", "/symbols/AAPL?wait=0.1", Role.ADMIN)
        followed = await api.get(answer.headers["Location"])

    assert (answer.status_code, answer.json()["run"]) == (202, None)
    assert (followed["state"], followed["kind"]) == ("requested", "remove")


_BAD: tuple[tuple[str, str, Any, str], ...] = (
    ("GET", "/symbols?limit=0", None, "limit"),
    ("GET", "/symbols?limit=100000", None, "limit"),
    ("GET", "/symbols?offset=-1", None, "offset"),
    ("GET", "/symbols?state=lost", None, "state"),
    ("GET", "/symbols?search=%00", None, "search"),
    ("GET", "/symbols?exchange=A%27%20OR%201", None, "exchange"),
    ("GET", "/symbols?tag=a%20b", None, "tag"),
    ("GET", "/symbols?colour=red", None, "colour"),
    ("GET", "/symbols/..%2F..%2Fetc", None, "no such address"),
    ("POST", "/symbols", {"symbols": []}, "symbols"),
    ("POST", "/symbols", {"symbols": ["A;B"]}, "symbols"),
    ("POST", "/symbols", {"symbols": ["AAPL"], "forced": True}, "forced"),
    ("POST", "/symbols?wait=1000", {"symbols": ["AAPL"]}, "wait"),
    ("PATCH", "/symbols/AAPL", {}, "nothing is to change"),
    ("PATCH", "/symbols/AAPL", {"state": "ambiguous"}, "state"),
    ("PATCH", "/symbols/AAPL", {"note": "a\u0000b"}, "note"),
    ("PATCH", "/symbols/AAPL", {"tags": ["a b"]}, "tags"),
    ("PATCH", "/symbols/AAPL", {"colect": False}, "did you mean collect"),
    ("PATCH", "/symbols/TSLA", {"collect": False}, "TSLA"),
    ("DELETE", "/symbols/TSLA", None, "TSLA"),
    ("DELETE", "/symbols/AAPL?keep_data=maybe", None, "keep_data"),
)
"""Method, address, body, and what the answer names."""


async def test_bad_input_is_told_by_the_name_of_its_field(stack_settings: Settings) -> None:
    async with serving("api_farmer", stack_settings) as api:
        await know(api, a_symbol())
        for method, path, body, field in _BAD:
            options: dict[str, Any] = {} if body is None else {"json": body}
            answer = await api.ask(method, path, Role.ADMIN, **options)

            assert 400 <= answer.status_code < 500, (method, path, answer.text)
            assert answer.headers["content-type"] == "application/problem+json"
            assert field in answer.text, (method, path)
        assert await api.told("reference.requests.v1") == []
