"""What can be traded: the fields of one instrument."""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from infra.gateway_simulator.calendar import Calendar
from infra.gateway_simulator.prices import PriceRule
from infra.gateway_simulator.venues import Venue


class Source(StrEnum):
    """Where daily prices come from; intraday prices are derived in every case."""

    REAL = "real"
    SYNTHETIC = "synthetic"
    FILE = "file"


class Kind(StrEnum):
    """IB's security types."""

    STOCK = "STK"
    FUTURE = "FUT"
    OPTION = "OPT"
    FOREX = "CASH"
    CRYPTO = "CRYPTO"


@dataclass(frozen=True, slots=True, eq=False)
class Instrument:
    """One contract; two with the same number are the same."""

    contract_id: int
    symbol: str
    name: str
    venue: Venue
    source: Source
    rule: PriceRule
    currency: str
    kind: Kind = Kind.STOCK
    is_fund: bool = False
    multiplier: Decimal = Decimal(1)
    lot: int = 100  # quotes are displayed in whole ones

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Instrument) and other.contract_id == self.contract_id

    def __hash__(self) -> int:
        return self.contract_id

    @property
    def exchange(self) -> str:
        """The primary one."""
        return self.venue.name

    @property
    def calendar(self) -> Calendar:
        return self.venue.calendar

    @property
    def key(self) -> str:
        """A name that no other instrument has: prices are invented from it."""
        return self.symbol if self.venue.market == "XNYS" else f"{self.symbol}@{self.exchange}"

    @property
    def long_name(self) -> str:
        label = {
            Source.REAL: "real daily prices, derived intraday",
            Source.SYNTHETIC: "SYNTHETIC prices",
            Source.FILE: "prices of a file, derived intraday",
        }[self.source]
        return f"{self.name} ({label})"

    @property
    def stock_type(self) -> str:
        return "ETF" if self.is_fund else "COMMON"
