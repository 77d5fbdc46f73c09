"""What one client of ib_insync's make does and sees at a gateway in which time stands: `python -m` it for ib_async."""

import asyncio
import importlib
import json
import sys
from typing import Any

LOTS_BEFORE = 164
"""Sizes of US stocks are in round lots for older clients."""


async def life(library: str, port: int, version: int) -> dict[str, Any]:
    """Connect at one version, look around, trade, and tell what was seen."""
    module = importlib.import_module(library)
    ib: Any = module.IB()
    ib.client.MaxClientVersion = version
    await ib.connectAsync("127.0.0.1", port, clientId=1, timeout=30)
    try:
        assert ib.client.serverVersion() == version
        contract = module.Stock("AAPL", "SMART", "USD")
        await ib.qualifyContractsAsync(contract)
        seen = await _looked(ib, contract, version)
        return seen | await _traded(ib, module, contract)
    finally:
        ib.disconnect()


async def _looked(ib: Any, contract: Any, version: int) -> dict[str, Any]:
    (details,) = await ib.reqContractDetailsAsync(contract)
    bars = await ib.reqHistoricalDataAsync(contract, "", "5 D", "1 day", "TRADES", True)
    (ticker,) = await ib.reqTickersAsync(contract)
    lot = 100 if version < LOTS_BEFORE else 1
    return {
        "contract": [details.contract.conId, details.minTick, details.longName, details.validExchanges],
        "history": [[f"{each.date:%Y%m%d}", each.open, each.high, each.low, each.close, each.volume] for each in bars],
        "market": [ticker.bid, ticker.ask, ticker.last, ticker.close],
        "sizes": [ticker.bidSize * lot, ticker.askSize * lot],
    }


async def _traded(ib: Any, module: Any, contract: Any) -> dict[str, Any]:
    order = module.LimitOrder("BUY", 100, 400.0, tif="DAY", orderRef="rests")
    resting = ib.placeOrder(contract, order)
    await _until(lambda: resting.orderStatus.status == "Submitted")
    order.lmtPrice = 401.5
    ib.placeOrder(contract, order)
    await _until(lambda: resting.log[-1].message == "Modified")
    (told,) = [each for each in await ib.reqOpenOrdersAsync() if each.order.orderRef == "rests"]
    changed = [told.order.lmtPrice, told.order.totalQuantity, told.order.tif]
    ib.cancelOrder(order)
    await _until(lambda: resting.orderStatus.status == "Cancelled")
    trade = ib.placeOrder(contract, module.MarketOrder("BUY", 100, orderRef="fills"))
    await _until(lambda: trade.isDone() and trade.fills and trade.fills[0].commissionReport.execId)
    (fill,) = await ib.reqExecutionsAsync()
    await _until(ib.positions)
    (position,), done = ib.positions(), fill.execution
    summary = {each.tag: each.value for each in await ib.accountSummaryAsync()}
    return {
        "orders": [changed, resting.orderStatus.status, trade.orderStatus.status, trade.orderStatus.filled],
        "executions": [
            done.side,
            done.shares,
            done.price,
            done.orderRef,
            done.exchange,
            trade.fills[0].commissionReport.commission,
        ],
        "account": [position.contract.conId, position.position, position.avgCost, summary["NetLiquidation"]],
    }


async def _until(condition: Any) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.005)


async def lives(library: str, gateways: list[tuple[int, int]]) -> list[dict[str, Any]]:
    """One after the other, at these ports and versions."""
    return [await life(library, port, version) for port, version in gateways]


if __name__ == "__main__":
    ports = [(int(port), int(version)) for port, _, version in (each.partition(":") for each in sys.argv[2:])]
    print(json.dumps(asyncio.run(lives(sys.argv[1], ports))))
