"""Live data on request: five-second bars, quotes and trades."""

from dataclasses import replace

from infra.gateway_simulator.floor import Shared, invalid
from infra.gateway_simulator.history import past_ticks
from infra.gateway_simulator.history.past_ticks import TICKS_MAX, PastTicks, whole_seconds
from infra.gateway_simulator.instruments.calendar import BAR_SECONDS, utc_text
from infra.gateway_simulator.instruments.calendar import Session as TradingDay
from infra.gateway_simulator.instruments.contract_details import Directory
from infra.gateway_simulator.instruments.contracts import Asked
from infra.gateway_simulator.instruments.instrument import Instrument, Kind
from infra.gateway_simulator.live import permissions, ticks
from infra.gateway_simulator.live.delayed import AN_INSTANT, Delayed
from infra.gateway_simulator.live.feed import TICK_KINDS, LiveBars, Subscription, TickByTick
from infra.gateway_simulator.live.market_data import MarketData, News
from infra.gateway_simulator.live.permissions import DELAY_SECONDS, LIVE
from infra.gateway_simulator.market.bars import Candle, five_seconds
from infra.gateway_simulator.market.figures import add_options, figures_of
from infra.gateway_simulator.market.market import Quote
from infra.gateway_simulator.market.prices import UNITS
from infra.gateway_simulator.protocol import codes
from infra.gateway_simulator.protocol.pacing import LINES_MAX, TICK_BY_TICK_MAX, BarPacing, Pacing
from infra.gateway_simulator.protocol.session import Session
from infra.gateway_simulator.protocol.wire import Fields

OF_OPTIONS = frozenset({100, 101, 105})  # generic ticks
BAR_KINDS = ("TRADES", "MIDPOINT", "BID", "ASK")
BUST = "Bust event occurred, current subscription is deactivated. Please resubscribe real-time bars immediately."
_PAST_KINDS = {"BidAsk": past_ticks.BID_ASK, "MidPoint": past_ticks.MIDPOINT}


class LiveDesk:
    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._past = PastTicks(shared.world)
        self._delayed = Delayed(shared, self._past)
        self._bar_pacing = BarPacing(shared.clock, shared.pacing)
        self._data_types: dict[Session, int] = {}
        self._directory = Directory(shared.catalogue, shared.world)

    async def real_time_bars(self, session: Session, fields: Fields) -> None:
        fields.skip(1)
        request_id = fields.whole()
        found = self._shared.find(session, request_id, Asked.taken_from(fields))
        if found is None:
            return
        size, what, regular = fields.whole(BAR_SECONDS), fields.text().upper(), fields.flag()
        if size != BAR_SECONDS or what not in BAR_KINDS:
            invalid(session, request_id, "real-time bars are of 5 seconds, and TRADES, MIDPOINT, BID or ASK")
            return
        if not self._shared.permissions.sees_live(found):
            missing = self._shared.permissions.missing(found)
            session.error(request_id, 420, f"Invalid Real-time Query:{missing}")
        elif not (found.has_trades if what == "TRADES" else found.kind is not Kind.INDEX):
            session.error(request_id, 420, f"Invalid Real-time Query:No {what} of {found.symbol}")
        elif not self._is_free(session, request_id):
            pass  # it has been told
        elif not self._bar_pacing.permits():
            session.error(request_id, 420, "Invalid Real-time Query:Historical data request pacing violation")
        else:
            self._subscribe(LiveBars(session, request_id, found, what, regular))

    async def market_data(self, session: Session, fields: Fields) -> None:
        fields.skip(1)
        request_id = fields.whole()
        asked = Asked.taken_from(fields)
        if asked.contract_id == 0 and not asked.security_type:
            invalid(session, request_id, "Please enter a valid security type")
            return
        found = self._shared.find(session, request_id, asked)
        if found is None:
            return
        if fields.flag():
            fields.skip(3)  # the delta neutral contract
        words, is_snapshot, is_regulatory = fields.text(), fields.flag(), fields.flag()
        generic = ticks.generic_ticks(words)
        if generic is None:
            legal = ",".join(f"{number}({name})" for number, name in ticks.GENERIC.items())
            invalid(
                session,
                request_id,
                f"Incorrect generic tick list of {words}.  Legal ones for ({found.kind}) are: {legal}",
            )
        elif is_regulatory:
            invalid(session, request_id, "Regulatory snapshot data is not subscribed")
        elif is_snapshot and generic:
            invalid(session, request_id, "Snapshot market data subscription is not applicable to generic ticks")
        elif is_snapshot or self._is_free(session, request_id):
            data = MarketData(session, request_id, found, LIVE, generic, with_quotes=ticks.WITHOUT_QUOTES not in words)
            self._begin(data, is_snapshot=is_snapshot)

    def _begin(self, data: MarketData, *, is_snapshot: bool) -> None:
        session, found, now = data.session, data.instrument, self._shared.now()
        is_open = found.hours.is_open_at(now)
        wanted = self._data_types.get(session, LIVE)
        verdict = self._shared.permissions.verdict(found, wanted, is_open)
        if verdict.code:
            session.error(data.request_id, verdict.code, verdict.text)
        if not verdict.data_type:
            return
        data.data_type = verdict.data_type
        data.generic = data.generic if verdict.generic else frozenset()
        if not is_snapshot:
            self._subscribe(data)
        seen = now - DELAY_SECONDS if data.is_delayed else now
        if data.generic:
            data.figures = figures_of(self._shared.world, found, seen)
            if OF_OPTIONS & data.generic:
                chain = [found] if found.option is not None else list(self._directory.options(found.symbol, seen))
                if chain and (found.option is not None or self._shared.catalogue.chains.has(found)):
                    add_options(data.figures, self._shared.world, found, chain, seen)
            data.figures.is_lent = self._shared.is_lent(found, found.hours.latest(now).day)
        data.halted = self._shared.halted.get(found, 0)
        previous_close = self._shared.world.counted(found, seen).previous_close
        data.begin(self._news(found, seen), previous_close, is_open=is_open)
        if is_snapshot:
            data.end_snapshot()
        elif data.is_delayed:
            self._delayed.wait(data, seen, now)

    def _news(self, instrument: Instrument, moment: float) -> News | None:
        world = self._shared.world
        if moment < self._shared.now():
            return self._delayed.news(instrument, moment)
        quote = world.quote(instrument, moment)
        day, greeks = world.so_far(instrument, moment), world.greeks(instrument, moment)
        return News(quote, day, greeks) if quote is not None else None

    async def tick_by_tick(self, session: Session, fields: Fields) -> None:
        request_id = fields.whole()
        found = self._shared.find(session, request_id, Asked.taken_from(fields))
        if found is None:
            return
        kind, count, ignores_sizes = fields.text(), fields.whole(), fields.flag()
        feed, failed = self._shared.feed, "Failed to request tick-by-tick data."
        if kind not in TICK_KINDS:
            invalid(session, request_id, f"tick type {kind[:20]!r} is none of {', '.join(TICK_KINDS)}")
        elif not 0 <= count <= TICKS_MAX:
            invalid(session, request_id, f"numberOfTicks must lie within 0..{TICKS_MAX}")
        elif not self._shared.permissions.sees_live(found):
            session.error(request_id, 10189, f"{failed}{self._shared.permissions.missing(found)}")
        elif not (found.has_trades if kind in ("Last", "AllLast") else found.kind is not Kind.INDEX):
            session.error(
                request_id, 10189, f"{failed}{kind} tick-by-tick requests are not supported for {found.symbol}."
            )
        elif self._shared.pacing is not Pacing.OFF and feed.count(TickByTick) >= TICK_BY_TICK_MAX:
            session.error(request_id, 10190, "Max number of tick-by-tick requests has been reached.")
        elif self._is_free(session, request_id):
            self._subscribe(TickByTick(session, request_id, found, kind, ignores_sizes))
            if count:
                self._send_past(session, request_id, found, (_PAST_KINDS.get(kind, past_ticks.TRADES), count))

    def _send_past(self, session: Session, request_id: int, found: Instrument, wanted: tuple[str, int]) -> None:
        """The ticks just before now, ahead of the live ones."""
        what, count = wanted
        before = self._past.before(found, self._shared.now() + AN_INSTANT)
        session.send(*past_ticks.message(request_id, found, what, whole_seconds(before, count)[::-1]))

    async def market_data_type(self, session: Session, fields: Fields) -> None:
        fields.skip(1)
        wanted = fields.whole(LIVE)
        if wanted in (LIVE, permissions.FROZEN, permissions.DELAYED, permissions.DELAYED_FROZEN):
            self._data_types[session] = wanted
        else:
            invalid(session, -1, f"market data type {wanted} is none of 1, 2, 3, 4")

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

    def lose(self) -> None:
        """All subscriptions end without a word, as after 1101."""
        self._shared.feed.clear()
        self._shared.refollow()

    def bust(self, instrument: Instrument) -> None:
        """Trades have been taken back: five-second bars end, each with a word."""
        for each in self._shared.feed.of(instrument, LiveBars):
            each.session.error(each.request_id, 10225, BUST)
            self._shared.feed.remove(each.session, each.request_id)
        self._shared.refollow()

    def compete(self, is_competing: bool) -> None:
        """Another session of the same user begins, which ends all market data, or leaves."""
        self._shared.permissions.is_competing = is_competing
        for each in [*self._shared.feed.clear(), *self._shared.depths.clear()] if is_competing else []:
            verdict = self._shared.permissions.verdict(each.instrument, LIVE, is_open=True)
            each.session.error(each.request_id, verdict.code, verdict.text)
        self._shared.refollow()

    def _cancel(self, session: Session, request_id: int) -> None:
        if self._shared.feed.remove(session, request_id) is None:
            session.error(request_id, 300, f"Can't find EId with tickerId:{request_id}")
        self._shared.refollow()

    def _is_free(self, session: Session, request_id: int) -> bool:
        """Whether the number and a line are free; the client is told when not."""
        if self._shared.feed.find(session, request_id) is not None:
            session.error(request_id, 102, codes.TEXTS[102])
        elif len(self._shared.feed) >= LINES_MAX:
            session.error(request_id, 101, codes.TEXTS[101])
        else:
            return True
        return False

    def _subscribe(self, subscription: Subscription) -> None:
        self._shared.follow(subscription.instrument)
        self._shared.feed.add(subscription)

    def on_quote(self, instrument: Instrument, quote: Quote) -> None:
        """Tell a trade and the quote after it to all who want it."""
        feed = self._shared.feed
        data, by_tick = feed.of(instrument, MarketData), feed.of(instrument, TickByTick)
        sessions = {each.session for each in data} | {each.session for each in by_tick}
        if not sessions:
            return
        self._shared.ledger.write(
            "tick",
            quote.moment,
            contract_id=instrument.contract_id,
            symbol=instrument.symbol,
            price=quote.last / UNITS,
            size=quote.last_size,
            clients=sorted({each.client_id for each in sessions}),
        )
        world = self._shared.world
        news = News(quote, replace(world.so_far(instrument, quote.moment)), world.greeks(instrument, quote.moment))
        for subscription in data:
            if subscription.is_delayed:
                subscription.waiting.append(news)
            else:
                subscription.take(news)
                subscription.tell(news)
        for each in by_tick:
            each.tell(quote)

    def tell_halted(self, instrument: Instrument) -> None:
        """Trading in it has been halted or goes on."""
        for each in self._shared.feed.of(instrument, MarketData):
            each.tell_halted(self._shared.halted.get(instrument, 0))

    def on_day_begin(self, session: TradingDay) -> None:
        """The close before is now that of another day."""
        self.on_session(session)
        now = self._shared.now()
        for each in self._shared.feed.every(MarketData):
            if each.instrument.calendar.market == session.market and not each.is_delayed:
                each.tell_close(self._shared.world.so_far(each.instrument, now).previous_close)

    def on_session(self, session: TradingDay) -> None:
        """Hours of a market begin or end: data may freeze or thaw, and quotes end with the last of its hours."""
        now = self._shared.now()
        for each in self._shared.feed.every(MarketData):
            if each.instrument.calendar.market != session.market:
                continue
            is_open = each.instrument.hours.is_open_at(now)
            wanted = self._data_types.get(each.session, LIVE)
            found = self._shared.permissions.verdict(each.instrument, wanted, is_open).data_type
            if found not in (0, each.data_type):
                each.tell_type(found)
            if not is_open:
                each.close()
                self._delayed.go_on(each)

    def on_bar(self, instrument: Instrument, session: TradingDay, bar: int) -> None:
        """Tell a closed five-second bar to all who want it, and delayed ticks whose time has come."""
        now = session.open + (bar + 1) * BAR_SECONDS
        for subscription in self._shared.feed.of(instrument, MarketData):
            self._delayed.release(subscription, now)
        is_regular = session.is_regular(bar)
        wanted = [each for each in self._shared.feed.of(instrument, LiveBars) if is_regular or not each.regular]
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
