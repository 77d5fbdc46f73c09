"""Orders of every type over the socket: ib_insync and IB's own client against a market moved by hand."""

from decimal import Decimal
from pathlib import Path
from typing import Any

from ib_insync import LimitOrder, MarketOrder, Order, PriceCondition, StopOrder
from ibapi.order import Order as OfficialOrder
from ibapi.order_cancel import OrderCancel

from infra.clock import SystemClock, SystemEntropy
from infra.gateway_simulator.control_client import ControlClient
from infra.gateway_simulator.gateway import Gateway, Options
from infra.gateway_simulator.launch import market_time
from infra.gateway_simulator.server import Address, SimulatorServer
from tests.integration.a_gateway_simulator import (
    MORNING,
    OfficialClient,
    a_gateway,
    an_ib_insync,
    apple,
    ledger_lines,
    official_apple,
    until,
)


def print_trade(server: SimulatorServer, price: float) -> None:
    server.gateway.force_quote("AAPL", Decimal(str(price)))


def is_in(trade: Any, *statuses: str) -> Any:
    return lambda: trade.orderStatus.status in statuses


async def test_a_bracket_takes_its_profit_and_the_ledger_tells_how(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.jsonl"
    async with a_gateway(ledger=ledger) as server, an_ib_insync(server) as ib, an_ib_insync(server, 2) as other:
        contract = await apple(ib)
        print_trade(server, 440.0)
        bracket = ib.bracketOrder("BUY", 100, 440.01, 442.0, 438.0)
        parent, profit, loss = [ib.placeOrder(contract, each) for each in bracket]
        await until(is_in(parent, "Filled"))
        await until(is_in(profit, "Submitted"))
        await until(lambda: loss.orderStatus.whyHeld == "trigger")
        seen = {each.order.orderId: each.order for each in await other.reqAllOpenOrdersAsync()}
        assert set(seen) == {each.orderId for each in bracket[1:]}
        group = str(parent.order.permId)
        assert {(each.parentId, each.ocaGroup, each.ocaType) for each in seen.values()} == {
            (bracket[0].orderId, group, 3)
        }
        print_trade(server, 442.5)
        await until(is_in(profit, "Filled"))
        await until(is_in(loss, "Cancelled"))
        await until(lambda: not ib.positions())

    kinds = ("order_held", "order_working", "fill", "order_ended")
    told = {kind: [each["order_id"] for each in ledger_lines(ledger, kind)] for kind in kinds}
    ids = [each.orderId for each in bracket]
    assert told == {"order_held": ids[:2], "order_working": ids[:2], "fill": ids[:2], "order_ended": ids[2:]}


async def test_stops_trail_and_conditions_wait_over_the_socket() -> None:
    async with a_gateway() as server, an_ib_insync(server) as ib, an_ib_insync(server, 2) as other:
        contract = await apple(ib)
        print_trade(server, 440.0)
        stop = ib.placeOrder(contract, StopOrder("SELL", 100, 439.0))
        trail = ib.placeOrder(contract, Order(action="SELL", totalQuantity=100, orderType="TRAIL", trailingPercent=1.0))
        condition = PriceCondition(1, "a", True, 441.0, contract.conId, "SMART", 0)
        waits = ib.placeOrder(contract, MarketOrder("BUY", 100, conditions=[condition]))
        await until(lambda: waits.orderStatus.status == trail.orderStatus.status == "PreSubmitted")
        print_trade(server, 441.0)
        await until(is_in(waits, "Filled"))
        listed = {each.order.orderId: each.order for each in await other.reqAllOpenOrdersAsync()}
        assert listed[trail.order.orderId].trailStopPrice == 436.59
        print_trade(server, 439.0)
        await until(is_in(stop, "Filled"))
        print_trade(server, 436.5)
        await until(is_in(trail, "Filled"))


async def test_a_correction_arrives_as_the_next_revision_of_the_same_execution() -> None:
    async with a_gateway() as server, an_ib_insync(server) as ib:
        trade = ib.placeOrder(await apple(ib), MarketOrder("BUY", 100))
        await until(is_in(trade, "Filled"))
        (fill,) = trade.fills
        server.gateway.orders.executions.correct(fill.execution.execId, price=Decimal(430))
        await until(lambda: len(trade.fills) == 2)

        assert trade.fills[1].execution.execId == fill.execution.execId[:-2] + "02"
        await until(lambda: ib.positions()[0].avgCost == 430.01)


async def test_the_official_client_places_changes_and_cancels_a_trailing_limit_order() -> None:
    async with a_gateway() as server:
        client = OfficialClient()
        await client.start(server.port, 8)
        print_trade(server, 440.0)
        order = OfficialOrder()
        order.action, order.orderType, order.totalQuantity, order.tif = "SELL", "TRAIL LIMIT", Decimal(100), "GTC"
        order.auxPrice, order.trailStopPrice, order.lmtPriceOffset = 2.0, 439.0, 0.5
        order.goodAfterTime, order.orderRef = "20130228 09:45:00 US/Eastern", "official"
        client.placeOrder(1, official_apple(), order)
        _, _, told, state = await client.next("openOrder")
        assert (told.trailStopPrice, told.lmtPriceOffset, told.orderRef) == (439.0, 0.5, "official")
        assert (told.goodAfterTime, state.status) == ("20130228 09:45:00 US/Eastern", "PreSubmitted")
        order.totalQuantity = Decimal(50)
        client.placeOrder(1, official_apple(), order)
        _, _, told, _ = await client.next("openOrder")
        assert told.totalQuantity == 50
        client.cancelOrder(1, OrderCancel())
        while (status := await client.next("orderStatus"))[1] != "Cancelled":
            pass
        assert status[3] == 50
        client.reqCompletedOrders(True)
        _, done, _ = await client.next("completedOrder")
        assert (done.orderType, done.lmtPriceOffset) == ("TRAIL LIMIT", 0.5)
        await client.stop()


async def test_orders_of_tws_come_through_the_control_port_and_are_bound_to_client_zero(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("a token of this test")
    token.chmod(0o600)
    gateway = Gateway(Options(start=market_time(MORNING), speed=0.0), SystemClock(), SystemEntropy())
    server = SimulatorServer(gateway, Address(port=0, control_token_file=token))
    await server.start()
    try:
        assert server.control is not None
        async with ControlClient(server.control.port, token) as control, an_ib_insync(server, 0) as ib:
            placed = await control.place(
                symbol="AAPL", action="BUY", quantity=10, order_type="LMT", limit_price="400", order_ref="by hand"
            )
            await until(ib.openTrades)
            (trade,) = ib.openTrades()
            assert (trade.order.permId, trade.order.orderId) == (placed["permanent_id"], -1)
            await control.cancel(0, placed["order_id"])
            await until(is_in(trade, "Cancelled"))
            mine = ib.placeOrder(await apple(ib), LimitOrder("BUY", 10, 400.0))
            await until(is_in(mine, "Submitted"))
            await control.cancel(0, mine.order.orderId)
            await until(is_in(mine, "Cancelled"))
    finally:
        await server.stop()
