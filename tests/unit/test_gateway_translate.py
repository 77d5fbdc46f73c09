"""IB's words become ours."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from infra.gateway import translate
from infra.gateway.library import UNSET_DOUBLE, load
from infra.gateway.reports import BrokerError, ErrorMeaning
from tests.builders import an_intent

D = Decimal


@pytest.mark.parametrize(
    ("execution_id", "root", "revision"),
    [
        ("0000e0d5.513f4f3a.01.01", "0000e0d5.513f4f3a.01", 1),
        ("0000e0d5.513f4f3a.01.02", "0000e0d5.513f4f3a.01", 2),
        ("0000e0d5", "0000e0d5", 1),
        ("manual.x", "manual.x", 1),
        ("a.00", "a.00", 1),
    ],
)
def test_a_correction_shares_its_root_and_has_a_higher_revision(execution_id: str, root: str, revision: int) -> None:
    assert translate.execution_root(execution_id) == (root, revision)


@pytest.mark.parametrize("text", ["0.1", "440.52", "100", "0.00001", "123456789.125"])
def test_prices_keep_the_digits_that_the_gateway_wrote(text: str) -> None:
    assert translate.decimal(float(text)) == Decimal(text)


@pytest.mark.parametrize("text", ["1362061800", "20130228-14:30:00", "20130228 14:30:00 UTC", "20130228  14:30:00"])
def test_times_are_utc_in_every_form(text: str) -> None:
    assert translate.moment(text) == datetime(2013, 2, 28, 14, 30, tzinfo=UTC)


ALL_FIELDS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {"orderType": "MKT", "tif": "DAY", "totalQuantity": 100.0, "action": "BUY", "outsideRth": False}),
    ({"order_type": "STP LMT", "stop_price": D(430), "limit_price": D(431)}, {"auxPrice": 430.0, "lmtPrice": 431.0}),
    ({"order_type": "TRAIL LIMIT", "trail_percent": D(2), "limit_offset": D("0.5"), "stop_price": D(430)},
     {"trailingPercent": 2.0, "lmtPriceOffset": 0.5, "trailStopPrice": 430.0, "auxPrice": UNSET_DOUBLE}),
    ({"order_type": "TRAIL", "trail_amount": D(5)}, {"auxPrice": 5.0, "trailStopPrice": UNSET_DOUBLE}),
    ({"order_type": "REL", "peg_offset": D("0.02"), "limit_price": D(441)}, {"auxPrice": 0.02, "lmtPrice": 441.0}),
    ({"order_type": "LMT", "limit_price": D(430), "time_in_force": "GTD", "outside_hours": True,
      "good_till": datetime(2013, 3, 1, 21, 0, tzinfo=UTC)}, {"goodTillDate": "20130301-21:00:00", "outsideRth": True}),
    ({"oca_group": "g"}, {"ocaGroup": "g", "ocaType": 1}),
    ({"oca_group": "g", "oca_reduces": True}, {"ocaGroup": "g", "ocaType": 2}),
]  # fmt: skip


@pytest.mark.parametrize(("terms", "fields"), ALL_FIELDS)
async def test_every_term_of_an_order_goes_to_its_field(terms: dict[str, Any], fields: dict[str, Any]) -> None:
    intent = an_intent(**terms)
    order = translate.to_order(load("ib_insync"), intent, "DU1234567", translate.Link(7, transmit=False))
    assert {name: getattr(order, name) for name in fields} == fields
    assert (order.orderRef, order.account, order.parentId, order.transmit) == ("intent-1", "DU1234567", 7, False)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("20130301-21:00:00", datetime(2013, 3, 1, 21, 0, tzinfo=UTC)),
        ("20130301 16:00:00 US/Eastern", datetime(2013, 3, 1, 21, 0, tzinfo=UTC)),
        ("20130301 16:00:00", None),  # of a zone that nobody has told
        ("20130301 16:00:00 Nowhere/Land", None),
        ("", None),
        ("soon-ish", None),
    ],
)
def test_the_date_of_an_open_order_is_understood_or_not_known(text: str, moment: datetime | None) -> None:
    assert translate._until(text) == moment


@pytest.mark.parametrize(
    ("code", "meaning"),
    [
        (201, ErrorMeaning.REJECTED),
        (202, ErrorMeaning.CANCELED),
        (399, ErrorMeaning.WARNING),
        (2109, ErrorMeaning.WARNING),
        *[(code, ErrorMeaning.RECONCILE) for code in (103, 104, 105, 161, 321, 10147, 10148, 99999)],
    ],
)
def test_codes_that_leave_an_order_alive_never_mean_that_it_is_done(code: int, meaning: ErrorMeaning) -> None:
    assert BrokerError(1, code, "").meaning is meaning
