"""IB's words become ours."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from infra.gateway import translate
from infra.gateway.reports import BrokerError, ErrorMeaning


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
