"""What can be traded: the fields of one instrument."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum

from infra.gateway_simulator.instruments.calendar import Calendar
from infra.gateway_simulator.instruments.venues import SMART, Venue
from infra.gateway_simulator.market.prices import PriceRule


class Source(StrEnum):
    """Where daily prices come from; intraday prices are derived in every case."""

    REAL = "real"
    SYNTHETIC = "synthetic"
    FILE = "file"


class Kind(StrEnum):
    """IB's security types."""

    STOCK = "STK"
    FOREX = "CASH"
    FUTURE = "FUT"
    INDEX = "IND"
    CRYPTO = "CRYPTO"
    OPTION = "OPT"


@dataclass(frozen=True, slots=True)
class Future:
    """`underlying` is the index; trading ends with the session of `expiry`."""

    underlying: "Instrument"
    expiry: date


@dataclass(frozen=True, slots=True)
class Option:
    """A right to buy (C) or sell (P) at `strike`; trading ends with the session of `expiry`."""

    underlying: "Instrument"
    expiry: date
    strike: Decimal
    right: str


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
    size_increment: Decimal = Decimal(1)  # of an order's quantity
    local_symbol: str = ""
    trading_class: str = ""
    future: Future | None = None
    option: Option | None = None
    cross: "tuple[Instrument, Instrument] | None" = None  # the two pairs with the dollar between which a rate lies

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Instrument) and other.contract_id == self.contract_id

    def __hash__(self) -> int:
        return self.contract_id

    @property
    def exchange(self) -> str:
        """The primary one."""
        return self.venue.name

    @property
    def route(self) -> str:
        """The exchange that stands in its contract unless a client names another."""
        return SMART if self.venue.is_smart else self.venue.name

    @property
    def calendar(self) -> Calendar:
        """Its regular hours."""
        return self.venue.calendar

    @property
    def hours(self) -> Calendar:
        """All hours in which it trades: stocks do before and after the regular ones, where the market has that."""
        return self.venue.hours if self.kind is Kind.STOCK else self.venue.calendar

    @property
    def trades_outside(self) -> bool:
        """Whether it trades outside of regular hours at all."""
        return self.hours is not self.calendar

    @property
    def key(self) -> str:
        """A name that no other instrument has: prices are invented from it."""
        if self.kind is Kind.STOCK:
            return self.symbol if self.venue.market == "XNYS" else f"{self.symbol}@{self.exchange}"
        return f"{self.local_symbol}@{self.contract_id}" if self.expiry else f"{self.local_symbol}@{self.exchange}"

    @property
    def expiry(self) -> date | None:
        """The last trading day of a future or an option."""
        ends = self.future or self.option
        return ends.expiry if ends is not None else None

    @property
    def has_trades(self) -> bool:
        """Forex is quoted only: IB has no trades of it to tell."""
        return self.kind is not Kind.FOREX

    @property
    def is_tradable(self) -> bool:
        """An index is only looked at."""
        return self.kind is not Kind.INDEX

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
        if self.kind is not Kind.STOCK:
            return ""
        return "ETF" if self.is_fund else "COMMON"
