"""The tape of what happens in trading: from when a client is told, of whom, and what it is told when it was away."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal

import pytest

from consumers.api.reels import Gap, News, Told, Wish, place_of
from consumers.api.streams import spoken
from consumers.api.trade_tape import EVENTS_KEPT, TradeKind, TradeTape
from infra.settings import Settings
from infra.topics import load_catalogue
from schemas.account import LimitBreached, Position
from schemas.event import Event
from schemas.orders import Commission
from tests.builders import APPLE, NOON, SEEN, a_fill

TIMES = {"event_time": NOON, "ingest_time": SEEN}
FOUR = [*TradeKind]
PAID = Commission(execution_id="e-1", account_id="DU1234567", amount=Decimal(1), currency="USD", **TIMES)
DENIED = LimitBreached(breach_id="b-1", scope="account:DU2", account_id="DU2", rule="notional_max", detail="x", **TIMES)
HELD = Position(
    account_id="DU2", contract_id=APPLE, symbol="AAPL", quantity=Decimal(1), average_price=Decimal(440),
    realised_pnl=Decimal(0), commission=Decimal(0), fills=1, **TIMES,
)  # fmt: skip


@dataclass
class Wire:
    """A record as the broker gives it."""

    topic: str
    offset: int
    value: bytes | None
    key: bytes | None = b"DU1234567"
    partition: int = 0
    timestamp: int = 0
    headers: Sequence[tuple[str, bytes | None]] = field(default=())


class Desk:
    """A tape that begins after the fifth record of each topic, and the records that come."""

    def __init__(self) -> None:
        self.catalogue = load_catalogue()
        self.tape = TradeTape(self.catalogue, Settings())
        self.tape.begin_after(dict.fromkeys(TradeKind, 4))
        self._next: dict[str, int] = {}

    async def come(self, *events: Event | bytes, topic: str = "trading.fills.v1") -> None:
        for event in events:
            name = topic if isinstance(event, bytes) else self.catalogue.topic_of(type(event)).name
            offset = self._next.get(name, 5)
            self._next[name] = offset + 1
            value = event if isinstance(event, bytes) else event.to_json()
            assert not await self.tape.on_records([Wire("scizor." + name, offset, value)])


def said(news: Sequence[News] | None) -> list[tuple[str, str]]:
    return [(name, place) for name, place, _ in spoken(list(news or []))]


async def test_a_new_client_is_told_where_it_begins_and_what_comes_from_then_on() -> None:
    desk = Desk()
    await desk.tape.on_records([Wire("scizor.trading.fills.v1", 4, a_fill().to_json())])
    follower = desk.tape.follow(Wish(None, FOUR))
    assert said(await follower.next(1)) == [("begin", "f4o4p4r4")]

    await desk.come(a_fill(), HELD, PAID, DENIED)
    news = await follower.next(1)

    assert said(news) == [
        ("fill", "f5o4p4r4"), ("position", "f5o4p5r4"), ("fill", "f6o4p5r4"), ("risk", "f6o4p5r5"),
    ]  # fmt: skip
    types = [data.get("type") for _, _, data in spoken(list(news or []))]
    assert types == ["Fill", None, "Commission", None], "only what its topic does not tell by itself"


@pytest.mark.parametrize(
    ("account", "kinds", "told"),
    [
        ("DU1234567", FOUR, ["fill", "fill"]),
        ("DU2", FOUR, ["position", "risk"]),
        ("DU2", [TradeKind.RISK], ["risk"]),
        (None, [TradeKind.POSITION], ["position"]),
        ("DU3", FOUR, []),
    ],
)
async def test_a_client_is_told_of_its_account_and_kinds_alone(
    account: str | None, kinds: list[TradeKind], told: list[str]
) -> None:
    desk = Desk()
    follower = desk.tape.follow(Wish(account, kinds))
    await follower.next(1)
    await desk.come(b"{ this is no fill", a_fill(), HELD, PAID, DENIED)

    assert [name for name, _ in said(await follower.next(1))] == told
    place, lately = desk.tape.lately(Wish(account, kinds))
    assert ([name for name, _ in said(lately)], place) == (told, "f7o4p5r5")


async def test_a_client_that_comes_back_goes_on_where_it_was() -> None:
    desk = Desk()
    await desk.come(a_fill(), HELD, PAID, DENIED)
    place = place_of("f5o4p5r4", TradeKind)
    assert place is not None
    follower = desk.tape.follow(Wish(None, FOUR, place))

    assert not follower.unseen(), "memory reaches back so far"
    assert said(await follower.next(1)) == [("fill", "f6o4p5r4"), ("risk", "f6o4p5r5")]
    assert said(desk.tape.lately(Wish(None, FOUR, place))[1]) == [("fill", "f6o4p5r4"), ("risk", "f6o4p5r5")]
    assert place_of("b5", TradeKind) is None, "a place on another tape"


async def test_what_is_older_than_memory_is_read_back_from_its_topic_or_told_as_a_gap() -> None:
    desk = Desk()
    await desk.come(a_fill(), HELD)
    follower = desk.tape.follow(Wish(None, FOUR, place_of("f1o4p5r4", TradeKind)))
    (span,) = follower.unseen()
    assert (span.topic, span.after, span.upto) == ("scizor.trading.fills.v1", 1, 4)

    without, _ = list(await follower.next(1) or [])
    assert isinstance(without, Gap)
    again = desk.tape.follow(Wish(None, FOUR, place_of("f1o4p5r4", TradeKind)))
    old = [Wire("scizor.trading.fills.v1", offset, PAID.to_json()) for offset in (2, 3, 4)]
    again.recall(desk.tape.recalled(old), {TradeKind.FILL: 4})
    assert said(await again.next(1)) == [(("fill"), f"f{offset}o4p5r4") for offset in (2, 3, 4, 5)]


async def test_a_client_that_was_here_before_anything_was_comes_back_to_the_beginning() -> None:
    desk = Desk()
    first = desk.tape.follow(Wish(None, FOUR, place_of("fopr", TradeKind)))
    assert [span.after for span in first.unseen()] == [-1] * 4
    desk.tape.begin_after(dict.fromkeys(TradeKind, -1))
    assert said(await desk.tape.follow(Wish(None, FOUR)).next(1)) == [("begin", "fopr")]


async def test_a_client_that_lags_is_told_how_many_it_missed_and_what_is_kept() -> None:
    desk = Desk()
    follower, gone = desk.tape.follow(Wish(None, FOUR)), desk.tape.follow(Wish(None, FOUR))
    gone.leave()
    await follower.next(1)
    await desk.come(*[PAID] * (EVENTS_KEPT + 3))

    gap, *kept = list(await follower.next(1) or [])

    assert isinstance(gap, Gap)
    assert gap.count == 3
    assert len(kept) == EVENTS_KEPT
    assert isinstance(kept[-1], Told)
    assert kept[-1].place == f"f{EVENTS_KEPT + 7}o4p4r4"
    await desk.tape.close()
    assert await follower.next(1) is None
