"""openOrder, completedOrder, orderStatus and execDetails as ib_insync and IB's client read them, at every version."""

from typing import Any, cast

import pytest
from ib_insync import (
    ExecutionCondition,
    MarginCondition,
    Order,
    PercentChangeCondition,
    PriceCondition,
    TimeCondition,
    VolumeCondition,
)
from ib_insync.decoder import Decoder
from ibapi.decoder import Decoder as OfficialDecoder

from infra.gateway_simulator.protocol.wire import VERSION_MAX, VERSION_MIN
from tests.rich_orders import RICH, TRAIL
from tests.unit.an_order_floor import APPLE, OrderFloor, Trader

VERSIONS = range(VERSION_MIN, VERSION_MAX + 1)
CONDITIONS = [
    PriceCondition(1, "a", True, 9000.5, 265598, "SMART", 2),
    TimeCondition(3, "o", True, "20370101 10:00:00 US/Eastern"),
    MarginCondition(4, "a", False, 5),
    ExecutionCondition(5, "o", "STK", "SMART", "IBM"),
    VolumeCondition(6, "a", True, 100_000_000, 265598, "SMART"),
    PercentChangeCondition(7, "a", True, 90.5, 265598, "SMART"),
]
STOP_LIMIT: dict[str, Any] = RICH | {
    "orderRef": "intent-7",
    "hidden": True,
    "sweepToFill": True,
    "randomizePrice": True,
    "conditions": CONDITIONS,
}


class Kept:
    """A wrapper that keeps what a decoder hands on."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...]]] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: self.calls.append((name, arguments))


def by_ib_insync(trader: Trader, message: int) -> tuple[Any, ...]:
    kept = Kept()
    decoder: Any = Decoder(cast(Any, kept), trader.version)
    decoder.interpret([each.decode() for each in trader.last(message)])
    ((_, arguments),) = kept.calls
    return arguments


def by_ibapi(trader: Trader, message: int, method: str) -> tuple[Any, ...]:
    """Every field must be taken, none be left."""
    kept = Kept()
    fields = iter(trader.last(message)[1:])
    getattr(OfficialDecoder(kept, trader.version), method)(fields)
    assert list(fields) == []
    ((_, arguments),) = kept.calls
    return arguments


def differences(wanted: dict[str, Any], found: Order) -> dict[str, Any]:
    return {name: getattr(found, name) for name, value in wanted.items() if getattr(found, name) != value}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("terms", [STOP_LIMIT, TRAIL], ids=["stop limit", "trailing"])
async def test_an_open_order_tells_back_all_that_the_client_set(version: int, terms: dict[str, Any]) -> None:
    trader = OrderFloor().trader(version=version)
    await trader.ask("placeOrder", 1, APPLE, Order(**terms))
    assert not trader.codes(1)

    number, contract, order, state = by_ib_insync(trader, 5)
    told = by_ibapi(trader, 5, "processOpenOrder")

    assert (number, contract.conId, state.status) == (1, 265598, "PreSubmitted")
    assert differences(terms, order) == {}
    assert (order.account, order.clientId) == ("DU1234567", 1)
    assert order.permId == trader.gateway.shared.book.live[(1, 1)].permanent_id
    for name in set(terms) - {"conditions", "totalQuantity"}:
        assert getattr(told[2], name) == terms[name], name
    assert [each.condType for each in told[2].conditions] == [each.condType for each in terms.get("conditions", [])]
    assert told[3].status == "PreSubmitted"


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_plain_order_and_its_end_are_read_by_both(version: int) -> None:
    floor = OrderFloor()
    trader = floor.trader(version=version)
    number = await trader.place("BUY", 100, "LMT", limit=300.0, ref="plain")
    _, _, order, state = by_ib_insync(trader, 5)
    assert (order.lmtPrice, order.tif, state.status) == (300.0, "DAY", "Submitted")
    await trader.cancel(number)
    await trader.ask("reqCompletedOrders", False)

    _, done, state = by_ib_insync(trader, 101)
    _, officially, official_state = by_ibapi(trader, 101, "processCompletedOrderMsg")

    assert (done.lmtPrice, done.orderRef, state.status) == (300.0, "plain", "Cancelled")
    assert (officially.lmtPrice, official_state.completedStatus) == (300.0, "Cancelled by Trader")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("terms", [STOP_LIMIT, TRAIL], ids=["stop limit", "trailing"])
async def test_a_completed_order_tells_back_all_that_the_client_set(version: int, terms: dict[str, Any]) -> None:
    trader = OrderFloor().trader(version=version)
    await trader.ask("placeOrder", 1, APPLE, Order(**terms))
    await trader.cancel(1)
    await trader.ask("reqCompletedOrders", True)

    _, order, _ = by_ib_insync(trader, 101)
    _, told, _ = by_ibapi(trader, 101, "processCompletedOrderMsg")

    left_out = {"blockOrder"}  # which the layout of completedOrder does not have
    assert set(differences(terms, order)) <= left_out
    for name in set(terms) - {"conditions", "totalQuantity"} - left_out:
        assert getattr(told, name) == terms[name], name


@pytest.mark.parametrize("version", VERSIONS)
async def test_statuses_and_executions_are_read_by_both(version: int) -> None:
    floor = OrderFloor()
    trader = floor.trader(version=version)
    floor.print(440.0)
    floor.display(ask=500)
    number = await trader.place("BUY", 200, "MKT", ref="mine")

    _, contract, execution = by_ib_insync(trader, 11)
    _, _, told = by_ibapi(trader, 11, "processExecutionDataMsg")
    status = by_ib_insync(trader, 3)
    official = by_ibapi(trader, 3, "processOrderStatusMsg")

    assert (contract.symbol, execution.shares, execution.price, execution.side) == ("AAPL", 200, 440.01, "BOT")
    assert (execution.orderId, execution.orderRef, execution.lastLiquidity) == (number, "mine", 2)
    assert (told.execId, told.cumQty, told.avgPrice) == (execution.execId, 200, 440.01)
    assert status[:5] == (number, "Filled", 200, 0, 440.01)
    assert official[1] == "Filled"


async def test_a_what_if_order_gets_one_answer_with_margins_and_commission() -> None:
    floor = OrderFloor()
    trader = floor.trader()
    await trader.place("BUY", 1000, "MKT", whatIf=True)

    assert [each[0] for each in trader.told] == [5]
    _, _, order, state = by_ib_insync(trader, 5)
    assert order.whatIf
    assert float(state.initMarginChange) > 200_000
    assert float(state.initMarginAfter) == float(state.initMarginBefore) + float(state.initMarginChange)
    assert state.commission == 5.0
    assert floor.book.live == {}
