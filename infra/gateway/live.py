"""Live bars, ticks and quotes: asked for once, asked for again whenever the gateway may have forgotten."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

import structlog

from infra.clock import Entropy, SystemEntropy
from infra.gateway import translate
from infra.gateway.connection import Connection
from infra.gateway.errors import GatewayUnavailableError
from infra.gateway.quality import checked
from infra.gateway.reports import GatewayState
from schemas.market import Bar, Basis, Quarantined, Quote, Tick
from schemas.validation import Contract

LIVE_BAR = timedelta(seconds=5)
_BUSTED = 10225
_DELAYED_DATA = frozenset({10090, 10089, 10167})
_RETRY_FIRST_SECONDS = 5.0
_RETRY_MAX_SECONDS = 300.0


@dataclass(frozen=True)
class Interrupted:
    """Bars of the contract begin, or begin again: what came between the last one and the next is missing."""

    contract_id: int


MarketEvent = Bar | Tick | Quote | Quarantined | Interrupted
Deliver = Callable[[MarketEvent], None]


class Feed(StrEnum):
    """A kind of live data."""

    BARS = "bars"
    TICKS = "ticks"
    QUOTES = "quotes"


@dataclass
class _Line:
    """One subscription at the gateway."""

    contract: Contract
    feed: Feed
    request_id: int = 0
    """0 while it is not asked for."""
    delay: float = _RETRY_FIRST_SECONDS
    problem: str = ""


class Live:
    """Subscriptions of one connection. Events are delivered on the loop, in the order of the socket."""

    def __init__(self, connection: Connection, deliver: Deliver, *, entropy: Entropy | None = None) -> None:
        self._connection = connection
        self._deliver = deliver
        self._entropy = entropy or SystemEntropy()
        self._log = structlog.get_logger("gateway.live")
        self._lines: dict[tuple[int, Feed], _Line] = {}
        self._by_request: dict[int, _Line] = {}
        self._wanted = asyncio.Event()
        connection.on_message("realtimeBar", self._on_bar)
        connection.on_message("tickByTickAllLast", self._on_tick)
        connection.on_message("tickByTickBidAsk", self._on_quote)
        connection.on_error(self._on_error)
        connection.on_state(self._on_state)

    def subscribe(self, contract: Contract, feeds: frozenset[Feed]) -> None:
        """Want exactly these feeds of the contract; the others are given up. Survives reconnects."""
        for feed in Feed:
            key = (contract.contract_id, feed)
            if feed in feeds and key not in self._lines:
                self._lines[key] = _Line(contract, feed)
                self._wanted.set()
            elif feed not in feeds and key in self._lines:
                self._give_up(self._lines.pop(key))

    def unsubscribe(self, contract_id: int) -> None:
        for feed in Feed:
            if (line := self._lines.pop((contract_id, feed), None)) is not None:
                self._give_up(line)

    def problems(self) -> dict[str, str]:
        """Subscriptions that do not work, and why."""
        return {f"{line.contract.symbol} {line.feed}": line.problem for line in self._lines.values() if line.problem}

    async def run(self) -> None:
        """Ask for what is wanted and not yet asked for, within the message rate. For `Service.task`."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            for line in [line for line in self._lines.values() if not line.request_id]:
                await self._connection.governor.message()
                if not self._connection.state.usable:
                    break  # the next connection wakes us
                if self._lines.get((line.contract.contract_id, line.feed)) is line and not line.request_id:
                    self._ask(line)

    def _ask(self, line: _Line) -> None:
        wanted = translate.contract_to_ib(self._connection.library, line.contract)
        number = self._connection.new_request_id()
        try:
            encoder = self._connection.encoder
            if line.feed is Feed.BARS:
                encoder.reqRealTimeBars(number, wanted, 5, "TRADES", True, [])
            else:
                encoder.reqTickByTickData(number, wanted, "Last" if line.feed is Feed.TICKS else "BidAsk", 0, False)
        except GatewayUnavailableError:
            return
        line.request_id = number
        line.problem = ""
        self._by_request[number] = line
        if line.feed is Feed.BARS:
            self._deliver(Interrupted(line.contract.contract_id))

    def _give_up(self, line: _Line) -> None:
        number, line.request_id = line.request_id, 0
        self._by_request.pop(number, None)
        if not number:
            return
        try:
            encoder = self._connection.encoder
            if line.feed is Feed.BARS:
                encoder.cancelRealTimeBars(number)
            else:
                encoder.cancelTickByTickData(number)
        except GatewayUnavailableError:
            return

    def _on_state(self, state: GatewayState, resync: bool) -> None:
        if not state.usable or not resync:
            return
        # after a mere interruption the gateway may still hold the old subscriptions: end them first
        for line in self._lines.values():
            self._give_up(line)
        self._by_request.clear()
        self._wanted.set()

    def _on_error(self, number: int, code: int, text: str) -> None:
        line = self._by_request.get(number)
        if line is None:
            return
        if code in _DELAYED_DATA:
            text = f"{text} (delayed data is not used)"
            self._give_up(line)
        delay = 0.0 if code == _BUSTED else self._entropy.jitter(line.delay)
        self._by_request.pop(number, None)
        line.request_id = 0
        line.problem = "" if code == _BUSTED else f"{code} {text}"
        line.delay = min(line.delay * 2, _RETRY_MAX_SECONDS)
        self._log.warning("subscription ended", symbol=line.contract.symbol, feed=line.feed.value, code=code, text=text)
        asyncio.get_running_loop().call_later(delay, self._wanted.set)

    # what comes

    def _on_bar(
        self, number: int, epoch: int, opening: float, high: float, low: float, close: float, volume: float, *_: Any
    ) -> None:
        line = self._by_request.get(number)
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
        line = self._by_request.get(number)
        if line is None:
            return
        values = {**self._common(line), "event_time": datetime.fromtimestamp(epoch, UTC), "price": price, "size": size}
        self._deliver(checked(Tick, values))

    def _on_quote(
        self, number: int, epoch: int, bid: float, ask: float, bid_size: float, ask_size: float, *_: Any
    ) -> None:
        line = self._by_request.get(number)
        if line is None:
            return
        values = {
            **self._common(line),
            "event_time": datetime.fromtimestamp(epoch, UTC),
            "bid": bid,
            "ask": ask,
            "bid_size": bid_size,
            "ask_size": ask_size,
        }
        self._deliver(checked(Quote, values))

    def _common(self, line: _Line) -> dict[str, Any]:
        line.delay = _RETRY_FIRST_SECONDS
        return {
            "contract_id": line.contract.contract_id,
            "symbol": line.contract.symbol,
            "ingest_time": self._connection.clock.now(),
            "source": line.contract.intraday_source,
        }
