"""Which order types and times in force an instrument takes, in the words of contract details."""

from infra.gateway_simulator.instruments.instrument import Instrument, Kind
from infra.gateway_simulator.orders.order import Terms

_COMMON = (
    *("COND", "CONDORDER", "DAY", "FOK", "GAT", "GTC", "GTD", "HID", "ICE", "IOC", "LIT", "LMT", "MIT", "MKT", "OCA"),
    *("STP", "STPLMT", "TRAIL", "TRAILLMT", "WHATIF"),
)
_STOCK = ("AON", "LOC", "MOC", "MTL", "OPG", "REL", "RELPCTOFS", "RTH")
_BY_KIND = {
    Kind.STOCK: (*_COMMON, *_STOCK),
    Kind.FUTURE: (*_COMMON, "MTL"),
    Kind.OPTION: (*_COMMON, "AON", "MTL", "REL"),
    Kind.FOREX: _COMMON,
    Kind.CRYPTO: ("COND", "CONDORDER", "DAY", "GTC", "GTD", "IOC", "LMT", "MKT", "OCA", "WHATIF"),
}
_WORDS = {"STP LMT": "STPLMT", "TRAIL LIMIT": "TRAILLMT", "MIDPRICE": "MIDPX"}


def order_types(instrument: Instrument) -> str:
    """As contract details list them; nothing for what cannot be traded."""
    return ",".join(sorted(_taken(instrument)))


def takes(terms: Terms) -> bool:
    """Whether the instrument takes the type and the time in force."""
    return {_WORDS.get(terms.kind, terms.kind), terms.time_in_force} <= _taken(terms.instrument)


def _taken(instrument: Instrument) -> set[str]:
    found = set(_BY_KIND.get(instrument.kind, ()))
    if instrument.kind is Kind.STOCK and instrument.venue.market == "XNYS":
        found.add("MIDPX")
    return found
