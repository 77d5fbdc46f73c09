"""The one account: cash, positions, realised profit, commissions."""

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal

from infra.gateway_simulator.instruments import Instrument
from infra.gateway_simulator.prices import UNITS

PER_SHARE, LEAST, MOST = Decimal("0.005"), Decimal("1.00"), Decimal("0.01")  # IB's fixed rate for US stocks
LEVERAGE = 4  # day trading power of a margin account
CENT = Decimal("0.01")

Mark = Callable[[Instrument], Decimal]


def dollars(units: int) -> Decimal:
    return Decimal(units) / UNITS


def commission(quantity: Decimal, price: Decimal, already: Decimal, traded: Decimal) -> Decimal:
    """IB's fixed rate for one more fill of an order that has paid `already` for `traded` shares."""
    total = min(max(PER_SHARE * (traded + quantity), LEAST), MOST * (traded + quantity) * price)
    return max(total - already, Decimal(0)).quantize(Decimal("0.0001"))


@dataclass(slots=True)
class Position:
    """`average_cost` is per share and includes commissions, as IB counts; `quantity` is negative when short."""

    instrument: Instrument
    quantity: Decimal = Decimal(0)
    average_cost: Decimal = Decimal(0)
    realized: Decimal = Decimal(0)

    def apply(self, signed: Decimal, price: Decimal, paid: Decimal) -> Decimal | None:
        """Take one fill in; the profit that it realised, None when it only opened."""
        cost = price + paid / abs(signed) if signed > 0 else price - paid / abs(signed)
        if self.quantity * signed >= 0:
            held = self.quantity + signed
            self.average_cost = (self.average_cost * self.quantity + cost * signed) / held
            self.quantity = held
            return None
        closed = min(abs(signed), abs(self.quantity))
        side = 1 if self.quantity > 0 else -1
        profit = (cost - self.average_cost) * closed * side
        self.quantity += signed
        if self.quantity * side < 0:
            self.average_cost = cost
        if self.quantity == 0:
            self.average_cost = Decimal(0)
        self.realized += profit
        return profit


@dataclass
class Account:
    """What the account owns; marks come from the market."""

    code: str
    cash: Decimal
    positions: dict[int, Position] = field(default_factory=dict)
    realized: Decimal = Decimal(0)

    def position(self, instrument: Instrument) -> Position:
        return self.positions.setdefault(instrument.contract_id, Position(instrument))

    def fill(self, instrument: Instrument, signed: Decimal, price: Decimal, paid: Decimal) -> Decimal | None:
        """Book one fill; the profit that it realised, None when it only opened."""
        self.cash -= signed * price + paid
        profit = self.position(instrument).apply(signed, price, paid)
        self.realized += profit or Decimal(0)
        return profit

    def held(self) -> list[Position]:
        return [each for each in self.positions.values() if each.quantity]

    def values(self, mark: Mark) -> dict[str, Decimal]:
        """IB's account values in the base currency."""
        long = sum((each.quantity * mark(each.instrument) for each in self.held() if each.quantity > 0), Decimal(0))
        short = sum((-each.quantity * mark(each.instrument) for each in self.held() if each.quantity < 0), Decimal(0))
        unrealized = sum((self.unrealized(each, mark) for each in self.held()), Decimal(0))
        worth = self.cash + long - short
        initial, maintenance = (long + short) / 2, (long + short) / 4
        named = {
            "NetLiquidation": worth,
            "EquityWithLoanValue": worth,
            "TotalCashValue": self.cash,
            "CashBalance": self.cash,
            "SettledCash": self.cash,
            "AccruedCash": Decimal(0),
            "BuyingPower": max((worth - initial) * LEVERAGE, Decimal(0)),
            "GrossPositionValue": long + short,
            "StockMarketValue": long - short,
            "InitMarginReq": initial,
            "FullInitMarginReq": initial,
            "MaintMarginReq": maintenance,
            "FullMaintMarginReq": maintenance,
            "AvailableFunds": worth - initial,
            "FullAvailableFunds": worth - initial,
            "ExcessLiquidity": worth - maintenance,
            "FullExcessLiquidity": worth - maintenance,
            "UnrealizedPnL": unrealized,
            "RealizedPnL": self.realized,
        }
        return {name: value.quantize(CENT) for name, value in named.items()}

    def unrealized(self, position: Position, mark: Mark) -> Decimal:
        return (mark(position.instrument) - position.average_cost) * position.quantity
