"""The backtester's HTTP service on the real broker and database."""

import asyncio
from datetime import timedelta
from typing import Any

from infra.api_keys import Role
from infra.embedded.ports import free_port
from infra.settings import Settings
from infra.store import backtests, optimizations
from infra.store.database import Store
from schemas.backtest import BacktestCanceled, BacktestFinished, BacktestProgress, BacktestRequested
from schemas.research import OptimizationCanceled, OptimizationRequested, WalkForward
from tests.builders import NOON, SEEN
from tests.integration.an_api import Api, serving
from tests.integration.test_api_realtime import server_sent
from tests.unit.test_optimisation import optimised

REQUEST = {"strategy": "moving_average_crossover", "symbols": ["AAPL"], "parameters": {"fast": 5, "slow": 20}}


A_TRIP = {
    "symbol": "AAPL",
    "direction": "long",
    "quantity": "1",
    "entry_time": "2013-02-27T14:30:00Z",
    "entry_price": "100",
    "exit_time": "2013-02-28T14:30:00Z",
    "exit_price": "99.6",
    "bars": 1,
    "commission": "0.1",
    "pnl": "-0.5",
    "return": -0.005,
    "open": False,
}


def a_request(**changes: Any) -> BacktestRequested:
    fields = {
        "event_time": SEEN,
        "ingest_time": SEEN,
        "backtest_id": "bt-1",
        "strategy": "buy_and_hold",
        "symbols": ("AAPL",),
        "requested_by": "test",
    }
    return BacktestRequested(**(fields | changes))


def a_result(request: BacktestRequested, **changes: Any) -> BacktestFinished:
    fields = {
        "event_time": SEEN + timedelta(seconds=5),
        "ingest_time": SEEN + timedelta(seconds=5),
        "backtest_id": request.backtest_id,
        "request": request,
        "succeeded": True,
        "code_hash": "c0de",
        "bars": 3,
        "result_hash": "beef",
        "metrics": {"sharpe": 1.5, "sortino": None},
        "equity": ((NOON.isoformat(), 100_000.0), ((NOON + timedelta(days=1)).isoformat(), 101_000.0)),
    }
    return BacktestFinished(**(fields | changes))


async def tell(api: Api, progress: BacktestProgress) -> None:
    """Publish in the backtester's name."""
    publisher = api.front.service.publisher
    publisher._writes = publisher._writes | {"backtest.progress.v1"}
    await api.front.service.publish(progress)


async def test_a_backtest_is_requested_followed_and_cancelled(stack_settings: Settings) -> None:
    async with serving("api_backtester", stack_settings) as api:
        requested = await api.ask("POST", "/backtests", Role.TRADER, json=REQUEST)
        place = requested.headers["Location"]
        at_once = await api.get(place)
        (told,) = await api.first_told("backtest.requests.v1")
        assert isinstance(told, BacktestRequested)
        await tell(
            api,
            BacktestProgress(
                event_time=SEEN,
                ingest_time=SEEN,
                backtest_id=told.backtest_id,
                phase="running",
                bars_done=400,
                bars_total=1000,
                eta_seconds=1.5,
            ),
        )
        async with asyncio.timeout(30):
            while (running := await api.get(place))["state"] != "running":
                await asyncio.sleep(0.02)
        cancelled = await api.ask("DELETE", place, Role.TRADER)
        (_, wish) = await api.first_told("backtest.requests.v1", 2)
        again = await api.ask("POST", f"{place}/cancel", Role.TRADER)
        audit = await api.audit()

    assert (requested.status_code, at_once["state"], at_once["progress"]) == (202, "requested", None)
    assert (told.parameters, told.bar_size, told.requested_by) == (
        {"fast": 5, "slow": 20},
        timedelta(days=1),
        "test trader",
    )
    assert running["progress"] == {"phase": "running", "bars_done": 400, "bars_total": 1000, "eta_seconds": 1.5}
    assert (cancelled.status_code, again.status_code) == (202, 202)
    assert [row.action for row in audit] == [
        "POST /backtests",
        "DELETE /backtests/{backtest_id}",
        "POST /backtests/{backtest_id}/cancel",
    ]
    assert isinstance(wish, BacktestCanceled)
    assert wish.backtest_id == told.backtest_id


async def test_wrong_requests_are_refused_before_anything_is_published(stack_settings: Settings) -> None:
    async with serving("api_backtester", stack_settings) as api:

        async def refusal(**changes: Any) -> tuple[int, str]:
            answer = await api.ask("POST", "/backtests", Role.TRADER, json=REQUEST | changes)
            return answer.status_code, answer.json()["detail"]

        unknown = await refusal(strategy="moving_average_crosover")
        parameter = await refusal(parameters={"fats": 5})
        size = await refusal(bar_size="1 fortnight")
        backwards = await refusal(start="2013-01-02T00:00:00Z", end="2013-01-01T00:00:00Z")
        published = await api.told("backtest.requests.v1")
        listed = await api.get("/strategies")

    assert (unknown[0], "did you mean moving_average_crossover?" in unknown[1]) == (422, True)
    assert (parameter[0], "did you mean fast?" in parameter[1]) == (422, True)
    assert size[0] == 422
    assert backwards == (422, "end must be after start")
    assert published == []
    assert "moving_average_crossover" in {each["name"] for each in listed}


async def test_results_are_listed_shown_and_compared(stack_settings: Settings) -> None:
    first, second = a_request(), a_request(backtest_id="bt-2", strategy="rsi_mean_reversion")
    failed = a_request(backtest_id="bt-3")
    events: list[backtests.JobEvent] = [
        first,
        a_result(first, round_trips=(A_TRIP, A_TRIP)),
        a_result(second, metrics={"sharpe": 0.5}),
        a_result(failed, succeeded=False, error="no bars"),
    ]
    async with serving("api_backtester", stack_settings) as api:
        await api.store(lambda connection: backtests.put_jobs(connection, events))
        done = await api.get("/backtests?state=done")
        one = await api.get("/backtests/bt-1")
        broken = await api.get("/backtests/bt-3")
        compared = await api.get("/backtests/compare?ids=bt-2,bt-1")
        alone = await api.ask("GET", "/backtests/compare?ids=bt-1")
        missing = await api.ask("GET", "/backtests/compare?ids=bt-1&ids=bt-9")
        too_late = await api.ask("DELETE", "/backtests/bt-1", Role.TRADER)
        report = await api.ask("GET", "/backtests/bt-1/report")
        no_report = await api.ask("GET", "/backtests/bt-3/report")
        side_by_side = await api.ask("GET", "/backtests/compare?ids=bt-1,bt-2&format=html")
        results = await api.get("/backtests/bt-1/results")
        no_results = await api.ask("GET", "/backtests/bt-3/results")
        trades = await api.get("/backtests/bt-1/trades?limit=1")
        ended = await api.ask("GET", "/backtests/bt-3/progress", headers={"Accept": "text/event-stream"})
        of_ibm = await api.get("/backtests?symbol=ibm")
        performance = await api.get("/performance/strategies/buy_and_hold")
        never_run = await api.ask("GET", "/performance/strategies/nothing")

    assert {each["backtest_id"] for each in done["items"]} == {"bt-1", "bt-2"}
    assert "equity" not in done["items"][0]
    assert one["equity"][0] == ["2013-02-28T17:00:00Z", 100_000.0]
    assert (one["result_hash"], one["request"]["strategy"]) == ("beef", "buy_and_hold")
    assert (broken["state"], broken["error"]) == ("failed", "no bars")
    assert [each["backtest_id"] for each in compared["items"]] == ["bt-2", "bt-1"]
    assert compared["metrics"]["sharpe"] == {"bt-2": 0.5, "bt-1": 1.5}
    assert compared["metrics"]["sortino"] == {"bt-2": None, "bt-1": None}
    assert (alone.status_code, missing.status_code, too_late.status_code) == (422, 404, 409)
    assert (report.status_code, report.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "buy_and_hold" in report.text
    assert "connect-src" not in report.headers["Content-Security-Policy"], "the page may not ask anybody for anything"
    assert (no_report.status_code, no_report.json()["detail"]) == (
        409,
        "backtest bt-3 has failed (no bars): only one that is done has a result",
    )
    assert (side_by_side.status_code, "2 backtests compared" in side_by_side.text) == (200, True)
    assert results == one
    assert no_results.status_code == 409
    assert [(each["symbol"], each["pnl"], each["gain"]) for each in trades["items"]] == [("AAPL", "-0.5", -0.005)]
    assert trades["next_offset"] == 1
    assert ended.text.startswith('event: end\ndata: {"backtest_id":"bt-3","state":"failed","progress":null')
    assert of_ibm["items"] == []
    assert (performance["backtests"], performance["done"], performance["failed"]) == (2, 1, 1)
    assert performance["metrics"]["sharpe"] == {"least": 1.5, "median": 1.5, "most": 1.5}
    assert (performance["best"], never_run.status_code) == ("bt-1", 404)


SEARCH = {"backtest": {"strategy": "moving_average_crossover", "symbols": ["AAPL"]}, "axes": ["fast=5:20:5"]}


async def test_a_search_is_requested_followed_cancelled_and_read(stack_settings: Settings) -> None:
    refused = [
        {**SEARCH, "axes": ["fats=5:20:5"]},
        {**SEARCH, "constraints": ["fast.real < 3"]},
        {**SEARCH, "read_holdout": True},
        {**SEARCH, "trials": 10**9},
    ]
    async with serving("api_backtester", stack_settings) as api:
        answers = [await api.ask("POST", "/optimizations", Role.TRADER, json=each) for each in refused]
        requested = await api.ask("POST", "/optimizations", Role.TRADER, json=SEARCH)
        place = requested.headers["Location"]
        at_once = await api.get(place)
        (told,) = await api.first_told("research.requests.v1")
        cancelled = await api.ask("POST", f"{place}/cancel", Role.TRADER)
        (_, wish) = await api.first_told("research.requests.v1", 2)
        assert isinstance(told, OptimizationRequested)
        assert isinstance(wish, OptimizationCanceled)
        store = Store(stack_settings, "persister")
        done = optimised(told.revised(walk_forward=WalkForward(train=200, test=100)))
        async with store.transaction() as transaction:
            await optimizations.put_optimizations(transaction.connection, [wish, done, told])
        await store.close()
        found = await api.get(place)
        listed = await api.get("/optimizations")
        report = await api.ask("GET", f"{place}/report", Role.VIEWER)
        late = await api.ask("POST", f"{place}/cancel", Role.TRADER)

    assert [each.status_code for each in answers] == [422] * 4
    assert "did you mean fast" in answers[0].text
    assert (requested.status_code, at_once["state"], cancelled.status_code) == (202, "requested", 202)
    assert wish.by == "test trader"
    assert (found["state"], found["trials_hash"]) == ("done", done.trials_hash)
    assert found["result"]["best"]["parameters"] == done.result["best"]["parameters"]
    assert [each["optimization_id"] for each in listed["items"]] == [told.optimization_id]
    assert "Walk forward" in report.text
    assert late.status_code == 409


async def test_a_request_that_is_repeated_with_its_key_is_one_backtest_and_a_key_has_only_so_many(
    stack_settings: Settings,
) -> None:
    settings = stack_settings.model_copy(update={"backtests_open_max": 2})
    async with serving("api_backtester", settings) as api:

        async def post(key: str, **changes: Any) -> Any:
            options = {"json": REQUEST | changes, "headers": {"Idempotency-Key": key}}
            return await api.ask("POST", "/backtests", Role.TRADER, **options)

        first, again = await post("the-first-key"), await post("the-first-key")
        other = await post("the-first-key", symbols=["IBM"])
        second = await post("the-second-key")
        third = await post("the-third-key")
        still = await post("the-first-key")
        await api.ask("POST", f"{second.headers['Location']}/cancel", Role.TRADER)
        asked = await api.first_told("backtest.requests.v1", 3)
        known = [each for each in asked if isinstance(each, BacktestRequested | BacktestCanceled)]
        await api.store(lambda connection: backtests.put_jobs(connection, known))
        fourth = await post("the-fourth-key", rules={"fill": "same_close"}, benchmark="spy")
        asked = await api.first_told("backtest.requests.v1", 4)
        told = next(each for each in asked if isinstance(each, BacktestRequested) and each.rules)

    assert [each.status_code for each in (first, again, other, second, third, still)] == [202, 202, 409, 202, 429, 202]
    assert first.json() == again.json() == still.json()
    assert "take a fresh one" in other.json()["detail"]
    assert (third.headers["Retry-After"], "has 2 backtests open, and may have 2" in third.json()["detail"]) == (
        "10",
        True,
    )
    assert fourth.status_code == 202
    assert (told.backtest_id, told.rules, told.benchmark, told.basis) == (
        fourth.json()["id"],
        {"fill": "same_close"},
        "SPY",
        "split_adjusted",
    )


async def test_progress_is_followed_until_the_backtest_has_ended(stack_settings: Settings) -> None:
    port = free_port()
    async with serving("api_backtester", stack_settings, port) as api:
        requested = await api.ask("POST", "/backtests", Role.TRADER, json=REQUEST)
        (told,) = await api.first_told("backtest.requests.v1")
        assert isinstance(told, BacktestRequested)
        place = f"{requested.headers['Location']}/progress"
        once = await api.get(place)
        word = {"event_time": SEEN, "ingest_time": SEEN, "backtest_id": told.backtest_id, "bars_total": 10}
        async with server_sent(api, port, place) as events, asyncio.timeout(60):
            begun = await anext(events)
            seen = []
            for done in (1, 9):
                await tell(api, BacktestProgress(**word, phase="running", bars_done=done))
                seen.append(await anext(events))
            await api.store(lambda connection: backtests.put_jobs(connection, [told, a_result(told)]))
            last = [event async for event in events]

    assert (once["state"], once["progress"]) == ("requested", None)
    assert (begun["event"], begun["data"]["state"]) == ("progress", "requested")
    assert [(each["event"], each["data"]["progress"]["bars_done"]) for each in seen] == [
        ("progress", 1),
        ("progress", 9),
    ]
    assert [(each["event"], each["data"]["state"]) for each in last] == [("end", "done")]
