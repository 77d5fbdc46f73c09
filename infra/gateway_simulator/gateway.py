"""The simulated gateway: one floor, its desks, and the clients that talk to them."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from decimal import Decimal
from typing import TypeAlias

from infra.clock import Clock, Entropy
from infra.errors import UsageError
from infra.gateway_simulator.accounts.account_desk import AccountDesk
from infra.gateway_simulator.accounts.brokerage import Brokerage
from infra.gateway_simulator.accounts.commissions import Tariff
from infra.gateway_simulator.accounts.opened import Accounts
from infra.gateway_simulator.accounts.valuation import Valuation
from infra.gateway_simulator.faults.armed import Faults
from infra.gateway_simulator.faults.cassette import load
from infra.gateway_simulator.faults.director import Director
from infra.gateway_simulator.faults.links import Links
from infra.gateway_simulator.faults.order_faults import OrderFaults
from infra.gateway_simulator.faults.timetable import Timetable
from infra.gateway_simulator.floor import NOT_SUPPORTED, Shared, invalid
from infra.gateway_simulator.gateway_options import Options as Options
from infra.gateway_simulator.history.history_desk import HistoryDesk
from infra.gateway_simulator.history.openings import Openings
from infra.gateway_simulator.history.past_desk import PastDesk
from infra.gateway_simulator.instruments.calendar import Session as TradingDay
from infra.gateway_simulator.instruments.calendar import market_calendar, utc_text
from infra.gateway_simulator.instruments.catalogue import Catalogue
from infra.gateway_simulator.instruments.instrument import Instrument
from infra.gateway_simulator.instruments.reference_desk import ReferenceDesk
from infra.gateway_simulator.ledger import Ledger
from infra.gateway_simulator.live.depth_desk import DepthDesk
from infra.gateway_simulator.live.live_desk import LiveDesk
from infra.gateway_simulator.live.permissions import Permissions
from infra.gateway_simulator.market.daily import DailyBook, csv_files
from infra.gateway_simulator.market.market import ROUND_LOT, MarketClock, World
from infra.gateway_simulator.market.prices import UNITS
from infra.gateway_simulator.market.tape import Tape
from infra.gateway_simulator.memory import Memory
from infra.gateway_simulator.orders.book import Book
from infra.gateway_simulator.orders.manual import ManualOrder
from infra.gateway_simulator.orders.order import Order
from infra.gateway_simulator.orders.order_desk import OrderDesk
from infra.gateway_simulator.orders.order_reports import OrderReports
from infra.gateway_simulator.protocol.names import request_of
from infra.gateway_simulator.protocol.pacing import HistoryPacing
from infra.gateway_simulator.protocol.reception import Reception
from infra.gateway_simulator.protocol.session import HIGH_WATER, Session
from infra.gateway_simulator.protocol.wire import Fields

Handler: TypeAlias = Callable[[Session, Fields], Awaitable[None]]


class Gateway:
    """Everything behind the socket."""

    def __init__(self, options: Options, clock: Clock, entropy: Entropy) -> None:
        files = csv_files(options.data) if options.data is not None else {}
        world = World(DailyBook(options.seed, files), options.seed)
        calendar = market_calendar("XNYS")
        first, last = calendar.days[0], calendar.days[-1]
        if not calendar.session(first).open <= options.start < calendar.session(last).close:
            raise UsageError(f"market time must lie between {first} 09:30 and {last} 16:00 in New York")
        run = entropy.new_id().replace("-", "")[:8]
        book = Book(run, 1_000_000_000 + int(run, 16) % 1_000_000 * 1000)
        ledger = Ledger(options.ledger, clock)
        catalogue = Catalogue(files)
        market = Valuation(world, catalogue, self.market_now)
        accounts = Accounts(each.account(market) for each in options.openings())
        memory = Memory(options.state, catalogue) if options.state is not None else None
        recalled = memory.recall(book, accounts) if memory is not None else None
        self.clock = clock
        brokerage = Brokerage(Tariff(options.commissions, market.rate), options.seed)
        self.shared = Shared(
            *(clock, catalogue, world, book, accounts, brokerage, market, ledger), memory=memory, pacing=options.pacing
        )
        self.shared.permissions = Permissions.chosen(options.permissions)
        self.shared.latency = options.latency
        self.market_clock = MarketClock(clock, max(options.start, recalled or 0.0), options.speed)
        self.tape = self.shared.tape = Tape(world, self.market_clock, self)
        self.timetable = self.shared.timetable = Timetable(clock, self.market_clock, self.tape.now)
        self._reference = ReferenceDesk(self.shared)
        pacing, openings = HistoryPacing(clock, options.pacing, options.soft_delay), Openings()
        self._history = HistoryDesk(self.shared, openings, pacing)
        self._past = PastDesk(self.shared, openings, pacing)
        self._depth = DepthDesk(self.shared)
        self._live = LiveDesk(self.shared)
        self._accounts = AccountDesk(self.shared)
        self._orders = OrderDesk(self.shared, self._accounts)
        self._reports = OrderReports(self.shared, self._orders.news)
        for account in accounts.all():
            account.check()
        self._handlers = self._table()
        self._orders.exchange.on_start()
        self.links = Links(self, self.shared)
        order_faults = OrderFaults(self.shared, self._orders.executions, self)
        self.director = Director(self.shared.faults, self.timetable, (self.links, order_faults))
        self.reception = Reception(self, self.shared, self.director, order_faults)
        if options.faults is not None:
            self.director.load(load(options.faults))

    @property
    def orders(self) -> OrderDesk:
        """Where a person at TWS, faults and tests act on orders."""
        return self._orders

    @property
    def faults(self) -> Faults:
        return self.shared.faults

    def _table(self) -> dict[int, Handler]:
        reference, history, live = self._reference, self._history, self._live
        past, depth = self._past, self._depth
        orders, reports, accounts, profits = self._orders, self._reports, self._accounts, self._accounts.profits
        return {
            1: live.market_data,
            2: live.cancel_versioned,
            3: orders.place,
            4: orders.cancel,
            5: reports.open_orders,
            6: accounts.account_updates,
            7: reports.executions,
            8: reference.next_id,
            9: reference.contract_details,
            10: depth.subscribe,
            11: depth.cancel,
            14: reference.ignored,
            15: orders.bind_manual,
            16: reports.all_open_orders,
            17: reference.managed_accounts,
            20: history.historical_data,
            25: history.cancel,
            49: reference.current_time,
            50: live.real_time_bars,
            51: live.cancel_versioned,
            58: orders.cancel_all,
            59: live.market_data_type,
            61: accounts.positions,
            62: accounts.summary,
            63: accounts.cancel_summary,
            64: accounts.cancel_positions,
            74: accounts.positions_multi,
            75: accounts.cancel_positions_multi,
            76: accounts.account_updates_multi,
            77: accounts.cancel_account_updates_multi,
            78: reference.option_parameters,
            79: reference.soft_dollar_tiers,
            80: reference.family_codes,
            81: reference.matching_symbols,
            82: depth.exchanges,
            83: reference.smart_components,
            87: past.head_timestamp,
            88: past.histogram,
            89: past.cancel,
            90: past.cancel,
            91: reference.market_rule,
            92: profits.account,
            93: profits.cancel,
            94: profits.position,
            95: profits.cancel,
            96: past.historical_ticks,
            97: live.tick_by_tick,
            98: live.cancel_tick_by_tick,
            99: reports.completed_orders,
            104: reference.user_info,
        }

    # what sessions need

    def market_now(self) -> float:
        return self.tape.now()

    def leave(self, session: Session) -> None:
        """A client has gone: nobody waits for what it asked for."""
        for desk in (self._history, self._live, self._depth, self._accounts):
            desk.dismiss(session)

    async def serve(self, session: Session, message: int, fields: Fields) -> None:
        handler = self._handlers.get(message)
        if handler is not None:
            await handler(session, fields)
            return
        number_at = request_of(message).id_at
        fields.skip(number_at - 1)
        request_id = fields.whole(-1) if number_at else -1
        invalid(session, request_id, f"request {message} {NOT_SUPPORTED}")

    # what the tape needs

    def followed(self) -> Collection[Instrument]:
        return self.shared.followed

    def on_print(self, instrument: Instrument, moment: float, price: int, size: int) -> None:
        self.timetable.play_market(moment)
        if instrument in self.shared.halted:
            return
        quote = self.shared.world.traded(instrument, moment, price, size)
        self._live.on_quote(instrument, quote)
        self._depth.on_quote(instrument, quote)
        self._orders.on_print(instrument)

    def on_bar(self, instrument: Instrument, session: TradingDay, bar: int) -> None:
        if instrument not in self.shared.halted:
            self._live.on_bar(instrument, session, bar)
            self._history.on_bar(instrument, session, bar)
        self._accounts.on_time()

    def on_day_begin(self, session: TradingDay) -> None:
        self.timetable.play_market(session.open)
        for instrument, ratio in self.shared.splits(session):
            self._orders.on_split(instrument, ratio)
        self._accounts.on_open()
        self._live.on_day_begin(session)

    def on_open(self, session: TradingDay) -> None:
        self.timetable.play_market(session.open)
        self._accounts.on_open()
        self._live.on_session(session)
        self._orders.on_open(session)

    def on_close(self, session: TradingDay) -> None:
        self._orders.on_close(session)
        self._live.on_session(session)

    def on_day_end(self, session: TradingDay) -> None:
        self._live.on_session(session)

    async def settled(self) -> None:
        """Let clients be served, and wait for those that read slowly."""
        await asyncio.sleep(0)
        for session in [each for each in self.shared.sessions.values() if each.unsent > HIGH_WATER]:
            await session.drained()

    # what faults need

    def forget_subscriptions(self) -> None:
        """The data are lost: every subscription to market and account data is gone, and nobody is told."""
        for session in tuple(self.shared.sessions.values()):
            self.leave(session)
        self._live.lose()

    def compete(self, is_competing: bool) -> None:
        self._live.compete(is_competing)

    def stop_updates(self) -> None:
        """Bars that were kept up to date no longer are, and nobody is told."""
        self._history.stop_updates()

    def reset_depth(self) -> None:
        self._depth.reset()

    def bust_bars(self, instrument: Instrument) -> None:
        self._live.bust(instrument)

    def halt(self, instrument: Instrument, reason: int) -> None:
        """Nothing of it trades until it is resumed; what was told last stays."""
        self.shared.halted[instrument] = reason
        self.shared.follow(instrument)
        self._live.tell_halted(instrument)

    def resume(self, instrument: Instrument) -> None:
        """It trades again, beginning with the orders that have waited."""
        if self.shared.halted.pop(instrument, None) is not None:
            self._live.tell_halted(instrument)
            self._orders.on_resume(instrument)
            self.shared.refollow()

    def place_by_hand(self, wanted: ManualOrder) -> Order:
        return self._orders.place_by_hand(wanted)

    # what the control port needs

    async def advance(self, seconds: float) -> None:
        """Let market time pass at once, and let everything happen that is to happen in it."""
        until = self.market_clock.now() + seconds
        while (moment := self.timetable.next_market()) is not None and moment <= until:
            await self.tape.advance(max(0.0, moment - self.market_clock.now()))
            self.timetable.play_market(moment)
        await self.tape.advance(max(0.0, until - self.market_clock.now()))
        self.timetable.wake()

    def set_speed(self, speed: float) -> None:
        """Market seconds per wall second from now on; 0 stops market time."""
        self.tape.set_speed(speed)
        self.timetable.wake()

    def force_quote(self, symbol: str, price: Decimal, size: int = ROUND_LOT) -> int:
        """Print a trade now, tell it and trade against it; gives CLOCK_MONOTONIC before it, in nanoseconds."""
        instrument = self.shared.catalogue.by_symbol.get(symbol)
        units = price * UNITS
        if instrument is None or units <= 0 or units != units.to_integral_value() or size <= 0:
            raise UsageError(f"cannot print {symbol} at {price}: a known symbol, at most four decimals, a size")
        if instrument in self.shared.halted:
            raise UsageError(f"{symbol} is halted: resume it first")
        quote = self.shared.world.forced(instrument, self.tape.now(), int(units), size)
        sent = round(self.clock.monotonic() * 1e9)
        self._live.on_quote(instrument, quote)
        self._depth.on_quote(instrument, quote)
        self._orders.on_print(instrument)
        return sent

    def state(self) -> dict[str, object]:
        """What tests and the demo compare with."""
        shared = self.shared
        return {
            "market_time": utc_text(self.tape.now()),
            "market_speed": self.market_clock.speed,
            "account": shared.account.code,
            "cash": f"{shared.account.cash:f}",
            "positions": {str(each.instrument.contract_id): f"{each.quantity:f}" for each in shared.account.held()},
            "accounts": {each.code: each.told() for each in shared.accounts.all()},
            "orders": [
                {
                    "client_id": each.client_id,
                    "order_id": each.order_id,
                    "order_ref": each.terms.reference,
                    "status": each.status,
                    "filled": f"{each.filled:f}",
                    "remaining": f"{each.remaining:f}",
                }
                for each in (*shared.book.finished, *shared.book.live.values())
            ],
            "clients": sorted(shared.sessions),
            "subscriptions": len(shared.feed),
            "counts": dict(shared.ledger.counts),
            "armed": [each["number"] for each in self.director.waiting()],
            "fired": list(shared.faults.fired),
            "processes": dict(shared.faults.processes),
        }
