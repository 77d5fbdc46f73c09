"""All that the simulated gateway knows: the universe's stocks and funds, some more, other kinds, and files."""

import csv
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from importlib import resources
from typing import Any

from infra.gateway_simulator.instruments.instrument import Instrument, Kind, Source
from infra.gateway_simulator.instruments.options import Chains
from infra.gateway_simulator.instruments.products import products, synthetic_id
from infra.gateway_simulator.instruments.venues import VENUES

FILE_IDS = 910_000_000
_FILE_COUNT = 90_000_000
MATCHES_MAX = 16  # of IB's search for symbols

_REAL = ("AAPL", "GOOG", "IBM", "MSFT", "FB")
# IB's own numbers, as public sources state them; all others are synthetic.
_CONTRACT_IDS = {
    ("AAPL", "NASDAQ"): 265598,
    ("AMD", "NASDAQ"): 4391,
    ("AMZN", "NASDAQ"): 3691937,
    ("BHP", "ASX"): 4036812,
    ("FB", "NASDAQ"): 107113386,
    ("GOOG", "NASDAQ"): 208813719,
    ("IBM", "NYSE"): 8314,
    ("MSFT", "NASDAQ"): 272093,
    ("NFLX", "NASDAQ"): 15124833,
    ("NVDA", "NASDAQ"): 4815747,
    ("QQQ", "NASDAQ"): 320227571,
    ("SPY", "ARCA"): 756733,
    ("TSLA", "NASDAQ"): 76792991,
}
# Besides the universe: a ticker that is no more, large companies, and second listings of what Sydney lists as well.
_MORE = (
    ("FB", "NASDAQ", "FACEBOOK INC-A"),
    ("ORCL", "NYSE", "ORACLE CORP"),
    ("CRM", "NYSE", "SALESFORCE INC"),
    ("BAC", "NYSE", "BANK OF AMERICA CORP"),
    ("WFC", "NYSE", "WELLS FARGO & CO"),
    ("GS", "NYSE", "GOLDMAN SACHS GROUP INC"),
    ("XOM", "NYSE", "EXXON MOBIL CORP"),
    ("CVX", "NYSE", "CHEVRON CORP"),
    ("JNJ", "NYSE", "JOHNSON & JOHNSON"),
    ("PFE", "NYSE", "PFIZER INC"),
    ("PG", "NYSE", "PROCTER & GAMBLE CO"),
    ("KO", "NYSE", "COCA-COLA CO"),
    ("WMT", "NYSE", "WALMART INC"),
    ("DIS", "NYSE", "WALT DISNEY CO"),
    ("MCD", "NYSE", "MCDONALD'S CORP"),
    ("BA", "NYSE", "BOEING CO"),
    ("CAT", "NYSE", "CATERPILLAR INC"),
    ("GE", "NYSE", "GENERAL ELECTRIC CO"),
    ("V", "NYSE", "VISA INC"),
    ("BHP", "NYSE", "BHP GROUP LTD-SPON ADR"),
    ("RIO", "NYSE", "RIO TINTO PLC-SPON ADR"),
    ("RMD", "NYSE", "RESMED INC"),
    ("WDS", "NYSE", "WOODSIDE ENERGY GROUP-ADR"),
)
_MORE_FUNDS = (
    ("IWM", "ARCA", "ISHARES RUSSELL 2000 ETF"),
    ("DIA", "ARCA", "SPDR DJIA TRUST"),
    ("IVV", "ARCA", "ISHARES CORE S&P 500 ETF"),
    ("GDX", "ARCA", "VANECK GOLD MINERS ETF"),
)


def universe() -> list[dict[str, str]]:
    """The rows of infra/universe.csv: symbol, exchange, currency, kind, name."""
    text = resources.files("infra").joinpath("universe.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def _stock(symbol: str, exchange: str, name: str, *, is_fund: bool) -> Instrument:
    venue = VENUES[exchange]
    return Instrument(
        contract_id=_CONTRACT_IDS.get((symbol, exchange)) or synthetic_id(symbol, exchange),
        symbol=symbol,
        name=name,
        venue=venue,
        source=Source.REAL if symbol in _REAL and venue.market == "XNYS" else Source.SYNTHETIC,
        rule=venue.rule,
        currency=venue.currency,
        is_fund=is_fund,
        local_symbol=symbol,
        trading_class="NMS" if exchange == "NASDAQ" else symbol,
    )


def _stocks() -> Iterator[Instrument]:
    for row in universe():
        yield _stock(row["symbol"], row["exchange"], row["name"], is_fund=row["kind"] == "etf")
    for symbol, exchange, name in _MORE:
        yield _stock(symbol, exchange, name, is_fund=False)
    for symbol, exchange, name in _MORE_FUNDS:
        yield _stock(symbol, exchange, name, is_fund=True)


class Numbers(dict[int, Instrument]):
    """Instruments by number; options, which are too many to be held, are made when they are asked for."""

    def __init__(self, instruments: Iterable[Instrument], chains: Chains) -> None:
        super().__init__((each.contract_id, each) for each in instruments)
        self._chains = chains

    def __missing__(self, number: int) -> Instrument:
        found = self._chains.with_id(number)
        if found is None:
            raise KeyError(number)
        return found

    def get(self, number: int, default: Any = None) -> Any:
        try:
            return self[number]
        except KeyError:
            return default


class Catalogue:
    """All instruments: stocks by symbol (the universe's listing where there are several), everything by IB's conId."""

    def __init__(self, file_symbols: Iterable[str] = ()) -> None:
        listed = list(_stocks())
        self.by_symbol: dict[str, Instrument] = {}
        for each in listed:
            self.by_symbol.setdefault(each.symbol, each)
        for symbol in sorted(file_symbols):
            known = self.by_symbol.get(symbol)
            made = self.by_symbol[symbol] = _of_file(symbol, known)
            listed = [made if each is known else each for each in listed] if known is not None else [*listed, made]
        self.chains = Chains(self.by_symbol)
        self.by_id = Numbers((*listed, *products()), self.chains)
        for each in self.by_id.values():
            if each.kind in (Kind.FOREX, Kind.CRYPTO, Kind.INDEX):
                self.by_symbol.setdefault(each.local_symbol, each)
        self._of_futures = {each.future.underlying for each in self.by_id.values() if each.future is not None}
        self._named: dict[tuple[str, str], list[Instrument]] = defaultdict(list)
        for each in self.by_id.values():
            for name in {each.symbol, each.local_symbol}:
                self._named[(each.kind, name)].append(each)

    def named(self, kind: str, name: str) -> list[Instrument]:
        """All of a kind with that symbol or local symbol, options excepted."""
        return self._named.get((kind, name), [])

    def has_futures(self, instrument: Instrument) -> bool:
        return instrument in self._of_futures

    def matching(self, pattern: str) -> list[Instrument]:
        """Symbols that begin with the pattern, then names that hold it; each listing once, futures by their index."""
        wanted = pattern.strip().upper()
        if not wanted:
            return []
        known = [each for each in self.by_id.values() if each.kind in (Kind.STOCK, Kind.INDEX, Kind.CRYPTO)]
        begins = [each for each in known if each.symbol.startswith(wanted)]
        named = [each for each in known if wanted in each.name.upper() and not each.symbol.startswith(wanted)]
        return [*_in_order(begins), *_in_order(named)][:MATCHES_MAX]


def _in_order(found: list[Instrument]) -> list[Instrument]:
    return sorted(found, key=lambda each: (each.symbol, each.exchange))


def _of_file(symbol: str, known: Instrument | None) -> Instrument:
    """An instrument whose prices come from a file; one that nobody knows is listed on NYSE."""
    venue = known.venue if known is not None else VENUES["NYSE"]
    return Instrument(
        contract_id=known.contract_id if known is not None else FILE_IDS + zlib.crc32(symbol.encode()) % _FILE_COUNT,
        symbol=symbol,
        name=known.name if known is not None else symbol,
        venue=venue,
        source=Source.FILE,
        rule=venue.rule,
        currency=venue.currency,
        is_fund=known is not None and known.is_fund,
        local_symbol=symbol,
        trading_class=known.trading_class if known is not None else symbol,
    )
