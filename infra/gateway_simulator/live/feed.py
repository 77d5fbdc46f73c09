"""Live subscriptions: who follows what, and the messages that trades and closed bars become."""

from dataclasses import dataclass
from typing import Protocol, TypeAlias, TypeVar

from infra.gateway_simulator.instruments.instrument import Instrument
from infra.gateway_simulator.market.bars import Candle
from infra.gateway_simulator.market.market import Quote
from infra.gateway_simulator.market.prices import UNITS
from infra.gateway_simulator.protocol.session import Session
from infra.gateway_simulator.protocol.wire import Value

TickKind: TypeAlias = str  # Last, AllLast, BidAsk, MidPoint
TICK_KINDS = {"Last": 1, "AllLast": 2, "BidAsk": 3, "MidPoint": 4}


class Subscription(Protocol):
    """Something that a client is sent until it cancels."""

    @property
    def session(self) -> Session: ...
    @property
    def request_id(self) -> int: ...
    @property
    def instrument(self) -> Instrument: ...


AnyOf = TypeVar("AnyOf", bound=Subscription)


@dataclass(eq=False, slots=True)
class LiveBars:
    """A subscription to five-second bars."""

    session: Session
    request_id: int
    instrument: Instrument
    what: str
    regular: bool = True  # hours alone

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
    ignores_sizes: bool = False
    _told: tuple[int, int] = (0, 0)

    def tell(self, quote: Quote) -> None:
        bid, ask = quote.bid / UNITS, quote.ask / UNITS
        if self.kind == "BidAsk":
            if not (self.ignores_sizes and self._told == (quote.bid, quote.ask)):
                self._send(quote, bid, ask, quote.bid_size, quote.ask_size, 0)
            self._told = (quote.bid, quote.ask)
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

    def clear(self) -> list[Subscription]:
        """Forget all; those that there were."""
        lost = list(self._all.values())
        self._all.clear()
        self._by_contract.clear()
        return lost

    def every(self, kind: type[AnyOf]) -> list[AnyOf]:
        return [each for each in self._all.values() if isinstance(each, kind)]

    def count(self, kind: type[Subscription]) -> int:
        return sum(1 for each in self._all.values() if isinstance(each, kind))

    def instruments(self) -> set[Instrument]:
        return {each.instrument for each in self._all.values()}

    def of(self, instrument: Instrument, kind: type[AnyOf]) -> list[AnyOf]:
        return [each for each in self._by_contract.get(instrument.contract_id, ()) if isinstance(each, kind)]

    def __len__(self) -> int:
        return len(self._all)
