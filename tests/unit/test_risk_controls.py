"""Controls beside sizes and positions: what risk itself has seen, who the order belongs to, and what runs wild."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from engine.risk import check
from engine.risk_book import Book, Scope
from engine.risk_ceilings import CEILINGS, OF_STRATEGY, OF_SYMBOL, not_asked, over_ceilings
from schemas.account import RiskLimits, TradingMode
from schemas.orders import DenialReason, OrderType, Side, TimeInForce
from tests.builders import SEEN, a_change, an_intent
from tests.unit.test_risk import a_book, intent, limits

D = Decimal
R = DenialReason
SHORTLY_BEFORE = SEEN - timedelta(seconds=2)
LIMIT = {"order_type": OrderType.LIMIT}
STOP_LIMIT = {"order_type": OrderType.STOP_LIMIT, "stop_price": D(90)}

CONTROLS = [
    # what, book that lets it pass, book that does not, intent, reason
    ("no price seen", {}, {"price": None}, {}, R.PRICE_MISSING),
    ("an old price", {"price_time": SEEN}, {"price_time": SEEN - timedelta(seconds=10.1)}, {}, R.PRICE_STALE),
    ("another price", {"price": D(103)}, {"price": D("103.1")}, {}, R.PRICE_DISAGREES),
    ("an old signal", {"signal_age_max_seconds": 2.0}, {"signal_age_max_seconds": 1.9},
     {"ingest_time": SHORTLY_BEFORE}, R.SIGNAL_STALE),
    ("no base currency", {}, {"currency": ""}, {}, R.ACCOUNT_UNKNOWN),
    ("no rate", {"fx_rate": D("1.1"), "account_time": SEEN}, {"account_time": SEEN}, {"currency": "EUR"}, R.FX_STALE),
    ("an old rate", {"fx_rate": D("1.1"), "account_time": SEEN - timedelta(seconds=120)},
     {"fx_rate": D("1.1"), "account_time": SEEN - timedelta(seconds=121)}, {"currency": "EUR"}, R.FX_STALE),
    ("worth in base", {"notional_max": D(11_000), "fx_rate": D("1.1"), "account_time": SEEN},
     {"notional_max": D(10_999), "fx_rate": D("1.1"), "account_time": SEEN}, {"currency": "EUR"}, R.NOTIONAL_MAX),
    ("net exposure", {"net_exposure_max": D(15_000), "net_high_elsewhere": D(5_000)},
     {"net_exposure_max": D(15_000), "net_high_elsewhere": D(5_001)}, {}, R.NET_EXPOSURE_MAX),
    ("net short exposure", {"net_exposure_max": D(15_000), "net_low_elsewhere": D(-5_000)},
     {"net_exposure_max": D(15_000), "net_low_elsewhere": D(-5_001)}, {"side": Side.SELL}, R.NET_EXPOSURE_MAX),
    ("daily volume", {"adv_share_max": D("0.01"), "average_volume": D(10_000)},
     {"adv_share_max": D("0.01"), "average_volume": D(9_999)}, {}, R.ADV_SHARE_MAX),
    ("unknown volume", {"adv_share_max": D("0.01"), "average_volume": D(10_000)}, {"adv_share_max": D("0.01")}, {},
     R.ADV_SHARE_MAX),
    ("buying power", {"buying_power_share_max": D("0.5"), "buying_power": D(20_000), "account_time": SEEN},
     {"buying_power_share_max": D("0.5"), "buying_power": D(19_999), "account_time": SEEN}, {}, R.BUYING_POWER),
    ("unknown buying power", {}, {"buying_power_share_max": D(1)}, {}, R.ACCOUNT_UNKNOWN),
    ("unrealised loss", {"daily_loss_reducing": D(500), "realised_pnl_today": D(-300),
                         "unrealised_pnl_today": D(-200)},
     {"daily_loss_reducing": D(500), "realised_pnl_today": D(-300), "unrealised_pnl_today": D(-201)}, {},
     R.DAILY_LOSS_MAX),
    ("two thirds of the loss", {"daily_loss_max": D(900), "realised_pnl_today": D(-600)},
     {"daily_loss_max": D(900), "realised_pnl_today": D(-601)}, {}, R.DAILY_LOSS_MAX),
    ("rate of a strategy", {"strategy_orders_per_minute_max": 3, "strategy_orders_last_minute": 2},
     {"strategy_orders_per_minute_max": 3, "strategy_orders_last_minute": 3}, {}, R.ORDER_RATE_MAX),
    ("same side", {"same_side_orders_max": 5, "same_side_orders": 4}, {"same_side_orders_max": 5,
     "same_side_orders": 5}, {}, R.SAME_SIDE_ORDERS_MAX),
    ("orders per fill", {"orders_per_fill_max": 50, "messages_lately": 99, "fills_lately": 2},
     {"orders_per_fill_max": 50, "messages_lately": 100, "fills_lately": 2}, {}, R.ORDERS_PER_FILL_MAX),
    ("restricted", {}, {"restricted": "news"}, {}, R.RESTRICTED),
    ("allow-list", {"instruments": ("AAPL",)}, {"instruments": ("IBM",)}, {}, R.INSTRUMENT_NOT_ALLOWED),
    ("session", {"sessions_only": True, "in_session": True}, {"sessions_only": True, "in_session": False}, {},
     R.OUTSIDE_HOURS),
    ("unknown session", {}, {"sessions_only": True}, {}, R.OUTSIDE_HOURS),
    ("own order", {}, {"crossing": "intent-0"}, {}, R.SELF_MATCH),
    ("unknown parent", {}, {"working": False}, {"parent_id": "intent-0"}, R.UNKNOWN_ORDER),
    ("unknown worth elsewhere", {}, {"exposure_unknown": "XYZ"}, {}, R.GROSS_EXPOSURE_MAX),
    ("unknown profit", {}, {"loss_unknown": "JPY"}, {}, R.DAILY_LOSS_MAX),
]  # fmt: skip


@pytest.mark.parametrize(
    ("passing", "denying", "wish", "reason"), [row[1:] for row in CONTROLS], ids=[str(row[0]) for row in CONTROLS]
)
def test_a_control_lets_pass_up_to_its_limit_and_denies_beyond(
    passing: dict[str, Any], denying: dict[str, Any], wish: dict[str, Any], reason: DenialReason
) -> None:
    passed = check(intent(**wish), a_book(**passing), SEEN)
    denied = check(intent(**wish), a_book(**denying), SEEN)

    assert (passed.approved, passed.reason) == (True, None), passed.detail
    assert denied.reason is reason, denied.detail
    assert denied.detail


@pytest.mark.parametrize(
    ("terms", "reason"),
    [
        (LIMIT | {"limit_price": D("96.99")}, R.PRICE_COLLAR),
        (LIMIT | {"limit_price": D(120), "side": Side.SELL, "parent_id": "entry"}, None),
        (LIMIT | {"limit_price": D(96), "side": Side.SELL, "parent_id": "entry"}, R.PRICE_COLLAR),
        (STOP_LIMIT | {"limit_price": D("88"), "side": Side.SELL}, None),
        (STOP_LIMIT | {"limit_price": D("87"), "side": Side.SELL}, R.PRICE_COLLAR),
        ({"order_type": OrderType.STOP, "stop_price": D(50), "side": Side.SELL}, None),
    ],
)
def test_a_collar_is_around_the_price_at_which_an_order_would_work(
    terms: dict[str, Any], reason: DenialReason | None
) -> None:
    decision = check(intent(**terms), a_book(position=D(100)), SEEN)
    assert decision.reason is reason, decision.detail


def test_an_order_that_only_reduces_passes_what_holds_others_back() -> None:
    held = {"position": D(100), "restricted": "news", "daily_loss_max": D(1), "realised_pnl_today": D(-5)}
    held |= {"exposure_unknown": "XYZ", "loss_unknown": "JPY"}
    assert check(intent(side=Side.SELL), a_book(**held, buying_power_share_max=D(1)), SEEN).approved


@pytest.mark.parametrize("time_in_force", [TimeInForce.GTC, TimeInForce.OPG])
def test_an_order_that_waits_for_a_session_may_come_before_it(time_in_force: TimeInForce) -> None:
    assert check(intent(time_in_force=time_in_force), a_book(sessions_only=True, in_session=False), SEEN).approved


def scoped(**changes: Any) -> Book:
    figures = {name: changes.pop(name) for name in list(changes) if name in Scope.__dataclass_fields__}
    return replace(a_book(), scopes=(Scope(scope="strategy:crossover", limits=limits(**changes), **figures),))


def test_limits_of_account_strategy_and_symbol_all_apply() -> None:
    assert check(intent(), scoped(position_max=D(100)), SEEN).approved
    denied = check(intent(), scoped(position_max=D(100), position=D(1)), SEEN)
    assert (denied.reason, denied.detail.partition(":")[0]) == (R.POSITION_MAX, "strategy")


# by limit: what a strategy may just not do, with the figures that it has
TIGHT: dict[str, dict[str, Any]] = {
    "quantity_max": {"quantity_max": D(99)},
    "notional_max": {"notional_max": D(9_999)},
    "position_max": {"position_max": D(99)},
    "gross_exposure_max": {"gross_exposure_max": D(9_999)},
    "net_exposure_max": {"net_exposure_max": D(9_999)},
    "open_orders_max": {"open_orders_max": 0},
    "open_orders_per_contract_max": {"open_orders_per_contract_max": 0},
    "orders_per_minute_max": {"orders_per_minute_max": 0},
    "daily_loss_max": {"daily_loss_max": D(1), "realised_pnl_today": D(-2)},
    "daily_loss_reducing": {"daily_loss_reducing": D(1), "realised_pnl_today": D(-2)},
    "instruments": {"instruments": ("IBM",)},
}


@pytest.mark.parametrize("name", sorted(OF_STRATEGY))
def test_every_limit_that_a_strategy_may_have_is_asked_of_it(name: str) -> None:
    denied = check(intent(), scoped(**TIGHT[name]), SEEN)
    assert not denied.approved
    assert "strategy" in denied.detail


def test_a_limit_that_only_accounts_have_is_not_set_on_another_scope() -> None:
    changes = {"quantity_max": D(1), "price_collar": D("0.01"), "sessions_only": True, "daily_loss_max": D(1)}
    assert not_asked("account:DU1", changes) == []
    assert not_asked("strategy:crossover", changes) == ["price_collar", "sessions_only"]
    assert not_asked("symbol:AAPL", changes) == ["price_collar", "sessions_only", "daily_loss_max"]
    assert not_asked("symbol:AAPL", {"price_collar": None, "sessions_only": False}) == [], "what is no limit harms not"
    assert OF_SYMBOL < OF_STRATEGY < set(RiskLimits.model_fields)


def test_limits_of_a_scope_that_do_not_load_count_as_zero() -> None:
    broken = replace(a_book(), scopes=(Scope(scope="symbol:AAPL", limits=None),))
    assert check(intent(), broken, SEEN).reason is R.LIMITS_MISSING


def test_no_limit_goes_through_its_ceiling() -> None:
    over = limits(quantity_max=D(10**9), price_collar=D("0.9"))
    assert check(intent(quantity=D(100_000)), replace(a_book(), limits=over), SEEN).reason is not R.QUANTITY_MAX
    assert check(intent(quantity=D(100_001)), replace(a_book(), limits=over), SEEN).reason is R.QUANTITY_MAX
    far = check(intent(**LIMIT, limit_price=D(126)), replace(a_book(), limits=over), SEEN)
    assert far.reason is R.PRICE_COLLAR
    assert far.basis.limits is not None
    assert far.basis.limits.price_collar == CEILINGS["price_collar"], "a decision tells the limits that held"
    assert over_ceilings({"quantity_max": D(10**9), "open_orders_max": 5}) == ["quantity_max: at most 100000"]


def test_a_change_is_judged_by_what_it_adds() -> None:
    first = intent(quantity=D(100))
    larger = a_change(first.revised(quantity=D(160)))
    at_limit = {"position_max": D(200), "open_buys": D(140), "covered": D(100)}
    assert check(larger, a_book(**at_limit), SEEN).approved
    assert check(larger, a_book(**at_limit | {"open_buys": D(141)}), SEEN).reason is R.POSITION_MAX
    assert check(larger, a_book(quantity_max=D(159), covered=D(100)), SEEN).reason is R.QUANTITY_MAX
    assert check(larger, a_book(working=False), SEEN).reason is R.UNKNOWN_ORDER


def test_a_change_to_less_passes_when_only_reducing_does_and_none_passes_a_halt() -> None:
    smaller = a_change(intent(quantity=D(10)))
    flight = {"open_buys": D(100), "covered": D(100)}
    assert check(smaller, a_book(trading_mode=TradingMode.REDUCING, **flight), SEEN).approved
    halted = a_book(trading_mode=TradingMode.HALTED, **flight)
    assert check(smaller, halted, SEEN).reason is R.TRADING_HALTED


def test_a_change_is_no_new_order_in_counts() -> None:
    full = {"open_orders_max": 1, "open_orders": 1, "same_side_orders_max": 0, "covered": D(100), "open_buys": D(100)}
    assert check(a_change(intent(quantity=D(100))), a_book(**full), SEEN).approved


def test_limits_of_before_still_say_what_they_said() -> None:
    before = RiskLimits.model_validate_json(
        '{"type":"RiskLimits","scope":"account:DU1","version":3,"event_time":"2026-11-21T05:00:00Z",'
        '"ingest_time":"2026-11-21T05:00:00Z","quantity_max":"10"}'
    )
    assert before.buying_power_share_max is None
    assert (
        check(an_intent(quantity=D(11)), replace(a_book(), limits=before, price=D(440)), SEEN).reason is R.QUANTITY_MAX
    )
