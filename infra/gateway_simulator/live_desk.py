"""Live data on request: five-second bars, quotes and trades."""

from infra.gateway_simulator.bars import Candle, five_seconds
from infra.gateway_simulator.calendar import BAR_SECONDS, utc_text
from infra.gateway_simulator.calendar import Session as TradingDay
from infra.gateway_simulator.contracts import STOCK, Asked
from infra.gateway_simulator.feed import LINES_MAX, TICK_KINDS, LiveBars, MarketData, Subscription, TickByTick
from infra.gateway_simulator.floor import Shared, invalid
from infra.gateway_simulator.instruments import Instrument
from infra.gateway_simulator.market import Quote
from infra.gateway_simulator.prices import UNITS
from infra.gateway_simulator.session import Session
from infra.gateway_simulator.wire import Fields

LIVE, FROZEN, DELAYED, DELAYED_FROZEN = 1, 2, 3, 4


class LiveDesk:
    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._data_types: dict[Session, int] = {}

    async def real_time_bars(self, session: Session, fields: Fields) -> None:
        fields.skip(1)
        request_id = fields.whole()
        found = self._shared.find(session, request_id, Asked.taken_from(fields))
        if found is None:
            return
        size, what = fields.whole(BAR_SECONDS), fields.text().upper()
        if size != BAR_SECONDS or what not in ("TRADES", "MIDPOINT", "BID", "ASK"):
            invalid(session, request_id, "real-time bars are of 5 seconds, and TRADES, MIDPOINT, BID or ASK")
            return
        self._subscribe(LiveBars(session, request_id, found, what))

    async def market_data(self, session: Session, fields: Fields) -> None:
        fields.skip(1)
        request_id = fields.whole()
        asked = Asked.taken_from(fields)
        if asked.contract_id == 0 and asked.security_type != STOCK:
            invalid(session, request_id, "Please enter a valid security type")
            return
        found = self._shared.find(session, request_id, asked)
        if found is None:
            return
        fields.skip(2)  # delta neutral, generic ticks
        is_snapshot = fields.flag()
        subscription = MarketData(session, request_id, found)
        if not is_snapshot and not self._subscribe(subscription):
            return
        now = self._shared.now()
        data_type = LIVE
        if self._data_types.get(session) in (FROZEN, DELAYED_FROZEN) and not found.calendar.is_open_at(now):
            data_type = FROZEN
        quote, day = self._shared.world.quote(found, now), self._shared.world.so_far(found, now)
        subscription.begin(quote, day, data_type)
        if is_snapshot:
            subscription.end_snapshot()

    async def tick_by_tick(self, session: Session, fields: Fields) -> None:
        request_id = fields.whole()
        found = self._shared.find(session, request_id, Asked.taken_from(fields))
        if found is None:
            return
        kind = fields.text()
        if kind not in TICK_KINDS:
            invalid(session, request_id, f"tick type {kind[:20]!r} is none of {', '.join(TICK_KINDS)}")
            return
        self._subscribe(TickByTick(session, request_id, found, kind))

    async def market_data_type(self, session: Session, fields: Fields) -> None:
        fields.skip(1)
        self._data_types[session] = fields.whole(LIVE)

    async def cancel_versioned(self, session: Session, fields: Fields) -> None:
        """Cancel of market data and of real-time bars."""
        fields.skip(1)
        self._cancel(session, fields.whole())

    async def cancel_tick_by_tick(self, session: Session, fields: Fields) -> None:
        self._cancel(session, fields.whole())

    def dismiss(self, session: Session) -> None:
        self._shared.feed.remove_session(session)
        self._data_types.pop(session, None)
        self._shared.refollow()

    def _cancel(self, session: Session, request_id: int) -> None:
        if self._shared.feed.remove(session, request_id) is None:
            session.error(request_id, 300, f"Can't find EId with tickerId:{request_id}")
        self._shared.refollow()

    def _subscribe(self, subscription: Subscription) -> bool:
        session, request_id, feed = subscription.session, subscription.request_id, self._shared.feed
        if feed.find(session, request_id) is not None:
            session.error(request_id, 102, "Duplicate ticker ID.")
            return False
        if feed.lines(session) >= LINES_MAX:
            session.error(request_id, 101, "Max number of tickers has been reached.")
            return False
        self._shared.follow(subscription.instrument)
        feed.add(subscription)
        return True

    def on_quote(self, instrument: Instrument, quote: Quote) -> None:
        """Tell a trade and the quote after it to all who want it."""
        wanted = [each for each in self._shared.feed.of(instrument) if not isinstance(each, LiveBars)]
        if not wanted:
            return
        self._shared.ledger.write(
            "tick",
            quote.moment,
            contract_id=instrument.contract_id,
            symbol=instrument.symbol,
            price=quote.last / UNITS,
            size=quote.last_size,
            clients=sorted({each.session.client_id for each in wanted}),
        )
        day = self._shared.world.so_far(instrument, quote.moment)
        for each in wanted:
            if isinstance(each, MarketData):
                each.tell(quote, day)
            elif isinstance(each, TickByTick):
                each.tell(quote)

    def on_bar(self, instrument: Instrument, session: TradingDay, bar: int) -> None:
        """Tell a closed five-second bar to all who want it."""
        wanted = [each for each in self._shared.feed.of(instrument) if isinstance(each, LiveBars)]
        path = self._shared.world.path(instrument, session) if wanted else None
        if path is None:
            return
        for what in sorted({each.what for each in wanted}):
            candle = five_seconds(path, bar, session, self._shared.world.view(instrument, session.day, what))
            told = [each for each in wanted if each.what == what]
            self._write(instrument, what, candle, told)
            for each in told:
                each.tell(candle)

    def _write(self, instrument: Instrument, what: str, candle: Candle, told: list[LiveBars]) -> None:
        self._shared.ledger.write(
            "bar",
            candle.start + BAR_SECONDS,
            live=True,
            clients=sorted(each.session.client_id for each in told),
            contract_id=instrument.contract_id,
            symbol=instrument.symbol,
            bar_size_seconds=BAR_SECONDS,
            what=what,
            start=utc_text(candle.start),
            open=candle.open,
            high=candle.high,
            low=candle.low,
            close=candle.close,
            volume=candle.volume,
        )
