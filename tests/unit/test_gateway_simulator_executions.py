"""What goes wrong after the fact: corrections, busts, overfills, refusals by the exchange, ids that fall back."""

from decimal import Decimal

import pytest
from ib_insync import ExecutionFilter

from infra.errors import UsageError
from infra.gateway_simulator.orders.executions import Executions
from tests.unit.an_order_floor import OrderFloor, Trader

D = Decimal


@pytest.fixture
def floor() -> OrderFloor:
    floor = OrderFloor()
    floor.print(440.0)
    floor.display(bid=1000, ask=1000)
    return floor


@pytest.fixture
def executions(floor: OrderFloor) -> Executions:
    return floor.gateway.orders.executions


async def a_fill(trader: Trader, quantity: int = 100) -> tuple[int, str]:
    number = await trader.place("BUY", quantity, "MKT")
    return number, trader.gateway.shared.book.executions[-1].execution_id


async def test_a_correction_replaces_the_fill_in_the_account(floor: OrderFloor, executions: Executions) -> None:
    trader = floor.trader()
    cash = floor.gateway.shared.account.cash
    number, execution_id = await a_fill(trader)
    executions.correct(execution_id, quantity=D(90), price=D("439.50"))

    assert trader.fills(number) == [(100, 440.01), (90, 439.5)]
    told = [str(each[14]) for each in trader.told if each[0] == 11]
    assert told == [execution_id, execution_id[:-2] + "02"]
    account = floor.gateway.shared.account
    position = account.position(floor.gateway.shared.catalogue.by_symbol["AAPL"])
    assert [position.quantity, account.cash] == [90, cash - 90 * D("439.50") - 1]
    assert position.average_cost == (90 * D("439.50") + 1) / 90
    await trader.ask("reqExecutions", 7, ExecutionFilter())
    assert [each[14] for each in trader.told if each[0] == 11 and each[1] == 7] == told[1:]


async def test_a_correction_leaves_the_position_as_if_the_fill_had_always_been_so(
    floor: OrderFloor, executions: Executions
) -> None:
    trader = floor.trader()
    account = floor.gateway.shared.account
    position = account.position(floor.gateway.shared.catalogue.by_symbol["AAPL"])
    _, first = await a_fill(trader)
    floor.print(450.0)
    await trader.place("BUY", 100, "MKT")
    floor.print(460.0)
    await trader.place("SELL", 50, "MKT")
    executions.correct(first, price=D(441))

    average = (D(441) + D("450.01") + D("0.02")) / 2
    assert position.quantity == 150
    assert position.average_cost == average
    assert position.realized == 50 * (D("459.99") - D("0.02") - average)
    assert account.cash == 1_000_000 - 100 * D(441) - 100 * D("450.01") + 50 * D("459.99") - 3


async def test_yesterdays_executions_can_no_longer_be_corrected(executions: Executions, floor: OrderFloor) -> None:
    _, execution_id = await a_fill(floor.trader())
    floor.gateway.market_clock.advance(24 * 3600)
    with pytest.raises(UsageError, match="not of the running session"):
        executions.bust(execution_id)


async def test_a_correction_of_a_sale_corrects_what_is_owed(floor: OrderFloor, executions: Executions) -> None:
    trader = floor.trader()
    await a_fill(trader)
    await trader.place("SELL", 100, "MKT")
    account = floor.gateway.shared.account
    executions.correct(floor.book.executions[-1].execution_id, price=D(430))

    assert [each.amount for each in account.owed] == [43_000]


async def test_a_corrected_execution_can_be_corrected_again_by_its_newest_name(
    floor: OrderFloor, executions: Executions
) -> None:
    _, execution_id = await a_fill(floor.trader())
    second = executions.correct(execution_id, price=D(439))
    third = executions.correct(second.execution_id, price=D(438))

    assert third.execution_id == execution_id[:-2] + "03"
    with pytest.raises(UsageError, match="name its latest revision"):
        executions.correct(execution_id, price=D(1))


async def test_a_busted_execution_leaves_nothing_behind(floor: OrderFloor, executions: Executions) -> None:
    trader = floor.trader()
    account = floor.gateway.shared.account
    cash = account.cash
    number, execution_id = await a_fill(trader)
    executions.bust(execution_id)

    assert (account.cash, floor.held()) == (cash, 0)
    assert trader.fills(number)[-1][0] == 0
    assert floor.order(number).filled == 0


async def test_an_order_can_be_filled_beyond_its_size(floor: OrderFloor, executions: Executions) -> None:
    trader = floor.trader()
    number, _ = await a_fill(trader)
    executions.overfill(1, number, D(50), D(441))

    assert floor.held() == 150
    status = [each for each in trader.told if each[0] == 3][-1]
    assert status[2:5] == ("Filled", 150, 0)


async def test_a_fill_can_come_after_the_cancel(floor: OrderFloor, executions: Executions) -> None:
    trader = floor.trader()
    number = await trader.place("BUY", 100, limit=430.0)
    await trader.cancel(number)
    executions.overfill(1, number, D(100), D(430))

    assert trader.statuses(number)[-1] == "Cancelled"
    assert (trader.fills(number), floor.held()) == ([(100, 430.0)], 100)


@pytest.mark.parametrize(("code", "status"), [(201, "Inactive"), (202, "Cancelled"), (203, "Inactive")])
async def test_the_exchange_can_throw_an_order_out(
    floor: OrderFloor, executions: Executions, code: int, status: str
) -> None:
    trader = floor.trader()
    number = await trader.place("BUY", 100, limit=430.0)
    executions.reject(1, number, code)

    assert trader.statuses(number) == ["Submitted", status]
    assert trader.codes(number) == [code]
    with pytest.raises(UsageError, match="has ended"):
        executions.reject(1, number)


async def test_a_stale_status_can_be_told_again(floor: OrderFloor, executions: Executions) -> None:
    trader = floor.trader()
    number, _ = await a_fill(trader)
    executions.tell_status(1, number, "Submitted")

    assert trader.statuses(number) == ["Submitted", "Filled", "Submitted"]
    assert floor.order(number).status == "Filled"


async def test_a_short_sale_waits_while_nobody_lends_the_shares(floor: OrderFloor, executions: Executions) -> None:
    trader = floor.trader()
    executions.withhold("AAPL")
    number = await trader.place("SELL", 100, "MKT")
    assert (trader.statuses(number), trader.why_held(number)) == (["PreSubmitted"], "locate")
    assert trader.codes(number) == [404]
    executions.lend("AAPL")

    assert trader.statuses(number)[-1] == "Filled"


async def test_what_is_held_can_be_sold_whoever_lends(floor: OrderFloor, executions: Executions) -> None:
    trader = floor.trader()
    await a_fill(trader)
    executions.withhold("AAPL")
    number = await trader.place("SELL", 100, "MKT")

    assert trader.statuses(number)[-1] == "Filled"


async def test_ids_that_fall_back_can_be_used_again(floor: OrderFloor, executions: Executions) -> None:
    trader = floor.trader()
    number, _ = await a_fill(trader)
    assert executions.roll_back(1, 1) == number
    await trader.place("BUY", 10, "MKT", order_id=number)

    assert floor.held() == 110
