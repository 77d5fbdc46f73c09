"""Orders of ib_insync in the simulator: from acknowledgement to position, and every way to be refused."""

from pathlib import Path
from typing import Any

import pytest
from ib_insync import ExecutionFilter, LimitOrder, MarketOrder, Order, StopOrder

from infra.errors import UsageError
from infra.gateway_simulator.server import SimulatorServer
from tests.integration.a_gateway_simulator import a_gateway, an_ib_insync, apple, ledger_lines, until


async def filled(ib: Any, server: SimulatorServer, order: Order) -> Any:
    trade = ib.placeOrder(await apple(ib), order)
    await until(lambda: trade.orderStatus.status == "Submitted" or trade.isDone())
    while not trade.isDone():
        await server.gateway.tape.advance(5)
        await ib.reqCurrentTimeAsync()
    await ib.reqCurrentTimeAsync()  # what was told with the fill has come, too
    return trade


async def test_a_market_order_fills_in_parts_of_what_is_displayed(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.jsonl"
    async with a_gateway(ledger=ledger) as server, an_ib_insync(server) as ib:
        trade = await filled(ib, server, MarketOrder("BUY", 2500, orderRef="intent-1"))

        assert trade.orderStatus.status == "Filled"
        assert len(trade.fills) > 1
        assert sum(each.execution.shares for each in trade.fills) == 2500
        assert {each.execution.orderRef for each in trade.fills} == {"intent-1"}
        assert round(sum(each.commissionReport.commission for each in trade.fills), 4) == 12.5
        (position,) = ib.positions()
        assert (position.position, position.contract.conId) == (2500, 265598)
        (item,) = ib.portfolio()
        assert item.position == 2500
        paid = sum(each.execution.shares * each.execution.price for each in trade.fills)
        cash = {each.tag: each.value for each in ib.accountValues()}["TotalCashValue"]
        assert float(cash) == pytest.approx(1_000_000 - paid - 12.5)
        assert [each["order_ref"] for each in ledger_lines(ledger, "order_received")] == ["intent-1"]
        assert [each["execution_id"] for each in ledger_lines(ledger, "fill")] == [
            each.execution.execId for each in trade.fills
        ]
        assert ledger_lines(ledger, "position")[-1]["quantity"] == "2500"


async def test_closing_a_position_tells_the_profit() -> None:
    async with a_gateway() as server, an_ib_insync(server) as ib:
        bought = await filled(ib, server, MarketOrder("BUY", 100))
        await server.gateway.tape.advance(600)
        sold = await filled(ib, server, MarketOrder("SELL", 100))

        profit = sum(each.commissionReport.realizedPNL for each in sold.fills)
        gross = (sold.orderStatus.avgFillPrice - bought.orderStatus.avgFillPrice) * 100
        assert profit == pytest.approx(gross - 2.0)
        await until(lambda: not ib.positions())
        summary = {each.tag: each.value for each in await ib.accountSummaryAsync()}
        assert float(summary["NetLiquidation"]) == pytest.approx(1_000_000 + profit, abs=0.01)


async def test_a_resting_limit_order_can_be_changed_and_cancelled() -> None:
    async with a_gateway() as server, an_ib_insync(server) as ib:
        contract = await apple(ib)
        order = LimitOrder("BUY", 100, 400.0)
        trade = ib.placeOrder(contract, order)
        await until(lambda: trade.orderStatus.status == "Submitted")
        order.lmtPrice = 401.5
        ib.placeOrder(contract, order)
        await until(lambda: trade.log[-1].message == "Modified")
        (mine,) = await ib.reqOpenOrdersAsync()
        assert mine.order.lmtPrice == 401.5
        ib.cancelOrder(order)
        await until(lambda: trade.orderStatus.status == "Cancelled")
        await until(lambda: (order.orderId, 202) in [each[:2] for each in ib.told])

        assert await ib.reqAllOpenOrdersAsync() == []
        (done,) = await ib.reqCompletedOrdersAsync(False)
        assert (done.orderStatus.status, done.order.lmtPrice) == ("Cancelled", 401.5)
        ib.client.cancelOrder(order.orderId, "")
        ib.client.cancelOrder(9999, "")
        await until(lambda: {10148, 10147} <= {each[1] for each in ib.told})


async def test_a_limit_order_fills_at_its_limit_or_better() -> None:
    async with a_gateway() as server, an_ib_insync(server) as ib:
        trade = ib.placeOrder(await apple(ib), LimitOrder("BUY", 100, 444.0, tif="GTC"))
        await until(lambda: trade.orderStatus.status == "Submitted")
        await server.gateway.tape.advance(6 * 3600)
        await until(lambda: trade.orderStatus.status == "Filled")

        assert all(each.execution.price <= 444.0 for each in trade.fills)


async def test_an_order_before_the_open_waits_and_a_day_order_ends_at_the_close() -> None:
    async with a_gateway(now="2013-02-28T08:00:00-05:00") as server, an_ib_insync(server) as ib:
        contract = await apple(ib)
        market, low = MarketOrder("BUY", 100), LimitOrder("BUY", 100, 100.0)
        waiting, resting = ib.placeOrder(contract, market), ib.placeOrder(contract, low)
        await until(lambda: resting.orderStatus.status == waiting.orderStatus.status == "PreSubmitted")
        assert (market.orderId, 399) in [each[:2] for each in ib.told]
        await server.gateway.tape.advance(9 * 3600)
        await until(lambda: waiting.orderStatus.status == "Filled" and resting.orderStatus.status == "Cancelled")

        (fill, *_) = waiting.fills
        assert f"{fill.execution.time:%Y-%m-%d %H:%M}" == "2013-02-28 14:30"


async def test_an_immediate_order_that_finds_nothing_is_cancelled() -> None:
    async with a_gateway() as server, an_ib_insync(server) as ib:
        trade = ib.placeOrder(await apple(ib), LimitOrder("BUY", 100, 10.0, tif="IOC"))
        await until(lambda: trade.orderStatus.status == "Cancelled")

        assert server.gateway.shared.book.live == {}


@pytest.mark.parametrize(
    ("order", "code"),
    [
        (LimitOrder("BUY", 100, 400.001), 110),
        (Order(action="SELL", totalQuantity=100, orderType="VWAP"), 387),
        (StopOrder("SELL", 100, 0), 321),
        (LimitOrder("BUY", 0, 400.0), 434),
        (MarketOrder("BUY", 100_000), 201),
        (LimitOrder("BUY", 100, 400.0, tif="DTC"), 321),
        (Order(action="BUY", totalQuantity=100, orderType="MOC", tif="GTC"), 113),
        (StopOrder("SELL", 100, 400.0, tif="IOC"), 111),
        (StopOrder("SELL", 100, 400.0, triggerMethod=5), 146),
        (LimitOrder("BUY", 100, 400.0, parentId=99), 10006),
        (LimitOrder("BUY", 100, 400.0, tif="GTD", goodTillDate="20130228 09:00:00 US/Eastern"), 343),
        (LimitOrder("BUY", 0.5, 400.0), 321),
        (LimitOrder("BUY", 100, 400.0, account="U999"), 321),
        (LimitOrder("BUY", 100, 400.0, algoStrategy="Adaptive"), 321),
        (LimitOrder("BUY", 100, 400.0, ocaGroup="x", ocaType=4), 321),
        (LimitOrder("BUY", 100, 400.0, goodAfterTime="noon"), 337),
    ],
)
async def test_an_order_that_cannot_be_taken_is_refused(order: Order, code: int) -> None:
    async with a_gateway() as server, an_ib_insync(server) as ib:
        trade = ib.placeOrder(await apple(ib), order)
        await until(lambda: [each for each in ib.told if each[0] == order.orderId])

        assert ib.told[-1][:2] == (order.orderId, code)
        assert server.gateway.shared.book.live == {}
        assert not trade.fills


async def test_an_order_id_is_used_once_for_ever_and_survives_a_new_connection() -> None:
    async with a_gateway() as server:
        async with an_ib_insync(server, 3) as ib:
            done = await filled(ib, server, MarketOrder("BUY", 10))
            ib.client.placeOrder(done.order.orderId, done.contract, MarketOrder("BUY", 10))
            await until(lambda: ib.told[-1][1] == 104)
            ib.client.placeOrder(done.order.orderId - 1, done.contract, MarketOrder("BUY", 10))
            await until(lambda: ib.told[-1][1] == 103)
            highest = done.order.orderId
        async with an_ib_insync(server, 3) as again, an_ib_insync(server, 4) as other:
            assert again.client._reqIdSeq >= highest
            assert [each.execution.orderId for each in again.fills()] == [highest]
            assert server.gateway.shared.book.next_id(3) == highest + 1
            assert server.gateway.shared.book.next_id(4) == 1
            assert other.positions()[0].position == 10


async def test_clients_share_one_book_but_see_their_own_orders() -> None:
    async with a_gateway() as server, an_ib_insync(server, 1) as one, an_ib_insync(server, 2) as two:
        trade = one.placeOrder(await apple(one), LimitOrder("BUY", 100, 400.0))
        await until(lambda: trade.orderStatus.status == "Submitted")
        assert await two.reqOpenOrdersAsync() == []
        assert [each.order.clientId for each in await two.reqAllOpenOrdersAsync()] == [1]
        two.client.cancelOrder(trade.order.orderId, "")
        await until(lambda: 10147 in [each[1] for each in two.told])
        two.reqGlobalCancel()
        await until(lambda: trade.orderStatus.status == "Cancelled")
        filled_trade = await filled(one, server, MarketOrder("BUY", 100))

        await until(two.positions)
        assert len(await two.reqExecutionsAsync(ExecutionFilter(side="BUY"))) == len(filled_trade.fills)
        assert await two.reqExecutionsAsync(ExecutionFilter(symbol="IBM")) == []
        assert await two.reqExecutionsAsync(ExecutionFilter(time="20130228-21:00:00")) == []
        assert len(await two.reqExecutionsAsync(ExecutionFilter(time="20130228 09:00:00"))) > 0


async def test_a_what_if_order_tells_margins_and_leaves_no_trace() -> None:
    async with a_gateway() as server, an_ib_insync(server) as ib:
        state = await ib.whatIfOrderAsync(await apple(ib), MarketOrder("BUY", 1000))

        assert float(state.initMarginChange) > 200_000
        assert (state.commission, state.status) == (5.0, "PreSubmitted")
        assert server.gateway.shared.book.live == {}


async def test_profit_and_loss_follow_the_market() -> None:
    async with a_gateway() as server, an_ib_insync(server) as ib:
        await filled(ib, server, MarketOrder("BUY", 100))
        whole, single = ib.reqPnL("DU1234567"), ib.reqPnLSingle("DU1234567", "", 265598)
        await until(lambda: single.position == 100)

        assert whole.unrealizedPnL == pytest.approx(single.unrealizedPnL, abs=0.02)


async def test_with_a_state_file_a_new_start_goes_on_where_the_last_one_ended(tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    async with a_gateway(state=state) as server, an_ib_insync(server) as ib:
        bought = await filled(ib, server, MarketOrder("BUY", 700, orderRef="kept"))
        resting = ib.placeOrder(await apple(ib), LimitOrder("SELL", 100, 900.0, tif="GTC"))
        await until(lambda: resting.orderStatus.status == "Submitted")
        market_time = await ib.reqCurrentTimeAsync()
    async with a_gateway(state=state) as server, an_ib_insync(server) as ib:
        assert await ib.reqCurrentTimeAsync() >= market_time
        assert [each.position for each in ib.positions()] == [700]
        assert [each.order.lmtPrice for each in ib.openTrades()] == [900.0]
        assert [each.execution.execId for each in ib.fills()] == [each.execution.execId for each in bought.fills]
        assert server.gateway.shared.book.next_id(1) > resting.order.orderId
        sold = await filled(ib, server, MarketOrder("SELL", 700))
        await until(lambda: not ib.positions())

        assert not {each.execution.execId for each in sold.fills} & {each.execution.execId for each in bought.fills}
    state.write_text("{}")
    with pytest.raises(UsageError, match="name another or remove it"):
        async with a_gateway(state=state):
            pass


async def test_a_change_that_the_account_cannot_pay_leaves_the_order_as_it_was() -> None:
    async with a_gateway() as server, an_ib_insync(server) as ib:
        order = LimitOrder("BUY", 100, 400.0)
        trade = ib.placeOrder(await apple(ib), order)
        await until(lambda: trade.orderStatus.status == "Submitted")
        order.totalQuantity = 1_000_000
        ib.placeOrder(trade.contract, order)
        await until(lambda: (order.orderId, 201) in [each[:2] for each in ib.told])

        (kept,) = server.gateway.shared.book.live.values()
        assert kept.terms.quantity == 100


async def test_a_fill_carries_the_time_of_its_trade_however_fast_the_market_runs() -> None:
    async with a_gateway(now="2013-02-28T15:59:58-05:00") as server, an_ib_insync(server) as ib:
        trade = ib.placeOrder(await apple(ib), MarketOrder("BUY", 3000))
        await until(lambda: trade.fills)
        await server.gateway.tape.advance(3600)
        await until(lambda: trade.orderStatus.status in ("Filled", "Cancelled"))

        assert all(f"{each.execution.time:%H:%M}" == "20:59" for each in trade.fills)
