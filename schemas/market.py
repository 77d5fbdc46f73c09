"""What the market did: bars, prints and quotes, and findings about those that cannot be right."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from schemas.event import ContractId, Event, Name, Price, Size, UtcTime


class Source(StrEnum):
    """Where a price comes from. Only `ib` and `real` were paid by somebody."""

    IB = "ib"
    """A real TWS or IB Gateway."""
    REAL = "real"
    """Real recorded prices, served by the gateway simulator."""
    DERIVED = "derived"
    """Invented inside a real bar: aggregates back to it."""
    SYNTHETIC = "synthetic"
    """Invented from a seed."""


class Basis(StrEnum):
    """What a stored price was adjusted for."""

    RAW = "raw"
    SPLIT_ADJUSTED = "split_adjusted"
    TOTAL_RETURN = "total_return"


class PriceKind(StrEnum):
    """What the prices of a bar are: those of trades, or of the quotes around them."""

    TRADES = "trades"
    MIDPOINT = "midpoint"
    BID = "bid"
    ASK = "ask"
    BID_ASK = "bid_ask"
    """Open and close are time-averaged bid and ask, high the highest ask, low the lowest bid."""


class _BarFields(Event):
    """Prices and volume of one contract over `bar_size` from `start`; `event_time` is its end.

    A daily bar's `start` and `event_time` are the session's open and close. Its natural key is contract_id, bar_size,
    start, price_kind, basis, source and revision.
    """

    contract_id: ContractId
    symbol: Name
    bar_size: Annotated[timedelta, Field(gt=timedelta(0), le=timedelta(days=31))]
    start: UtcTime
    open: Price
    high: Price
    low: Price
    close: Price
    volume: Size
    source: Source
    price_kind: PriceKind = PriceKind.TRADES
    basis: Basis = Basis.SPLIT_ADJUSTED
    revision: Annotated[int, Field(ge=0, lt=2**31)] = 0
    late: bool = False

    @model_validator(mode="after")
    def _range_holds_open_and_close(self) -> Self:
        if not self.low <= min(self.open, self.close) <= max(self.open, self.close) <= self.high:
            raise ValueError(f"contract {self.contract_id}: open or close outside low..high")
        if self.event_time <= self.start:
            raise ValueError(f"contract {self.contract_id}: the bar ends before it starts")
        return self


class Bar(_BarFields):
    """A live bar, published once, when it has closed; `late` when it was backfilled after an outage."""

    type: Literal["Bar"] = "Bar"


class HistoricalBar(_BarFields):
    """A bar that collection brought, in the order it came."""

    type: Literal["HistoricalBar"] = "HistoricalBar"


class Tick(Event):
    """One trade print."""

    type: Literal["Tick"] = "Tick"
    contract_id: ContractId
    symbol: Name
    price: Price
    size: Size
    source: Source


class Quote(Event):
    """Best bid and ask."""

    type: Literal["Quote"] = "Quote"
    contract_id: ContractId
    symbol: Name
    bid: Price
    ask: Price
    bid_size: Size
    ask_size: Size
    source: Source


class QuarantineRule(StrEnum):
    """Why something was found about a bar, tick or quote: infra/quality/rules.py says what each looks at."""

    OHLC_RANGE = "ohlc_range"
    NOT_FINITE = "not_finite"
    NEGATIVE_SIZE = "negative_size"
    FROM_THE_FUTURE = "from_the_future"
    OUT_OF_ORDER = "out_of_order"
    OUTSIDE_SESSION = "outside_session"
    DUPLICATE = "duplicate"
    CONTRADICTION = "contradiction"
    BAD_PRINT = "bad_print"
    SPIKE = "spike"
    SPLIT_LIKE = "split_like"
    STALE = "stale"
    GAP = "gap"
    ZERO_VOLUME = "zero_volume"
    CROSSED_QUOTE = "crossed_quote"
    EMPTY_ANSWER = "empty_answer"


class Severity(StrEnum):
    """How much a finding matters."""

    WARNING = "warning"
    ERROR = "error"


class Quarantined(Event):
    """A bar or tick that broke a rule, kept as it came. An error keeps it from strategies; a warning only tells."""

    type: Literal["Quarantined"] = "Quarantined"
    quarantine_id: Name
    contract_id: ContractId
    symbol: Name
    rule: QuarantineRule
    severity: Severity
    reason: Annotated[str, Field(max_length=500)]
    record: Annotated[str, Field(max_length=10_000)]
    """The bar or tick as the gateway gave it, as JSON text."""


class Released(Event):
    """A person looked at a quarantined record and let it through."""

    type: Literal["Released"] = "Released"
    quarantine_id: Name
    contract_id: ContractId
    by: Name


class Rejected(Event):
    """A person looked at a quarantined record and threw it away."""

    type: Literal["Rejected"] = "Rejected"
    quarantine_id: Name
    contract_id: ContractId
    by: Name


LIVE_BAR = timedelta(seconds=5)
"""The size in which live bars come; larger ones are made of them."""

LargerSize = Annotated[timedelta, Field(gt=LIVE_BAR, le=timedelta(days=1))]


class Urgency(StrEnum):
    """Who comes first when the gateway has no room for all."""

    TRADING = "trading"
    WATCHING = "watching"


class Want(Event):
    """What live data of a contract one holder wants; the newest one per contract and holder holds.

    Each holder tells only its own wants, so nobody overwrites another's.
    """

    type: Literal["Want"] = "Want"
    contract_id: ContractId
    symbol: Name
    holder: Name
    """A strategy's id, or `api`: the people who use the HTTP service."""
    bars: bool = False
    ticks: bool = False
    quotes: bool = False
    bar_sizes: Annotated[tuple[LargerSize, ...], Field(max_length=20)] = ()
    """Larger live bars, made of those of five seconds: whole minutes, up to a day."""
    urgency: Urgency = Urgency.WATCHING

    @model_validator(mode="after")
    def _larger_bars_are_whole_minutes_made_of_bars(self) -> Self:
        if self.bar_sizes and not self.bars:
            raise ValueError("larger bars are made of bars: want those too")
        if any(size % timedelta(minutes=1) for size in self.bar_sizes):
            raise ValueError("live bars larger than five seconds are of whole minutes")
        return self

    @property
    def is_over(self) -> bool:
        """The holder wants nothing of the contract any more."""
        return not (self.bars or self.ticks or self.quotes)

    def ended(self, now: datetime) -> Self:
        """The same holder, who wants nothing of the contract any more."""
        nothing = {"bars": False, "ticks": False, "quotes": False, "bar_sizes": ()}
        return self.revised(event_time=now, ingest_time=now, **nothing)


class Delivery(StrEnum):
    """How a feed of a contract comes. What is not live or sampled is never published."""

    LIVE = "live"
    """Each event as it happens."""
    SAMPLED = "sampled"
    """With the market data, of which the gateway leaves some out: no line tick by tick was to be had."""
    WAITING = "waiting"
    """Nothing has come yet: no line is left, the gateway is away, or it has not answered."""
    DELAYED = "delayed"
    """The gateway has only delayed data for this account."""
    FROZEN = "frozen"
    """The gateway has only the last quote before the close."""
    REFUSED = "refused"
    """The gateway says no; `problem` says why."""


class Subscription(Event):
    """What live data of a contract is wanted by all holders together, told by the service that brings it.

    The newest one per contract holds.
    """

    type: Literal["Subscription"] = "Subscription"
    contract_id: ContractId
    symbol: Name
    bars: bool = True
    ticks: bool = False
    quotes: bool = False
    wanted_by: Annotated[tuple[Name, ...], Field(max_length=100)] = ()
    """Empty: nobody wants it any more, the live data stops."""
    bar_sizes: Annotated[tuple[LargerSize, ...], Field(max_length=100)] = ()
    urgency: Urgency = Urgency.WATCHING
    problem: Annotated[str, Field(max_length=500)] = ""
    """Why data does not come, or not all of it; empty when nothing is known to be wrong."""
    feeds: Annotated[dict[Literal["bars", "ticks", "quotes"], Delivery], Field(max_length=3)] = Field(
        default_factory=dict
    )
    """How each feed that is wanted comes."""


Quarantine = Annotated[Quarantined | Released | Rejected, Field(discriminator="type")]
