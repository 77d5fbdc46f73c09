"""Every address of the three HTTP services, asked for what it documents and for what it does not: nothing breaks."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from functools import partial
from typing import Any

import pytest
from sqlalchemy import insert

from engine import risk
from infra.api_keys import Role
from infra.clock import SystemClock
from infra.http import HttpServer
from infra.settings import REPOSITORY, Settings
from infra.store import api_keys, backtests, book_rules, collection, optimizations, orders, quarantine, symbols
from infra.store.tables import bars
from schemas.account import RiskLimits
from schemas.collection import CollectionRun, RunState
from schemas.market import Quote, Source
from schemas.reconciliation import ReconciliationAsked
from schemas.strategy import Deploy, RunningState, StrategyState
from tests.builders import APPLE, NOON, SEEN, a_bar, a_fill, a_historical_bar, an_intent
from tests.integration.a_kill_switch import a_kill_switch
from tests.integration.an_api import Api, serving, until
from tests.integration.an_api_fuzz import Plan
from tests.integration.test_api_backtester import a_request, a_result
from tests.integration.test_api_data import a_finding
from tests.integration.test_api_farmer import a_symbol, row_of
from tests.integration.test_api_positions import some_history
from tests.integration.test_api_risk import a_book
from tests.integration.test_api_trader import (
    ACCOUNT,
    a_working_order,
    keep_upload,
    know_account_and_apple,
    store_decision,
    tell,
)
from tests.unit.test_optimisation import an_optimization, optimised

_KEYS = 20
_UPLOADED = [f"mine_{number}" for number in range(30)]
_TIMES = {"event_time": SEEN, "ingest_time": SEEN}

Fill = Callable[[Api], Awaitable[None]]


async def fill_farmer(api: Api) -> None:
    run = CollectionRun(**_TIMES, run_id="run-1", kind="history", state=RunState.STARTED, symbols=1, symbols_done=0)
    quote = {"contract_id": APPLE, "symbol": "AAPL", "bid": 440.0, "ask": 440.1, "bid_size": 1.0, "ask_size": 2.0}
    await api.store(lambda connection: symbols.put_symbols(connection, [a_symbol()]))
    day = row_of(a_historical_bar()) | {"bar_size_seconds": 86_400}  # the size that is given unless one is asked for
    await api.store(lambda connection: connection.execute(insert(bars).values(day)))
    await api.store(lambda connection: quarantine.put_findings(connection, [a_finding()]))
    await api.store(lambda connection: collection.put_runs(connection, [run]))
    await tell(api, Quote(event_time=NOON, ingest_time=SEEN, source=Source.IB, **quote))


async def fill_backtester(api: Api) -> None:
    done = a_request()
    of_uploads = [a_request(backtest_id=f"bt-{name}", strategy=name) for name in _UPLOADED]
    jobs: list[backtests.JobEvent] = [done, a_result(done), a_request(backtest_id="bt-2"), *of_uploads]
    await api.store(lambda connection: backtests.put_jobs(connection, jobs))
    searched = optimised(an_optimization(optimization_id="s-2"))
    searches: list[optimizations.SearchEvent] = [an_optimization(optimization_id="s-1"), searched]
    await api.store(lambda connection: optimizations.put_optimizations(connection, searches))
    for name in _UPLOADED:
        await api.store(partial(keep_upload, name=name))


async def fill_trader(api: Api) -> None:
    limits = RiskLimits(**_TIMES, scope=f"account:{ACCOUNT}", version=3, price_age_max_seconds=3600)
    deployed = {"command_id": "c1", "by": "test", "strategy": "buy_and_hold", "symbols": ("AAPL",)}
    deployment = Deploy(**_TIMES, strategy_id="crossover", account_id=ACCOUNT, **deployed)
    state = StrategyState(**_TIMES, strategy_id="crossover", state=RunningState.RUNNING, deployment=deployment)
    decision = risk.check(an_intent(), risk.Book(), SEEN)
    await know_account_and_apple(api)
    await api.store(a_book)
    await api.store(some_history)
    await api.store(lambda connection: book_rules.save_limits(connection, limits))
    await api.store(lambda connection: store_decision(connection, decision))
    update, row = a_working_order()
    await api.store(lambda connection: orders.add(connection, row))
    await api.store(lambda connection: orders.save_update(connection, update))
    await api.store(lambda connection: orders.save_fill(connection, a_fill()))
    asked = ReconciliationAsked(**_TIMES, request_id="r-1", account_id=ACCOUNT, by="test")
    await tell(api, state, asked, a_bar(close=441.25, ingest_time=SystemClock().now()))


FILLS: Mapping[str, Fill] = {
    "api_farmer": fill_farmer,
    "api_backtester": fill_backtester,
    "api_trader": fill_trader,
}
EXIST: Mapping[str, Mapping[str, Sequence[str]]] = {
    "api_farmer": {"symbol": ["AAPL"], "run_id": ["run-1"], "quarantine_id": [a_finding().quarantine_id]},
    "api_backtester": {
        "backtest_id": ["bt-1", "bt-2"],
        "optimization_id": ["s-1", "s-2"],
        "name": _UPLOADED,
        "strategy_id": ["buy_and_hold"],
        "version": ["1"],
    },
    "api_trader": {
        "order_id": ["intent-1"],
        "strategy_id": ["crossover"],
        "breach_id": ["b-1"],
        "symbol": ["AAPL"],
        "request_id": ["r-1"],
    },
}
NEVER_BY_CHANCE = {
    "GET /backtests/compare",
    "POST /corporate-actions",
    "POST /strategies",
    "PUT /strategies/{name}",
    "GET /risk/var",
    "PATCH /orders/{order_id}",
    "POST /orders/{order_id}/resolve",
    "PUT /risk/limits",
    "PUT /trading/allocation/{account_id}",
    "POST /trading/strategies",
}
"""They want two names that exist, the fields of a type, the text of a strategy, a year of prices, an order that works
or is unknown, an account that exists, names of its strategies, a strategy that fits: tests of their own ask those
well."""


@asynccontextmanager
async def a_full_service(name: str, settings: Settings) -> AsyncIterator[tuple[Api, str]]:
    """A service with something of everything in its tables and topics, and where it listens."""
    async with serving(name, settings) as api:
        await FILLS[name](api)
        server = HttpServer(api.app, "127.0.0.1", 0)
        listening = asyncio.create_task(server.run_until_stopped())
        await until(lambda: server.started)
        try:
            yield api, f"http://127.0.0.1:{server.port}"
        finally:
            server.stop()
            await listening


@pytest.mark.timeout(900)  # half a minute of a processor that is ours alone
@pytest.mark.parametrize("name", FILLS)
async def test_answers_are_as_documented_whatever_is_asked(name: str, stack_settings: Settings) -> None:
    async with a_kill_switch(stack_settings, gateway=False), a_full_service(name, stack_settings) as (api, address):
        made = [await api_keys.create(api.front.store, f"fuzz {n}", Role.ADMIN, SystemClock()) for n in range(_KEYS)]
        await api.front.keyring.refresh()
        document = await api.get("/openapi.json")
        verdict = await fuzzed(Plan(address, document, [key.text for key in made], EXIST[name]))

    assert not verdict["wrong"], "\n\n".join(sorted(verdict["wrong"])[:20])
    asked = {f"{method.upper()} {path}" for path, methods in document["paths"].items() for method in methods}
    assert verdict["statuses"].keys() == asked
    never = {label for label, statuses in verdict["statuses"].items() if not statuses.keys() & {"200", "202", "204"}}
    assert never <= NEVER_BY_CHANCE, "a good question was among all the bad ones"


async def fuzzed(plan: Plan) -> Mapping[str, Any]:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.integration.an_api_fuzz", stdin=PIPE, stdout=PIPE, cwd=REPOSITORY
    )
    told, _ = await child.communicate(json.dumps(asdict(plan)).encode())
    assert child.returncode == 0
    verdict: Mapping[str, Any] = json.loads(told)
    return verdict
