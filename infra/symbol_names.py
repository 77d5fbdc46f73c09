"""How a person names a symbol: `AAPL`, `BHP:ASX`, `BHP:ASX:AUD`."""

import re
import uuid
from dataclasses import dataclass

from infra.errors import UsageError

UNKNOWN_SYMBOL = "unknown symbol"
"""How the reason begins for which a run could not deal with a symbol that no contract goes by."""
AMBIGUOUS_SYMBOL = "ambiguous symbol"

_SYMBOLS = uuid.uuid5(uuid.NAMESPACE_URL, "urn:scizor:symbols")
_SHAPE = re.compile(r"[A-Z0-9][A-Z0-9. /-]{0,19}(:[A-Z][A-Z0-9.]{1,11}(:[A-Z]{3})?)?")
_CURRENCIES = {"ASX": "AUD", "LSE": "GBP", "TSE": "CAD", "IBIS": "EUR", "SEHK": "HKD", "TSEJ": "JPY"}
ANY_EXCHANGE = "SMART"


class SymbolMisspeltError(UsageError):
    def __init__(self, text: str) -> None:
        super().__init__(f"{text!r} is no symbol: write AAPL, BHP:ASX or BHP:ASX:AUD")


@dataclass(frozen=True)
class SymbolName:
    """A symbol with the listing that is meant. `exchange` is SMART when any will do."""

    symbol: str
    exchange: str = ANY_EXCHANGE
    currency: str = "USD"
    security_type: str = "STK"

    @property
    def symbol_id(self) -> str:
        """Ours and stable: IB's contract id is unknown before validation."""
        return str(uuid.uuid5(_SYMBOLS, f"{self.symbol}/{self.security_type}/{self.exchange}/{self.currency}"))

    def __str__(self) -> str:
        if self.exchange == ANY_EXCHANGE:
            return self.symbol
        usual = _CURRENCIES.get(self.exchange, "USD")
        return f"{self.symbol}:{self.exchange}" + ("" if self.currency == usual else f":{self.currency}")


def parse_symbol(text: str) -> SymbolName:
    """SymbolMisspeltError when it cannot be a symbol."""
    wanted = text.strip().upper()
    if not _SHAPE.fullmatch(wanted):
        raise SymbolMisspeltError(text)
    symbol, _, rest = wanted.partition(":")
    exchange, _, currency = rest.partition(":")
    return SymbolName(symbol, exchange or ANY_EXCHANGE, currency or _CURRENCIES.get(exchange, "USD"))
