"""What was quoted at moments of the past: the last of each contract that says something, and nothing else is read."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, overload

import pytest

from infra.quotes_at import newest_before, take_in
from infra.topics import load_catalogue
from schemas.market import Quote, Source
from tests.builders import APPLE, SEEN
from tests.unit.test_replay import Written

SECOND = timedelta(seconds=1)


def a_quote(at: datetime = SEEN, bid: float = 440.0, ask: float = 440.5) -> Quote:
    fields: dict[str, Any] = {
        "contract_id": APPLE,
        "symbol": "AAPL",
        "source": Source.IB,
        "bid_size": 1.0,
        "ask_size": 1.0,
    }
    return Quote(**fields, bid=bid, ask=ask, event_time=at, ingest_time=at)


class EverySecond(Sequence[Quote]):
    """A million quotes, each made where it is looked at."""

    def __init__(self) -> None:
        self.looks = 0

    def __len__(self) -> int:
        return 1_000_000

    @overload
    def __getitem__(self, place: int) -> Quote: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[Quote]: ...

    def __getitem__(self, place: int | slice) -> Quote | Sequence[Quote]:
        assert isinstance(place, int)
        if place >= len(self):
            raise IndexError
        self.looks += 1
        return a_quote(SEEN + place * SECOND)


def test_a_quote_is_found_without_looking_at_all_of_them() -> None:
    quotes, moments = EverySecond(), [SEEN + (n + 0.5) * SECOND for n in (0, 5, 999_000)]

    answers = newest_before([(APPLE, moment) for moment in moments], {APPLE: quotes})

    assert [answers[APPLE, moment].ingest_time for moment in moments] == [moment - 0.5 * SECOND for moment in moments]
    assert quotes.looks < 100


@pytest.mark.parametrize(
    ("quote", "says"),
    [
        (a_quote(SEEN - 60 * SECOND), True),
        (a_quote(SEEN - 61 * SECOND), False),
        (a_quote(SEEN + SECOND), False),
        (a_quote(bid=0.0), False),
        (a_quote(bid=441.0), False),
    ],
)
def test_only_a_fresh_quote_of_two_sides_says_what_a_price_was(quote: Quote, says: bool) -> None:
    assert newest_before([(APPLE, SEEN)], {APPLE: [quote]}) == ({(APPLE, SEEN): quote} if says else {})


def test_records_of_other_keys_are_passed_over_whatever_they_are() -> None:
    """Also a key that is no number at all: it ended the portfolio once."""
    spec, apple = load_catalogue().topic_of(Quote), str(APPLE).encode()
    good = a_quote().model_dump_json().encode()
    records = [
        Written(0, key=b"not a contract", value=good),
        Written(1, key=None, value=good),
        Written(2, key=apple, value=b"{"),
        Written(3, key=apple, value=good),
    ]
    heard: dict[bytes, list[Quote]] = {apple: []}

    take_in(spec, records, heard)

    assert heard == {apple: [a_quote()]}
