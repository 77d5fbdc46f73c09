"""Ranges are asked in pieces that IB serves, together without hole or overlap."""

import itertools
from datetime import UTC, datetime, timedelta

import pytest

from infra.errors import UsageError
from infra.gateway import hours
from infra.gateway.past import BAR_SIZES, Series, Span, duration_of, spans_of
from schemas.market import Basis, PriceKind
from tests.builders import a_contract

START = datetime(2012, 11, 5, tzinfo=UTC)
LONGEST = {"S": 28_800, "D": 365, "W": 52, "M": 12, "Y": 20}
UNITS = {"S": 1, "D": 86_400, "W": 7 * 86_400, "M": 28 * 86_400, "Y": 365 * 86_400}


@pytest.mark.parametrize("size", BAR_SIZES.values(), ids=lambda size: size.words)
@pytest.mark.parametrize("length", [timedelta(hours=3), timedelta(days=12), timedelta(days=400)], ids=str)
def test_pieces_cover_every_session_once_withduration_ofs_that_ib_allows(size: object, length: timedelta) -> None:
    assert isinstance(size, type(BAR_SIZES[timedelta(days=1)]))
    contract = a_contract(time_zone="US/Eastern")
    start = START + timedelta(hours=15)

    spans = list(spans_of(contract, size, start, start + length))

    assert all(first.end <= second.start for first, second in itertools.pairwise(spans))
    for opening, closing in hours.sessions(contract, start, start + length):
        covered = sum((max(timedelta(0), min(s.end, closing) - max(s.start, opening)) for s in spans), timedelta(0))
        assert covered == closing - opening
    for span in spans:
        count, unit = duration_of(size, span).split()
        assert 1 <= int(count) <= LONGEST[unit]
        assert int(count) * UNITS[unit] >= (span.end - span.start).total_seconds()


@pytest.mark.parametrize(
    ("size", "days", "told"),
    [
        (timedelta(seconds=5), 1 / 24, "3600 S"),
        (timedelta(minutes=1), 0.27, "1 D"),
        (timedelta(minutes=5), 4.27, "5 D"),
        (timedelta(minutes=5), 7, "1 W"),
        (timedelta(hours=1), 27, "1 M"),
        (timedelta(hours=1), 30, "1 M"),
        (timedelta(days=1), 0.27, "1 D"),
        (timedelta(days=1), 20, "1 M"),
        (timedelta(days=1), 364, "1 Y"),
    ],
)
def test_no_more_is_asked_than_is_wanted(size: timedelta, days: float, told: str) -> None:
    begin = START + timedelta(hours=14)

    assert duration_of(BAR_SIZES[size], Span(begin, begin + timedelta(days=days))) == told


def test_prices_that_ib_does_not_serve_are_refused_in_words() -> None:
    with pytest.raises(UsageError, match="IB serves no bid prices in the basis total_return"):
        Series(timedelta(days=1), PriceKind.BID, Basis.TOTAL_RETURN)
    with pytest.raises(UsageError, match="IB serves no bars of 0:00:07"):
        Series(timedelta(seconds=7))
