"""Live bars, ticks and quotes: asked for once, asked for again whenever the gateway may have forgotten."""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import partial
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
    resting: bool = False
    """The gateway refused it: it is asked for again after a while."""

    @property
    def wants_asking(self) -> bool:
        return not self.request_id and not self.resting


class Live:
    """Subscriptions of one connection. Events are delivered on the loop, in the order of the socket."""

    def __init__(self, connection: Connection, deliver: Deliver, *, entropy: Entropy | None = None) -> None:
        self._connection = connection
        self._deliver = deliver
        self._entropy = entropy or SystemEntropy()
        self._log = structlog.get_logger("gateway.live")
        self._lines: dict[tuple[int, Feed], _Line] = {}
        self._by_request: dict[int, _Line] = {}
        self._ending: deque[tuple[int, Feed]] = deque()
        self._session_number = 0
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
        """End what is no longer wanted and ask for what is, within the message rate. For `Service.task`."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            while self._connection.state.usable and (work := self._next()) is not None:
                await self._connection.governor.message()
                if self._connection.state.usable:  # else the next connection wakes us
                    with suppress(GatewayUnavailableError):
                        work()

    def _next(self) -> Callable[[], None] | None:
        if self._ending:
            return self._end
        return next((partial(self._ask, line) for line in self._lines.values() if line.wants_asking), None)

    def _end(self) -> None:
        if not self._ending:
            return
        number, feed = self._ending.popleft()
        encoder = self._connection.encoder
        if feed is Feed.BARS:
            encoder.cancelRealTimeBars(number)
        else:
            encoder.cancelTickByTickData(number)

    def _ask(self, line: _Line) -> None:
        if self._lines.get((line.contract.contract_id, line.feed)) is not line or not line.wants_asking:
            return  # it changed while it waited for its turn
        wanted = translate.contract_to_ib(self._connection.library, line.contract)
        number = self._connection.new_request_id()
        encoder = self._connection.encoder
        if line.feed is Feed.BARS:
            encoder.reqRealTimeBars(number, wanted, 5, "TRADES", True, [])
        else:
            encoder.reqTickByTickData(number, wanted, "Last" if line.feed is Feed.TICKS else "BidAsk", 0, False)
        line.request_id = number
        line.problem = ""
        self._by_request[number] = line
        if line.feed is Feed.BARS:
            self._deliver(Interrupted(line.contract.contract_id))

    def _give_up(self, line: _Line) -> None:
        """Forget the subscription, and have it ended at the gateway."""
        number, line.request_id = line.request_id, 0
        if self._by_request.pop(number, None) is not None:
            self._ending.append((number, line.feed))
            self._wanted.set()

    def _on_state(self, state: GatewayState, resync: bool) -> None:
        if not state.usable or not resync:
            return
        for line in self._lines.values():
            self._give_up(line)
            line.resting = False
        if self._connection.session_number != self._session_number:
            self._ending.clear()  # they ended with their connection
            self._session_number = self._connection.session_number
        self._wanted.set()

    def _on_error(self, number: int, code: int, text: str) -> None:
        line = self._by_request.get(number)
        if line is None:
            return
        self._log.warning("subscription ended", symbol=line.contract.symbol, feed=line.feed.value, code=code, text=text)
        if code in _DELAYED_DATA:
            self._give_up(line)
            text = f"{text} (delayed data is not used)"
        self._by_request.pop(number, None)
        line.request_id = 0
        if code == _BUSTED:
            self._wanted.set()
            return
        line.problem = f"{code} {text}"
        line.resting = True
        asyncio.get_running_loop().call_later(self._entropy.jitter(line.delay), self._wake, line)
        line.delay = min(line.delay * 2, _RETRY_MAX_SECONDS)

    def _wake(self, line: _Line) -> None:
        line.resting = False
        self._wanted.set()

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
