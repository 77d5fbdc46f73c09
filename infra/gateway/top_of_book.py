"""Quotes and trades of one contract, put together from the single figures of market data."""

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

BID_SIZE, BID, ASK, ASK_SIZE = 0, 1, 2, 3
TRADES_AND_VOLUME = 48
GENERIC_TICKS = "233"
"""Asks for TRADES_AND_VOLUME: https://interactivebrokers.github.io/tws-api/tick_types.html"""
_PRICES = {BID: "bid", ASK: "ask"}
_SIZES = {BID_SIZE: "bid_size", ASK_SIZE: "ask_size"}
_SIZE_OF = {BID: "bid_size", ASK: "ask_size"}


@dataclass
class TopOfBook:
    """Bid and ask come one after the other: they are a quote once both have come."""

    quote: dict[str, float] = field(default_factory=dict)
    changed: bool = False

    def price(self, kind: int, price: float, size: float) -> None:
        if kind in _PRICES:
            self._put(_PRICES[kind], price)
            self._put(_SIZE_OF[kind], size)

    def size(self, kind: int, size: float) -> None:
        if kind in _SIZES:
            self._put(_SIZES[kind], size)

    def take(self) -> dict[str, float] | None:
        """The quote, where it has changed and is whole.

        A bid above the ask is half a change, and of a closed market IB says -1: neither is a quote.
        """
        bid, ask = self.quote.get("bid", math.nan), self.quote.get("ask", math.nan)
        if not self.changed or not bid <= ask or ask == -1:
            return None
        self.changed = False
        return dict(self.quote)

    def _put(self, name: str, value: float) -> None:
        self.changed = self.changed or self.quote.get(name) != value
        self.quote[name] = value


def trade_of(text: str) -> dict[str, Any] | None:
    """Price, size and moment of the last trade; None when there is none in the text."""
    price, size, milliseconds, *_ = [*text.split(";"), "", "", ""]
    if not (price and size and milliseconds):
        return None
    moment = datetime.fromtimestamp(int(milliseconds) / 1000, UTC)
    return {"event_time": moment, "price": float(price), "size": float(size)}
