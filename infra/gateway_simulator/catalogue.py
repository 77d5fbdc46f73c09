"""All that the simulated gateway knows: symbols with real prices, invented ones, and files."""

import zlib
from collections.abc import Iterable, Iterator

from infra.gateway_simulator.instruments import Instrument, Source
from infra.gateway_simulator.venues import VENUES

SYNTHETIC_IDS = 900_000_000  # numbers from here on are ours, not IB's
FILE_IDS = 910_000_000
_SYNTHETIC_COUNT, _FILE_COUNT = 10_000_000, 90_000_000

_REAL = (
    (265598, "AAPL", "APPLE INC", "NASDAQ"),
    (208813719, "GOOG", "GOOGLE INC-CL C", "NASDAQ"),
    (8314, "IBM", "INTL BUSINESS MACHINES CORP", "NYSE"),
    (272093, "MSFT", "MICROSOFT CORP", "NASDAQ"),
    (107113386, "FB", "FACEBOOK INC-A", "NASDAQ"),
)
_FUNDS = (
    (756733, "SPY", "SPDR S&P 500 ETF TRUST", "ARCA"),
    (320227571, "QQQ", "INVESCO QQQ TRUST SERIES 1", "NASDAQ"),
    (0, "IWM", "ISHARES RUSSELL 2000 ETF", "ARCA"),
    (0, "DIA", "SPDR DJIA TRUST", "ARCA"),
    (0, "TLT", "ISHARES 20+ YEAR TREASURY BD", "NASDAQ"),
    (0, "GLD", "SPDR GOLD SHARES", "ARCA"),
)
_COMPANIES = (
    ("NVDA", "NVIDIA CORP", "NASDAQ"),
    ("AMZN", "AMAZON.COM INC", "NASDAQ"),
    ("TSLA", "TESLA INC", "NASDAQ"),
    ("META", "META PLATFORMS INC", "NASDAQ"),
    ("GOOGL", "ALPHABET INC-CL A", "NASDAQ"),
    ("NFLX", "NETFLIX INC", "NASDAQ"),
    ("AMD", "ADVANCED MICRO DEVICES", "NASDAQ"),
    ("INTC", "INTEL CORP", "NASDAQ"),
    ("CSCO", "CISCO SYSTEMS INC", "NASDAQ"),
    ("ORCL", "ORACLE CORP", "NYSE"),
    ("ADBE", "ADOBE INC", "NASDAQ"),
    ("CRM", "SALESFORCE INC", "NYSE"),
    ("JPM", "JPMORGAN CHASE & CO", "NYSE"),
    ("BAC", "BANK OF AMERICA CORP", "NYSE"),
    ("WFC", "WELLS FARGO & CO", "NYSE"),
    ("GS", "GOLDMAN SACHS GROUP INC", "NYSE"),
    ("XOM", "EXXON MOBIL CORP", "NYSE"),
    ("CVX", "CHEVRON CORP", "NYSE"),
    ("JNJ", "JOHNSON & JOHNSON", "NYSE"),
    ("PFE", "PFIZER INC", "NYSE"),
    ("PG", "PROCTER & GAMBLE CO", "NYSE"),
    ("KO", "COCA-COLA CO", "NYSE"),
    ("PEP", "PEPSICO INC", "NASDAQ"),
    ("WMT", "WALMART INC", "NYSE"),
    ("DIS", "WALT DISNEY CO", "NYSE"),
    ("MCD", "MCDONALD'S CORP", "NYSE"),
    ("BA", "BOEING CO", "NYSE"),
    ("CAT", "CATERPILLAR INC", "NYSE"),
    ("GE", "GENERAL ELECTRIC CO", "NYSE"),
    ("V", "VISA INC", "NYSE"),
)


def synthetic_id(symbol: str, exchange: str) -> int:
    """A number for what has none of IB's here: a function of symbol and exchange alone."""
    return SYNTHETIC_IDS + zlib.crc32(f"{symbol}@{exchange}".encode()) % _SYNTHETIC_COUNT


def stock(number: int, symbol: str, name: str, exchange: str, source: Source, *, is_fund: bool = False) -> Instrument:
    venue = VENUES[exchange]
    contract_id = number or synthetic_id(symbol, exchange)
    return Instrument(contract_id, symbol, name, venue, source, venue.rule, venue.currency, is_fund=is_fund)


def _built_in() -> Iterator[Instrument]:
    for number, symbol, name, exchange in _REAL:
        yield stock(number, symbol, name, exchange, Source.REAL)
    for number, symbol, name, exchange in _FUNDS:
        yield stock(number, symbol, name, exchange, Source.SYNTHETIC, is_fund=True)
    for symbol, name, exchange in _COMPANIES:
        yield stock(0, symbol, name, exchange, Source.SYNTHETIC)


class Catalogue:
    """All instruments, by symbol and by IB's conId."""

    def __init__(self, file_symbols: Iterable[str] = ()) -> None:
        self.by_symbol = {each.symbol: each for each in _built_in()}
        taken = {each.contract_id for each in self.by_symbol.values()}
        for symbol in sorted(file_symbols):
            known = self.by_symbol.get(symbol)
            number = known.contract_id if known else FILE_IDS + zlib.crc32(symbol.encode()) % _FILE_COUNT
            while known is None and number in taken:
                number += 1
            taken.add(number)
            name, exchange = (known.name, known.exchange) if known else (symbol, "NYSE")
            self.by_symbol[symbol] = stock(number, symbol, name, exchange, Source.FILE)
        self.by_id = {each.contract_id: each for each in self.by_symbol.values()}

    def matching(self, pattern: str) -> list[Instrument]:
        """At most 16 instruments, as IB does: symbols that begin with the pattern, then names that hold it."""
        wanted = pattern.strip().upper()
        if not wanted:
            return []
        begins = [each for each in self.by_symbol.values() if each.symbol.startswith(wanted)]
        named = [each for each in self.by_symbol.values() if wanted in each.name and each not in begins]
        return [*sorted(begins, key=lambda each: each.symbol), *sorted(named, key=lambda each: each.symbol)][:16]
