"""Every limit may be reached and not passed; a decision can be made again from what it says it was based on."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.reservations import Reservation
from engine.risk import (
    APPROVAL_LIFE,
    Book,
    book_of,
    check,
    decision_id_of,
    fingerprint,
    loss_exceeds,
    trading_day,
    worst_case,
)
from schemas.account import RiskLimits, TradingMode
from schemas.orders import DenialReason, OrderIntent, OrderStatus, OrderType, OrderUpdate, Side
from tests.builders import NOON, SEEN, a_cancel, an_intent

D = Decimal


def limits(**changes: Any) -> RiskLimits:
    wide = {
        "quantity_max": D(10**6),
        "notional_max": D(10**9),
        "position_max": D(10**6),
        "gross_exposure_max": D(10**9),
        "open_orders_max": 1000,
        "open_orders_per_contract_max": 1000,
        "orders_per_minute_max": 1000,
        "daily_loss_max": D(10**6),
    }
    return RiskLimits(scope="account:DU1234567", version=1, event_time=SEEN, ingest_time=SEEN, **(wide | changes))


SEEN_BY_RISK = {"price": D(100), "price_time": SEEN, "currency": "USD"}


def a_book(**changes: Any) -> Book:
    rules = {name: changes.pop(name) for name in list(changes) if name in RiskLimits.model_fields}
    fields: dict[str, Any] = {"trading_mode": TradingMode.ACTIVE, "limits": limits(**rules), **SEEN_BY_RISK}
    return Book(**(fields | changes))


def intent(**changes: Any) -> Any:
    return an_intent(**({"reference_price": D(100), "reference_time": SEEN, "quantity": D(100)} | changes))


LIMIT = {"order_type": OrderType.LIMIT}

BOUNDARIES = [
    # what, book and intent at the limit, book and intent just over it, reason
    ("quantity", {"quantity_max": D(100)}, {}, {"quantity_max": D(99)}, {}, DenialReason.QUANTITY_MAX),
    ("notional", {"notional_max": D(10_000)}, {}, {"notional_max": D("9999.99")}, {}, DenialReason.NOTIONAL_MAX),
    (
        "notional at the limit price",
        {"notional_max": D(10_100)},
        LIMIT | {"limit_price": D(101)},
        {"notional_max": D(10_099)},
        LIMIT | {"limit_price": D(101)},
        DenialReason.NOTIONAL_MAX,
    ),
    (
        "position with orders in flight",
        {"position_max": D(1000), "position": D(700), "open_buys": D(200)},
        {},
        {"position_max": D(1000), "position": D(701), "open_buys": D(200)},
        {},
        DenialReason.POSITION_MAX,
    ),
    (
        "short position with orders in flight",
        {"position_max": D(1000), "position": D(-700), "open_sells": D(200), "open_buys": D(500)},
        {"side": Side.SELL},
        {"position_max": D(1000), "position": D(-700), "open_sells": D(201), "open_buys": D(500)},
        {"side": Side.SELL},
        DenialReason.POSITION_MAX,
    ),
    (
        "gross exposure",
        {"gross_exposure_max": D(50_000), "exposure_elsewhere": D(40_000)},
        {},
        {"gross_exposure_max": D(50_000), "exposure_elsewhere": D("40000.01")},
        {},
        DenialReason.GROSS_EXPOSURE_MAX,
    ),
    (
        "open orders",
        {"open_orders_max": 5, "open_orders": 4},
        {},
        {"open_orders_max": 5, "open_orders": 5},
        {},
        DenialReason.OPEN_ORDERS_MAX,
    ),
    (
        "open orders of a contract",
        {"open_orders_per_contract_max": 5, "open_orders_of_contract": 4},
        {},
        {"open_orders_per_contract_max": 5, "open_orders_of_contract": 5},
        {},
        DenialReason.OPEN_ORDERS_MAX,
    ),
    (
        "rate",
        {"orders_per_minute_max": 60, "orders_last_minute": 59},
        {},
        {"orders_per_minute_max": 60, "orders_last_minute": 60},
        {},
        DenialReason.ORDER_RATE_MAX,
    ),
    (
        "age of the price",
        {"price_age_max_seconds": 10.0},
        {"reference_time": SEEN - timedelta(seconds=10)},
        {"price_age_max_seconds": 10.0},
        {"reference_time": SEEN - timedelta(seconds=10.001)},
        DenialReason.PRICE_STALE,
    ),
    (
        "price from the future",
        {},
        {"reference_time": SEEN + timedelta(milliseconds=250)},
        {},
        {"reference_time": SEEN + timedelta(milliseconds=251)},
        DenialReason.PRICE_STALE,
    ),
    (
        "collar above",
        {"price_collar": D("0.03")},
        LIMIT | {"limit_price": D(103)},
        {"price_collar": D("0.03")},
        LIMIT | {"limit_price": D("103.01")},
        DenialReason.PRICE_COLLAR,
    ),
    (
        "collar below",
        {"price_collar": D("0.03")},
        LIMIT | {"limit_price": D(97), "side": Side.SELL},
        {"price_collar": D("0.03")},
        LIMIT | {"limit_price": D("96.99"), "side": Side.SELL},
        DenialReason.PRICE_COLLAR,
    ),
    (
        "tick",
        {},
        LIMIT | {"limit_price": D("100.05"), "minimum_tick": D("0.05")},
        {},
        LIMIT | {"limit_price": D("100.06"), "minimum_tick": D("0.05")},
        DenialReason.TICK_SIZE,
    ),
    ("lot", {}, {"quantity": D(1)}, {}, {"quantity": D("1.5")}, DenialReason.LOT_SIZE),
    (
        "daily loss",
        {"daily_loss_reducing": D(500), "realised_pnl_today": D(-500)},
        {},
        {"daily_loss_reducing": D(500), "realised_pnl_today": D("-500.01")},
        {},
        DenialReason.DAILY_LOSS_MAX,
    ),
]


@pytest.mark.parametrize(
    ("at_book", "at_intent", "over_book", "over_intent", "reason"),
    [row[1:] for row in BOUNDARIES],
    ids=[str(row[0]) for row in BOUNDARIES],
)
def test_a_limit_may_be_reached_but_not_passed(
    at_book: dict[str, Any],
    at_intent: dict[str, Any],
    over_book: dict[str, Any],
    over_intent: dict[str, Any],
    reason: DenialReason,
) -> None:
    reached = check(intent(**at_intent), a_book(**at_book), SEEN)
    passed = check(intent(**over_intent), a_book(**over_book), SEEN)

    assert (reached.approved, reached.reason) == (True, None), reached.detail
    assert (passed.approved, passed.reason) == (False, reason)
    assert passed.detail


def test_without_limits_everything_is_denied() -> None:
    decision = check(intent(), replace(a_book(), limits=None), SEEN)
    assert decision.reason is DenialReason.LIMITS_MISSING


def test_a_halted_account_takes_cancels_and_nothing_else() -> None:
    halted = a_book(trading_mode=TradingMode.HALTED, position=D(100))
    assert check(intent(side=Side.SELL), halted, SEEN).reason is DenialReason.TRADING_HALTED
    assert check(a_cancel(), halted, SEEN).approved
    assert check(a_cancel(), Book(), SEEN).approved


@pytest.mark.parametrize(
    ("position", "side", "quantity", "in_flight", "passes"),
    [
        (100, Side.SELL, 100, {}, True),
        (100, Side.SELL, 101, {}, False),
        (100, Side.SELL, 60, {"open_sells": D(40)}, True),
        (100, Side.SELL, 61, {"open_sells": D(40)}, False),
        (100, Side.BUY, 1, {}, False),
        (-100, Side.BUY, 100, {}, True),
        (-100, Side.BUY, 61, {"open_buys": D(40)}, False),
        (-100, Side.SELL, 1, {}, False),
    ],
)
def test_a_reducing_account_takes_orders_that_can_only_reduce(
    position: int, side: Side, quantity: int, in_flight: dict[str, Decimal], passes: bool
) -> None:
    held = a_book(trading_mode=TradingMode.REDUCING, position=D(position), **in_flight)
    decision = check(intent(side=side, quantity=D(quantity)), held, SEEN)
    assert decision.approved is passes
    assert passes or decision.reason is DenialReason.REDUCING_ONLY
    active = a_book(position=D(position), **in_flight)
    closing = check(intent(side=side, quantity=D(quantity), reduces_only=True), active, SEEN)
    assert (closing.approved, closing.reason) == (decision.approved, decision.reason), "an order may ask for the same"


def test_a_position_beyond_its_limit_can_be_brought_down() -> None:
    lowered = a_book(position_max=D(100), gross_exposure_max=D(100), position=D(500))
    assert check(intent(side=Side.SELL), lowered, SEEN).approved


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"blocked_by": "intent-0"}, DenialReason.INSTRUMENT_BLOCKED),
        ({"duplicate_of": "intent-0"}, DenialReason.DUPLICATE),
    ],
)
def test_what_is_in_doubt_or_repeated_is_denied(change: dict[str, Any], reason: DenialReason) -> None:
    decision = check(intent(), a_book(**change), SEEN)
    assert decision.reason is reason
    assert "intent-0" in decision.detail


def test_a_price_that_is_none_values_nothing() -> None:
    assert check(intent(reference_price=D(0)), a_book(), SEEN).reason is DenialReason.PRICE_MISSING


def test_one_intent_has_one_decision_id_and_a_repeat_gives_the_same_decision() -> None:
    first, second = (check(intent(), a_book(), SEEN) for _ in range(2))
    assert first == second
    assert first.decision_id == decision_id_of("intent-1") != decision_id_of("intent-2")
    assert first.expires_after == APPROVAL_LIFE


def test_a_fingerprint_tells_every_field_apart() -> None:
    assert fingerprint(intent()) == fingerprint(intent())
    assert len({fingerprint(intent(**change)) for change in ({}, {"quantity": D(101)}, {"side": Side.SELL})}) == 3


def test_a_build_that_knows_a_field_more_agrees_on_the_fingerprint_unless_the_field_is_used() -> None:
    class LaterIntent(OrderIntent):
        urgency: int = 0

    told = intent().model_dump()
    assert fingerprint(LaterIntent(**told)) == fingerprint(intent())
    assert fingerprint(LaterIntent(**told, urgency=1)) != fingerprint(intent())


def test_a_trading_day_is_new_yorks() -> None:
    assert str(trading_day(NOON)) == "2013-02-28"
    assert str(trading_day(NOON.replace(hour=4))) == "2013-02-27"


def test_a_loss_at_its_limit_does_not_exceed_it() -> None:
    assert not loss_exceeds(D(-500), limits(daily_loss_max=D(500)))
    assert loss_exceeds(D("-500.01"), limits(daily_loss_max=D(500)))


amounts = st.integers(0, 2000).map(Decimal)


@given(
    position=st.integers(-2000, 2000).map(Decimal),
    open_buys=amounts,
    open_sells=amounts,
    elsewhere=st.decimals(0, 10**6, places=2),
    side=st.sampled_from(Side),
    quantity=st.integers(1, 2000).map(Decimal),
    pnl=st.decimals(-(10**4), 10**4, places=2),
    mode=st.sampled_from(TradingMode),
)
def test_a_decision_can_be_made_again_from_its_basis(**drawn: Any) -> None:
    book = a_book(
        position=drawn["position"],
        open_buys=drawn["open_buys"],
        open_sells=drawn["open_sells"],
        exposure_elsewhere=drawn["elsewhere"],
        realised_pnl_today=drawn["pnl"],
        trading_mode=drawn["mode"],
        position_max=D(1500),
        daily_loss_max=D(5000),
    )
    decision = check(intent(side=drawn["side"], quantity=drawn["quantity"]), book, SEEN)

    assert check(decision.intent, book_of(decision.basis), decision.basis.decided_at) == decision


def update_of(order: Reservation, filled: Decimal, status: OrderStatus) -> OrderUpdate:
    return OrderUpdate(
        order_id=order.order_id, broker_order_id=1, account_id="DU1234567", strategy_id="s",
        contract_id=order.contract_id, symbol="AAPL", side=order.side, quantity=order.quantity,
        order_type=OrderType.MARKET, status=status, cumulative_quantity=filled, sequence=order.sequence + 1,
        event_time=NOON, ingest_time=SEEN,
    )  # fmt: skip


@given(data=st.data())
def test_no_limit_is_exceeded_at_any_instant_with_orders_in_flight_at_their_worst(data: st.DataObject) -> None:
    """Intents, fills and ends of two contracts, in any order: the worst case never passes a limit."""
    price = D(100)
    rules = limits(position_max=D(500), gross_exposure_max=D(70_000), open_orders_max=6)
    held = {1: D(0), 2: D(0)}
    orders: dict[str, Reservation] = {}

    def flight(contract: int, side: Side) -> Decimal:
        mine = (o for o in orders.values() if o.contract_id == contract and o.side is side)
        return sum((o.remaining for o in mine), D(0))

    def worst(contract: int) -> Decimal:
        return worst_case(held[contract], flight(contract, Side.BUY), flight(contract, Side.SELL))

    for number in range(data.draw(st.integers(1, 40))):
        live = [order for order in orders.values() if order.remaining]
        what = data.draw(st.sampled_from(["intent", "fill", "end"] if live else ["intent"]))
        if what == "intent":
            contract, side = data.draw(st.sampled_from([1, 2])), data.draw(st.sampled_from(Side))
            wish = intent(
                intent_id=f"i-{number}", contract_id=contract, side=side,
                quantity=D(data.draw(st.integers(1, 400))), reference_price=price,
            )  # fmt: skip
            book = Book(
                trading_mode=TradingMode.ACTIVE,
                limits=rules,
                position=held[contract],
                open_buys=flight(contract, Side.BUY),
                open_sells=flight(contract, Side.SELL),
                open_orders=len([o for o in orders.values() if o.state != "released"]),
                exposure_elsewhere=worst(3 - contract) * price,
            )
            if check(wish, book, SEEN).approved:
                orders[wish.intent_id] = Reservation(wish.intent_id, contract, side, wish.quantity)
        elif what == "fill":
            order = data.draw(st.sampled_from(live))
            filled = D(data.draw(st.integers(1, int(order.remaining))))
            held[order.contract_id] += order.side.sign * filled
            orders[order.order_id] = order.with_fill(filled)
        else:
            order = data.draw(st.sampled_from([each for each in live if not each.ended] or live))
            if order.ended:
                continue  # the broker ends an order once: what it told then is what it filled
            told = D(data.draw(st.integers(int(order.filled), int(order.quantity))))
            orders[order.order_id] = order.with_update(update_of(order, told, OrderStatus.CANCELED))
        assert all(worst(contract) <= rules.position_max for contract in held)
        assert sum((worst(contract) * price for contract in held), D(0)) <= rules.gross_exposure_max
        assert len([o for o in orders.values() if o.state != "released"]) <= rules.open_orders_max
