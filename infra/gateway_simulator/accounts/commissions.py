"""What IB charges for a fill: its fixed and its tiered schedule by product, with the least and the most of an order.

Rates are those that IB published for its Pro accounts in 2024 and 2025, at every market time:
interactivebrokers.com/en/pricing/commissions-stocks.php (-futures, -options, -spot-currencies, -cryptocurrencies).
The fixed rate of US stocks is told all-in, without the regulatory fees that IB passes on for sales; the tiered one has
them, with NASDAQ's fee for taking and rebate for adding liquidity as IB's own comparison of the two schedules shows
(0.0030 and 0.0021 a share). Exchange fees of ASX stocks differ by trade and are left out.
"""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from infra.errors import ScizorError
from infra.gateway_simulator.instruments.instrument import Instrument, Kind

_D = Decimal
ZERO = Decimal(0)
_GRAIN = _D("0.0001")
_NO_MORE = _D("1E30")

Rate = Callable[[str, str], Decimal]
"""Units of the second currency for one of the first."""


class Schedule(StrEnum):
    FIXED = "fixed"
    TIERED = "tiered"


class ScheduleMissingError(ScizorError):
    def __init__(self, instrument: Instrument) -> None:
        what = f"{instrument.kind} in {instrument.currency}"
        super().__init__(f"no commission schedule for {what} ({instrument.symbol}): add one to commissions.py")


@dataclass(frozen=True, slots=True)
class Trade:
    """One fill, or an order as if it filled at once; `signed` is negative for a sale."""

    instrument: Instrument
    signed: Decimal
    price: Decimal
    adds_liquidity: bool = False

    @property
    def quantity(self) -> Decimal:
        return abs(self.signed)

    @property
    def worth(self) -> Decimal:
        """In the instrument's currency; negative for a sale."""
        return self.signed * self.price * self.instrument.multiplier

    @property
    def value(self) -> Decimal:
        return abs(self.worth)


@dataclass(frozen=True, slots=True)
class Done:
    """What the same order has traded before: quantity, and its worth in the instrument's currency."""

    quantity: Decimal = ZERO
    value: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class Steps:
    """A rate that falls with a month's volume, each step for what lies within it, and the least that an order pays."""

    bounds: tuple[tuple[Decimal, Decimal, Decimal], ...]  # up to this volume, rate, least

    def due(self, volume: Decimal, more: Decimal) -> Decimal:
        """For `more` on top of the month's `volume`."""
        total, low = ZERO, ZERO
        for high, rate, _ in self.bounds:
            within = min(volume + more, high) - max(volume, low)
            total += max(within, ZERO) * rate
            low = high
        return total

    def least(self, volume: Decimal) -> Decimal:
        return next(least for high, _, least in self.bounds if volume <= high)


def _steps(*bounds: tuple[str, str, str]) -> Steps:
    return Steps(tuple((_D(high), _D(rate), _D(least)) for high, rate, least in bounds))


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a schedule: what is counted (units or their worth), the rate, and the most as a share of the worth.

    `capped_least` is a least that gives way to the most, as with US stocks and crypto.
    """

    steps: Steps
    by_value: bool = False
    most: Decimal | None = None

    def due(self, volume: Decimal, quantity: Decimal, value: Decimal) -> Decimal:
        """For an order that began at `volume` and has traded so much."""
        if not quantity:
            return ZERO
        raw = self.steps.due(volume, value if self.by_value else quantity)
        found = max(raw, self.steps.least(volume))
        return (found if self.most is None else min(found, self.most * value)).quantize(_GRAIN)


_ALL = str(_NO_MORE)
_US_MOST = _D("0.01")
_FUTURES = {"USD": "0.85", "EUR": "0.65", "GBP": "0.60", "CAD": "0.85", "CHF": "0.95", "HKD": "7.00", "AUD": "0.95"}
_FOREX = Line(
    _steps(("1E9", "0.00002", "2"), ("2E9", "0.000015", "1.5"), ("5E9", "0.00001", "1.25"), (_ALL, "0.000008", "1")),
    by_value=True,
)
_CRYPTO = Line(
    _steps(("100000", "0.0018", "1.75"), ("1000000", "0.0015", "1.75"), (_ALL, "0.0012", "1.75")),
    by_value=True,
    most=_D("0.01"),
)

_FIXED: dict[tuple[Kind, str], Line] = {
    (Kind.STOCK, "USD"): Line(_steps((_ALL, "0.005", "1.00")), most=_US_MOST),
    (Kind.STOCK, "AUD"): Line(_steps((_ALL, "0.0008", "6.00")), by_value=True),
    (Kind.OPTION, "USD"): Line(_steps((_ALL, "0.65", "1.00"))),
    (Kind.OPTION, "AUD"): Line(_steps((_ALL, "2.00", "2.00"))),
    **{(Kind.FUTURE, currency): Line(_steps((_ALL, rate, "0"))) for currency, rate in _FUTURES.items()},
    (Kind.CRYPTO, "USD"): _CRYPTO,
}
_TIERED: dict[tuple[Kind, str], Line] = _FIXED | {
    (Kind.STOCK, "USD"): Line(
        _steps(
            ("300000", "0.0035", "0.35"),
            ("3000000", "0.0020", "0.35"),
            ("20000000", "0.0015", "0.35"),
            ("100000000", "0.0010", "0.35"),
            (_ALL, "0.0005", "0.35"),
        ),
        most=_US_MOST,
    ),
    (Kind.STOCK, "AUD"): Line(
        _steps(
            ("3E6", "0.0008", "5"),
            ("30E6", "0.0005", "4"),
            ("100E6", "0.0003", "3"),
            ("300E6", "0.00025", "2"),
            (_ALL, "0.00015", "1"),
        ),
        by_value=True,
    ),
    (Kind.OPTION, "AUD"): Line(
        _steps(("1000", "1.50", "1.50"), ("10000", "1.00", "1.50"), ("20000", "0.70", "1.50"), (_ALL, "0.50", "1.50"))
    ),
    (Kind.FUTURE, "USD"): Line(
        _steps(("1000", "0.85", "0"), ("10000", "0.65", "0"), ("20000", "0.45", "0"), (_ALL, "0.25", "0"))
    ),
}


@dataclass(frozen=True, slots=True)
class Charge:
    """What a trade costs, and in which currency."""

    amount: Decimal
    currency: str


class Tariff:
    """A schedule at work; `rate` turns the worth of a forex trade into dollars and its commission into the base."""

    def __init__(self, schedule: Schedule, rate: Rate) -> None:
        self._lines = _FIXED if schedule is Schedule.FIXED else _TIERED
        self._is_tiered = schedule is Schedule.TIERED
        self._rate = rate

    def charge(self, trade: Trade, before: Done, *, base: str, volume: Decimal) -> Charge:
        """For one fill of an order that has traded `before`, which is part of the month's `volume`."""
        instrument = trade.instrument
        if instrument.kind is Kind.FOREX:
            to_dollars = self._rate(instrument.currency, "USD")
            begun = max(volume - before.value * to_dollars, ZERO)
            value = before.value * to_dollars
            total = _FOREX.due(begun, before.quantity + trade.quantity, value + trade.value * to_dollars)
            more = total - _FOREX.due(begun, before.quantity, value)
            return Charge((more * self._rate("USD", base)).quantize(_GRAIN), base)
        line = self._line(instrument)
        begun = max(volume - (before.value if line.by_value else before.quantity), ZERO)  # a month may have begun since
        total = line.due(begun, before.quantity + trade.quantity, before.value + trade.value)
        broker = total - line.due(begun, before.quantity, before.value)
        return Charge((broker + self._passed_on(trade, broker)).quantize(_GRAIN), instrument.currency)

    def counted(self, trade: Trade) -> Decimal:
        """What the trade adds to the month's volume."""
        if trade.instrument.kind is Kind.FOREX:
            return trade.value * self._rate(trade.instrument.currency, "USD")
        return trade.value if self._line(trade.instrument).by_value else trade.quantity

    def _line(self, instrument: Instrument) -> Line:
        found = self._lines.get((instrument.kind, instrument.currency))
        if found is None:
            raise ScheduleMissingError(instrument)
        return found

    def _passed_on(self, trade: Trade, broker: Decimal) -> Decimal:
        """Fees of exchange, clearing house and regulators."""
        kind = trade.instrument.kind, trade.instrument.currency
        if kind == (Kind.FUTURE, "USD"):
            return trade.quantity * _FUTURES_FEES
        if not self._is_tiered:
            return ZERO
        if kind == (Kind.STOCK, "USD"):
            return _stock_fees(trade, broker)
        return _option_fees(trade) if kind == (Kind.OPTION, "USD") else ZERO


_FUTURES_FEES = _D("1.38") + _D("0.02")  # CME's for E-mini index futures on Globex, NFA's: 2.25 a contract in all


def _stock_fees(trade: Trade, broker: Decimal) -> Decimal:
    exchange = trade.quantity * (_D("-0.0021") if trade.adds_liquidity else _D("0.0030"))
    clearing = min(trade.quantity * _D("0.00020"), trade.value * _D("0.005"))  # NSCC and DTC
    passed = broker * (_D("0.000175") + _D("0.000563"))  # NYSE's and FINRA's, as shares of the commission
    audit = trade.quantity * _D("0.000072")  # FINRA's consolidated audit trail
    return exchange + clearing + passed + audit + _sale_fees(trade, _D("0.000166"), _D("8.30"))


def _option_fees(trade: Trade) -> Decimal:
    regulatory, clearing = _D("0.0404"), _D("0.05")  # ORF, and OCC's up to 500 contracts
    return trade.quantity * (regulatory + clearing) + _sale_fees(trade, _D("0.002"), _NO_MORE)


def _sale_fees(trade: Trade, activity: Decimal, most: Decimal) -> Decimal:
    """The SEC's transaction fee on the worth and FINRA's trading activity fee on the quantity of a sale."""
    if trade.signed > 0:
        return ZERO
    return trade.value * _D("0.0000278") + min(trade.quantity * activity, most)
