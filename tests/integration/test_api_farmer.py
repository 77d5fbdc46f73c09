"""The data farmer's HTTP service on the real broker and database: requests are published, what is stored is read."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import insert

from infra.api_keys import Role
from infra.settings import Settings
from infra.store import collection, symbols
from infra.store.tables import bars
from infra.symbol_names import parse_symbol
from schemas.collection import CollectHistory, CollectionRun, RunState, ValidateSymbols
from schemas.market import HistoricalBar, Quote, Source, Want
from schemas.validation import Symbol, SymbolState
from tests.builders import APPLE, NOON, SEEN, a_contract, a_historical_bar
from tests.integration.an_api import Api, serving, until

DAY = timedelta(days=1)


def a_symbol(name: str = "AAPL", state: SymbolState = SymbolState.VALID, contract_id: int = APPLE) -> Symbol:
    return Symbol(
        event_time=NOON,
        ingest_time=SEEN,
        symbol_id=parse_symbol(name).symbol_id,
        symbol=name,
        state=state,
        contract=a_contract(symbol=name, contract_id=contract_id) if state is SymbolState.VALID else None,
        last_verified=SEEN,
    )


def row_of(bar: HistoricalBar) -> dict[str, object]:
    return {
        **bar.model_dump(exclude={"type", "symbol", "bar_size", "event_time"}, mode="python"),
        "bar_size_seconds": int(bar.bar_size.total_seconds()),
        "end_time": bar.event_time,
        "source": bar.source.value,
        "price_kind": bar.price_kind.value,
        "basis": bar.basis.value,
    }


async def know_apple(api: Api) -> None:
    await api.store(lambda connection: symbols.put_symbols(connection, [a_symbol()]))


async def test_symbols_are_searched_and_paged(stack_settings: Settings) -> None:
    registry = [a_symbol(), a_symbol("MSFT", contract_id=272093), a_symbol("NOPE", SymbolState.REJECTED)]
    async with serving("api_farmer", stack_settings) as api:
        await api.store(lambda connection: symbols.put_symbols(connection, registry))
        everything = await api.get("/symbols?limit=2")
        rest = await api.get(f"/symbols?limit=2&offset={everything['next_offset']}")
        by_name = await api.get("/symbols?search=apple inc")
        wildcard = await api.get("/symbols?search=%25")
        rejected = await api.get("/symbols?state=rejected")
        one = await api.get("/symbols/aapl")
        unknown = await api.ask("GET", "/symbols/TSLA")
        impossible = await api.ask("GET", "/symbols/!!")

    assert [item["symbol"] for item in everything["items"]] == ["AAPL", "MSFT"]
    assert ([item["symbol"] for item in rest["items"]], rest["next_offset"]) == (["NOPE"], None)
    assert len(by_name["items"]) == 3 - 1, "both contracts have Apple's name in this test, the rejected one has none"
    assert wildcard["items"] == [], "a wildcard is taken literally"
    assert [item["symbol"] for item in rejected["items"]] == ["NOPE"]
    assert (one["contract_id"], one["last_verified"]) == (APPLE, "2026-11-21T05:00:00Z")
    assert (unknown.status_code, "POST /symbols" in unknown.json()["detail"]) == (404, True)
    assert (impossible.status_code, "write AAPL" in impossible.json()["detail"]) == (422, True)


async def test_what_is_asked_for_is_published_and_audited_and_can_be_followed(stack_settings: Settings) -> None:
    async with serving("api_farmer", stack_settings) as api:
        headers = {"X-Request-Id": "desk-7-0001"}
        validation = await api.ask(
            "POST", "/symbols", Role.TRADER, json={"symbols": ["aapl", "BHP:ASX", "AAPL"]}, headers=headers
        )
        history = await api.ask("POST", "/collections", Role.TRADER, json={"symbols": ["AAPL"], "bar_size": "5s"})
        validate, collect = await api.first_told("collection.requests.v1", 2)
        followed = await api.get(history.headers["Location"])
        audit = await api.audit()

    assert (validation.status_code, history.status_code) == (202, 202)
    assert isinstance(validate, ValidateSymbols)
    assert isinstance(collect, CollectHistory)
    assert validate.symbols == ("AAPL", "BHP:ASX")
    assert validate.requested_by == "test trader"
    assert (collect.bar_size, collect.run_id) == (timedelta(seconds=5), history.json()["id"])
    assert (followed["state"], followed["kind"], followed["symbols"]) == ("requested", "history", 1)
    assert [(row.actor, row.role, row.action, row.outcome) for row in audit] == [
        ("test trader", "trader", "POST /symbols", "done"),
        ("test trader", "trader", "POST /collections", "done"),
    ]
    assert audit[0].request_id == "desk-7-0001"
    assert audit[0].detail["after"]["symbols"] == ["AAPL", "BHP:ASX"]
    assert audit[1].previous_hash == audit[0].hash != b""


async def test_a_run_is_told_as_the_topic_says_before_the_table_knows(stack_settings: Settings) -> None:
    def run(state: RunState, done: int) -> CollectionRun:
        return CollectionRun(
            event_time=SEEN + timedelta(seconds=done),
            ingest_time=SEEN + timedelta(seconds=done),
            run_id="run-1",
            kind="history",
            state=state,
            symbols=5,
            symbols_done=done,
        )

    async with serving("api_farmer", stack_settings) as api:
        await api.store(lambda connection: collection.put_runs(connection, [run(RunState.STARTED, 0)]))
        stored = await api.get("/collections/run-1")
        await tell(api, run(RunState.RUNNING, 3))
        async with asyncio.timeout(30):
            while (told := await api.get("/collections/run-1"))["symbols_done"] != 3:
                await asyncio.sleep(0.02)
        listed = await api.get("/collections")
        missing = await api.ask("GET", "/collections/run-2")

    assert stored["state"] == "started"
    assert told["state"] == "running"
    assert [item["symbols_done"] for item in listed["items"]] == [3]
    assert missing.status_code == 404


async def tell(api: Api, *events: CollectionRun | Quote | Want) -> None:
    """Publish in another service's name."""
    publisher = api.front.service.publisher
    for event in events:
        topic = api.front.service.catalogue.topic_of(type(event))
        publisher._writes = publisher._writes | {topic.name}
        await api.front.service.publish(event)


async def test_bars_come_in_pages_with_their_newest_revision(stack_settings: Settings) -> None:
    days = [
        a_historical_bar(
            bar_size=DAY, start=NOON + n * DAY, event_time=NOON + n * DAY + timedelta(hours=6), volume=float(n)
        )
        for n in range(5)
    ]
    corrected = days[2].revised(revision=1, close=441.25, ingest_time=SEEN + DAY)
    rows = [row_of(bar) for bar in (*days, corrected)]
    start = "2013-02-28T00:00:00Z"
    async with serving("api_farmer", stack_settings) as api:
        await know_apple(api)
        await api.store(lambda connection: connection.execute(insert(bars), rows))
        first = await api.get(f"/bars/AAPL?start={start}&limit=3")
        second = await api.get("/bars/AAPL", params={"start": first["next_start"], "limit": 3})
        newest = await api.get("/bars/AAPL?limit=2")
        before = await api.get("/bars/AAPL", params={"end": newest["previous_end"], "limit": 3})
        known_then = await api.get(f"/bars/AAPL?start={start}&as_of=2026-11-21T06:00:00Z")
        table = await api.ask("GET", f"/bars/AAPL?start={start}&format=csv&limit=2")
        too_many = await api.ask("GET", "/bars/AAPL?limit=1001")
        backwards = await api.ask("GET", f"/bars/AAPL?start={start}&end=2012-01-01T00:00:00Z")
        no_zone = await api.ask("GET", "/bars/AAPL?start=2013-02-28T00:00:00")
        other_size = await api.ask("GET", "/bars/AAPL?bar_size=5m")

    assert [bar["volume"] for bar in first["items"]] == [0.0, 1.0, 2.0]
    assert (first["items"][2]["close"], first["items"][2]["revision"]) == (441.25, 1)
    assert ([bar["volume"] for bar in second["items"]], second["next_start"]) == ([3.0, 4.0], None)
    assert [bar["volume"] for bar in newest["items"]] == [3.0, 4.0]
    assert [bar["volume"] for bar in before["items"]] == [0.0, 1.0, 2.0]
    assert known_then["items"][2]["revision"] == 0
    assert table.headers["content-type"].startswith("text/csv")
    assert table.text.splitlines()[:2] == [
        "time,open,high,low,close,volume",
        "2013-02-28T17:00:00Z,440.0,441.5,439.25,441.0,0.0",
    ]
    assert table.headers["X-Next-Start"] == "2013-03-02T17:00:00+00:00"
    assert {too_many.status_code, backwards.status_code, no_zone.status_code} == {422}
    assert backwards.json()["detail"] == "end must be after start"
    assert (other_size.status_code, "stored sizes: 1d" in other_size.json()["detail"]) == (404, True)


async def test_live_data_is_wanted_by_several_and_stops_when_nobody_wants_it(
    stack_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consumers.api.subscriptions._SEEN_SECONDS", 60.0)  # a busy machine may hear of itself late
    async with serving("api_farmer", stack_settings) as api:
        await know_apple(api)
        strategy = Want(
            event_time=SEEN, ingest_time=SEEN, contract_id=APPLE, symbol="AAPL", ticks=True, holder="strategy:x"
        )
        await tell(api, strategy)
        async with asyncio.timeout(30):
            while not await api.get("/subscriptions"):
                await asyncio.sleep(0.02)
        joined = await api.ask("POST", "/subscriptions/AAPL", Role.TRADER, json={"quotes": True, "bar_sizes": ["1m"]})
        odd = await api.ask("POST", "/subscriptions/AAPL", Role.TRADER, json={"bar_sizes": ["90s"]})
        left = await api.ask("DELETE", "/subscriptions/AAPL", Role.TRADER)
        again = await api.ask("DELETE", "/subscriptions/AAPL", Role.TRADER)
        wanted = await api.get("/subscriptions")
        told = await api.first_told("market.wants.v1", 3)

    assert joined.json()["wanted_by"] == ["api", "strategy:x"]
    assert joined.json()["bar_sizes"] == ["1m"]
    assert (odd.status_code, "whole minutes" in odd.text) == (422, True)
    assert joined.json()["ticks"] is True, "what others want goes on"
    assert left.json()["wanted_by"] == ["strategy:x"]
    assert again.status_code == 404
    assert [each["wanted_by"] for each in wanted] == [["strategy:x"]]
    assert [(each.holder, each.quotes) for each in told if isinstance(each, Want)] == [
        ("strategy:x", False),
        ("api", True),
        ("api", False),
    ]


async def test_the_last_quote_is_told_and_survives_poison(stack_settings: Settings) -> None:
    def quote(bid: float) -> Quote:
        return Quote(
            event_time=NOON,
            ingest_time=SEEN,
            contract_id=APPLE,
            symbol="AAPL",
            bid=bid,
            ask=bid + 0.02,
            bid_size=100,
            ask_size=200,
            source=Source.DERIVED,
        )

    async with serving("api_farmer", stack_settings) as api:
        await know_apple(api)
        none_yet = await api.ask("GET", "/quotes/AAPL")
        producer = api.front.service.publisher._producer
        assert producer is not None
        await tell(api, quote(440.0), quote(440.5))
        topic = stack_settings.topic_prefix + "market.quotes.v1"
        await producer.send_and_wait(topic, b"{poison", key=str(APPLE).encode())
        async with asyncio.timeout(30):
            while (answer := await api.ask("GET", "/quotes/AAPL")).status_code != 200 or answer.json()["bid"] != 440.5:
                await asyncio.sleep(0.02)
        await tell(api, quote(441.0))
        async with asyncio.timeout(30):
            while (answer := await api.ask("GET", "/quotes/AAPL")).json()["bid"] != 441.0:
                await asyncio.sleep(0.02)
        await until(lambda: api.front.service.metrics.dead_letters.labels("market.quotes.v1")._value.get() == 1)

    assert (none_yet.status_code, "POST /subscriptions/AAPL" in none_yet.json()["detail"]) == (404, True)
    assert answer.json()["event_time"] == "2013-02-28T17:00:00Z"
