"""Conditional orders: what has to hold before they go to the market, or are cancelled."""

from typing import Any

import pytest
from ib_insync import (
    ExecutionCondition,
    MarginCondition,
    PercentChangeCondition,
    PriceCondition,
    Stock,
    TimeCondition,
    VolumeCondition,
)

from infra.gateway_simulator.orders.conditions import Condition, hold
from tests.unit.an_order_floor import OrderFloor

IBM = 8314


@pytest.fixture
def floor() -> OrderFloor:
    floor = OrderFloor()
    floor.print(440.0)
    floor.print(200.0, symbol="IBM")
    return floor


def price(limit: float, *, is_more: bool = True, joined: str = "a") -> PriceCondition:
    return PriceCondition(1, joined, is_more, limit, IBM, "SMART", 0)


async def test_a_price_of_another_symbol_lets_an_order_go(floor: OrderFloor) -> None:
    trader = floor.trader()
    number = await trader.place("BUY", 100, "MKT", conditions=[price(201.0)])
    floor.print(441.0)
    assert (trader.statuses(number), trader.why_held(number)) == (["PreSubmitted"], "")
    floor.print(201.0, symbol="IBM")

    assert trader.statuses(number)[-1] == "Filled"


async def test_a_condition_can_cancel_instead(floor: OrderFloor) -> None:
    trader = floor.trader()
    number = await trader.place("BUY", 100, limit=430.0, conditions=[price(201.0)], conditionsCancelOrder=True)
    assert trader.statuses(number) == ["Submitted"]
    floor.print(202.0, symbol="IBM")

    assert trader.statuses(number)[-1] == "Cancelled"


async def test_a_condition_that_holds_already_holds_nothing_up(floor: OrderFloor) -> None:
    trader = floor.trader()
    number = await trader.place("BUY", 100, "MKT", conditions=[price(199.0)])

    assert trader.statuses(number)[-1] == "Filled"


async def test_a_moment_lets_an_order_go(floor: OrderFloor) -> None:
    trader = floor.trader()
    at = TimeCondition(3, "a", True, "20130228 10:00:07 US/Eastern")
    number = await trader.place("BUY", 100, "MKT", conditions=[at])
    await floor.pass_time(6.9)
    assert trader.statuses(number) == ["PreSubmitted"]
    await floor.pass_time(0.1)

    assert trader.statuses(number)[-1] == "Filled"


async def test_a_trade_of_another_symbol_lets_an_order_go(floor: OrderFloor) -> None:
    trader = floor.trader()
    number = await trader.place("BUY", 100, "MKT", conditions=[ExecutionCondition(5, "a", "STK", "SMART", "IBM")])
    floor.print(440.5)
    assert trader.statuses(number) == ["PreSubmitted"]
    await trader.place("BUY", 10, "MKT", contract=Stock("IBM", "SMART", "USD"))
    floor.print(440.6)

    assert trader.statuses(number)[-1] == "Filled"


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        (VolumeCondition(6, "a", True, 1, IBM, "SMART"), True),
        (VolumeCondition(6, "a", True, 1_000_000_000, IBM, "SMART"), False),
        (PercentChangeCondition(7, "a", False, -1.0, IBM, "SMART"), True),
        (PercentChangeCondition(7, "a", True, 1.0, IBM, "SMART"), False),
        (MarginCondition(4, "a", True, 90), True),
        (MarginCondition(4, "a", False, 90), False),
    ],
)
async def test_volume_change_and_margin(floor: OrderFloor, condition: Any, holds: bool) -> None:
    floor.print(190.0, symbol="IBM")
    trader = floor.trader()
    number = await trader.place("BUY", 100, "MKT", conditions=[condition])

    assert (trader.statuses(number)[-1] == "Filled") is holds


async def test_conditions_sleep_outside_of_regular_hours_unless_told_otherwise() -> None:
    floor = OrderFloor("2013-02-28T08:00:00-05:00")
    trader = floor.trader()
    terms: dict[str, Any] = {"limit": 300.0, "outsideRth": True, "conditions": [price(1.0)]}
    asleep = await trader.place("BUY", 100, **terms)
    awake = await trader.place("BUY", 100, conditionsIgnoreRth=True, **terms)

    assert (trader.statuses(asleep)[-1], trader.statuses(awake)[-1]) == ("PreSubmitted", "Submitted")


async def test_a_condition_on_an_unknown_contract_is_refused(floor: OrderFloor) -> None:
    trader = floor.trader()
    number = await trader.place("BUY", 1, "MKT", conditions=[PriceCondition(1, "a", True, 1.0, 12345, "SMART", 0)])

    assert trader.codes(number) == [147]


class Knows:
    """A world in which the price of contract n is n."""

    def price(self, contract_id: int, method: int, is_more: bool) -> Any:
        return contract_id

    def now(self) -> float:
        return 0.0

    def cushion(self) -> Any:
        return 0

    def has_traded(self, security_type: str, symbol: str, exchange: str) -> bool:
        return False

    def volume(self, contract_id: int) -> Any:
        return 0

    def percent_change(self, contract_id: int) -> Any:
        return 0


@pytest.mark.parametrize(
    ("parts", "holds"),
    [
        ("1a 1a", True),
        ("1a 0a", False),
        ("0o 1a", True),
        ("0a 1o 1a", True),
        ("1a 0o 0a", False),
        ("0o 0o 1o", True),
        ("1o 0a", True),
        ("0a 1a 1o 0o", False),
    ],
)
def test_conditions_are_joined_from_left_to_right_and_binds_closer(parts: str, holds: bool) -> None:
    conditions = tuple(
        Condition(1, joined_by_and=each[1] == "a", value="1", contract_id=int(each[0])) for each in parts.split()
    )

    assert hold(conditions, Knows()) is holds
