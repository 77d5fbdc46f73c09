"""`latency.tick_to_order`: from a tick on the gateway's socket to the order on the gateway's socket.

Through topic, strategy, journal, intent, risk, decision and executor, on the running system; beside a bare chain of
three hops and two database commits in the same run, five rounds of each in turn. Both ends are stamped by the
simulator, in one clock.
"""

import asyncio
import json
import statistics
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg

from infra.clock import SystemClock, SystemEntropy
from infra.embedded.ports import free_port
from infra.gateway_simulator.control_client import ControlClient
from infra.keys import new_secret, write_secret
from infra.settings import Settings
from producers.cli.desk import Desk
from schemas.account import RiskLimits, TradingMode, TradingState
from schemas.collection import CollectionRun, RunState, ValidateSymbols
from schemas.event import Event
from schemas.orders import OrderStatus, OrderUpdate
from schemas.strategy import Deploy, RunningState, Start, StrategyState
from tests.bench.a_system import a_database, a_folder, a_system
from tests.bench.chain import bare_chain

_SERVICES = ["market_data", "data_farmer", "persister", "strategist", "risk", "executor", "portfolio"]
_ROUNDS = 5
_SYMBOL = "AAPL"
_ACCOUNT = "DU1234567"
_WAIT_SECONDS = 60.0
_PACE_SECONDS = 0.05
_LOOK_SECONDS = 0.01
_IN_FLIGHT = "SELECT count(*) FROM reservations WHERE state <> 'released'"


def run(quick: bool) -> list[dict[str, Any]]:
    """Start a system of its own, send ticks that cause orders, and time each."""
    with a_folder() as folder:
        ledger, token, port = folder / "ledger.jsonl", folder / "token", free_port()
        write_secret(token, new_secret())
        options = ["--ledger", str(ledger), "--control-port", str(port), "--control-token-file", str(token)]
        with a_system(folder, _SERVICES, options=options, simulator_speed=0.001) as stack:
            return asyncio.run(_measure(stack.settings, ledger, (port, token), 40 if quick else 100))


async def _measure(settings: Settings, ledger: Path, control: tuple[int, Path], ticks: int) -> list[dict[str, Any]]:
    async with (
        Desk(settings) as desk,
        ControlClient(*control) as simulator,
        bare_chain(settings) as chain,
        a_database(settings) as database,
    ):
        await _prepare(desk)
        updates = await desk.feed(["trading.orders.v1"])
        ours, bare = [], []
        orders = _orders(ledger)
        price = Decimal("441.00")
        await simulator.quote(_SYMBOL, price)
        for number in range(_ROUNDS):
            for tick in range(ticks):
                step = Decimal("0.05") if (number * ticks + tick) % 2 == 0 else Decimal("-0.05")
                sent = await simulator.quote(_SYMBOL, price + max(step, Decimal(0)))
                async with asyncio.timeout(_WAIT_SECONDS):
                    ours.append((await anext(orders) - sent) / 1e6)
                await updates.first(_is_filled, seconds=_WAIT_SECONDS, what="the fill of an order")
                await _settled(database)
                await asyncio.sleep(_PACE_SECONDS)
            for _ in range(ticks):
                bare.append(await chain.round_trip(b"x" * 300))
                await asyncio.sleep(_PACE_SECONDS)  # the same idle moments between records as above
    return [
        _row("p50", _quantile(ours, 0.5), _quantile(bare, 0.5)),
        _row("p99", _quantile(ours, 0.99), _quantile(bare, 0.99)),
    ]


async def _settled(database: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Return when risk has heard of the fill, too: an order against one in flight is denied."""
    async with asyncio.timeout(_WAIT_SECONDS):
        while await database.fetchval(_IN_FLIGHT):
            await asyncio.sleep(_LOOK_SECONDS)


def _is_filled(event: Event) -> bool:
    return isinstance(event, OrderUpdate) and event.status is OrderStatus.FILLED


def _quantile(values: list[float], share: float) -> float:
    return statistics.quantiles(values, n=1000, method="inclusive")[round(share * 1000) - 1]


def _row(name: str, value: float, raw: float) -> dict[str, Any]:
    return {
        "name": f"latency.tick_to_order.{name}",
        "value": value,
        "unit": "ms",
        "raw": raw,
        "ratio": value / raw,
        "detail": "raw: a bare aiokafka chain of three hops with two database commits; lower is better, at most 4 "
        "times the chain at p50 and 6 times at p99",
    }


async def _orders(ledger: Path) -> AsyncIterator[int]:
    """When each order arrived on the gateway's socket, as the ledger tells."""
    with ledger.open(encoding="utf-8") as lines:
        partial = ""
        while True:
            partial += lines.readline()
            if not partial.endswith("\n"):
                await asyncio.sleep(0.0005)
                continue
            line, partial = json.loads(partial), ""
            if line["kind"] == "order_received":
                yield line["monotonic_ns"]


async def _prepare(desk: Desk) -> None:
    """A validated symbol, wide limits, trading allowed, one strategy that trades on every change of price."""
    clock, entropy = SystemClock(), SystemEntropy()

    def stamp() -> dict[str, Any]:
        return {"event_time": clock.now(), "ingest_time": clock.now()}

    feed = await desk.feed(["collection.runs.v1", "strategy.state.v1"])
    await desk.publish(ValidateSymbols(run_id=entropy.new_id(), symbols=(_SYMBOL,), requested_by="bench", **stamp()))
    await feed.first(
        lambda e: isinstance(e, CollectionRun) and e.state is RunState.DONE, seconds=30, what="the validation"
    )
    wide = {"notional_max": Decimal(10**7), "orders_per_minute_max": 10**6, "daily_loss_max": Decimal(10**7)}
    limits = RiskLimits(scope=f"account:{_ACCOUNT}", version=1, gross_exposure_max=Decimal(10**7), **wide, **stamp())
    await desk.publish(limits)
    state = TradingState(scope="global", mode=TradingMode.ACTIVE, reason="bench", by="bench", **stamp())
    await desk.publish(state)
    command = {"strategy_id": "bench", "by": "bench"}
    deployment = Deploy(
        command_id=entropy.new_id(),
        strategy="tick_momentum",
        symbols=(_SYMBOL,),
        account_id=_ACCOUNT,
        quantity=1,
        trigger="ticks",
        **command,
        **stamp(),
    )
    await desk.publish(deployment)
    await desk.publish(Start(command_id=entropy.new_id(), **command, **stamp()))
    await feed.first(
        lambda e: isinstance(e, StrategyState) and e.state is RunningState.RUNNING, seconds=30, what="the strategy"
    )
    await asyncio.sleep(2)  # the subscription reaches the gateway
