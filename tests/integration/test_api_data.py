"""What the data farmer serves of stored data: history in any form, coverage, quarantine, corporate actions."""

import io
import math
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from typing import Any

import polars as pl
import pytest

from consumers.api.collection_health import CollectionHealth
from infra.api_keys import Role
from infra.quality.findings import findings_of
from infra.quality.frames import judge
from infra.quality.stream import Series
from infra.served_history import WantedHistory, batches, plan_of
from infra.settings import Settings
from infra.store import corporate, quarantine, symbols
from infra.store.bars import add_bars
from infra.store.findings import Findings, finding_page
from schemas.market import Basis, HistoricalBar, Quarantined, Rejected, Released
from tests.builders import a_contract, a_historical_bar
from tests.integration.a_data_shelf import minutes, real_days
from tests.integration.an_api import Api, serving
from tests.integration.test_api_farmer import a_symbol

DAY = timedelta(days=1)
SPLIT = {"symbol": "AAPL", "type": "Split", "ex_date": "2005-02-28", "new_shares": 2, "old_shares": 1}


async def shelve(api: Api, *frames: pl.DataFrame) -> None:
    async def put(connection: Any) -> None:
        await symbols.put_symbols(connection, [a_symbol()])
        for frame in frames:
            await add_bars(connection, frame)

    await api.store(put)


async def take_in(api: Api, topic: str, count: int) -> Sequence[Any]:
    """What was published, stored as the persister stores it."""
    events: Sequence[Any] = await api.first_told(topic, count)
    if topic == "reference.corporate_actions.v1":
        await api.store(lambda connection: corporate.put_actions(connection, events))
    else:
        await api.store(lambda connection: quarantine.put_findings(connection, events))
    return events


async def test_apples_split_of_2005_is_undone_done_and_corrected_as_of_any_moment(stack_settings: Settings) -> None:
    first, last = date(2005, 2, 1), date(2005, 3, 31)
    traded = real_days(first, last, basis=Basis.RAW)
    path = "/data/historical/AAPL?start=2005-02&end=2005-03"
    async with serving("api_farmer", stack_settings) as api:
        await shelve(api, real_days(first, last, basis=Basis.SPLIT_ADJUSTED))
        before = await api.get(f"{path}&adjustment=raw")
        unwarned = await api.ask("GET", f"{path}&format=csv")
        warned = await api.ask("GET", f"{path}&adjustment=raw&format=csv")
        added = await api.ask("POST", "/corporate-actions", Role.TRADER, json=SPLIT)
        await take_in(api, "reference.corporate_actions.v1", 1)
        raw = await api.get(f"{path}&adjustment=raw")
        split = await api.get(path)
        wrong = await api.ask("POST", "/corporate-actions", Role.TRADER, json=SPLIT | {"new_shares": 3})
        actions = await take_in(api, "reference.corporate_actions.v1", 2)
        corrected = await api.get(f"{path}&adjustment=raw")
        known_then = await api.get(f"{path}&adjustment=raw&as_of={actions[0].ingest_time:%Y-%m-%dT%H:%M:%S.%fZ}")
        listed = await api.get("/corporate-actions/AAPL")

    assert (added.status_code, wrong.status_code) == (202, 202)
    assert before["warning"].startswith("prices as raw were asked for, but no split of AAPL is on record")
    assert (warned.headers["X-Warning"], warned.headers["X-Stored-Basis"]) == (before["warning"], "split_adjusted")
    assert "X-Warning" not in unwarned.headers
    assert (raw["warning"], split["warning"]) == ("", "")
    assert [bar["close"] for bar in raw["items"]] == traded["close"].to_list()
    assert [bar["volume"] for bar in raw["items"]] == traded["volume"].to_list()
    assert (len(raw["actions"]), raw["stored_basis"], raw["adjustment"]) == (1, "split_adjusted", "raw")
    assert [bar["close"] for bar in split["items"]] == [bar["close"] for bar in before["items"]]
    assert corrected["items"][0]["close"] == pytest.approx(before["items"][0]["close"] * 3)
    assert corrected["items"][-1] == before["items"][-1]
    assert known_then["items"] == raw["items"], "a correction does not rewrite what was known"
    assert [(each["revision"], each["new_shares"]) for each in listed["items"]] == [(0, 2.0), (1, 3.0)]


async def test_dividends_make_total_returns(stack_settings: Settings) -> None:
    first, last = date(2012, 8, 1), date(2012, 8, 31)
    dividend = {"symbol": "AAPL", "type": "Dividend", "ex_date": "2012-08-09", "amount": 2.65, "currency": "USD"}
    async with serving("api_farmer", stack_settings) as api:
        await shelve(api, real_days(first, last, basis=Basis.SPLIT_ADJUSTED))
        await api.ask("POST", "/corporate-actions", Role.TRADER, json=dividend)
        await take_in(api, "reference.corporate_actions.v1", 1)
        total = await api.get("/data/historical/AAPL?adjustment=total_return")
        plain = await api.get("/data/historical/AAPL")

    days = {
        bar["start"][:10]: (bar["close"], other["close"])
        for bar, other in zip(total["items"], plain["items"], strict=True)
    }
    left = 1 - 2.65 / days["2012-08-08"][1]
    assert days["2012-08-08"][0] == pytest.approx(days["2012-08-08"][1] * left)
    assert days["2012-08-09"][0] == days["2012-08-09"][1]


REFUSED_ACTIONS: list[tuple[dict[str, Any], str]] = [
    ({"new_shares": None}, "new_shares"),
    ({"amount": 2.0}, "amount"),
    ({"new_shares": -1}, "new_shares"),
    ({"old_shares": 2}, "no split"),
    ({"ex_date": "2005-02-31"}, "ex_date"),
    ({"ex_date": "0001-01-01"}, "ex_date"),
    ({"ratio": 2}, "ratio"),
    ({"type": "Merger"}, "type"),
    ({"symbol": "NOPE"}, "NOPE"),
]


async def test_an_action_that_makes_no_sense_is_refused_by_name(stack_settings: Settings) -> None:
    async with serving("api_farmer", stack_settings) as api:
        await api.store(lambda connection: symbols.put_symbols(connection, [a_symbol()]))
        for changes, field in REFUSED_ACTIONS:
            body = {name: value for name, value in (SPLIT | changes).items() if value is not None}
            answer = await api.ask("POST", "/corporate-actions", Role.TRADER, json=body)
            assert (answer.status_code in (404, 422), field in answer.text) == (True, True), (changes, answer.text)


async def test_history_comes_in_every_format_page_and_size(stack_settings: Settings) -> None:
    stored = minutes(date(2013, 2, 25), date(2013, 3, 1))
    path = "/data/historical/AAPL"
    async with serving("api_farmer", stack_settings) as api:
        await shelve(api, stored)
        pages, cursor = [], ""
        while cursor is not None:
            page = await api.get(path, params={"bar_size": "1m", "limit": 700} | ({"cursor": cursor} if cursor else {}))
            pages.append(page)
            cursor = page["next_cursor"]
        arrow = await api.ask("GET", f"{path}?bar_size=1m&format=arrow")
        parquet = await api.ask("GET", f"{path}?bar_size=1m", headers={"Accept": "application/vnd.apache.parquet"})
        table = await api.ask(
            "GET", f"{path}?bar_size=1m", headers={"Accept": "text/csv;q=0.9, application/json;q=0.1"}
        )
        hours = await api.get(f"{path}?bar_size=1h&start=2013-02-26&end=2013-02-27")
        days = await api.get(f"{path}?bar_size=1d&start=3d")
        small = await parts_of(api, 60, 86_400, 3600)
        nothing = await api.ask("GET", f"{path}?bar_size=1m&start=1999&end=2000&format=arrow")

    assert [len(page["items"]) for page in pages] == [700, 700, 550]
    assert small == [[500, 500, 500, 450], [1, 1, 1, 2], [8, 9, 9, 9]], "no bar is cut by a batch"
    assert {page["as_of"] for page in pages} == {pages[0]["as_of"]}
    closes = stored["close"].to_list()
    assert [bar["close"] for page in pages for bar in page["items"]] == closes
    assert pages[0]["items"][0]["start"] == "2013-02-25T14:30:00Z"
    assert pl.read_ipc_stream(io.BytesIO(arrow.content))["close"].to_list() == closes
    assert pl.read_parquet(io.BytesIO(parquet.content))["close"].to_list() == closes
    assert pl.read_csv(io.BytesIO(table.content))["close"].to_list() == closes
    assert arrow.headers["Content-Disposition"] == 'attachment; filename="AAPL-1m-split.arrow"'
    assert (hours["made_from"], len(hours["items"])) == ("1m", 14)
    assert [bar["start"][:10] for bar in days["items"]] == ["2013-02-27", "2013-02-28", "2013-03-01"]
    assert days["items"][-1]["end"] == "2013-03-01T21:00:00Z"
    assert pl.read_ipc_stream(io.BytesIO(nothing.content)).is_empty()


@pytest.mark.parametrize(
    ("kind", "read"), [("csv", pl.read_csv), ("arrow", pl.read_ipc_stream), ("parquet", pl.read_parquet)]
)
async def test_a_file_keeps_to_the_limit_and_tells_where_the_next_one_begins(
    stack_settings: Settings, kind: str, read: Callable[[io.BytesIO], pl.DataFrame]
) -> None:
    stored = minutes(date(2013, 2, 27), date(2013, 2, 28))
    files, cursor = [], ""
    async with serving("api_farmer", stack_settings) as api:
        await shelve(api, stored)
        while cursor is not None:
            asked = {"bar_size": "1m", "format": kind, "limit": "400"} | ({"cursor": cursor} if cursor else {})
            files.append(await api.ask("GET", "/data/historical/AAPL", params=asked))
            cursor = files[-1].headers.get("X-Next-Cursor")

    parts = [read(io.BytesIO(file.content)) for file in files]
    assert [len(part) for part in parts] == [400, 380]
    assert [close for part in parts for close in part["close"]] == stored["close"].to_list()


async def parts_of(api: Api, *sizes: int) -> list[list[int]]:
    """How many bars there are in each batch of 500 stored minutes, by size of the bars."""
    found = []
    for size in sizes:
        now = api.front.service.clock.now()
        wanted = WantedHistory(a_contract(), size, Basis.RAW, now)
        async with api.front.reading() as connection:
            plan = await plan_of(connection, wanted, now)
        found.append([len(frame) async for frame in batches(plan, api.front.reading, 500)])
    return found


BAD_QUESTIONS = [
    ("start=soon", 422, "start"),
    ("start=2013-02-02&end=2013-01-01", 422, "end must be after start"),
    ("cursor=first", 422, "cursor"),
    ("limit=0", 422, "limit"),
    ("format=csv&limit=10001", 422, "limit"),
    ("format=xml", 422, "format"),
    ("adjustment=none", 422, "adjustment"),
    ("bar_size=7s", 404, "stored sizes"),
    ("price_kind=bid", 404, "bid"),
    ("start=1900&end=2100", 422, "60 years"),
    ("as_of=yesterday", 422, "as_of"),
]


async def test_bad_questions_are_told_what_is_wrong(stack_settings: Settings) -> None:
    async with serving("api_farmer", stack_settings) as api:
        await shelve(api, judged_bars())
        for query, status, word in BAD_QUESTIONS:
            size = "" if "bar_size" in query else "&bar_size=5s"
            answer = await api.ask("GET", f"/data/historical/AAPL?{query}{size}")
            assert (answer.status_code, word in answer.text) == (status, True), (query, answer.text)
        unknown = await api.ask("GET", "/data/historical/NOPE")

    assert unknown.status_code == 404


async def test_coverage_tells_complete_partial_and_missing_sessions_with_reasons(stack_settings: Settings) -> None:
    stored = real_days(date(2012, 12, 3), date(2013, 1, 31), basis=Basis.SPLIT_ADJUSTED)
    lacking = pl.concat([stored[:10], stored[12:15], stored[16:]])
    kept_out = stored[15:16].with_columns(high=pl.lit(math.nan))
    finding = findings_of(judge(kept_out, Series(86_400)), kept_out, "AAPL")
    small = minutes(date(2013, 2, 25), date(2013, 2, 27))
    async with serving("api_farmer", stack_settings) as api:
        await shelve(api, lacking, pl.concat([small[:390], small[500:]]))
        await api.store(lambda connection: quarantine.put_findings(connection, finding))
        daily = await api.get("/coverage/AAPL")
        later = await api.get("/coverage/AAPL?end=2013-02-06T00:00:00Z")
        by_minute = await api.get("/coverage/AAPL?bar_size=1m")
        every = await api.get("/coverage")
        none = await api.get("/coverage/AAPL?bar_size=5m")
        absurd = await api.ask("GET", "/coverage/AAPL?start=0001-01-01T00:00:00Z")

    assert {name: daily["total"][name] for name in ("sessions", "complete", "partial", "missing")} == {
        "sessions": len(stored), "complete": len(stored) - 3, "partial": 0, "missing": 3,
    }  # fmt: skip
    assert [(each["sessions"], each["state"], each["reason"]) for each in daily["lacks"]] == [
        (2, "missing", "never collected"),
        (1, "missing", "kept out: not_finite"),
    ]
    assert [year["year"] for year in daily["years"]] == [2012, 2013]
    assert later["total"]["missing"] == 6
    assert [(each["state"], each["bars"], each["expected"]) for each in by_minute["lacks"]] == [("partial", 280, 390)]
    assert by_minute["total"]["percent"] == pytest.approx(100 * 1060 / 1170, abs=0.01)
    assert [(item["symbol"], item["total"]["missing"]) for item in every["items"]] == [("AAPL", 3)]
    assert none["note"].startswith("no bars of 5m are stored, but of 1m, 1d: `scizor data coverage AAPL --bar-size 1d`")
    assert "?bar_size=1d" in none["note"]
    assert (absurd.status_code, "start" in absurd.text) == (422, True)


def judged_bars() -> pl.DataFrame:
    from infra.columns import frame_of

    return frame_of([a_historical_bar()])


def a_finding(**changes: Any) -> Quarantined:
    bad = judged_bars().with_columns(**{name: pl.lit(value) for name, value in ({"high": 4400.0} | changes).items()})
    before = judged_bars().with_columns(start_us=pl.col("start_us") - 5_000_000, end_us=pl.col("end_us") - 5_000_000)
    (found,) = findings_of(judge(bad, Series(5), before=before), bad, "AAPL")
    return found


async def test_a_person_closes_a_warning_of_which_the_bar_went_through(stack_settings: Settings) -> None:
    days = real_days(date(2005, 2, 1), date(2005, 2, 28), basis=Basis.RAW)
    (jump,) = findings_of(judge(days, Series(86_400)), days, "AAPL")
    async with serving("api_farmer", stack_settings) as api:
        await api.store(lambda connection: symbols.put_symbols(connection, [a_symbol()]))
        await api.store(lambda connection: quarantine.put_findings(connection, [jump]))
        rejected = await api.ask("POST", f"/quarantine/{jump.quarantine_id}/reject", Role.TRADER)
        async with api.front.reading() as connection:
            waiting = await finding_page(connection, Findings(waits=True), 10)
        released = await api.ask("POST", f"/quarantine/{jump.quarantine_id}/release", Role.TRADER)
        await take_in(api, "market.quarantine.v1", 1)
        async with api.front.reading() as connection:
            left = await finding_page(connection, Findings(waits=True), 10)

    assert jump.rule == "split_like"
    assert (rejected.status_code, "release it to close it" in rejected.text) == (409, True)
    assert (released.status_code, released.json()["resolution"]) == (202, "released")
    assert [row["quarantine_id"] for row in waiting] == [jump.quarantine_id]
    assert left == []


async def test_a_person_releases_or_rejects_what_was_kept_out(stack_settings: Settings) -> None:
    wild, impossible = a_finding(), a_finding(close=math.nan)
    async with serving("api_farmer", stack_settings) as api:
        await api.store(lambda connection: symbols.put_symbols(connection, [a_symbol()]))
        await api.store(lambda connection: quarantine.put_findings(connection, [wild, impossible]))
        listed = await api.get("/quarantine?symbol=AAPL&severity=error&undecided=true")
        forbidden = await api.ask("POST", f"/quarantine/{wild.quarantine_id}/release", Role.VIEWER)
        never = await api.ask("POST", f"/quarantine/{impossible.quarantine_id}/release", Role.TRADER)
        released = await api.ask("POST", f"/quarantine/{wild.quarantine_id}/release", Role.TRADER)
        rejected = await api.ask("POST", f"/quarantine/{impossible.quarantine_id}/reject", Role.TRADER)
        decisions = await take_in(api, "market.quarantine.v1", 2)
        bars = await api.first_told("market.history.v1")
        again = await api.ask("POST", f"/quarantine/{wild.quarantine_id}/reject", Role.TRADER)
        left = await api.get("/quarantine?undecided=true")
        one = await api.get(f"/quarantine/{wild.quarantine_id}")
        unknown = await api.ask("GET", "/quarantine/nothing")
        audit = await api.audit()

    assert {item["rule"] for item in listed["items"]} == {"bad_print", "not_finite"}
    assert (forbidden.status_code, never.status_code, "reject it" in never.text) == (403, 422, True)
    assert (released.status_code, released.json()["resolution"]) == (202, "released")
    assert (rejected.status_code, rejected.json()["resolved_by"]) == (202, "test trader")
    assert [type(each) for each in decisions] == [Released, Rejected]
    (bar,) = bars
    assert isinstance(bar, HistoricalBar)
    assert bar == a_historical_bar(high=4400.0, ingest_time=bar.ingest_time), "as it was"
    assert again.status_code == 409
    assert left["items"] == []
    assert one["resolution"] == "released"
    assert unknown.status_code == 404
    assert [row.action for row in audit if row.outcome == "done"] == [
        "POST /quarantine/{quarantine_id}/release",
        "POST /quarantine/{quarantine_id}/reject",
    ]


async def test_health_tells_how_far_collection_is_on_each_exchange(stack_settings: Settings) -> None:
    days = real_days(date(2013, 2, 1), date(2013, 2, 28), basis=Basis.SPLIT_ADJUSTED)
    others = [a_symbol("MSFT", contract_id=272093), a_symbol("IBM", contract_id=8314)]
    behind = days[:-1].with_columns(contract_id=pl.lit(272093, dtype=pl.Int64))
    async with serving("api_farmer", stack_settings) as api:
        await shelve(api, days, behind)
        await api.store(lambda connection: symbols.put_symbols(connection, others))
        await api.store(lambda connection: quarantine.put_findings(connection, [a_finding()]))
        front = api.front
        health = CollectionHealth(front)
        await health.look()
        told = health.facts()["collection"]
        answer = (await api.client.get("/health")).json()

    assert told["exchanges"] == [
        {"exchange": "NASDAQ", "symbols": 3, "with_bars": 2, "latest_session": "2013-02-28", "up_to_date": 1}
    ]
    assert (told["undecided_findings"], told["last_run"]) == (1, None)
    assert answer["status"] == "ok"
    assert "exchanges" in answer["collection"]
