"""Feeds that fall silent are noticed by the calendar and two clocks, told once and asked for again, less and less."""

from datetime import UTC, datetime, timedelta

from infra.clock import ManualClock
from infra.gateway.market_clock import MarketClock
from producers.market_data.watch import FeedState, FeedWatch
from schemas.market import Quarantined, QuarantineRule
from tests.builders import APPLE, SEEN, a_contract

OPEN = datetime(2013, 2, 28, 14, 30, tzinfo=UTC)
CLOSE = datetime(2013, 2, 28, 21, 0, tzinfo=UTC)


class Feed:
    """A feed whose clocks a test moves: market and wall time together."""

    def __init__(self, market_time: datetime) -> None:
        self.clock = ManualClock(SEEN)
        self.market = MarketClock(self.clock)
        self.market.heard(int(market_time.timestamp()))
        self.flowing = True
        self.refreshed: list[float] = []
        self.watch = FeedWatch(self.clock, self.market, self)

    def flows(self, contract_id: int) -> bool:
        return self.flowing

    def refresh(self, contract_id: int) -> None:
        self.refreshed.append(self.clock.monotonic())

    def bar(self) -> None:
        now = self.market.now()
        assert now is not None
        self.watch.heard(APPLE, now)

    def passes(self, seconds: int, *, with_bars: bool = False) -> list[Quarantined]:
        found = []
        for second in range(seconds):
            self.clock.advance(1)
            if with_bars and second % 5 == 4:
                self.bar()
            found += self.watch.look([a_contract()])
        return found

    def state(self) -> FeedState:
        return next(state for state in FeedState if self.watch.count(state))


def test_a_feed_that_brings_bars_is_live() -> None:
    feed = Feed(OPEN)
    assert feed.passes(120, with_bars=True) == []
    assert (feed.state(), feed.refreshed, feed.watch.why_not_ready()) == (FeedState.LIVE, [], None)


def test_silence_is_told_once_and_the_subscription_asked_for_again_with_growing_pauses() -> None:
    feed = Feed(OPEN)
    feed.passes(60, with_bars=True)
    assert feed.passes(15) == []
    found = feed.passes(400)

    (finding,) = found
    assert (finding.rule, finding.contract_id) == (QuarantineRule.STALE, APPLE)
    assert finding.reason == "no bar since 2013-02-28 14:31:00, 3 are missing: the subscription is asked for again"
    assert [round(later - feed.refreshed[0]) for later in feed.refreshed] == [0, 60, 180]
    assert feed.watch.why_not_ready() == "AAPL: no bar since 2013-02-28 14:31:00"

    feed.bar()
    assert feed.passes(10) == []
    assert (feed.state(), feed.watch.why_not_ready()) == (FeedState.LIVE, None)


def test_nothing_is_expected_while_the_exchange_is_closed_or_the_feed_is_known_to_be_away() -> None:
    feed = Feed(CLOSE - timedelta(seconds=10))
    feed.passes(10, with_bars=True)
    assert feed.passes(60) == []
    assert (feed.state(), feed.watch.is_over(APPLE)) == (FeedState.CLOSED, True)

    away = Feed(OPEN)
    away.flowing = False
    assert away.passes(60) == []
    assert away.state() is FeedState.WAITING
    away.flowing = True
    assert away.passes(14) == [], "it is given its time"
    assert len(away.passes(10)) == 1


def test_a_session_whose_last_bars_are_missing_is_not_over() -> None:
    feed = Feed(CLOSE - timedelta(seconds=60))
    feed.passes(5, with_bars=True)
    feed.passes(120)
    assert (feed.state(), feed.watch.is_over(APPLE)) == (FeedState.CLOSED, False)


def test_a_market_that_runs_faster_than_our_clock_is_not_silent_at_once() -> None:
    """A simulator at many times the speed is minutes ahead of what it could send yet."""
    feed = Feed(OPEN)
    feed.bar()
    feed.watch.look([a_contract()])
    feed.market.heard(int((OPEN + timedelta(minutes=5)).timestamp()))
    assert feed.passes(10) == []
    assert len(feed.passes(10)) == 1


def test_without_the_gateways_time_nothing_is_said() -> None:
    clock = ManualClock(SEEN)
    watch = FeedWatch(clock, MarketClock(clock), Feed(OPEN))
    assert watch.look([a_contract()]) == []
