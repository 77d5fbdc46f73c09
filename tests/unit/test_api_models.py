"""What callers may write, and how amounts and sizes of bars are said."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from consumers.api.collections import CollectIn
from consumers.api.limits import LimitsIn, raised
from consumers.api.models import Answer, BarSize, Exact, SymbolNames, page_of
from schemas.account import RiskLimits
from tests.builders import SEEN


class Amount(Answer):
    value: Exact


@pytest.mark.parametrize(
    ("written", "size", "said"),
    [
        ("5s", timedelta(seconds=5), "5s"),
        ("60 secs", timedelta(minutes=1), "1m"),
        ("5 mins", timedelta(minutes=5), "5m"),
        ("1h", timedelta(hours=1), "1h"),
        ("1 day", timedelta(days=1), "1d"),
        ("P1D", timedelta(days=1), "1d"),
    ],
)
def test_a_bar_size_is_written_in_several_ways_and_said_in_one(written: Any, size: timedelta, said: str) -> None:
    adapter = TypeAdapter[timedelta](BarSize)

    assert adapter.validate_python(written) == size
    assert adapter.dump_python(size) == said


@pytest.mark.parametrize("written", ["", "0s", "1 fortnight", "32d", "-5s", 0.5, 86_400, "5"])
def test_what_is_no_bar_size_is_refused(written: Any) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter[timedelta](BarSize).validate_python(written)


@pytest.mark.parametrize(
    ("stored", "said"),
    [("100.00000000", "100"), ("440.60000000", "440.6"), ("0.00000001", "0.00000001"), ("1E+3", "1000")],
)
def test_amounts_are_said_exactly_without_padding(stored: str, said: str) -> None:
    assert Amount(value=Decimal(stored)).model_dump_json() == f'{{"value":"{said}"}}'


@pytest.mark.parametrize(
    ("written", "why"),
    [(0, "write a date"), ("2013-02-28T00:00:00Z", "write a date"), ("2100-01-01", "no market has lived in 2100")],
)
def test_a_day_is_a_date_that_a_market_can_have_lived_through(written: Any, why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        CollectIn.model_validate({"symbols": ["AAPL"], "first_day": written})


def test_symbols_are_spelt_as_the_registry_does_each_once() -> None:
    adapter = TypeAdapter[tuple[str, ...]](SymbolNames)

    assert adapter.validate_python(["aapl", "AAPL", "bhp:asx"]) == ("AAPL", "BHP:ASX")
    with pytest.raises(ValidationError, match="write AAPL"):
        adapter.validate_python(["$$$"])


def test_a_page_tells_where_the_next_one_begins() -> None:
    assert page_of([1, 2, 3], limit=2, offset=4).model_dump() == {"items": [1, 2], "next_offset": 6}
    assert page_of([1, 2], limit=2, offset=4).next_offset is None


@pytest.mark.parametrize(
    ("changes", "looser"),
    [
        ({"quantity_max": "1000"}, []),
        ({"quantity_max": "1000.5"}, ["quantity_max"]),
        ({"price_collar": "0.02", "daily_loss_max": "20001"}, ["daily_loss_max"]),
        ({"price_age_max_seconds": 11}, ["price_age_max_seconds"]),
        ({"open_orders_max": 0}, []),
    ],
)
def test_a_limit_is_raised_when_it_permits_more(changes: dict[str, Any], looser: list[str]) -> None:
    before = RiskLimits(event_time=SEEN, ingest_time=SEEN, scope="account:DU1", version=1)
    given = LimitsIn.model_validate({"account_id": "DU1", **changes}).given()

    assert raised(before, given) == looser


def test_the_first_limits_permit_what_nothing_permitted_before() -> None:
    assert raised(None, {"quantity_max": Decimal(1)})


def test_every_limit_can_be_changed() -> None:
    fixed = {"type", "event_time", "ingest_time", "scope", "version"}

    named = {"account_id", "symbol", "without", "reason"}  # whose, which shall no longer be, and why
    assert set(LimitsIn.model_fields) - named == set(RiskLimits.model_fields) - fixed
