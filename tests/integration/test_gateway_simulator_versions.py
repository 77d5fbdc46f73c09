"""Three client libraries live through the same at every version that they speak, and see the same."""

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator
from typing import Any

import ibapi.client
import pytest
from ibapi.execution import ExecutionFilter
from ibapi.order import Order
from ibapi.order_cancel import OrderCancel

from infra.gateway_simulator.protocol.wire import VERSION_MAX, VERSION_MIN
from infra.gateway_simulator.server import SimulatorServer
from infra.settings import REPOSITORY
from tests.an_ib_async import ib_async_folder
from tests.integration.a_gateway_simulator import OfficialClient, a_gateway, official_apple
from tests.integration.a_life import LOTS_BEFORE, life, lives

VERSIONS = range(VERSION_MIN, VERSION_MAX + 1)


@contextlib.asynccontextmanager
async def a_gateway_each() -> AsyncIterator[list[SimulatorServer]]:
    """One for every version, so that each client finds the same."""
    async with contextlib.AsyncExitStack() as stack:
        yield [await stack.enter_async_context(a_gateway()) for _ in VERSIONS]


async def expected() -> dict[str, Any]:
    async with a_gateway() as server:
        return await life("ib_insync", server.port, VERSION_MAX)


async def test_what_is_seen_is_what_there_is() -> None:
    seen = await expected()

    assert seen["contract"][:2] == [265598, 0.01]
    assert seen["history"][0] == ["20130222", 449.25, 451.6, 446.6, 450.81, 11809100]
    bid, ask, _, close = seen["market"]
    assert (close, round(ask - bid, 2)) == (444.57, 0.02)
    assert seen["orders"] == [[401.5, 100, "DAY"], "Cancelled", "Filled", 100]
    assert seen["executions"] == ["BOT", 100, ask, "fills", "NASDAQ", 1.0]
    assert seen["account"][:3] == pytest.approx([265598, 100, ask + 0.01])


async def test_ib_insync_sees_the_same_at_every_version() -> None:
    wanted = await expected()
    async with a_gateway_each() as servers:
        ports = [(server.port, version) for server, version in zip(servers, VERSIONS, strict=True)]
        assert await lives("ib_insync", ports) == [wanted] * len(VERSIONS)


async def test_ib_async_sees_the_same_at_every_version() -> None:
    wanted = await expected()
    async with a_gateway_each() as servers:
        ports = [f"{server.port}:{version}" for server, version in zip(servers, VERSIONS, strict=True)]
        told = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.integration.a_life", "ib_async", *ports),
            cwd=REPOSITORY,
            env={**os.environ, "PYTHONPATH": str(ib_async_folder())},
            stdout=asyncio.subprocess.PIPE,
        )
        answer, _ = await told.communicate()
    assert told.returncode == 0
    assert json.loads(answer) == [json.loads(json.dumps(wanted))] * len(VERSIONS)


async def test_ibs_own_client_sees_the_same_at_every_version(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = await expected()
    async with a_gateway_each() as servers:
        for server, version in zip(servers, VERSIONS, strict=True):
            monkeypatch.setattr(ibapi.client, "MAX_CLIENT_VER", version)
            client = OfficialClient()
            await client.start(server.port, 1)
            try:
                assert client.serverVersion() == version
                seen = await looked(client, version) | await traded(client)
            finally:
                await client.stop()
            assert seen == wanted, version


async def looked(client: OfficialClient, version: int) -> dict[str, Any]:
    contract = official_apple()
    client.reqContractDetails(1, contract)
    _, details = await client.next("contractDetails")
    client.reqHistoricalData(2, contract, "", "5 D", "1 day", "TRADES", True, 1, False, [])
    bars = await until_end(client, "historicalData", "historicalDataEnd")
    client.reqMktData(3, contract, "", True, False, [])
    prices = {each[1]: each[2] for each in await until_end(client, "tickPrice", "tickSnapshotEnd")}
    client.reqMktData(4, contract, "", True, False, [])
    sizes = {each[1]: each[2] for each in await until_end(client, "tickSize", "tickSnapshotEnd")}
    lot = 100 if version < LOTS_BEFORE else 1
    return {
        "contract": [details.contract.conId, details.minTick, details.longName, details.validExchanges],
        "history": [[bar.date, bar.open, bar.high, bar.low, bar.close, float(bar.volume)] for _, bar in bars],
        "market": [prices[kind] for kind in (1, 2, 4, 9)],
        "sizes": [float(sizes[kind]) * lot for kind in (0, 3)],
    }


async def until_end(client: OfficialClient, name: str, end: str) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = []
    while True:
        called, arguments = await asyncio.to_thread(client.news.get, True, 30)
        if called == end:
            return found
        if called == name:
            found.append(arguments)


def order(kind: str, reference: str, limit: float = 0.0) -> Order:
    made = Order()
    made.action, made.orderType, made.totalQuantity, made.orderRef = "BUY", kind, 100, reference
    made.lmtPrice = limit or made.lmtPrice
    return made


async def traded(client: OfficialClient) -> dict[str, Any]:
    contract = official_apple()
    client.placeOrder(1, contract, order("LMT", "rests", 400.0))
    await status(client, "Submitted")
    client.placeOrder(1, contract, order("LMT", "rests", 401.5))
    await client.next("openOrder")
    client.reqOpenOrders()
    told = (await until_end(client, "openOrder", "openOrderEnd"))[-1][2]
    client.cancelOrder(1, OrderCancel())
    cancelled = await status(client, "Cancelled")
    client.placeOrder(2, contract, order("MKT", "fills"))
    filled = await status(client, "Filled")
    client.reqExecutions(5, ExecutionFilter())
    (_, _, done), (charge,) = await client.next("execDetails"), await client.next("commissionAndFeesReport")
    client.reqPositions()
    ((_, held, quantity, cost),) = await until_end(client, "position", "positionEnd")
    client.reqAccountSummary(6, "All", "NetLiquidation")
    ((_, _, _, worth, _),) = await until_end(client, "accountSummary", "accountSummaryEnd")
    changed = [told.lmtPrice, float(told.totalQuantity), told.tif]
    return {
        "orders": [changed, cancelled[1], filled[1], float(filled[2])],
        "executions": [
            *(done.side, float(done.shares), done.price, done.orderRef, done.exchange),
            charge.commissionAndFees,
        ],
        "account": [held.conId, float(quantity), cost, worth],
    }


async def status(client: OfficialClient, wanted: str) -> tuple[Any, ...]:
    while True:
        told = await client.next("orderStatus")
        if told[1] == wanted:
            return told
