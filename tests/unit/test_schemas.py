"""Events refuse what cannot be, and keep what is."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from pydantic import ValidationError

from schemas.market import Bar
from schemas.orders import OrderIntent, OrderStatus, OrderType, Side
from tests.builders import NOON, a_bar, a_fill, an_intent


@pytest.mark.parametrize(
    "change",
    [
        {"high": 400.0},
        {"low": 450.0},
        {"close": float("nan")},
        {"high": float("inf")},
        {"volume": -1.0},
        {"event_time": NOON},
        {"start": datetime(2013, 2, 28, 12, 0)},  # noqa: DTZ001 (a time without a zone is what is refused)
        {"contract_id": 0},
        {"source": "hearsay"},
        {"bar_size": timedelta(0)},
        {"symbol": ""},
    ],
)
def test_an_impossible_bar_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        a_bar().revised(**change)


def test_a_negative_price_is_possible() -> None:
    assert a_bar(open=-37.0, high=-30.0, low=-40.0, close=-36.0).low == -40.0


def test_times_are_kept_in_utc_whatever_zone_they_came_in() -> None:
    new_york = timezone(timedelta(hours=-5))
    bar = a_bar(start=datetime(2013, 2, 28, 12, 0, tzinfo=new_york))
    assert bar.start == NOON
    assert bar.start.tzinfo is UTC
    assert b'"start":"2013-02-28T17:00:00Z"' in bar.to_json()


def test_a_reader_ignores_fields_of_a_newer_writer() -> None:
    newer = a_bar().to_json()[:-1] + b',"colour":"green"}'
    assert Bar.model_validate_json(newer) == a_bar()


def test_events_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        setattr(a_bar(), "volume", 2.0)  # noqa: B010 (the type checker forbids the plain form already)


def test_money_of_orders_travels_as_text_and_stays_exact() -> None:
    intent = an_intent(order_type=OrderType.LIMIT, limit_price=Decimal("440.10"))
    assert b'"limit_price":"440.10"' in intent.to_json()
    assert OrderIntent.model_validate_json(intent.to_json()).limit_price == Decimal("440.10")


@pytest.mark.parametrize(
    "change",
    [
        {"order_type": OrderType.LIMIT},
        {"limit_price": Decimal(1)},
        {"quantity": Decimal(0)},
        {"quantity": Decimal(-5)},
        {"quantity": Decimal("NaN")},
        {"intent_id": "with a space"},
        {"intent_id": "x" * 41},
    ],
)
def test_an_impossible_intent_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        an_intent().revised(**change)


def test_a_side_knows_its_sign_and_a_status_its_end() -> None:
    assert (Side.BUY.sign, Side.SELL.sign) == (1, -1)
    assert [s for s in OrderStatus if s.final] == [
        OrderStatus.FILLED,
        OrderStatus.CANCELED,
        OrderStatus.REJECTED,
        OrderStatus.EXPIRED,
    ]
    assert a_fill().revision == 1
