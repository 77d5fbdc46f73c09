"""`load.crash`: ten times the normal rate for a minute, with the executor killed in the middle, and people at the API.

Normal is an order a second, the sixty a minute that the limits of a new account allow, and ten quotes a second. Ten
orders and a hundred quotes a second go the whole way from topic and socket to the gateway; a hundred connections
ask the traders' API meanwhile. What became of every intent is judged by the simulator's ledger.
"""

import asyncio
import json
import os
import signal
import statistics
import subprocess
import sys
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg

from infra import broker
from infra.api_keys import Role
from infra.clock import SystemClock
from infra.embedded.ports import free_port
from infra.embedded.stack import Stack
from infra.gateway_simulator.control_client import ControlClient
from infra.keys import new_secret, write_secret
from infra.publish import outgoing
from infra.settings import REPOSITORY, Settings
from infra.store import api_keys
from infra.store.database import Store
from infra.topics import load_catalogue
from producers.cli.desk import Desk
from schemas.account import RiskLimits, TradingMode, TradingState
from schemas.collection import CollectionRun, RunState, ValidateSymbols
from schemas.market import Urgency, Want
from schemas.orders import OrderIntent
from tests.a_ledger import Ledger
from tests.bench.a_system import a_database, a_folder, a_system
from tests.bench.open_loop import Plan
from tests.builders import APPLE, an_intent

_SERVICES = ["market_data", "data_farmer", "persister", "risk", "executor", "portfolio", "api_trader"]
_PATHS = ["/orders?limit=50", "/positions", "/trading/state"]
_ACCOUNT, _SYMBOL = "DU1234567", "AAPL"
_NORMAL_ORDERS, _NORMAL_QUOTES, _TIMES = 1.0, 10.0, 10
_KEYS = 10
"""Each may ask 50 times a second: together they are well below their limits."""
_STRATEGIES = 50
"""In turn, so that no order is taken for a repetition of the one before it."""
_SETTLED_SECONDS = 120.0
_RECOVERED_SECONDS, _API_MS = 30.0, 100.0
_CLOCK = SystemClock()
_LOST = """
SELECT (SELECT count(*) FROM unnest($1::text[]) AS wished LEFT JOIN decisions ON intent_id = wished
            WHERE intent_id IS NULL) AS undecided,
    (SELECT count(*) FROM decisions d LEFT JOIN orders o ON o.order_id = d.intent_id
            WHERE d.approved AND coalesce(o.status, '') NOT IN ('FILLED', 'CANCELED', 'REJECTED', 'EXPIRED')) AS open,
    (SELECT count(*) FROM decisions WHERE approved) AS approved,
    (SELECT count(*) FROM orders WHERE status = 'FILLED') AS filled,
    (SELECT count(*) FROM book_executions WHERE revision > 0) AS executions,
    (SELECT coalesce(sum(quantity), 0) FROM book_positions) AS held,
    (SELECT coalesce(sum(quantity), 0) FROM positions) AS told,
    (SELECT json_object_agg(reason, n) FROM (
        SELECT reason, count(*) AS n FROM decisions WHERE NOT approved GROUP BY 1) counted) AS denied,
    (SELECT json_object_agg(why, n) FROM (
        SELECT split_part(reason, ':', 2) AS why, count(*) AS n FROM orders WHERE status = 'EXPIRED' GROUP BY 1
        ) counted) AS unsent
"""


@dataclass(frozen=True)
class _Found:
    """What became of it all."""

    intents: int
    lost: int
    detail: str
    recovered_seconds: float
    api: dict[str, Any]


def run(quick: bool) -> list[dict[str, Any]]:
    """Start a system of its own and load it."""
    with a_folder() as folder:
        ledger, token, port = folder / "ledger.jsonl", folder / "token", free_port()
        write_secret(token, new_secret())
        options = ["--ledger", str(ledger), "--control-port", str(port), "--control-token-file", str(token)]
        with a_system(folder, _SERVICES, options=options, simulator_speed=0.001) as stack:
            found = asyncio.run(_measure(stack, ledger, (port, token), 15.0 if quick else 60.0))
    return _rows(found)


def _rows(found: _Found) -> list[dict[str, Any]]:
    latencies, failures = found.api["latencies_ms"], found.api["failures"]
    asked = len(latencies) + sum(failures.values())
    p99 = statistics.quantiles(latencies, n=100, method="inclusive")[98]
    rows = [
        ("lost", float(found.lost), "records", float(found.intents), found.detail),
        (
            "recovered",
            found.recovered_seconds,
            "s",
            _RECOVERED_SECONDS,
            "from the executor's death to its next order at the gateway; raw: what is promised",
        ),
        (
            "api_p99",
            p99,
            "ms",
            _API_MS,
            f"{asked} requests over 100 connections, failures {failures}, at most 0.1 %; raw: what is promised",
        ),
        (
            "api_errors",
            100 * sum(failures.values()) / asked,
            "%",
            0.1,
            f"of {asked} requests; raw: what is promised",
        ),
    ]
    return [
        {"name": f"load.crash.{name}", "value": value, "unit": unit, "raw": raw, "ratio": value / raw, "detail": detail}
        for name, value, unit, raw, detail in rows
    ]


async def _measure(stack: Stack, ledger: Path, control: tuple[int, Path], seconds: float) -> _Found:
    settings = stack.settings
    async with Desk(settings) as desk, ControlClient(*control) as simulator, a_database(settings) as database:
        await _prepare(desk)
        await _begun(database, simulator)
        plan = Plan(
            "127.0.0.1", stack.health_ports["api_trader"], _PATHS, await _keys(settings), rate=100.0, seconds=seconds
        )
        names, *_, killed_at, api = await asyncio.gather(
            _send_orders(settings, seconds),
            _send_quotes(simulator, seconds),
            _kill_in_the_middle(stack, seconds),
            asyncio.to_thread(_ask, plan),
        )
        recovered = await _next_order_after(settings, ledger, killed_at, names)
        lost, detail = await _settled(database, ledger, names)
    return _Found(len(names), lost, detail, recovered, api)


# the load


async def _send_orders(settings: Settings, seconds: float, *, first: int = 0) -> list[str]:
    """Open loop; gives the ids of what was wished for."""
    topic = load_catalogue().topic_of(OrderIntent)
    rate = _NORMAL_ORDERS * _TIMES
    names = [f"load-{number}" for number in range(first, first + round(rate * seconds))]
    begun = _CLOCK.monotonic()
    async with broker.producer(settings) as producer:
        for number, name in enumerate(names):
            await asyncio.sleep(max(0.0, begun + number / rate - _CLOCK.monotonic()))
            record = outgoing(topic, _wish(name, number), None, "bench")
            await producer.send(
                settings.topic_prefix + record.topic, record.value, key=record.key, headers=record.headers
            )
        await producer.flush()
    return names


async def _next_order_after(settings: Settings, ledger: Path, killed_at: float, names: list[str]) -> float:
    """Seconds from the death to the first order at the gateway after it; goes on wishing until there is one."""
    deadline = _CLOCK.monotonic() + _SETTLED_SECONDS
    while True:
        moments = (line["monotonic_ns"] / 1e9 for line in Ledger.read(ledger).of("order_received"))
        later = [moment for moment in moments if moment > killed_at]
        if later or _CLOCK.monotonic() > deadline:
            return min(later, default=float("inf")) - killed_at
        names += await _send_orders(settings, 1.0, first=len(names))


def _wish(name: str, number: int) -> OrderIntent:
    now = _CLOCK.now()
    return an_intent(
        intent_id=name,
        strategy_id=f"load-{number % _STRATEGIES}",
        quantity=Decimal(1),
        reference_price=Decimal("441.00"),
        reference_time=now,
        event_time=now,
        ingest_time=now,
    )


async def _send_quotes(simulator: ControlClient, seconds: float) -> None:
    rate = _NORMAL_QUOTES * _TIMES
    begun = _CLOCK.monotonic()
    for number in range(round(rate * seconds)):
        await asyncio.sleep(max(0.0, begun + number / rate - _CLOCK.monotonic()))
        await simulator.quote(_SYMBOL, Decimal("441.00") + Decimal("0.01") * (number % 5))


async def _kill_in_the_middle(stack: Stack, seconds: float) -> float:
    await asyncio.sleep(seconds / 2)
    os.kill(stack.processes["executor"], signal.SIGKILL)
    return _CLOCK.monotonic()


def _ask(plan: Plan) -> dict[str, Any]:
    """The load of the API, in a process of its own."""
    command = [sys.executable, "-m", "tests.bench.open_loop"]
    done = subprocess.run(
        command, cwd=REPOSITORY, input=json.dumps(asdict(plan)), stdout=subprocess.PIPE, text=True, check=True
    )
    outcome: dict[str, Any] = json.loads(done.stdout)
    return outcome


# before and after


async def _prepare(desk: Desk) -> None:
    """A validated symbol whose prices come, wide limits, trading allowed."""

    def said(**fields: Any) -> dict[str, Any]:
        return {"event_time": _CLOCK.now(), "ingest_time": _CLOCK.now(), **fields}

    feed = await desk.feed(["collection.runs.v1"])
    wanted = said(run_id=desk.entropy.new_id(), symbols=(_SYMBOL,), requested_by="bench")
    await desk.publish(ValidateSymbols(**wanted))
    await feed.first(
        lambda e: isinstance(e, CollectionRun) and e.state is RunState.DONE, seconds=120, what="the validation"
    )
    wide = {
        **dict.fromkeys(("notional_max", "gross_exposure_max", "daily_loss_max"), Decimal(10**7)),
        **dict.fromkeys(("open_orders_max", "open_orders_per_contract_max"), 1_000),
        "orders_per_minute_max": 10_000,
        "position_max": Decimal(10**5),
    }
    await desk.publish(RiskLimits(**said(scope=f"account:{_ACCOUNT}", version=1, **wide)))
    await desk.publish(TradingState(**said(scope="global", mode=TradingMode.ACTIVE, reason="bench", by="bench")))
    need = {"contract_id": APPLE, "symbol": _SYMBOL, "holder": "bench", "urgency": Urgency.TRADING}
    await desk.publish(Want(**said(ticks=True, quotes=True, **need)))


async def _begun(database: "asyncpg.Connection[asyncpg.Record]", simulator: ControlClient) -> None:
    """Return when risk has a price, and knows that the account trades. A quote from before anybody listens is lost."""
    ready = (
        "SELECT EXISTS (SELECT FROM marks) AND EXISTS (SELECT FROM book_accounts)"
        f" AND EXISTS (SELECT FROM trading_state WHERE scope = 'account:{_ACCOUNT}' AND mode = 'ACTIVE')"
        " AND EXISTS (SELECT FROM risk_limits)"
    )
    async with asyncio.timeout(_SETTLED_SECONDS):
        while not await database.fetchval(ready):
            await simulator.quote(_SYMBOL, Decimal("441.00"))
            await asyncio.sleep(0.1)


async def _settled(database: "asyncpg.Connection[asyncpg.Record]", ledger: Path, names: list[str]) -> tuple[int, str]:
    """How many records are lost when nothing moves any more, and what became of the others."""
    deadline = _CLOCK.monotonic() + _SETTLED_SECONDS
    while True:
        row, told = await database.fetchrow(_LOST, names), Ledger.read(ledger)
        assert row is not None, "it is one row of figures"
        fills, held = len(told.fills), sum(told.positions().values(), Decimal(0))
        apart = abs(fills - row["executions"]), abs(held - row["held"]), abs(held - row["told"])
        lost = row["undecided"] + row["open"] + len(told.twice()) + int(max(apart))
        if not lost or _CLOCK.monotonic() > deadline:
            return lost, (
                f"{len(names)} intents, {row['approved']} approved, {row['filled']} filled, {fills} executions; sent "
                f"twice: {len(told.twice())}; denied: {row['denied'] or 'none'}; approved and not sent, told as "
                f"such: {row['unsent'] or 'none'}"
            )
        await asyncio.sleep(0.2)


async def _keys(settings: Settings) -> list[str]:
    store = Store(settings, "cli", pool_size=1)
    try:
        return [(await api_keys.create(store, f"bench {n}", Role.VIEWER, _CLOCK)).text for n in range(_KEYS)]
    finally:
        await store.close()
