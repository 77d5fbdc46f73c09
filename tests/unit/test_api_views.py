"""What a service remembers of a topic: the newest of each key, whatever comes twice or broken."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from consumers.api.prices import Prices
from consumers.api.views import Latest
from infra.delivery import Record
from infra.publish import Origin
from infra.topics import load_catalogue
from schemas.market import Bar, Quote, Source
from tests.builders import APPLE, NOON, SEEN, a_bar


@dataclass
class Wire:
    """A record as the broker gives it."""

    offset: int
    value: bytes | None
    key: bytes | None = b"1"
    topic: str = "scizor.market.bars.v1"
    partition: int = 0
    timestamp: int = 0
    headers: Sequence[tuple[str, bytes | None]] = field(default=())


def a_view(**options: int) -> Latest[Bar]:
    return Latest[Bar](lambda bar: str(bar.contract_id), **options)


def an_origin(offset: int) -> Origin:
    return Origin("market.bars.v1", 0, offset, b"1", 0, SEEN)


def test_a_record_that_comes_again_changes_nothing() -> None:
    view = a_view()
    view.apply(a_bar(volume=2.0), 0, 11)
    view.apply(a_bar(volume=1.0), 0, 10)

    assert [bar.volume for bar in view.all()] == [2.0]


def test_beyond_its_size_the_key_that_was_silent_longest_is_forgotten() -> None:
    view = a_view(keys_max=2)
    for offset, contract in enumerate((1, 2, 1, 3)):
        view.apply(a_bar(contract_id=contract), 0, offset)

    assert sorted(bar.contract_id for bar in view.all()) == [1, 3]


def test_of_a_poll_the_last_good_record_of_each_key_counts() -> None:
    view = a_view()
    records: list[Record] = [
        Wire(1, a_bar(volume=1.0).to_json()),
        Wire(2, b"overtaken, so nobody looks at it"),
        Wire(3, a_bar(contract_id=7, volume=7.0).to_json(), key=b"7"),
        Wire(4, a_bar(volume=2.0).to_json()),
        Wire(5, b"{poison"),
    ]
    failures = view.apply_newest(load_catalogue().topic("market.bars.v1"), records)

    assert {bar.volume for bar in view.all()} == {2.0, 7.0}
    assert [failure.record.offset for failure in failures] == [5]


async def test_who_waits_for_a_change_sees_it_come_or_not() -> None:
    view = a_view()
    waiting = asyncio.create_task(view.wait_for(str(APPLE), lambda bar: bar.volume == 2.0, 5))
    for offset, volume in enumerate((1.0, 2.0)):
        await asyncio.sleep(0)
        await view.on_event(a_bar(volume=volume), an_origin(offset))

    assert await waiting
    assert not await view.wait_for(str(APPLE), lambda bar: bar.volume == 3.0, 0.01)


def test_the_newest_price_is_the_one_that_was_received_last() -> None:
    prices = Prices()
    prices.bars.apply(a_bar(close=441.0), 0, 1)
    quote = Quote(
        event_time=NOON,
        ingest_time=SEEN.replace(hour=6),
        contract_id=APPLE,
        symbol="AAPL",
        bid=440.1,
        ask=440.2,
        bid_size=1,
        ask_size=1,
        source=Source.DERIVED,
    )
    before = prices.newest(APPLE)
    prices.quotes.apply(quote, 0, 1)
    after = prices.newest(APPLE)
    prices.quotes.apply(quote.revised(bid=-1.0, ask=-1.0), 0, 2)
    no_quote = prices.newest(APPLE)

    assert before is not None
    assert (str(before.price), before.received_at) == ("441", SEEN)
    assert after is not None
    assert str(after.price) == "440.15"
    assert no_quote == before, "IB says -1 where nobody bids"
    assert prices.newest(1) is None
