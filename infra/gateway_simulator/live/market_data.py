"""Streaming market data: the best quote, the last trade, the day's figures and the generic ticks of one contract."""

from collections import deque
from dataclasses import dataclass, field
from datetime import date

from infra.gateway_simulator.instruments.instrument import Instrument, Kind
from infra.gateway_simulator.instruments.options import Greeks
from infra.gateway_simulator.live import ticks
from infra.gateway_simulator.live.permissions import DELAYED, DELAYED_FROZEN, LIVE
from infra.gateway_simulator.market.market import DaySoFar, Quote
from infra.gateway_simulator.market.noise import pick
from infra.gateway_simulator.market.prices import UNITS
from infra.gateway_simulator.protocol.session import Session
from infra.gateway_simulator.protocol.wire import Value

LOTS_BEFORE = 164  # the first version in which sizes of US stocks are shares, not round lots
LOT = 100
NO_PRICE = -1
PRICE_BASED = 1  # the volatility is that of prices, not of returns
LENT_PART = 10  # of a day's volume can be borrowed
AUCTION_SECONDS = 600  # before the close, in which the closing auction is told of
AUCTION_PART = 20  # of the day's volume waits for it
_IMBALANCE_LOTS = 50
_BBO_EXCHANGE, _SNAPSHOTS = "9c0001", 3


@dataclass(slots=True)
class Figures:
    """What generic ticks tell, as it is at a moment; prices and money in units. None: there is nothing to tell.

    Money, volume and number of trades are those of the day, the hours before and after included.
    """

    day: date = date.min
    money: int = 0
    volume: int = 0
    trades: int = 0
    extremes: tuple[int, ...] = ()  # low and high of 13, 26 and 52 weeks
    average_volume: int = 0
    volatility: float | None = None
    implied: float | None = None
    option_volume: tuple[int, int] | None = None  # of calls and of puts, today
    open_interest: tuple[int, int] | None = None
    average_option_volume: int = 0
    ratios: tuple[tuple[str, float], ...] = ()
    is_lent: bool = True


@dataclass(frozen=True, slots=True)
class News:
    """A trade with the quote after it, and the day by then."""

    quote: Quote
    day: DaySoFar
    greeks: Greeks | None = None  # of an option


@dataclass(eq=False, slots=True)
class MarketData:
    """One subscription: only what has changed is sent."""

    session: Session
    request_id: int
    instrument: Instrument
    data_type: int
    generic: frozenset[int] = frozenset()
    with_quotes: bool = True
    halted: int = 0  # 1: in general, 2: because of volatility
    figures: Figures = field(default_factory=Figures)
    waiting: deque[News] = field(default_factory=deque)  # what a delayed subscription is told later
    _told: dict[int, tuple[float, float]] = field(default_factory=dict)
    _greeks: Greeks | None = None

    @property
    def is_delayed(self) -> bool:
        return self.data_type in (DELAYED, DELAYED_FROZEN)

    def begin(self, news: News | None, previous_close: int, *, is_open: bool) -> None:
        """What a new subscriber is told at once."""
        self.session.send(81, self.request_id, self.instrument.rule.min_tick, _BBO_EXCHANGE, _SNAPSHOTS)
        self.tell_type(self.data_type)
        if news is not None:
            self.tell(news, with_quote=is_open or self.data_type != LIVE)
        if news is not None and not is_open:
            self.close()
        self.tell_close(previous_close)
        self.tell_halted(self.halted)
        self._tell_figures()

    def tell_close(self, previous: int) -> None:
        if previous and self.with_quotes:
            self._price(ticks.CLOSE, previous, 0)

    def tell_halted(self, reason: int) -> None:
        self.halted = reason
        self._send(45, ticks.HALTED, reason)

    def tell_type(self, data_type: int) -> None:
        self.data_type = data_type
        self.session.send(58, 1, self.request_id, data_type)

    def close(self) -> None:
        """The market has closed: whoever does not want it frozen has no quote."""
        if self.data_type == LIVE and self.with_quotes and self.instrument.kind is not Kind.INDEX:
            for kind in (ticks.BID, ticks.ASK):
                self._price(kind, NO_PRICE * UNITS, 0)

    def tell(self, news: News, *, with_quote: bool = True) -> None:
        quote, day = news.quote, news.day
        if self.with_quotes:
            if self.instrument.has_trades:
                self._send(46, ticks.LAST_TIME, str(int(quote.moment)))
                self._told.pop(ticks.LAST, None)  # a trade is news even at the same price and size
                self._price(ticks.LAST, quote.last, quote.last_size, event="tick sent")
            if with_quote and self.instrument.kind is not Kind.INDEX:
                self._price(ticks.BID, quote.bid, quote.bid_size)
                self._price(ticks.ASK, quote.ask, quote.ask_size)
            self._tell_day(day)
        self._tell_generic(quote, day)
        self._tell_greeks(news.greeks)

    def take(self, news: News) -> None:
        """A trade has happened: count it; a new day is counted from nothing."""
        quote, figures = news.quote, self.figures
        if figures.day != news.day.day:
            figures.day, figures.money, figures.volume, figures.trades = news.day.day, 0, 0, 0
        figures.money += quote.last * quote.last_size
        figures.volume += quote.last_size
        figures.trades += 1

    def end_snapshot(self) -> None:
        self.session.send(57, 1, self.request_id)

    def _tell_day(self, day: DaySoFar) -> None:
        if day.volume:
            if self.instrument.has_trades:
                self._size(ticks.VOLUME, day.volume)
            self._price(ticks.HIGH, day.high, 0)
            self._price(ticks.LOW, day.low, 0)
            if self.instrument.has_trades:
                self._price(ticks.OPEN, day.open, 0)

    def _tell_greeks(self, greeks: Greeks | None) -> None:
        """Message 21: the model's values, which no price of its own goes into."""
        if greeks is None or not self.with_quotes or greeks == self._greeks:
            return
        self._greeks = greeks
        self.session.send(
            *(21, self.request_id, self._number(ticks.MODEL_OPTION), PRICE_BASED),
            *(greeks.implied_volatility, greeks.delta, greeks.price, greeks.dividends),
            *(greeks.gamma, greeks.vega, greeks.theta, greeks.underlying_price),
        )

    def _tell_generic(self, quote: Quote, day: DaySoFar) -> None:
        """The generic ticks that a trade changes."""
        if {221, 232} & self.generic:
            self._price(ticks.MARK_PRICE, quote.last, 0)
        if 318 in self.generic and self.instrument.calendar.is_open_at(quote.moment):
            self._price(ticks.LAST_REGULAR, quote.last, 0)
        if {233, 375} & self.generic and (volume := self.figures.volume):
            average = self.figures.money / volume / UNITS
            facts = (quote.last / UNITS, quote.last_size, int(quote.moment * 1000), volume, f"{average:.6f}")
            self._send(46, ticks.TRADES_AND_VOLUME, ";".join(str(each) for each in (*facts, "true")))
        if 293 in self.generic:
            self._send(45, ticks.TRADE_COUNT, self.figures.trades)
        if 225 in self.generic and self.instrument.kind is Kind.STOCK:
            self._tell_auction(quote, day)

    def _tell_auction(self, quote: Quote, day: DaySoFar) -> None:
        """In the last ten minutes: where the closing auction stands, as far as anybody can know it."""
        session = self.instrument.calendar.latest(quote.moment)
        if session.close - AUCTION_SECONDS <= quote.moment < session.close:
            drawn = pick(_IMBALANCE_LOTS, self.instrument.key, "imbalance", int(quote.moment // 60))
            self._size(ticks.AUCTION_VOLUME, day.volume // AUCTION_PART)
            self._price(ticks.AUCTION_PRICE, quote.last, 0)
            self._size(ticks.AUCTION_IMBALANCE, drawn * self.instrument.lot)

    def _tell_figures(self) -> None:
        """The generic ticks that stand for the whole day."""
        figures = self.figures
        if 165 in self.generic and figures.extremes:
            for kind, units in zip(range(ticks.LOW_13, ticks.HIGH_52 + 1), figures.extremes, strict=True):
                self._price(kind, units, 0)
            self._size(ticks.AVERAGE_VOLUME, figures.average_volume)
        if 104 in self.generic and figures.volatility is not None:
            self._send(45, ticks.HISTORICAL_VOLATILITY, figures.volatility)
        if 236 in self.generic and self.instrument.kind is Kind.STOCK:
            self._send(45, ticks.SHORTABLE, ticks.EASY_TO_BORROW if figures.is_lent else ticks.NOT_TO_BORROW)
            self._size(ticks.SHORTABLE_SHARES, figures.average_volume // LENT_PART if figures.is_lent else 0)
        if 106 in self.generic and figures.implied is not None:
            self._send(45, ticks.IMPLIED_VOLATILITY, figures.implied)
        if 258 in self.generic and self.instrument.kind is Kind.STOCK and figures.ratios:
            self._send(46, ticks.FUNDAMENTAL_RATIOS, "".join(f"{name}={value};" for name, value in figures.ratios))
        self._tell_options()

    def _tell_options(self) -> None:
        figures = self.figures
        told = ((100, ticks.OPTION_VOLUME, figures.option_volume), (101, ticks.OPEN_INTEREST, figures.open_interest))
        for number, kinds, amounts in told:
            if number in self.generic and amounts is not None:
                for kind, amount in zip(kinds, amounts, strict=True):
                    self._size(kind, amount)
        if 105 in self.generic and figures.average_option_volume:
            self._size(ticks.AVERAGE_OPTION_VOLUME, figures.average_option_volume)

    def _price(self, kind: int, units: int, size: int, event: str = "") -> None:
        if self._told.get(kind) == (units, size):
            return
        self._told[kind] = (units, size)
        price, shown = units / UNITS, self._shown(size)
        told = self._number(kind)
        self.session.send(1, 6, self.request_id, told, price, shown, 0, event=event, symbol=self.instrument.symbol)
        sized = ticks.SIZED.get(kind)
        if sized is not None:
            self._size(sized, size)

    def _size(self, kind: int, size: int) -> None:
        if self._told.get(kind) != (0, size):
            self._told[kind] = (0, size)
            self._send(2, kind, self._shown(size))

    def _send(self, message: int, kind: int, value: Value) -> None:
        self.session.send(message, 6, self.request_id, self._number(kind), value)

    def _number(self, kind: int) -> int:
        return ticks.DELAYED.get(kind, kind) if self.is_delayed else kind

    def _shown(self, size: int) -> int:
        """Old clients are told round lots of US stocks."""
        lots = self.session.version < LOTS_BEFORE and self.instrument.currency == "USD"
        return size // LOT if lots and self.instrument.kind is Kind.STOCK else size
