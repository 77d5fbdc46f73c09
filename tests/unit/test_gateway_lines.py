"""Lines go to those who come first, in the best way that is permitted."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from infra.gateway.lines import Channel, Feed, Wish, allot, by_tick_max, feeds_of
from infra.gateway.top_of_book import ASK, ASK_SIZE, BID, TopOfBook, trade_of

ALL = frozenset(Feed)


def test_tick_by_tick_is_for_one_line_in_twenty_and_at_least_three() -> None:
    assert [by_tick_max(lines) for lines in (1, 60, 100, 400)] == [3, 3, 5, 20]


def test_what_finds_no_place_tick_by_tick_comes_as_one_line_of_market_data() -> None:
    found = allot([Wish(number, ALL) for number in range(1, 4)], 100, {(1, Feed.QUOTES)})

    assert found.lines == {
        1: {Channel.BARS, Channel.TICKS, Channel.TOP},
        2: {Channel.BARS, Channel.TICKS, Channel.QUOTES},
        3: {Channel.BARS, Channel.TICKS, Channel.QUOTES},
    }
    found = allot([Wish(number, ALL) for number in range(1, 5)], 60)
    assert found.lines[2] == {Channel.BARS, Channel.TICKS, Channel.TOP}
    assert found.lines[4] == {Channel.BARS, Channel.TOP}, "ticks and quotes share it"
    assert feeds_of(Channel.TOP, found.lines[4], ALL) == {Feed.TICKS, Feed.QUOTES}
    assert feeds_of(Channel.TOP, found.lines[2], ALL) == {Feed.QUOTES}


def test_the_lower_rank_comes_first_and_the_others_are_told() -> None:
    bars = frozenset({Feed.BARS})
    found = allot([Wish(1, bars, (1, 5)), Wish(2, bars, (0, 9)), Wish(3, bars, (1, 4))], 2)

    assert {key for key, channels in found.lines.items() if channels} == {2, 3}
    assert list(found.without) == [(1, Feed.BARS)]
    assert "all 2 are in use" in found.without[1, Feed.BARS]


@given(
    st.dictionaries(st.integers(1, 30), st.frozensets(st.sampled_from(Feed), min_size=1), max_size=30),
    st.integers(1, 40),
    st.sets(st.tuples(st.integers(1, 30), st.sampled_from([Feed.TICKS, Feed.QUOTES]))),
)
def test_no_limit_is_broken_and_every_feed_has_a_line_or_a_reason(
    wanted: dict[int, frozenset[Feed]], lines: int, refused: set[tuple[int, Feed]]
) -> None:
    found = allot([Wish(key, feeds) for key, feeds in wanted.items()], lines, refused)

    held = [(key, channel) for key, channels in found.lines.items() for channel in channels]
    by_tick = [channel for _, channel in held if channel in (Channel.TICKS, Channel.QUOTES)]
    assert len(held) == found.used <= lines
    assert len(by_tick) <= by_tick_max(lines)
    for key, feeds in wanted.items():
        channels = found.lines[key]
        brought = {feed for channel in channels for feed in feeds_of(channel, channels, feeds)}
        assert feeds == {feed for feed in feeds if feed in brought or (key, feed) in found.without}


def test_half_a_change_is_no_quote() -> None:
    book = TopOfBook()
    book.price(BID, 10.0, 300)
    assert book.take() is None
    book.price(ASK, 10.1, 200)
    assert book.take() == {"bid": 10.0, "bid_size": 300, "ask": 10.1, "ask_size": 200}
    book.price(BID, 10.2, 100)
    assert book.take() is None, "the ask has not followed yet"
    book.price(ASK, 10.3, 100)
    book.size(ASK_SIZE, 150)
    assert book.take() == {"bid": 10.2, "bid_size": 100, "ask": 10.3, "ask_size": 150}
    assert book.take() is None
    book.price(BID, -1, 0)
    book.price(ASK, -1, 0)
    assert book.take() is None, "the market has closed"


def test_a_trade_is_read_from_its_text() -> None:
    moment = datetime(2013, 2, 28, 14, 30, 0, 250_000, tzinfo=UTC)
    assert trade_of("441.5;100;1362061800250;52000;440.9;true") == {"event_time": moment, "price": 441.5, "size": 100.0}
    assert trade_of(";0;1362061800250;52000;440.9;false") is None
    assert trade_of("") is None
