"""Live data: who follows what, and the messages that a trade or a closed bar becomes."""

from dataclasses import dataclass, field
from typing import TypeAlias

from infra.gateway_simulator.bars import Candle
from infra.gateway_simulator.instruments import Instrument
from infra.gateway_simulator.market import DaySoFar, Quote
from infra.gateway_simulator.prices import UNITS
from infra.gateway_simulator.session import Session
from infra.gateway_simulator.wire import Value

# IB's tick types
BID_SIZE, BID, ASK, ASK_SIZE, LAST, LAST_SIZE, HIGH, LOW, VOLUME, CLOSE, OPEN = 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 14
LAST_TIME = 45

LINES_MAX = 100  # market data lines of one client

TickKind: TypeAlias = str  # Last, AllLast, BidAsk, MidPoint
TICK_KINDS = {"Last": 1, "AllLast": 2, "BidAsk": 3, "MidPoint": 4}


@dataclass(eq=False, slots=True)
class LiveBars:
    """A subscription to five-second bars."""

    session: Session
    request_id: int
    instrument: Instrument
    what: str

    def tell(self, candle: Candle) -> None:
        self.session.send(
            *(50, 3, self.request_id, candle.start, candle.open, candle.high, candle.low, candle.close),
            *(candle.volume, candle.average, candle.count),
            event="realtime bar sent",
            symbol=self.instrument.symbol,
        )


@dataclass(eq=False, slots=True)
class TickByTick:
    """A subscription to every trade or quote."""

    session: Session
    request_id: int
    instrument: Instrument
    kind: TickKind

    def tell(self, quote: Quote) -> None:
        bid, ask = quote.bid / UNITS, quote.ask / UNITS
        if self.kind == "BidAsk":
            self._send(quote, bid, ask, quote.bid_size, quote.ask_size, 0)
        elif self.kind == "MidPoint":
            self._send(quote, (quote.bid + quote.ask) / 2 / UNITS)
        else:
            self._send(quote, quote.last / UNITS, quote.last_size, 0, self.instrument.exchange, "")

    def _send(self, quote: Quote, *values: Value) -> None:
        self.session.send(
            *(99, self.request_id, TICK_KINDS[self.kind], int(quote.moment), *values),
            event="tick sent",
            symbol=self.instrument.symbol,
        )


@dataclass(eq=False, slots=True)
class MarketData:
    """A subscription to the best quote, the last trade and the day's figures: only what has changed is sent."""

    session: Session
    request_id: int
    instrument: Instrument
    _told: dict[int, tuple[float, float]] = field(default_factory=dict)

    def begin(self, quote: Quote | None, day: DaySoFar, data_type: int) -> None:
        """What a new subscriber is told at once."""
        self.session.send(81, self.request_id, self.instrument.rule.min_tick, "9c0001", 3)
        self.session.send(58, 1, self.request_id, data_type)
        if day.previous_close:
            self._price(CLOSE, day.previous_close, 0)
        if quote is not None:
            self.tell(quote, day)

    def tell(self, quote: Quote, day: DaySoFar) -> None:
        self.session.send(46, 6, self.request_id, LAST_TIME, str(int(quote.moment)))
        self._told.pop(LAST, None)  # a trade is news even at the same price and size
        self._price(LAST, quote.last, quote.last_size, event="tick sent")
        self._price(BID, quote.bid, quote.bid_size)
        self._price(ASK, quote.ask, quote.ask_size)
        if day.volume:
            self._size(VOLUME, day.volume)
            self._price(HIGH, day.high, 0)
            self._price(LOW, day.low, 0)
            self._price(OPEN, day.open, 0)

    def end_snapshot(self) -> None:
        self.session.send(57, 1, self.request_id)

    def _price(self, kind: int, units: int, size: int, event: str = "") -> None:
        if self._told.get(kind) == (units, size):
            return
        self._told[kind] = (units, size)
        price = units / UNITS
        self.session.send(1, 6, self.request_id, kind, price, size, 0, event=event, symbol=self.instrument.symbol)
        sized = {BID: BID_SIZE, ASK: ASK_SIZE, LAST: LAST_SIZE}.get(kind)
        if sized is not None:
            self._size(sized, size)

    def _size(self, kind: int, size: int) -> None:
        if self._told.get(kind) != (0, size):
            self._told[kind] = (0, size)
            self.session.send(2, 6, self.request_id, kind, size)


Subscription: TypeAlias = LiveBars | TickByTick | MarketData


class Feed:
    """All live subscriptions, by contract, and by client and request."""

    def __init__(self) -> None:
        self._all: dict[tuple[Session, int], Subscription] = {}
        self._by_contract: dict[int, list[Subscription]] = {}

    def add(self, subscription: Subscription) -> None:
        self._all[(subscription.session, subscription.request_id)] = subscription
        self._by_contract.setdefault(subscription.instrument.contract_id, []).append(subscription)

    def find(self, session: Session, request_id: int) -> Subscription | None:
        return self._all.get((session, request_id))

    def remove(self, session: Session, request_id: int) -> Subscription | None:
        found = self._all.pop((session, request_id), None)
        if found is not None:
            number = found.instrument.contract_id
            self._by_contract[number] = [each for each in self._by_contract[number] if each is not found]
        return found

    def remove_session(self, session: Session) -> None:
        for _, request_id in [each for each in self._all if each[0] is session]:
            self.remove(session, request_id)

    def lines(self, session: Session) -> int:
        return sum(1 for each in self._all if each[0] is session)

    def instruments(self) -> set[Instrument]:
        return {each.instrument for each in self._all.values()}

    def of(self, instrument: Instrument) -> list[Subscription]:
        return self._by_contract.get(instrument.contract_id, [])

    def __len__(self) -> int:
        return len(self._all)
