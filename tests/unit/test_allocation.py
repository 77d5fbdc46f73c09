"""Capital over strategies: weights by three methods, sizes by the last prices, and nothing changed within the band."""

from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from consumers.strategist.allocator import Allocator
from engine.live.allocation import Share, sizes, weights
from engine.live.worth import STEPS_LEAST, Worth
from infra.clock import ManualClock, SeededEntropy
from schemas.strategy import Allocate, AllocationMethod, AllocationPlan
from tests.builders import NOON, SEEN, a_contract
from tests.unit.test_running_strategy import COMMAND, started

TWO = {
    "calm": Share({"AAPL": 100.0}, {"AAPL": 50.0}, 10.0),
    "wild": Share({"IBM": 100.0, "MSFT": 100.0}, {"IBM": 10.0, "MSFT": 40.0}, 30.0),
}


def a_plan(**changes: Any) -> AllocationPlan:
    fields: dict[str, Any] = {
        "account_id": "DU1234567",
        "by": "test",
        "method": AllocationMethod.FIXED,
        "capital": Decimal(10_000),
        "weights": {"calm": 0.75, "wild": 0.25},
    }
    return AllocationPlan(**fields | changes, event_time=NOON, ingest_time=SEEN)


def test_fixed_weights_are_those_of_the_plan_and_equal_ones_are_equal() -> None:
    assert weights(a_plan(), TWO) == {"calm": 0.75, "wild": 0.25}
    assert weights(a_plan(method=AllocationMethod.EQUAL), TWO) == {"calm": 0.5, "wild": 0.5}


def test_inverse_volatility_gives_less_to_what_moves_more_for_each_unit_of_money() -> None:
    plan = a_plan(method=AllocationMethod.INVERSE_VOLATILITY)
    found = weights(plan, TWO)  # 5000 of money moves by 10, 5000 by 30
    assert found == {"calm": pytest.approx(0.75), "wild": pytest.approx(0.25)}
    unknown = {**TWO, "wild": Share({"IBM": 100.0}, {"IBM": 10.0}, None)}
    assert weights(plan, unknown) == {"calm": 0.5, "wild": 0.5}


def test_a_strategys_money_is_shared_by_its_symbols_in_whole_shares() -> None:
    assert sizes(a_plan(), TWO) == {"calm": {"AAPL": 150.0}, "wild": {"IBM": 125.0, "MSFT": 31.0}}


@pytest.mark.parametrize(
    ("price", "changed"), [(50.0, False), (46.0, False), (44.0, True), (54.0, False), (56.0, True)]
)
def test_sizes_within_the_band_are_left_alone(price: float, changed: bool) -> None:
    share = {"calm": Share({"AAPL": 150.0}, {"AAPL": price}, None)}
    assert ("calm" in sizes(a_plan(weights={"calm": 0.75}), share)) is changed


def test_nothing_is_sized_before_every_price_is_known() -> None:
    assert sizes(a_plan(), {"calm": Share({"AAPL": 1.0}, {}, None)}) == {}


def test_weights_that_are_more_than_all_are_refused() -> None:
    with pytest.raises(ValidationError, match=r"add up to 1\.2"):
        a_plan(weights={"calm": 0.7, "wild": 0.5})


def test_volatility_is_told_once_there_are_enough_bars() -> None:
    worth = Worth()
    for number in range(STEPS_LEAST):
        worth.sample(float(number % 2))
    assert worth.volatility is None
    worth.sample(float(STEPS_LEAST % 2))
    assert worth.volatility == pytest.approx(1.0259783520851542)


def test_the_allocator_asks_for_a_size_once_a_minute_by_a_command_that_the_strategy_obeys() -> None:
    desk, clock = started(), ManualClock(SEEN)
    allocator = Allocator(clock, SeededEntropy(1))
    desk.bar()
    allocator.take(a_plan(weights={"holder": 1.0}))
    (command,) = allocator.due([desk.strategy])
    assert command.quantities == {"AAPL": float(10_000 // 441)}
    assert allocator.due([desk.strategy]) == []
    desk.give(command)
    clock.advance(61)
    assert allocator.due([desk.strategy]) == []


def test_symbols_may_have_sizes_of_their_own() -> None:
    desk = started()
    desk.give(Allocate(quantity=10.0, quantities={a_contract().symbol: 7.0}, **COMMAND))
    assert desk.intent().quantity == Decimal(7)
