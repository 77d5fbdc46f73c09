"""IB's data farms: which there are, what each serves, and how the gateway words their state."""

from infra.gateway_simulator.instruments.instrument import Instrument

MARKET, HISTORY, DEFINITIONS = "Market data", "HMDS data", "Sec-def data"
KIND_OF = {
    "usfarm": MARKET,
    "usfuture": MARKET,
    "usopt": MARKET,
    "cashfarm": MARKET,
    "hfarm": MARKET,
    "ushmds": HISTORY,
    "secdefil": DEFINITIONS,
}
_BY_KIND = {"CASH": "cashfarm", "FUT": "usfuture", "IND": "usfarm", "OPT": "usopt", "CRYPTO": "usfarm"}
_BY_CURRENCY = {"AUD": "hfarm"}
_ELSE = "usfarm"
AT_START = ("usfarm", "ushmds", "secdefil")  # told to every client that connects
_CODES = {
    MARKET: {"broken": 2103, "ok": 2104, "inactive": 2108},
    HISTORY: {"broken": 2105, "ok": 2106, "inactive": 2107},
    DEFINITIONS: {"broken": 2157, "ok": 2158},
}
_WORDS = {"broken": "is broken:", "ok": "is OK:", "inactive": "is inactive but should be available upon demand."}


def states_of(name: str) -> tuple[str, ...]:
    """The states that the gateway tells of a farm."""
    return tuple(_CODES[KIND_OF[name]])


def notice(name: str, state: str) -> tuple[int, str]:
    """Code and text."""
    kind = KIND_OF[name]
    return _CODES[kind][state], f"{kind} farm connection {_WORDS[state]}{name}"


def market_farm(instrument: Instrument) -> str:
    """From where the live data of an instrument come."""
    return _BY_KIND.get(str(instrument.kind), _BY_CURRENCY.get(instrument.currency, _ELSE))
