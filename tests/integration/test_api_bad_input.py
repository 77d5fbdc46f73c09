"""Nonsense by hand: each is refused by the name of what is wrong, nothing is published, and the service goes on."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest

from infra.api_keys import Role
from infra.settings import Settings
from tests.integration.an_api import Api
from tests.integration.test_api_fuzz import FILLS, a_full_service
from tests.integration.test_api_trader import ORDER, a_key

Question = tuple[str, int, str]
"""A path or a body, the status, and what has to be named."""

SQL = "'; DROP TABLE symbols; --"
LONG = "x" * 5000
PAGES: Sequence[Question] = [
    ("limit=0", 422, "query.limit"),
    ("limit=-1", 422, "query.limit"),
    ("limit=1001", 422, "query.limit"),
    ("limit=99999999999999999999999999", 422, "query.limit"),
    ("limit=ten", 422, "query.limit"),
    ("limit=NaN", 422, "query.limit"),
    ("limit=1e308", 422, "query.limit"),
    ("limit=", 422, "query.limit"),
    ("limit=1&limit=2", 422, "query.limit: given more than once"),
    ("offset=-1", 422, "query.offset"),
    ("offset=1000001", 422, "query.offset"),
    ("limits=5", 422, "query.limits: unknown parameter (did you mean limit?)"),
    ("%00=5", 422, "unknown parameter"),
    (f"{LONG}=5", 422, "unknown parameter"),
]
FARMER: Sequence[Question] = [
    *((f"/symbols?{query}", status, word) for query, status, word in PAGES),
    ("/symbols?search=%00", 422, "search"),
    (f"/symbols?search={LONG}", 422, "search"),
    ("/symbols?search=%ff%fe", 200, ""),
    (f"/symbols?search={SQL}", 200, ""),
    ("/symbols?state=gone", 422, "state"),
    ("/symbols?stale=perhaps", 422, "stale"),
    (f"/symbols?exchange={SQL}", 422, "exchange"),
    ("/symbols/NOPE", 404, "NOPE"),
    (f"/symbols/{SQL}", 422, "no symbol"),
    ("/symbols/AAPL%00", 422, "symbol"),
    (f"/symbols/{LONG}", 422, "symbol"),
    ("/symbols/%F0%9F%92%A9", 422, "no symbol"),
    ("/bars/AAPL?start=0001-01-01T00:00:00Z", 422, "query.start"),
    ("/bars/AAPL?start=0001-01-01T00:00:00%2B14:00", 422, "query.start"),
    ("/bars/AAPL?end=9999-12-31T23:59:59-14:00", 422, "query.end"),
    ("/bars/AAPL?end=9999-12-31T23:59:59Z", 422, "query.end"),
    ("/bars/AAPL?start=2013", 422, "query.start"),
    ("/bars/AAPL?start=NaN", 422, "query.start"),
    ("/bars/AAPL?start=1e308", 422, "query.start"),
    ("/bars/AAPL?start=2013-02-28T14:30:00", 422, "query.start"),
    ("/bars/AAPL?start=2013-02-31T14:30:00Z", 422, "query.start"),
    ("/bars/AAPL?start=2013-03-01T00:00:00Z&end=2013-02-01T00:00:00Z", 422, "end must be after start"),
    ("/bars/AAPL?as_of=0", 422, "query.as_of"),
    ("/bars/AAPL?bar_size=0s", 422, "query.bar_size"),
    ("/bars/AAPL?bar_size=-1d", 422, "query.bar_size"),
    ("/bars/AAPL?bar_size=999999d", 422, "query.bar_size"),
    ("/bars/AAPL?bar_size=NaN", 422, "query.bar_size"),
    ("/bars/AAPL?bar_size=P999999999DT23H59M59S", 422, "query.bar_size"),
    ("/bars/AAPL?source=tea leaves", 422, "query.source"),
    ("/data/historical/AAPL?start=99999y", 422, "start"),
    ("/data/historical/AAPL?end=0000", 422, "end"),
    ("/data/historical/AAPL?cursor=1.1.1", 422, "cursor"),
    ("/data/historical/AAPL?limit=10001", 422, "limit"),
    ("/coverage?bar_size=1y", 422, "bar_size"),
    ("/quarantine/..%2f..", 404, "no such address"),
    (f"/quarantine/{SQL}", 422, "quarantine_id"),
    ("/collections/%00", 422, "run_id"),
    ("/docs/%2e%2e%2fapplication.py", 404, "no such"),
    ("/docs/..%5capplication.py", 404, "no such"),
]
BACKTESTER: Sequence[Question] = [
    *((f"/backtests?{query}", status, word) for query, status, word in PAGES),
    ("/backtests?strategy=%00", 422, "strategy"),
    (f"/backtests?strategy={SQL}", 200, ""),
    ("/backtests/%00", 422, "backtest_id"),
    (f"/backtests/{SQL}", 404, "no backtest"),
    (f"/backtests/{LONG}", 422, "backtest_id"),
    ("/backtests/..%2f..%2fetc%2fpasswd", 404, "no such address"),
    ("/backtests/compare", 422, "ids"),
    ("/backtests/compare?ids=bt-1", 422, "ids"),
    ("/backtests/compare?ids=bt-1,%00", 422, "ids"),
    (f"/backtests/compare?ids={','.join(map(str, range(21)))}", 422, "ids"),
]
TRADER: Sequence[Question] = [
    *((f"/orders?{query}", status, word) for query, status, word in PAGES),
    ("/orders?working=maybe", 422, "working"),
    ("/orders?symbol=%00", 422, "symbol"),
    (f"/orders?account_id={SQL}", 200, ""),
    ("/orders/%00", 422, "order_id"),
    (f"/orders/{SQL}", 404, "no order"),
    (f"/fills?order_id={LONG}", 422, "order_id"),
    ("/positions?open_only=2", 422, "open_only"),
    ("/account?account_id=%00", 422, "account_id"),
    ("/strategies/%00", 422, "strategy_id"),
]
ADDRESSES: Mapping[str, Sequence[Question]] = {
    "api_farmer": FARMER,
    "api_backtester": BACKTESTER,
    "api_trader": TRADER,
}

UNREADABLE: Sequence[tuple[bytes, str, int, str]] = [
    (b"", "application/json", 422, "body"),
    (b"{", "application/json", 422, "body: not JSON"),
    (b'{"symbols": ["AAPL"],}', "application/json", 422, "body: not JSON"),
    (b"\xff\xfe{}", "application/json", 422, "body: not JSON"),
    (b'{"symbols": ["\xc3\x28"]}', "application/json", 422, "body: not JSON"),
    (b"[" * 100_000, "application/json", 422, "body"),
    (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "application/json", 422, "body"),
    (b"9" * 5000, "application/json", 422, "body"),
    (b"null", "application/json", 422, "body"),
    (b'"\\ud800"', "application/json", 422, "body"),
    (b"[]", "application/json", 422, "body"),
    (b"NaN", "application/json", 422, "body"),
    (b"{}", "text/plain", 422, "body"),
    (b"<order/>", "application/xml", 422, "body"),
    (b"a=b", "application/x-www-form-urlencoded", 422, "body"),
    (b"--x\r\n\r\n", "multipart/form-data; boundary=x", 422, "body"),
    (b"{}", "///", 422, "body"),
    (b" " * 1_000_001, "application/json", 413, "1000000 bytes"),
]
BODIES: Mapping[str, Sequence[tuple[str, str, Mapping[str, Any], str]]] = {
    "api_farmer": [
        ("POST", "/symbols", {"symbols": 5}, "body.symbols"),
        ("POST", "/symbols", {"symbols": []}, "body.symbols"),
        ("POST", "/symbols", {"symbols": [5]}, "body.symbols.0"),
        ("POST", "/symbols", {"symbols": [SQL]}, "body.symbols"),
        ("POST", "/symbols", {"symbols": ["AAPL"] * 1001}, "body.symbols"),
        ("POST", "/symbols", {"symbols": ["AAPL\0"]}, "symbols.0"),
        ("POST", "/symbols", {"symbols": ["\ud800"]}, "symbols.0"),
        ("POST", "/symbols", {"symbols": ["AAPL"], "symbls": 1}, "did you mean symbols?"),
        ("POST", "/symbols", {"symbols": ["AAPL"], "\ud800": 1}, "surrogate"),
        ("POST", "/symbols", {"symbols": ["AAPL"], "force": "yes"}, "body.force"),
        ("POST", "/collections", {"symbols": ["AAPL"], "start": 0}, "body.start"),
        ("POST", "/collections", {"symbols": ["AAPL"], "end": "9999-12-31T23:59:59Z"}, "body.end"),
        ("POST", "/collections", {"symbols": ["AAPL"], "first_day": "0001-01-01"}, "first_day"),
        ("POST", "/collections", {"symbols": ["AAPL"], "years": 1e308}, "body.years"),
        ("POST", "/collections", {"symbols": ["AAPL"], "years": True}, "body.years"),
        ("POST", "/collections", {"symbols": ["AAPL"], "bar_size": 5}, "bar_size"),
        ("POST", "/collections/daily", {"exchange": "../../XNYS"}, "exchange"),
        ("POST", "/collections/daily", {"days": 10**30}, "days"),
        ("POST", "/subscriptions/AAPL", {"bars": 1}, "body.bars"),
        ("POST", "/subscriptions/AAPL", {"bar_sizes": ["7s"]}, "body.bar_sizes"),
        ("PATCH", "/symbols/AAPL", {}, "body"),
        ("PATCH", "/symbols/AAPL", {"note": "a\0b"}, "note"),
        ("PATCH", "/symbols/AAPL", {"tags": [[]]}, "body.tags.0"),
    ],
    "api_backtester": [
        ("POST", "/backtests", {"parameters": {"fast": float("nan")}}, "parameters.fast"),
        ("POST", "/backtests", {"parameters": {"fast": float("inf")}}, "parameters.fast"),
        ("POST", "/backtests", {"parameters": {"fast": 10**400}}, "parameters.fast"),
        ("POST", "/backtests", {"parameters": {"fast": "a\0"}}, "parameters.fast"),
        ("POST", "/backtests", {"parameters": {"fast": [[[[]]]]}}, "fast"),
        ("POST", "/backtests", {"parameters": {"\0": 1}}, "NUL"),
        ("POST", "/backtests", {"parameters": []}, "body.parameters"),
        ("POST", "/backtests", {"cash": 1e308}, "body.cash"),
        ("POST", "/backtests", {"cash": -1}, "body.cash"),
        ("POST", "/backtests", {"cash": "NaN"}, "body.cash"),
        ("POST", "/backtests", {"strategy": "../../etc/passwd"}, "strategy"),
        ("POST", "/backtests", {"strategy": SQL}, "strategy"),
        ("POST", "/backtests", {"start": "0001-01-01T00:00:00Z"}, "body.start"),
        ("POST", "/backtests", {"start": "2013-02-01T00:00:00Z", "end": "2012-02-01T00:00:00Z"}, "end must be after"),
    ],
    "api_trader": [
        ("POST", "/orders", {"quantity": "NaN"}, "body.quantity"),
        ("POST", "/orders", {"quantity": "Infinity"}, "body.quantity"),
        ("POST", "/orders", {"quantity": 1e308}, "body.quantity"),
        ("POST", "/orders", {"quantity": 10**30}, "quantity"),
        ("POST", "/orders", {"quantity": 0}, "body.quantity"),
        ("POST", "/orders", {"quantity": "-0"}, "body.quantity"),
        ("POST", "/orders", {"quantity": SQL}, "body.quantity"),
        ("POST", "/orders", {"quantity": []}, "body.quantity"),
        ("POST", "/orders", {"quantity": True}, "body.quantity"),
        ("POST", "/orders", {"limit_price": "sNaN", "order_type": "LIMIT"}, "body.limit_price"),
        ("POST", "/orders", {"side": "HOLD"}, "body.side"),
        ("POST", "/orders", {"symbol": SQL}, "body.symbol"),
        ("POST", "/orders", {"account_id": LONG}, "body.account_id"),
        ("PUT", "/risk/limits", {"account_id": "D" * 128, "quantity_max": 1}, "body.account_id"),
        ("PUT", "/risk/limits", {"account_id": "DU1", "orders_per_minute_max": True}, "body.orders_per_minute_max"),
        ("PUT", "/risk/limits", {"account_id": "DU1", "quantity_max": True}, "body.quantity_max"),
        ("PUT", "/risk/limits", {"account_id": "DU1", "price_collar": "NaN"}, "body.price_collar"),
        ("PUT", "/risk/limits", {"account_id": "DU1"}, "body"),
        ("POST", "/trading/halt", {"scope": f"symbol:{SQL}", "reason": "x"}, "body.scope"),
        ("POST", "/trading/halt", {"reason": "a\0b"}, "reason"),
        ("POST", "/trading/halt", {"reason": "\udfff"}, "reason"),
        ("POST", "/trading/halt", {"reason": ""}, "body.reason"),
        ("POST", "/trading/arm", {"scope": "global", "reason": "x", "override": 1}, "body.override"),
    ],
}
GOOD: Mapping[str, Mapping[str, Any]] = {
    "/backtests": {"strategy": "moving_average_crossover", "symbols": ["AAPL"]},
    "/orders": ORDER,
}
"""What a body holds beside the field that is wrong."""
TAKES_A_BODY = {"api_farmer": "/symbols", "api_backtester": "/backtests", "api_trader": "/orders"}


@pytest.mark.parametrize("name", FILLS)
async def test_nonsense_is_refused_by_name_and_nothing_is_published(name: str, stack_settings: Settings) -> None:
    async with a_full_service(name, stack_settings) as (api, address):
        before = [await api.told(topic) for topic in api.front.service.spec.writes]
        answers = [
            (path, await asked(address, path, api.keys[Role.VIEWER]), status, word)
            for path, status, word in ADDRESSES[name]
        ]
        for method, path, fields, word in BODIES[name]:
            body = json.dumps({**GOOD.get(path, {}), **fields}).encode()
            answers.append((f"{path} {fields}", await sent(api, method, path, body), 422, word))
        for body, content_type, status, word in UNREADABLE:
            answer = await sent(api, "POST", TAKES_A_BODY[name], body, content_type)
            answers.append((f"{content_type} {body[:30]!r}", answer, status, word))
        after = [await api.told(topic) for topic in api.front.service.spec.writes]
        healthy = await api.ask("GET", "/ready")

    wrong = [(question[:200], answer) for question, answer, status, word in answers if not answer.is_it(status, word)]
    assert not wrong
    assert after == before
    assert healthy.status_code == 200


async def test_a_flood_of_headers_and_a_request_that_is_none_end_only_their_connection(
    stack_settings: Settings,
) -> None:
    async with a_full_service("api_backtester", stack_settings) as (api, address):
        key = api.keys[Role.VIEWER]
        many = await heard(address, b"GET /live HTTP/1.1\r\n" + b"X-Flood: 1\r\n" * 20_000 + b"\r\n")
        long = await heard(address, b"GET /live HTTP/1.1\r\nX-Flood: " + b"1" * 200_000 + b"\r\n\r\n")
        no_http = await heard(address, b"\x16\x03\x01 HELO\r\n\r\n")
        two_lengths = await heard(
            address, b"POST /backtests HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n{}"
        )
        announced = await heard(
            address,
            b"POST /backtests HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\n"
            b"Authorization: Bearer " + api.keys[Role.ADMIN].encode() + b"\r\nContent-Length: 99999999999\r\n\r\n",
        )
        pieces = b"".join(b"10000\r\n" + b" " * 0x10000 + b"\r\n" for _ in range(17)) + b"0\r\n\r\n"
        unannounced = await heard(
            address,
            b"POST /backtests HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\n"
            b"Authorization: Bearer "
            + api.keys[Role.ADMIN].encode()
            + b"\r\nTransfer-Encoding: chunked\r\n\r\n"
            + pieces,
        )
        afterwards = await asked(address, "/backtests", key)

    assert {first_line(each)[:12] for each in (many, long, no_http, two_lengths)} == {b"HTTP/1.1 400"}
    assert (first_line(announced)[9:12], first_line(unannounced)[9:12]) == (b"413", b"413")
    assert afterwards.status == 200


@dataclass(frozen=True)
class Told:
    status: int
    content_type: str
    body: str

    def is_it(self, status: int, word: str) -> bool:
        """Whether it is this status; a refusal has to be a problem document that holds the word."""
        if self.status != status or status < 400:
            return self.status == status
        return self.content_type == "application/problem+json" and word in json.loads(self.body)["detail"]


async def sent(api: Api, method: str, path: str, body: bytes, content_type: str = "application/json") -> Told:
    headers = {"Content-Type": content_type, **a_key()}
    answer = await api.ask(method, path, Role.ADMIN, content=body, headers=headers)
    return Told(answer.status_code, answer.headers["content-type"], answer.text)


async def asked(address: str, path: str, key: str) -> Told:
    """The answer to a path exactly as it stands here: clients would tidy it up."""
    head = f"GET {path.replace(' ', '%20')} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-API-Key: {key}\r\n\r\n"
    head, _, body = (await heard(address, head.encode())).decode().partition("\r\n\r\n")
    types = [line.partition(": ")[2] for line in head.splitlines() if line.lower().startswith("content-type: ")]
    return Told(int(head.split()[1]), types[0], body)


async def heard(address: str, request: bytes) -> bytes:
    """All that the service says before it ends the connection."""
    place = urlsplit(address)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    answer = b""
    try:
        async with asyncio.timeout(30):
            writer.write(request)
            while part := await reader.read(65536):
                answer += part
    except ConnectionError:
        pass  # it refuses to read on: what it said before counts
    finally:
        writer.close()
    return answer


def first_line(answer: bytes) -> bytes:
    return answer.partition(b"\r\n")[0]
