"""The backtest's exchange: when an order fills, at which price, at which cost."""

from typing import Any

import pytest

from engine.exchange import CostModelError, Order, RuleError, Rules, commission_model, slippage_model
from engine.exchange.costs import IbFixed, IbTiered
from engine.facts import Bar
from engine.order_requests import OrderRequestError, OrderState
from tests.bars import APPLE, bars_of
from tests.unit.an_exchange import Floor

HOUR_US = 3_600_000_000


def bars(*prices: tuple[float, float, float, float], volume: float = 1000.0) -> list[Bar]:
    """Hourly bars from (open, high, low, close)."""
    return [Bar(APPLE, n * HOUR_US, (n + 1) * HOUR_US, *each, volume) for n, each in enumerate(prices)]


QUIET = (10.0, 10.1, 9.9, 10.0)


@pytest.mark.parametrize(
    ("name", "rate", "quantity", "price", "paid"),
    [
        ("none", 5.0, 100.0, 50.0, 0.0),
        ("bps", 10.0, 100.0, 50.0, 5.0),
        ("bps", 10.0, 100.0, -50.0, 5.0),
        ("per_share", 0.01, 250.0, 50.0, 2.5),
    ],
)
def test_commission_models(name: str, rate: float, quantity: float, price: float, paid: float) -> None:
    model = commission_model(name, rate)

    assert callable(model)
    assert model(quantity, price) == pytest.approx(paid, rel=1e-12)


@pytest.mark.parametrize(
    ("quantity", "price", "paid"),
    [(1000.0, 25.0, 5.0), (100.0, 25.0, 1.0), (1000.0, 0.25, 2.5), (-10.0, 0.5, 0.05)],  # IB's own examples first
)
def test_ib_fixed_has_a_least_and_a_most_an_order(quantity: float, price: float, paid: float) -> None:
    assert IbFixed(0.005).of_order(0.0, 0.0, quantity, price, 0) == pytest.approx(paid, rel=1e-12)


def test_the_least_commission_is_paid_once_an_order_however_many_fills_it_has() -> None:
    model = IbFixed(0.005)

    first = model.of_order(0.0, 0.0, 50.0, 20.0, 0)
    second = model.of_order(50.0, 1000.0, 50.0, 20.0, 0)
    third = model.of_order(100.0, 2000.0, 900.0, 20.0, 0)

    assert (first, second, third) == pytest.approx((1.0, 0.0, 4.0))


def test_ib_tiered_pays_each_share_by_the_months_volume_and_third_parties_beside() -> None:
    model = IbTiered(0.0030)
    january, february = 1_704_200_000_000_000, 1_707_000_000_000_000

    bought = model.of_order(0.0, 0.0, 100.0, 50.0, january)
    assert bought == pytest.approx(0.35 * (1 + 0.000738) + 100 * (0.0002 + 0.0030))

    sold = model.of_order(0.0, 0.0, -1000.0, 50.0, january)
    fees = 1000 * 0.0032 + 3.5 * 0.000738 + 50_000 * 0.0000278 + 0.166
    assert sold == pytest.approx(3.5 + fees)

    large = model.of_order(0.0, 0.0, 400_000.0, 50.0, january)  # 298,900 shares are left of the first tier
    commission = 298_900 * 0.0035 + 101_100 * 0.0020
    assert large == pytest.approx(commission * 1.000738 + 400_000 * 0.0032)
    assert model.of_order(0.0, 0.0, 100.0, 50.0, february) == pytest.approx(bought)  # a month begins anew


@pytest.mark.parametrize(
    ("name", "rate", "bought", "sold"),
    [
        ("none", 5.0, 20.0, 20.0),
        ("bps", 50.0, 20.1, 19.9),
        ("fixed", 0.02, 20.02, 19.98),
        ("half_spread", 50.0, 20.05, 19.95),
        ("volume_share", 0.1, 20.0002, 19.9998),  # 20 * 0.1 * (10 / 1000) ** 2
    ],
)
def test_slippage_makes_both_sides_worse(name: str, rate: float, bought: float, sold: float) -> None:
    (bar,) = bars_of([21.0], [20.0])
    prices = []
    for quantity in (10.0, -10.0):
        floor = Floor(slippage=name, rate=rate)
        floor.exchange.place(Order(quantity, bar.start_us, "", APPLE))
        prices += [price for _, _, price in floor.meet(bar)]

    assert prices == pytest.approx([bought, sold], rel=1e-12)


def test_an_order_waits_for_an_open_after_the_decision_and_fills_once() -> None:
    first, second = bars_of([10.0, 11.0])
    floor = Floor()
    floor.exchange.place(Order(10.0, first.end_us, "because", APPLE))

    assert floor.meet(first) == []
    floor.exchange.match(second, 1)

    (execution,) = floor.exchange.executions
    assert (execution.price, execution.row, execution.time_us, execution.reason) == (
        10.0,
        1,
        second.start_us,
        "because",
    )
    assert not floor.exchange.working


def test_a_newer_target_replaces_the_one_that_waits() -> None:
    first, second = bars_of([10.0, 11.0])
    floor = Floor()
    floor.exchange.place(Order(10.0, first.end_us, "", APPLE))
    floor.exchange.place(Order(-5.0, first.end_us, "", APPLE))

    floor.exchange.match(second, 1)

    assert [each.quantity for each in floor.exchange.executions] == [-5.0]
    floor.exchange.drop_target(APPLE)


def test_an_unknown_model_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(CostModelError, match=r"no commission model per_shar \(did you mean per_share\?\)"):
        commission_model("per_shar", 1)
    with pytest.raises(CostModelError, match=r"no slippage model volume.*none, bps, fixed"):
        slippage_model("volume", 1)
    with pytest.raises(RuleError, match=r"no fill model next_opn \(did you mean next_open\?\)"):
        Rules(fill="next_opn")
    with pytest.raises(RuleError, match="participation lies above 0"):
        Rules(participation=0)


# each order type: (terms, prices of the bar, fill price or None), for a buy; a sale is tried with prices negated
CASES = [
    ("MKT", {}, QUIET, 10.0),
    ("LMT", {"limit": 9.95}, QUIET, 9.95),
    ("LMT", {"limit": 9.9}, QUIET, None),  # touched, not traded through
    ("LMT", {"limit": 10.05}, QUIET, 10.0),  # the open is better: it fills there
    ("LMT", {"limit": 10.0}, QUIET, 10.0),  # at the limit only once the bar trades through it
    ("STP", {"stop": 10.1}, QUIET, 10.1),
    ("STP", {"stop": 10.11}, QUIET, None),
    ("STP", {"stop": 9.5}, QUIET, 10.0),  # gapped over: the open
    ("STP LMT", {"stop": 10.05, "limit": 10.2}, QUIET, 10.05),
    ("STP LMT", {"stop": 10.05, "limit": 10.02}, QUIET, 10.02),  # the close proves that it came back
    ("STP LMT", {"stop": 10.05, "limit": 9.95}, QUIET, None),  # the low may have been before the stop
    ("STP LMT", {"stop": 9.8, "limit": 9.95}, QUIET, 9.95),  # triggered by the open, then the low is after it
    ("MIT", {"stop": 9.9}, QUIET, 9.9),
    ("MIT", {"stop": 9.89}, QUIET, None),
    ("MIT", {"stop": 10.5}, QUIET, 10.0),
    ("LIT", {"stop": 9.95, "limit": 10.2}, QUIET, 9.95),
    ("LIT", {"stop": 9.95, "limit": 9.92}, QUIET, 9.92),  # the low came after the touch
    ("LIT", {"stop": 9.95, "limit": 9.9}, QUIET, None),
    ("TRAIL", {"trail": 0.05}, QUIET, 10.05),  # the stop drawn by the open was reached
    ("TRAIL", {"trail": 0.5}, (10.0, 10.2, 9.0, 9.6), 9.5),  # drawn by the low, and the close lies beyond it
    ("TRAIL", {"trail": 0.5}, (10.0, 10.2, 9.0, 9.4), None),  # perhaps reached, perhaps not: not
    ("TRAIL", {"trail_percent": 1.0}, QUIET, 10.1),
    ("TRAIL LIMIT", {"trail": 0.05, "limit_offset": 0.02}, QUIET, 10.05),
    ("MOC", {}, QUIET, 10.0),
    ("LOC", {"limit": 10.01}, QUIET, 10.0),
    ("LOC", {"limit": 10.0}, QUIET, None),
    ("MTL", {}, QUIET, 10.0),
]


@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize(("kind", "terms", "bar", "price"), CASES)
def test_each_order_type_fills_where_the_bar_proves_it(
    kind: str, terms: dict[str, Any], bar: tuple[float, float, float, float], price: float | None, side: int
) -> None:
    floor = Floor()
    signed = ("limit", "stop")
    open_, high, low, close = (each * side for each in bar)
    tif = "DAY" if kind in ("MOC", "LOC") else "GTC"
    given = {name: value * side if name in signed else value for name, value in terms.items()}
    floor.place(10.0 * side, kind, tif, **given)

    floor.meet(*bars((open_, max(high, low), min(high, low), close)))

    prices = [each.price * side for each in floor.exchange.executions]
    assert prices == ([] if price is None else [pytest.approx(price)])


def test_a_touched_limit_fills_where_the_rule_says_so_or_the_queue_before_it_has_traded() -> None:
    touching = bars((10.0, 10.1, 9.9, 10.0), (10.0, 10.1, 9.9, 10.0), (10.0, 10.1, 9.9, 10.0))

    touch = Floor(Rules(limit_fill="touch"))
    touch.place(10.0, "LMT", limit=9.9)
    assert touch.meet(*touching) == [(0, 10.0, 9.9)]

    queue = Floor(Rules(limit_fill="queue"))
    queue.place(10.0, "LMT", limit=9.9).queue = 1500.0
    assert queue.meet(*touching) == [(1, 10.0, 9.9)]


@pytest.mark.parametrize(
    ("rule", "row", "filled"),
    [("stop_first", 0, 9.5), ("target_first", 0, 10.5), ("nearest_first", 0, 10.5)],
)
def test_of_a_stop_and_a_target_in_one_bar_the_rule_decides(rule: str, row: int, filled: float) -> None:
    floor = Floor(Rules(both_reached=rule))
    floor.place(-10.0, "LMT", limit=10.5, oca="exit")
    floor.place(-10.0, "STP", stop=9.5, oca="exit")

    assert floor.meet(*bars((10.0, 10.6, 9.3, 10.0))) == [(row, -10.0, filled)]
    assert not floor.exchange.working


def _bracket(floor: Floor, kind: str = "MKT", **entry: Any) -> None:
    parent = floor.place(10.0, kind, **entry)
    floor.place(-10.0, "STP", stop=9.5, parent=parent, oca="a", reduces=True)
    floor.place(-10.0, "LMT", limit=10.5, parent=parent, oca="a", reduces=True)


@pytest.mark.parametrize(
    ("bar", "fills"),
    [
        ((10.0, 10.6, 9.6, 10.0), [10.0, 10.5]),  # in at the open: all of the bar is after it
        ((10.0, 10.6, 9.4, 10.0), [10.0, 9.5]),  # both: the stop
    ],
)
def test_a_bracket_entered_at_the_open_may_end_in_the_same_bar(
    bar: tuple[float, float, float, float], fills: list[float]
) -> None:
    floor = Floor()
    _bracket(floor)

    assert [price for _, _, price in floor.meet(*bars(bar))] == fills


@pytest.mark.parametrize(
    ("bar", "fills"),
    [
        ((10.2, 10.6, 9.6, 10.0), [9.8]),  # the high may have been before the entry
        ((10.2, 10.6, 9.6, 10.55), [9.8, 10.5]),  # the close was not
        ((10.2, 10.3, 9.4, 10.55), [9.8, 9.5]),  # the stop may have been after the entry: the worse is taken
    ],
)
def test_a_bracket_entered_inside_a_bar_ends_in_it_by_what_the_bar_proves_or_by_the_worse(
    bar: tuple[float, float, float, float], fills: list[float]
) -> None:
    open_, high, low, close = bar
    floor = Floor()
    _bracket(floor, "LMT", limit=9.8)

    assert [price for _, _, price in floor.meet(*bars((open_, max(high, close), low, close)))] == fills


def test_children_end_with_a_parent_that_never_fills() -> None:
    floor = Floor()
    _bracket(floor, "LMT", limit=1.0)
    parent = floor.exchange.find(1)
    assert parent is not None

    floor.exchange.cancel(parent, "enough")

    assert [state for _, state, _ in floor.news] == [OrderState.CANCELED] * 3
    assert not floor.exchange.working


@pytest.mark.parametrize(
    ("tif", "kind", "terms", "fills", "end"),
    [
        ("DAY", "LMT", {"limit": 9.0}, [], "EXPIRED"),
        ("GTC", "LMT", {"limit": 9.0}, [(2, 10.0, 9.0)], "FILLED"),
        ("GTD", "LMT", {"limit": 9.0, "good_till_us": HOUR_US}, [], "EXPIRED"),
        ("GTD", "LMT", {"limit": 9.0, "good_till_us": 3 * HOUR_US}, [(2, 10.0, 9.0)], "FILLED"),
        ("IOC", "LMT", {"limit": 9.95}, [], "CANCELED"),
        ("IOC", "LMT", {"limit": 10.5}, [(0, 10.0, 10.0)], "FILLED"),
        ("OPG", "MKT", {}, [(0, 10.0, 10.0)], "FILLED"),
        ("OPG", "LMT", {"limit": 9.95}, [], "EXPIRED"),
    ],
)
def test_times_in_force(
    tif: str, kind: str, terms: dict[str, Any], fills: list[tuple[int, float, float]], end: str
) -> None:
    floor = Floor()
    floor.sessions = {0: (True, False), 1: (False, True), 2: (True, True)}
    floor.place(10.0, kind, tif, **terms)

    assert floor.meet(*bars(QUIET, QUIET, (9.5, 9.6, 8.9, 9.0))) == fills
    assert floor.news[-1][1].value == end


def test_an_order_for_the_close_waits_for_the_sessions_last_bar() -> None:
    floor = Floor()
    floor.sessions = {0: (True, False), 1: (False, True)}
    floor.place(10.0, "MOC", "DAY")

    assert floor.meet(*bars(QUIET, (10.0, 11.0, 10.0, 10.7))) == [(1, 10.0, 10.7)]


def test_participation_fills_in_parts_and_fok_not_at_all() -> None:
    floor = Floor(Rules(fill="volume_participation", participation=0.01))
    floor.place(25.0)
    floor.place(5.0, "LMT", "FOK", limit=11.0)

    assert floor.meet(*bars(QUIET, QUIET, QUIET)) == [(0, 10.0, 10.0), (1, 10.0, 10.0), (2, 5.0, 10.0)]
    assert (2, OrderState.CANCELED, "FOK: no more at once") in floor.news


def test_the_rest_of_a_market_to_limit_order_waits_at_its_first_price() -> None:
    floor = Floor(Rules(fill="volume_participation", participation=0.01))
    floor.place(15.0, "MTL")

    fills = floor.meet(*bars(QUIET, (10.5, 10.6, 10.4, 10.5), (10.5, 10.6, 9.9, 10.0)))

    assert fills == [(0, 10.0, 10.0), (2, 5.0, 10.0)]


def test_a_part_filled_stop_goes_on_at_the_market_and_takes_its_size_off_the_target() -> None:
    floor = Floor(Rules(fill="volume_participation", participation=0.01))
    parent = floor.place(15.0)
    floor.place(-15.0, "STP", stop=9.95, parent=parent, oca="a", reduces=True)
    target = floor.place(-15.0, "LMT", limit=10.5, parent=parent, oca="a", reduces=True)

    fills = floor.meet(*bars((10.0, 10.1, 9.96, 10.0), (10.0, 10.0, 9.9, 9.9), (9.8, 9.9, 9.7, 9.8), QUIET))

    assert fills == [(0, 10.0, 10.0), (1, 5.0, 10.0), (1, -5.0, 9.95), (2, -10.0, 9.8)]
    assert target.state is OrderState.CANCELED


def test_the_worst_price_of_the_bar() -> None:
    floor = Floor(Rules(fill="worst_of_bar"))
    floor.place(10.0)
    floor.place(-5.0)

    assert floor.meet(*bars(QUIET)) == [(0, 10.0, 10.1), (0, -5.0, 9.9)]


def test_latency_lets_bars_pass() -> None:
    floor = Floor(Rules(latency_bars=2))
    floor.place(10.0).wait = 2

    assert floor.meet(*bars(QUIET, QUIET, (11.0, 11.1, 10.9, 11.0))) == [(2, 10.0, 11.0)]


@pytest.mark.parametrize(
    ("terms", "said"),
    [
        ({"quantity": 0.0}, "a quantity that is not zero"),
        ({"quantity": float("nan")}, "a quantity that is not zero"),
        ({"kind": "LMT"}, "a LMT order needs limit"),
        ({"kind": "MKT", "stop": 3.0}, "a MKT order has no stop"),
        ({"kind": "TRAIL"}, "needs trail or trail_percent"),
        ({"kind": "TRAIL", "trail": 1.0, "trail_percent": 1.0}, "needs trail or trail_percent"),
        ({"tif": "GTD"}, "needs good_till"),
        ({"kind": "STP", "stop": 1.0, "tif": "OPG"}, "take part in the opening"),
        ({"kind": "MOC", "tif": "GTC"}, "is DAY, not GTC"),
    ],
)
def test_an_order_that_cannot_be_says_why(terms: dict[str, Any], said: str) -> None:
    with pytest.raises(OrderRequestError, match=said):
        Floor().place(terms.pop("quantity", 1.0), terms.pop("kind", "MKT"), terms.pop("tif", "DAY"), **terms)
