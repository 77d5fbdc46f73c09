"""The backtest's exchange: when an order fills, at which price, at which cost."""

import pytest

from engine.exchange import CostModelError, Exchange, Order, commission_model, slippage_model
from tests.bars import APPLE, bars_of


@pytest.mark.parametrize(
    ("name", "rate", "quantity", "price", "paid"),
    [
        ("none", 5.0, 100.0, 50.0, 0.0),
        ("bps", 10.0, 100.0, 50.0, 5.0),
        ("bps", 10.0, 100.0, -50.0, 5.0),
        ("per_share", 0.01, 250.0, 50.0, 2.5),
        ("ib_fixed", 0.005, 1000.0, 50.0, 5.0),
        ("ib_fixed", 0.005, 100.0, 50.0, 1.0),  # the least
        ("ib_fixed", 0.005, 10.0, 0.5, 0.05),  # the most, 1 % of the value
    ],
)
def test_commission_models(name: str, rate: float, quantity: float, price: float, paid: float) -> None:
    assert commission_model(name, rate)(quantity, price) == pytest.approx(paid, rel=1e-12)


@pytest.mark.parametrize(
    ("name", "rate", "bought", "sold"),
    [("none", 5.0, 20.0, 20.0), ("bps", 50.0, 20.1, 19.9), ("fixed", 0.02, 20.02, 19.98)],
)
def test_slippage_makes_both_sides_worse(name: str, rate: float, bought: float, sold: float) -> None:
    (bar,) = bars_of([21.0], [20.0])
    prices = []
    for quantity in (10.0, -10.0):
        exchange = Exchange(commission_model("none", 0), slippage_model(name, rate))
        exchange.place(APPLE, Order(quantity, bar.start_us, ""))
        execution = exchange.match(bar, 0)
        assert execution is not None
        prices.append(execution.price)

    assert prices == pytest.approx([bought, sold], rel=1e-12)


def test_an_order_waits_for_an_open_after_the_decision_and_fills_once() -> None:
    first, second = bars_of([10.0, 11.0])
    exchange = Exchange(commission_model("bps", 10), slippage_model("none", 0))
    exchange.place(APPLE, Order(10.0, first.end_us, "because"))

    assert exchange.match(first, 0) is None
    execution = exchange.match(second, 1)

    assert execution is not None
    assert (execution.price, execution.row, execution.time_us, execution.reason) == (
        10.0,
        1,
        second.start_us,
        "because",
    )
    assert not exchange.working
    assert exchange.executions == [execution]


def test_a_newer_order_replaces_the_one_that_waits() -> None:
    first, second = bars_of([10.0, 11.0])
    exchange = Exchange(commission_model("none", 0), slippage_model("none", 0))
    exchange.place(APPLE, Order(10.0, first.end_us, ""))
    exchange.place(APPLE, Order(-5.0, first.end_us, ""))

    execution = exchange.match(second, 1)

    assert execution is not None
    assert execution.quantity == -5.0
    exchange.cancel(APPLE)


def test_an_unknown_model_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(CostModelError, match=r"no commission model per_shar \(did you mean per_share\?\)"):
        commission_model("per_shar", 1)
    with pytest.raises(CostModelError, match="no slippage model volume: none, bps, fixed"):
        slippage_model("volume", 1)
