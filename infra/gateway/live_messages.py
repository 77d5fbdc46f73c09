"""The gateway's live messages as events."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from infra.gateway.connection import Connection
from infra.gateway.lines import Channel, Feed
from infra.gateway.market_clock import MarketClock
from infra.gateway.quality import checked
from infra.gateway.top_of_book import TRADES_AND_VOLUME, trade_of
from schemas.market import LIVE_BAR, Bar, Basis, Delivery, Quarantined, Quote, Tick

if TYPE_CHECKING:
    from infra.gateway.live import Line  # it is made of these messages

RETRY_FIRST_SECONDS = 5.0
_LIVE_DATA, _FROZEN = 1, 2
_DATA_TYPES = {2: "frozen", 3: "delayed", 4: "delayed and frozen"}


@dataclass(frozen=True)
class Interrupted:
    """A feed begins, or begins again: what came between the last event and the next is missing."""

    contract_id: int
    feed: Feed = Feed.BARS


MarketEvent = Bar | Tick | Quote | Quarantined | Interrupted
Deliver = Callable[[MarketEvent], None]


class LiveMessages:
    """Listens to a connection and delivers what belongs to the lines that are asked for."""

    def __init__(
        self, connection: Connection, deliver: Deliver, lines: "Mapping[int, Line]", market_clock: MarketClock
    ) -> None:
        self._connection = connection
        self._deliver = deliver
        self._lines = lines
        self._market_clock = market_clock
        """Quotes of market data bear no time: it is the gateway's."""
        self._moved: dict[int, Line] = {}
        """Lines whose quote has changed, until the messages that came together are all read."""
        connection.on_message("realtimeBar", self._on_bar)
        connection.on_message("tickByTickAllLast", self._on_tick)
        connection.on_message("tickByTickBidAsk", self._on_quote)
        connection.on_message("priceSizeTick", self._on_price)
        connection.on_message("tickSize", self._on_size)
        connection.on_message("tickString", self._on_text)
        connection.on_message("marketDataType", self._on_data_type)
        connection.on_message("currentTime", market_clock.heard)

    def _on_bar(
        self, number: int, epoch: int, opening: float, high: float, low: float, close: float, volume: float, *_: Any
    ) -> None:
        line = self._lines.get(number)
        if line is None:
            return  # the last bars of a subscription that was given up
        start = datetime.fromtimestamp(epoch, UTC)
        values = {
            **self._common(line),
            "bar_size": LIVE_BAR,
            "start": start,
            "event_time": start + LIVE_BAR,
            "open": opening,
            "high": high,
            "low": low,
            "close": close,
            "volume": volume,
            "basis": Basis.SPLIT_ADJUSTED,
        }
        self._deliver(checked(Bar, values))

    def _on_tick(self, number: int, _kind: int, epoch: int, price: float, size: float, *_: Any) -> None:
        if (line := self._lines.get(number)) is not None:
            moment = datetime.fromtimestamp(epoch, UTC)
            self._deliver(checked(Tick, {**self._common(line), "event_time": moment, "price": price, "size": size}))

    def _on_quote(
        self, number: int, epoch: int, bid: float, ask: float, bid_size: float, ask_size: float, *_: Any
    ) -> None:
        if (line := self._lines.get(number)) is not None:
            prices = {"bid": bid, "ask": ask, "bid_size": bid_size, "ask_size": ask_size}
            moment = datetime.fromtimestamp(epoch, UTC)
            self._deliver(checked(Quote, {**self._common(line), "event_time": moment, **prices}))

    # market data: single figures

    def _on_price(self, number: int, kind: int, price: float, size: float, *_: Any) -> None:
        if (line := self._top(number)) is not None:
            line.top.price(kind, price, size)
            self._quote_later(number, line)

    def _on_size(self, number: int, kind: int, size: float, *_: Any) -> None:
        if (line := self._top(number)) is not None:
            line.top.size(kind, size)
            self._quote_later(number, line)

    def _on_text(self, number: int, kind: int, text: str, *_: Any) -> None:
        line = self._top(number)
        if line is None or kind != TRADES_AND_VOLUME or Feed.TICKS not in line.feeds:
            return
        if (trade := trade_of(text)) is not None:
            self._deliver(checked(Tick, {**self._common(line), **trade}))

    def _top(self, number: int) -> "Line | None":
        line = self._lines.get(number)
        return line if line is not None and line.channel is Channel.TOP and not line.delayed else None

    def _quote_later(self, number: int, line: "Line") -> None:
        """Bid and ask are two messages: what came together is one quote."""
        if Feed.QUOTES in line.feeds and line.top.changed:
            if not self._moved:
                asyncio.get_running_loop().call_soon(self._tell_quotes)
            self._moved[number] = line

    def _tell_quotes(self) -> None:
        moved, self._moved = self._moved, {}
        market_time = self._market_clock.now()
        for number, line in moved.items() if market_time is not None else ():
            if self._lines.get(number) is line and not line.delayed and (quote := line.top.take()) is not None:
                self._deliver(checked(Quote, {**self._common(line), "event_time": market_time, **quote}))

    def _on_data_type(self, number: int, kind: int, *_: Any) -> None:
        line = self._lines.get(number)
        if line is None or line.channel is not Channel.TOP:
            return
        was_delayed = line.delayed
        line.instead = None if kind == _LIVE_DATA else Delivery.FROZEN if kind == _FROZEN else Delivery.DELAYED
        if line.delayed:
            line.problem = f"{_DATA_TYPES.get(kind, kind)} data is not used"
        elif was_delayed:
            line.problem = ""

    def _common(self, line: "Line") -> dict[str, Any]:
        line.delay, line.heard = RETRY_FIRST_SECONDS, True  # data comes: the next refusal is the first again
        return {
            "contract_id": line.contract.contract_id,
            "symbol": line.contract.symbol,
            "ingest_time": self._connection.clock.now(),
            "source": line.contract.intraday_source,
        }
