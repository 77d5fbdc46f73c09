"""Market depth: the book on both sides of the best quote, row by row."""

from dataclasses import dataclass, field

from infra.gateway_simulator.floor import Shared
from infra.gateway_simulator.instruments.contracts import Asked
from infra.gateway_simulator.instruments.instrument import Instrument, Kind
from infra.gateway_simulator.instruments.venues import SMART, US_OPTIONS
from infra.gateway_simulator.live.feed import Feed
from infra.gateway_simulator.market.market import Quote
from infra.gateway_simulator.market.noise import pick
from infra.gateway_simulator.market.prices import UNITS
from infra.gateway_simulator.protocol.pacing import DEPTH_MAX
from infra.gateway_simulator.protocol.session import Session
from infra.gateway_simulator.protocol.wire import Fields, Value

ROWS_MAX = 20
INSERT, UPDATE = 0, 1
ASK, BID = 0, 1
RESET = (317, "Market depth data has been RESET. Please empty deep book contents before applying any new entries.")
NOT_SUPPORTED = "Deep market data is not supported for this combination of security type/exchange"
_LOTS = 40  # at most on a row below the best


@dataclass(frozen=True, slots=True)
class Row:
    """One row of one side."""

    maker: str
    price: int
    size: int


@dataclass(eq=False, slots=True)
class Depth:
    """One subscription. A smart one tells which exchange each row is of, as message 13."""

    session: Session
    request_id: int
    instrument: Instrument
    rows: int
    is_smart: bool
    _told: dict[tuple[int, int], Row] = field(default_factory=dict)

    def tell(self, quote: Quote) -> None:
        for side in (ASK, BID):
            for position, row in enumerate(_rows(self.instrument, quote, side, self.rows)):
                key = (side, position)
                known = self._told.get(key)
                if known != row:
                    self._told[key] = row
                    self._send(position, row, INSERT if known is None else UPDATE, side)

    def forget(self) -> None:
        self._told.clear()

    def _send(self, position: int, row: Row, operation: int, side: int) -> None:
        price = row.price / UNITS
        values: tuple[Value, ...] = (12, 1, self.request_id, position, operation, side, price, row.size)
        if self.is_smart:
            values = (13, 1, self.request_id, position, row.maker, operation, side, price, row.size, True)
        self.session.send(*values, event="depth sent", symbol=self.instrument.symbol)


class DepthDesk:
    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    @property
    def _feed(self) -> Feed:
        return self._shared.depths

    async def subscribe(self, session: Session, fields: Fields) -> None:
        fields.skip(1)
        request_id, asked = fields.whole(), Asked.taken_from(fields)
        rows, is_smart = fields.whole(), fields.flag()
        found = self._shared.find(session, request_id, asked)
        if found is None:
            return
        permissions, now = self._shared.permissions, self._shared.now()
        if self._feed.find(session, request_id) is not None:
            session.error(request_id, 102, "Duplicate ticker ID.")
        elif not permissions.sees_live(found) or permissions.is_competing:
            verdict = permissions.verdict(found, 1, is_open=True)
            session.error(request_id, verdict.code, verdict.text)
        elif found.kind is Kind.INDEX or is_smart is not (asked.exchange in ("", SMART)):
            session.error(request_id, 10092, NOT_SUPPORTED)
        elif len(self._feed) >= DEPTH_MAX:
            session.error(request_id, 309, f"Max number ({DEPTH_MAX}) of market depth requests has been reached")
        else:
            depth = Depth(session, request_id, found, min(max(rows, 1), ROWS_MAX), is_smart)
            self._shared.follow(found)
            self._feed.add(depth)
            quote = self._shared.world.quote(found, now)
            if quote is not None:
                depth.tell(quote)

    async def cancel(self, session: Session, fields: Fields) -> None:
        fields.skip(1)
        request_id = fields.whole()
        if self._feed.remove(session, request_id) is None:
            session.error(request_id, 310, f"Can't find the subscribed market depth with tickerId:{request_id}")
        self._shared.refollow()

    async def exchanges(self, session: Session, fields: Fields) -> None:
        """Message 80: where there is depth."""
        listed = [each for each in self._shared.catalogue.by_id.values() if each.kind is not Kind.INDEX]
        known = {(name, each.kind.value) for each in listed for name in each.venue.routes}
        options = {(name, Kind.OPTION.value) for name in US_OPTIONS.routes}  # chains are made when asked for
        places = sorted(each for each in known | options if each[0] != SMART)
        values: list[Value] = [80, len(places)]
        for name, kind in places:
            values += [name, kind, "", "Deep", 1]
        session.send(*values)

    def reset(self) -> None:
        """The books begin anew, each with a word."""
        for each in self._feed.every(Depth):
            each.session.error(each.request_id, *RESET)
            each.forget()
            quote = self._shared.world.quote(each.instrument, self._shared.now())
            if quote is not None:
                each.tell(quote)

    def lose(self) -> None:
        """All subscriptions end without a word, as after 1101."""
        self._feed.clear()
        self._shared.refollow()

    def dismiss(self, session: Session) -> None:
        self._feed.remove_session(session)
        self._shared.refollow()

    def on_quote(self, instrument: Instrument, quote: Quote) -> None:
        for each in self._feed.of(instrument, Depth):
            each.tell(quote)


def _rows(instrument: Instrument, quote: Quote, side: int, count: int) -> list[Row]:
    """The best quote, and below it one row an increment, of sizes that stay while the price is the same."""
    price, size = (quote.bid, quote.bid_size) if side == BID else (quote.ask, quote.ask_size)
    makers = [each for each in instrument.venue.routes if each != SMART]
    rows = []
    for place in range(count):
        if price <= 0:
            break
        maker = makers[pick(len(makers), instrument.key, price, side)]
        rows.append(
            Row(maker, price, size if place == 0 else instrument.lot * (1 + pick(_LOTS, instrument.key, price)))
        )
        price += -instrument.rule.step_at(price - 1) if side == BID else instrument.rule.step_at(price)
    return rows
