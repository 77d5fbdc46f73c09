"""`api.*`: the three HTTP services on stored data under an open loop of 200 requests a second over 100 connections.

Beside each, in alternating rounds, a bare FastAPI route under the same server; beside the data farmer's load, one
client that asks again and again for a year of minute bars as Arrow.
"""

import asyncio
import contextlib
import json
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from infra.api_keys import Role
from infra.clock import SystemClock, SystemEntropy
from infra.settings import REPOSITORY, Settings
from infra.store import api_keys
from infra.store.database import Store
from producers.cli.desk import Desk, Feed
from schemas.backtest import BacktestFinished, BacktestRequested
from schemas.collection import CollectHistory, CollectionRun, RunState, ValidateSymbols
from schemas.event import Event
from schemas.market import Want
from schemas.validation import Symbol
from tests.bench.a_system import a_folder, a_system
from tests.bench.open_loop import Plan

_SERVICES = ["market_data", "data_farmer", "persister", "backtester", "api_farmer", "api_backtester", "api_trader"]
_KEYS = 10
"""Each may ask 50 times a second: together they are well below their limits."""
_BACKTESTS = 25
_UNIVERSE = REPOSITORY / "infra" / "universe.csv"
_LAST_DAY = datetime(2013, 2, 28, tzinfo=UTC)
_YEAR = timedelta(days=365)
_MINUTES = f"/data/historical/AAPL?bar_size=1m&format=arrow&start={_LAST_DAY - _YEAR:%Y-%m-%d}&end={_LAST_DAY:%Y-%m-%d}"
_DAYS = f"/bars/AAPL?bar_size=1d&limit=300&start={_LAST_DAY - _YEAR:%Y-%m-%dT%H:%M:%SZ}"

_PRICE = "/data/realtime/AAPL"
"""The latest price alone: from memory, in less than 5 ms."""

PATHS = {
    "farmer": ["/symbols?limit=50", "/quotes/AAPL", _DAYS],
    "backtester": ["/strategies", "/backtests?limit=25", "/backtests/{backtest_id}"],
    "trader": ["/orders?limit=50", "/positions", "/trading/state"],
}


def run(quick: bool) -> list[dict[str, Any]]:
    """Start a system of its own, fill it through its own pipeline, load each service in turn."""
    with a_folder() as folder, a_system(folder, _SERVICES, simulator_speed=1.0) as stack:
        keys, backtest_id = asyncio.run(_fill(stack.settings))
        ports = {name: stack.health_ports[f"api_{name}"] for name in PATHS}
        with _bare() as bare_port:
            plan = Plan("127.0.0.1", bare_port, ["/bare"], keys, seconds=5 if quick else 20)
            return [
                row
                for name, paths in PATHS.items()
                for row in _measured(
                    name,
                    plan,
                    replace(plan, port=ports[name], paths=[p.format(backtest_id=backtest_id) for p in paths]),
                    rounds=1 if quick else 3,
                )
            ]


@contextlib.contextmanager
def _bare() -> Iterator[int]:
    with subprocess.Popen(
        [sys.executable, "-m", "tests.bench.bare_api"], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None, "it was asked for"
        try:
            yield int(process.stdout.readline())
        finally:
            process.terminate()


def _measured(name: str, bare: Plan, ours: Plan, *, rounds: int) -> list[dict[str, Any]]:
    """Rows of one service; every round loads the bare route and then ours."""
    raw: list[float] = []
    found: list[float] = []
    prices: list[float] = []
    loaded: list[float] = []
    arrows: list[float] = []
    failures: Counter[str] = Counter()
    _load([replace(ours, seconds=2.0)])  # caches, prepared statements, the pool
    for _ in range(rounds):
        raw += _load([bare])[0]["latencies_ms"]
        (outcome,) = _load([ours])
        found += outcome["latencies_ms"]
        failures.update(outcome["failures"])
        if name == "farmer":
            (price,) = _load([replace(ours, paths=[_PRICE])])
            prices += price["latencies_ms"]
            failures.update({f"price {why}": count for why, count in price["failures"].items()})
            beside, download = _load([ours, replace(ours, paths=[_MINUTES], connections=1, rate=0.0)])
            loaded += beside["latencies_ms"]
            arrows += download["latencies_ms"]
            failures.update({f"beside a download {why}": count for why, count in beside["failures"].items()})
            failures.update({f"arrow {why}": count for why, count in download["failures"].items()})
    detail = {
        "p50": statistics.median(found),
        "bare_p50": statistics.median(raw),
        "requests": len(found) + failures.total(),
        "failures": dict(failures),
    }
    rows = [_row(f"api.{name}.p99", _p99(found), _p99(raw), detail)]
    if prices:
        price_detail = {"p50": statistics.median(prices), "asked": len(prices), "promised_ms": 5.0}
        rows.append(_row("api.farmer.latest_price_p99", _p99(prices), _p99(raw), price_detail))
    if arrows:
        asked = {"asked": len(arrows), "median": statistics.median(arrows), "p99_of_the_load": _p99(loaded)}
        rows.append(_row("api.farmer.arrow_max", max(arrows), 500.0, asked))
    return rows


def _load(plans: Sequence[Plan]) -> list[dict[str, Any]]:
    """Carry out plans at the same time, each in a process of its own."""
    command = [sys.executable, "-m", "tests.bench.open_loop"]
    children = []
    for plan in plans:
        child = subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert child.stdin is not None, "it was asked for"
        child.stdin.write(json.dumps(asdict(plan)))
        child.stdin.close()
        children.append(child)
    outcomes = []
    for child in children:
        assert child.stdout is not None, "it was asked for"
        outcomes.append(json.loads(child.stdout.read()))
        child.stdout.close()
        child.wait()
    return outcomes


def _p99(values: list[float]) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[98]


def _row(name: str, value: float, raw: float, detail: object) -> dict[str, Any]:
    return {"name": name, "value": value, "unit": "ms", "raw": raw, "ratio": value / raw, "detail": detail}


# what is in the database


async def _fill(settings: Settings) -> tuple[list[str], str]:
    """Bring symbols, bars, quotes and backtests through the pipeline itself; gives keys, and one backtest's id."""
    entropy, clock = SystemEntropy(), SystemClock()

    def said(**fields: Any) -> dict[str, Any]:
        return {"event_time": clock.now(), "ingest_time": clock.now(), "requested_by": "bench", **fields}

    async with Desk(settings) as desk:
        feed = await desk.feed(["collection.runs.v1", "backtest.results.v1", "reference.symbols.v1"])
        universe = [line.split(",")[:2] for line in _UNIVERSE.read_text(encoding="utf-8").splitlines()[1:]]
        names = [f"{symbol}:{exchange}" if exchange == "ASX" else symbol for symbol, exchange in universe]
        await desk.publish(ValidateSymbols(**said(run_id=entropy.new_id(), symbols=("AAPL", *names))))
        contract_id = await _contract_of(feed, "AAPL")
        await _done(feed, 1)
        for size, years in ((timedelta(days=1), 3), (timedelta(minutes=1), 1)):
            run = {"symbols": ("AAPL",), "bar_size": size, "start": _LAST_DAY - years * _YEAR, "end": _LAST_DAY}
            await desk.publish(CollectHistory(**said(run_id=entropy.new_id(), **run)))
        await _done(feed, 2)
        wanted = said(contract_id=contract_id, symbol="AAPL", quotes=True, holder="bench")
        await desk.publish(Want(**wanted))
        ids = [entropy.new_id() for _ in range(_BACKTESTS)]
        for number, backtest_id in enumerate(ids):
            request = said(backtest_id=backtest_id, strategy="moving_average_crossover", symbols=("AAPL",))
            await desk.publish(BacktestRequested(**request, parameters={"fast": 5 + number, "slow": 50}))
        for _ in ids:
            await feed.first(lambda each: isinstance(each, BacktestFinished), seconds=60, what="a backtest")
    store = Store(settings, "cli", pool_size=1)
    try:
        return [(await api_keys.create(store, f"bench {n}", Role.VIEWER, clock)).text for n in range(_KEYS)], ids[-1]
    finally:
        await store.close()


async def _contract_of(feed: Feed, symbol: str) -> int:
    def is_it(each: Event) -> bool:
        return isinstance(each, Symbol) and each.symbol == symbol and each.contract is not None

    found = await feed.first(is_it, seconds=60, what=f"the validation of {symbol}")
    assert isinstance(found, Symbol), "as it was chosen"
    assert found.contract is not None, "as it was chosen"
    return found.contract.contract_id


async def _done(feed: Feed, count: int) -> None:
    ended = (RunState.DONE, RunState.FAILED)
    for _ in range(count):
        run = await feed.first(
            lambda each: isinstance(each, CollectionRun) and each.state in ended, seconds=300, what="a collection"
        )
        assert isinstance(run, CollectionRun), "as it was chosen"
        sys.stderr.write(f"  {run.kind}: {run.state}, {run.bars_published} bars, {len(run.failures)} failures\n")
