"""The same session with IB's own client and with ib_async: other makes, the same answers."""

import asyncio
import json
import os
import sys
from decimal import Decimal

from ibapi.order import Order
from ibapi.order_cancel import OrderCancel

from tests.an_ib_async import ib_async_folder
from tests.integration.a_gateway_simulator import OfficialClient, a_gateway, official_apple

SESSION = """
import asyncio, json, sys
from ib_async import IB, LimitOrder, MarketOrder, Stock

async def main(port):
    ib = IB()
    codes = []
    ib.errorEvent += lambda number, code, text, _: codes.append(code)
    await ib.connectAsync("127.0.0.1", port, clientId=7, timeout=30)
    contract = Stock("AAPL", "SMART", "USD")
    await ib.qualifyContractsAsync(contract)
    daily = await ib.reqHistoricalDataAsync(contract, "20130227 16:00:00 US/Eastern", "5 D", "1 day", "TRADES", True)
    live = ib.reqRealTimeBars(contract, 5, "TRADES", True)
    ticker = ib.reqMktData(contract)
    resting = ib.placeOrder(contract, LimitOrder("BUY", 10, 300.0))
    bought = ib.placeOrder(contract, MarketOrder("BUY", 1200, orderRef="async-1"))
    async with asyncio.timeout(30):
        while not (bought.isDone() and len(live) > 2 and resting.orderStatus.status == "Submitted"):
            await asyncio.sleep(0.01)
        ib.cancelOrder(resting.order)
        while resting.orderStatus.status != "Cancelled":
            await asyncio.sleep(0.01)
        while sum(fill.commissionReport.commission for fill in bought.fills) < 6.0:
            await asyncio.sleep(0.01)
    completed = await ib.reqCompletedOrdersAsync(False)
    summary = {each.tag: each.value for each in await ib.accountSummaryAsync()}
    print(json.dumps({
        "version": ib.client.serverVersion(), "contract_id": contract.conId, "last_close": daily[-1].close,
        "bid_below_ask": ticker.bid < ticker.ask, "filled": bought.filled(),
        "positions": [each.position for each in ib.positions()],
        "completed": len(completed), "references": sorted({fill.execution.orderRef for fill in bought.fills}),
        "cash": float(summary["TotalCashValue"]), "codes": codes,
    }))
    ib.disconnect()

asyncio.run(main(int(sys.argv[1])))
"""


async def test_ib_async_trades_a_whole_session() -> None:
    async with a_gateway(speed=60) as server:
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", SESSION, str(server.port)),
            env={**os.environ, "PYTHONPATH": str(ib_async_folder())},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(90):
            out, err = await child.communicate()
        assert child.returncode == 0, err.decode()
        told = json.loads(out)

    assert (told["version"], told["contract_id"], told["last_close"]) == (176, 265598, 444.57)
    assert told["bid_below_ask"]
    assert (told["filled"], told["positions"], told["references"]) == (1200, [1200], ["async-1"])
    assert told["completed"] == 2
    assert told["cash"] < 1_000_000 - 1200 * 400
    assert 202 in told["codes"]


async def test_the_official_client_gets_contracts_history_and_live_data() -> None:
    async with a_gateway(speed=60) as server:
        client = OfficialClient()
        await client.start(server.port, 8)
        assert client.serverVersion() == 176
        client.reqContractDetails(1, official_apple())
        _, details = await client.next("contractDetails")
        client.reqHistoricalData(2, official_apple(), "20130227-21:00:00", "1 D", "1 hour", "TRADES", 1, 2, False, [])
        _, bar = await client.next("historicalData")
        await client.next("historicalDataEnd")
        client.reqHeadTimeStamp(3, official_apple(), "TRADES", 1, 1)
        _, head = await client.next("headTimestamp")
        client.reqRealTimeBars(4, official_apple(), 5, "TRADES", True, [])
        live = await client.next("realtimeBar")
        client.reqMktData(5, official_apple(), "", False, False, [])
        price = await client.next("tickPrice")
        client.reqTickByTickData(6, official_apple(), "BidAsk", 0, False)
        quote = await client.next("tickByTickBidAsk")
        client.reqMatchingSymbols(9, "MSF")
        _, samples = await client.next("symbolSamples")
        await client.stop()

    assert (details.contract.conId, details.minSize) == (265598, Decimal(1))
    assert (bar.date, bar.open) == ("1361975400", 448.43)
    assert head == "20000301-14:30:00"
    assert live[0] == 4
    assert live[4] <= live[3]
    assert price[0] == 5
    assert quote[2] < quote[3]
    assert samples[0].contract.symbol == "MSFT"


async def test_the_official_client_trades() -> None:
    async with a_gateway(speed=60) as server:
        client = OfficialClient()
        await client.start(server.port, 9)
        client.reqAccountSummary(1, "All", "NetLiquidation,TotalCashValue")
        summary = await client.next("accountSummary")
        client.placeOrder(1, official_apple(), _order("LMT", 100, limit=300.0))
        _, _, order, state = await client.next("openOrder")
        client.placeOrder(1, official_apple(), _order("LMT", 100, limit=301.0))
        _, _, changed, _ = await client.next("openOrder")
        client.cancelOrder(1, OrderCancel())
        cancelled = await client.next("error")
        client.placeOrder(2, official_apple(), _order("MKT", 300, reference="official-1"))
        _, _, execution = await client.next("execDetails")
        (report,) = await client.next("commissionAndFeesReport")
        client.reqPositions()
        position = await client.next("position")
        client.reqCompletedOrders(False)
        _, completed, final = await client.next("completedOrder")
        client.placeOrder(1, official_apple(), _order("MKT", 1))
        duplicate = await client.next("error")
        client.reqPnL(7, "DU1234567", "")
        await client.next("pnl")
        await client.stop()

    assert summary[2:4] == ("NetLiquidation", "1000000.00")
    assert (order.lmtPrice, state.status, changed.lmtPrice) == (300.0, "Submitted", 301.0)
    assert (cancelled[0], cancelled[2]) == (1, 202)
    assert (execution.orderRef, execution.side) == ("official-1", "BOT")
    assert report.execId == execution.execId
    assert position[2] > 0
    assert (completed.lmtPrice, final.status) == (301.0, "Cancelled")
    assert (duplicate[0], duplicate[2]) == (1, 103)


def _order(kind: str, quantity: int, limit: float = 0.0, reference: str = "") -> Order:
    order = Order()
    order.action, order.orderType, order.totalQuantity, order.orderRef = "BUY", kind, Decimal(quantity), reference
    if limit:
        order.lmtPrice = limit
    return order
