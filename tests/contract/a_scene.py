"""What each message of a conversation was meant to say: worked out from the market, the book and the script."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo

from infra.clock import ManualClock, SeededEntropy
from infra.gateway_simulator.gateway import Gateway, Options
from infra.gateway_simulator.instruments.instrument import Instrument
from infra.gateway_simulator.launch import market_time
from infra.gateway_simulator.market.bars import Candle, Span
from infra.gateway_simulator.market.market import Quote
from tests.contract.a_conversation import Conversation
from tests.contract.client_libraries import UNSET, plain
from tests.unit.a_gateway_by_hand import MORNING

Meant: TypeAlias = tuple[str, dict[str, Any]]
"""A callback, and all that it tells: what is empty or zero is left away."""
Case: TypeAlias = Iterator[tuple[list[str], list[Meant]]]

ACCOUNT = "DU1234567"
START = market_time(MORNING)
FILLED = START + 10
NEW_YORK = ZoneInfo("America/New_York")
CASES: dict[int, Callable[["Scene"], Case]] = {}
"""By the number of the message."""


def case(number: int) -> Callable[[Callable[["Scene"], Case]], Callable[["Scene"], Case]]:
    def kept(found: Callable[["Scene"], Case]) -> Callable[["Scene"], Case]:
        CASES[number] = found
        return found

    return kept


@dataclass
class Scene:
    """A conversation that is over, beside markets of the same seed in which time stands."""

    conversation: Conversation

    @property
    def version(self) -> int:
        return self.conversation.version

    @property
    def book(self) -> Any:
        return self.conversation.hand.gateway.shared.book

    @cached_property
    def market(self) -> Any:
        return _market(START)

    @cached_property
    def filled(self) -> Any:
        """The market as it is when the orders come."""
        return _market(FILLED)

    def heard(self, message: int, number: int | None = None, at: int = 1, text: str = "") -> list[list[str]]:
        """All messages of a kind; those with `number` or `text` in the field `at`."""
        wanted = text if number is None else str(number)
        found = [each for each in self.conversation.heard if each[0] == str(message)]
        return [each for each in found if not wanted or each[at] == wanted]

    @property
    def apple(self) -> Instrument:
        found = self.market.catalogue.by_symbol["AAPL"]
        assert isinstance(found, Instrument)
        return found

    @property
    def right(self) -> Instrument:
        day = datetime(2013, 3, 15, tzinfo=NEW_YORK).date()
        found = self.market.catalogue.chains.contract(self.apple, day, Decimal(440), "C")
        assert isinstance(found, Instrument)
        return found

    def quote(self, moment: float = START) -> Quote:
        market = {START: self.market, FILLED: self.filled}[moment]
        found = market.world.quote(self.apple, moment)
        assert isinstance(found, Quote)
        return found

    def candles(self, span: Span) -> list[Candle]:
        return [each for portion in self.market.world.history.candles(self.apple, span) for each in portion]

    def order(self, number: int) -> Any:
        return self.book.past(1, number) or self.book.find(1, number)


def _market(start: float) -> Any:
    now = datetime(2026, 1, 1, tzinfo=ZoneInfo("UTC"))
    return Gateway(Options(start=start, speed=0.0), ManualClock(now), SeededEntropy(1)).shared


def contract(of: Instrument, exchange: str, under: str = "contract", **more: Any) -> dict[str, Any]:
    """The fields that every description of a contract has."""
    option = of.option
    told = {
        "conId": of.contract_id,
        "symbol": of.symbol,
        "secType": of.kind.value,
        "lastTradeDateOrContractMonth": f"{of.expiry:%Y%m%d}" if of.expiry else "",
        "strike": option.strike if option else 0,
        "right": option.right if option else "",
        "multiplier": f"{of.multiplier}" if of.expiry else "",
        "exchange": exchange,
        "currency": of.currency,
        "localSymbol": of.local_symbol,
        "tradingClass": of.trading_class,
        **more,
    }
    return {f"{under}.{name}": value for name, value in told.items()}


def listed(name: str, values: list[dict[str, Any]]) -> dict[str, Any]:
    """A list of objects."""
    parts = {f"{name}.{place}.{part}": each for place, value in enumerate(values) for part, each in value.items()}
    return {f"{name}.count": len(values), **parts}


def said(parts: dict[str, Any]) -> dict[str, Any]:
    """Without what is empty, zero or unset: what a library does not know of is one of these."""
    known = {name: plain(value) for name, value in parts.items()}
    return {name: value for name, value in known.items() if value not in (None, 0.0, UNSET)}


def unset(parts: dict[str, Any]) -> set[str]:
    return {name for name, value in parts.items() if value == UNSET}
