"""What a strategy is handed: one bar, one print, one fill of its own, as frozen structs that it may keep.

Prices and quantities are float64 here; orders and money outside a backtest are Decimal (see `engine.host`).
Times are whole microseconds since 1970-01-01 UTC.
"""

from datetime import datetime

import msgspec

from schemas.market import Bar as BarEvent
from schemas.market import HistoricalBar
from schemas.market import Tick as TickEvent
from schemas.moments import to_datetime, to_microseconds


class Bar(msgspec.Struct, frozen=True, gc=False):
    """A closed bar: prices and volume of `contract_id` from `start_us` to `end_us`."""

    contract_id: int
    start_us: int
    end_us: int
    open: float
    high: float
    low: float
    close: float
    volume: float

    @property
    def start(self) -> datetime:
        """When the interval began, in UTC."""
        return to_datetime(self.start_us)

    @property
    def end(self) -> datetime:
        """When the interval ended and the bar became known, in UTC."""
        return to_datetime(self.end_us)


class Tick(msgspec.Struct, frozen=True, gc=False):
    """One trade print of `contract_id`."""

    contract_id: int
    time_us: int
    price: float
    size: float

    @property
    def time(self) -> datetime:
        """When it was printed, in UTC."""
        return to_datetime(self.time_us)


class Fill(msgspec.Struct, frozen=True, gc=False):
    """One execution of the strategy's own; `quantity` is signed, negative for a sale."""

    contract_id: int
    time_us: int
    quantity: float
    price: float
    commission: float = 0.0

    @property
    def time(self) -> datetime:
        """When it was executed, in UTC."""
        return to_datetime(self.time_us)


class Session(msgspec.Struct, frozen=True, gc=False):
    """Trading hours without a break, from `open_us` to `close_us`."""

    open_us: int
    close_us: int

    @property
    def open(self) -> datetime:
        """When it begins, in UTC."""
        return to_datetime(self.open_us)

    @property
    def close(self) -> datetime:
        """When it ends, in UTC."""
        return to_datetime(self.close_us)


class Split(msgspec.Struct, frozen=True, gc=False):
    """From `time_us` on, one share of before is `ratio` shares: 2.0 for two for one, 0.1 for one for ten."""

    contract_id: int
    time_us: int
    ratio: float


class Dividend(msgspec.Struct, frozen=True, gc=False):
    """Who holds the contract when `time_us` (the ex-date) comes gets `amount` a share, in the contract's currency."""

    contract_id: int
    time_us: int
    amount: float


CorporateAction = Split | Dividend


class DataGap(msgspec.Struct, frozen=True, gc=False):
    """No bars of a contract between two moments of one session."""

    contract_id: int
    start_us: int
    end_us: int


def bar_of(event: BarEvent | HistoricalBar) -> Bar:
    """The bar that a market event tells of."""
    return Bar(
        event.contract_id,
        to_microseconds(event.start),
        to_microseconds(event.event_time),
        event.open,
        event.high,
        event.low,
        event.close,
        event.volume,
    )


def tick_of(event: TickEvent) -> Tick:
    """The print that a market event tells of."""
    return Tick(event.contract_id, to_microseconds(event.event_time), event.price, event.size)
