"""Live bars, ticks and quotes: asked for once, asked for again whenever the gateway may have forgotten."""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

import structlog

from infra.clock import Entropy, SystemEntropy
from infra.gateway import translate
from infra.gateway.connection import Connection
from infra.gateway.errors import GatewayUnavailableError
from infra.gateway.lines import Allotment, Channel, Feed, Key, Rank, Wish, allot, feeds_of
from infra.gateway.live_messages import RETRY_FIRST_SECONDS, Deliver, Interrupted, LiveMessages, MarketEvent
from infra.gateway.market_clock import MarketClock
from infra.gateway.reports import GatewayState
from infra.gateway.top_of_book import GENERIC_TICKS, TopOfBook
from infra.gateway.windows import Window
from schemas.market import LIVE_BAR, Delivery
from schemas.validation import Contract

__all__ = ["LIVE_BAR", "Feed", "Interrupted", "Live", "MarketEvent"]

LINES_MAX = 100
_BUSTED = 10225
_NOT_BY_TICK = frozenset({10189, 10190})
_ADVICE = frozenset({10090})
_DELAYED_DATA = frozenset({10089, 10167})
_COMPETING = 10197
_PASSING = frozenset({_BUSTED, _COMPETING})
_RETRY_MAX_SECONDS = 300.0
_BAR_REQUESTS_MAX, _BAR_REQUESTS_SECONDS = 60, 605.0
"""Requests for live bars are counted as those for small bars of the past are; some seconds to be safe."""


@dataclass(eq=False)
class Line:
    """One subscription at the gateway."""

    contract: Contract
    channel: Channel
    feeds: frozenset[Feed] = frozenset()
    """What it brings."""
    request_id: int = 0
    """0 while it is not asked for."""
    delay: float = RETRY_FIRST_SECONDS
    problem: str = ""
    resting: bool = False
    """The gateway refused it: it is asked for again after a while."""
    instead: Delivery | None = None
    """What there is instead of live data; nothing of that is used."""
    heard: bool = False
    """Something has come since it was asked for."""
    top: TopOfBook = field(default_factory=TopOfBook)

    @property
    def delayed(self) -> bool:
        return self.instead in (Delivery.DELAYED, Delivery.FROZEN)

    @property
    def delivery(self) -> Delivery:
        if self.instead is not None:
            return self.instead
        if not self.heard:
            return Delivery.WAITING
        return Delivery.SAMPLED if self.channel is Channel.TOP else Delivery.LIVE

    @property
    def wants_asking(self) -> bool:
        return not self.request_id and not self.resting


class Live:
    """Subscriptions of one connection. Events are delivered on the loop, in the order of the socket."""

    def __init__(
        self, connection: Connection, deliver: Deliver, *, entropy: Entropy | None = None, lines_max: int = LINES_MAX
    ) -> None:
        self._connection = connection
        self._deliver = deliver
        self._entropy = entropy or SystemEntropy()
        self._lines_max = lines_max
        self.market_clock = MarketClock(connection.clock)
        self._log = structlog.get_logger("gateway.live")
        self._wishes: dict[int, tuple[Contract, Wish]] = {}
        self._not_by_tick: set[Key] = set()
        """Feeds that the gateway refused to send tick by tick, until the next connection."""
        self._allotment = Allotment()
        self._lines: dict[tuple[int, Channel], Line] = {}
        self._by_request: dict[int, Line] = {}
        self._ending: deque[tuple[int, Channel]] = deque()
        self._bar_requests = Window(_BAR_REQUESTS_MAX, _BAR_REQUESTS_SECONDS, settles=False)
        self._session_number = 0
        self._wanted = asyncio.Event()
        connection.on_error(self._on_error)
        connection.on_state(self._on_state)
        LiveMessages(connection, deliver, self._by_request, self.market_clock)

    # what is wanted

    def subscribe(self, contract: Contract, feeds: frozenset[Feed], rank: Rank = ()) -> None:
        """Want exactly these feeds of the contract; the others are given up. Survives reconnects.

        When there are not enough lines, the lowest rank comes first.
        """
        self._wishes[contract.contract_id] = contract, Wish(contract.contract_id, feeds, rank)
        self._arrange()

    def unsubscribe(self, contract_id: int) -> None:
        if self._wishes.pop(contract_id, None) is not None:
            self._arrange()

    def refresh(self, contract_id: int) -> None:
        """Ask anew for the bars of a contract: they have stopped without a word."""
        line = self._lines.get((contract_id, Channel.BARS))
        if line is not None and line.request_id:
            self._give_up(line)

    def problems(self) -> dict[Key, str]:
        """Feeds that do not come, and why."""
        told = {(line.contract.contract_id, feed): line.problem for line in self._lines.values() for feed in line.feeds}
        return {key: problem for key, problem in told.items() if problem} | self._allotment.without

    def deliveries(self) -> dict[Key, Delivery]:
        """How each feed that is wanted comes."""
        usable = self._connection.state.usable
        told = {
            (line.contract.contract_id, feed): line.delivery if usable else Delivery.WAITING
            for line in self._lines.values()
            for feed in line.feeds
        }
        return told | dict.fromkeys(self._allotment.without, Delivery.WAITING)

    def flows(self, contract_id: int) -> bool:
        """Whether bars of the contract are asked for and nothing is known to be wrong."""
        line = self._lines.get((contract_id, Channel.BARS))
        return line is not None and bool(line.request_id) and not line.problem and self._connection.state.usable

    @property
    def used(self) -> int:
        """How many lines are held."""
        return self._allotment.used

    def _arrange(self) -> None:
        """Bring the lines to what the wishes and the limit make of them."""
        wishes = {contract_id: wish for contract_id, (_, wish) in self._wishes.items()}
        self._allotment = found = allot(wishes.values(), self._lines_max, self._not_by_tick)
        held = {(contract_id, channel) for contract_id, channels in found.lines.items() for channel in channels}
        for key in [key for key in self._lines if key not in held]:
            self._give_up(self._lines.pop(key))
        for contract_id, channel in sorted(held):
            contract, wish = self._wishes[contract_id]
            line = self._lines.setdefault((contract_id, channel), Line(contract, channel))
            line.contract, line.feeds = contract, feeds_of(channel, found.lines[contract_id], wish.feeds)
        self._wanted.set()

    # what is said

    async def run(self) -> None:
        """End what is no longer wanted and ask for what is, within the limits. For `Service.task`."""
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
        waits = self._bars_wait()
        for line in self._lines.values():
            if line.wants_asking and not (waits and line.channel is Channel.BARS):
                return partial(self._ask, line)
        if waits and any(line.wants_asking for line in self._lines.values()):
            asyncio.get_running_loop().call_later(waits, self._wanted.set)
        return None

    def _bars_wait(self) -> float:
        """Seconds until live bars may be asked for again."""
        if not self._connection.governor.paces(LIVE_BAR.total_seconds()):
            return 0.0
        return self._bar_requests.wait(self._connection.clock.monotonic())

    def _end(self) -> None:
        if not self._ending:
            return
        number, channel = self._ending.popleft()
        encoder = self._connection.encoder
        if channel is Channel.BARS:
            encoder.cancelRealTimeBars(number)
        elif channel is Channel.TOP:
            encoder.cancelMktData(number)
        else:
            encoder.cancelTickByTickData(number)

    def _ask(self, line: Line) -> None:
        if self._lines.get((line.contract.contract_id, line.channel)) is not line or not line.wants_asking:
            return  # it changed while it waited for its turn
        wanted = translate.contract_to_ib(self._connection.library, line.contract)
        number = self._connection.new_request_id()
        encoder = self._connection.encoder
        if line.channel is Channel.BARS:
            encoder.reqRealTimeBars(number, wanted, 5, "TRADES", True, [])
            self._bar_requests.take(self._connection.clock.monotonic())
        elif line.channel is Channel.TOP:
            encoder.reqMktData(number, wanted, GENERIC_TICKS, False, False, [])
        else:
            kind = "Last" if line.channel is Channel.TICKS else "BidAsk"
            encoder.reqTickByTickData(number, wanted, kind, 0, False)
        line.request_id = number
        line.problem, line.instead, line.heard, line.top = "", None, False, TopOfBook()
        self._by_request[number] = line
        for feed in sorted(line.feeds):
            self._deliver(Interrupted(line.contract.contract_id, feed))

    def _give_up(self, line: Line) -> None:
        """Forget the subscription, and have it ended at the gateway."""
        number, line.request_id, line.heard = line.request_id, 0, False
        if self._by_request.pop(number, None) is not None:
            self._ending.append((number, line.channel))
            self._wanted.set()

    # what is heard about them

    def _on_state(self, state: GatewayState, resync: bool) -> None:
        if not state.usable or not resync:
            return
        for line in self._lines.values():
            self._give_up(line)
            line.resting = False
        if self._connection.session_number != self._session_number:
            self._ending.clear()  # they ended with their connection
            self._not_by_tick.clear()
            self._session_number = self._connection.session_number
        self._arrange()

    def _on_error(self, number: int, code: int, text: str) -> None:
        line = self._by_request.get(number)
        if line is None:
            return
        told = {"symbol": line.contract.symbol, "channel": line.channel.value, "code": code, "text": text}
        if code in _ADVICE:
            self._log.warning("subscription in part", **told)
            line.problem = f"{code} {text}"
            return
        self._log.warning("subscription ended", **told)
        if code in _NOT_BY_TICK and line.channel is not Channel.TOP:
            self._by_request.pop(number)
            line.request_id = 0
            self._not_by_tick |= {(line.contract.contract_id, feed) for feed in line.feeds}
            self._arrange()  # it comes with the market data instead
            return
        if code in _DELAYED_DATA:
            self._give_up(line)
            text = f"{text} (delayed data is not used)"
        line.heard = False
        line.instead = Delivery.DELAYED if code in _DELAYED_DATA else None if code in _PASSING else Delivery.REFUSED
        self._by_request.pop(number, None)
        line.request_id = 0
        if code == _BUSTED:
            self._wanted.set()
            return
        self._rest(line, f"{code} {text}" + (" (it waits until that one has ended)" if code == _COMPETING else ""))

    def _rest(self, line: Line, problem: str) -> None:
        line.problem, line.resting = problem, True
        asyncio.get_running_loop().call_later(self._entropy.jitter(line.delay), self._wake, line)
        line.delay = min(line.delay * 2, _RETRY_MAX_SECONDS)

    def _wake(self, line: Line) -> None:
        line.resting = False
        self._wanted.set()
