"""The exchange of a backtest: market orders fill at a later open, at the price and cost that named models say.

Order of arithmetic, which other matchers repeat to reach the same bits: price = open + side * slippage, then
commission on quantity and price, then cash -= quantity * price + commission.
"""

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from engine.facts import Bar
from engine.strategy import nearest

Commission = Callable[[float, float], float]
"""(quantity without sign, price) -> money paid, zero or more."""

Slippage = Callable[[float, float], float]
"""(price at the open, volume of the bar) -> how much worse the price gets, zero or more."""


class CostModelError(ValueError):
    """There is no cost model of this name."""


def _commission_bps(rate: float) -> Commission:
    fraction = rate / 10_000
    return lambda quantity, price: quantity * abs(price) * fraction


def _commission_per_share(rate: float) -> Commission:
    return lambda quantity, price: quantity * rate


def _commission_ib_fixed(rate: float) -> Commission:
    """US shares, fixed pricing of IBKR Pro: `rate` a share (0.005), at least 1.00, at most 1 % of the trade's value."""
    return lambda quantity, price: min(max(quantity * rate, 1.0), quantity * abs(price) * 0.01)


def _no_commission(rate: float) -> Commission:
    return lambda quantity, price: 0.0


def _slippage_bps(rate: float) -> Slippage:
    fraction = rate / 10_000
    return lambda price, volume: abs(price) * fraction


def _slippage_fixed(rate: float) -> Slippage:
    return lambda price, volume: rate


def _no_slippage(rate: float) -> Slippage:
    return lambda price, volume: 0.0


COMMISSIONS: dict[str, Callable[[float], Commission]] = {
    "none": _no_commission,
    "bps": _commission_bps,
    "per_share": _commission_per_share,
    "ib_fixed": _commission_ib_fixed,
}
"""By name, from a rate: `bps` of the traded value, money `per_share`, `ib_fixed` money per share within bounds."""

SLIPPAGES: dict[str, Callable[[float], Slippage]] = {
    "none": _no_slippage,
    "bps": _slippage_bps,
    "fixed": _slippage_fixed,
}
"""By name, from a rate: `bps` of the price, `fixed` money a share."""


def commission_model(name: str, rate: float) -> Commission:
    """The commission model of this name. Raises CostModelError when there is none."""
    if name not in COMMISSIONS:
        raise CostModelError(f"no commission model {name}{nearest(name, COMMISSIONS)}: {', '.join(COMMISSIONS)}")
    return COMMISSIONS[name](rate)


def slippage_model(name: str, rate: float) -> Slippage:
    """The slippage model of this name. Raises CostModelError when there is none."""
    if name not in SLIPPAGES:
        raise CostModelError(f"no slippage model {name}{nearest(name, SLIPPAGES)}: {', '.join(SLIPPAGES)}")
    return SLIPPAGES[name](rate)


class Order(msgspec.Struct, frozen=True, gc=False):
    """A market order that waits for an open at or after `after_us`; `quantity` is signed."""

    quantity: float
    after_us: int
    reason: str


class Execution(msgspec.Struct, frozen=True, gc=False):
    """How an order filled: in row `row` of the columns, at `price`, `slippage` of it lost against the open."""

    contract_id: int
    row: int
    time_us: int
    quantity: float
    price: float
    slippage: float
    commission: float
    reason: str


@dataclass
class Exchange:
    """Working orders, at most one a contract (a newer target replaces an older one), and what was executed."""

    commission: Commission
    slippage: Slippage

    def __post_init__(self) -> None:
        self.working: dict[int, Order] = {}
        self.executions: list[Execution] = []

    def place(self, contract_id: int, order: Order) -> None:
        """Let `order` work, instead of one that may be working."""
        self.working[contract_id] = order

    def cancel(self, contract_id: int) -> None:
        """Let no order work."""
        self.working.pop(contract_id, None)

    def match(self, bar: Bar, row: int) -> Execution | None:
        """Fill the contract's order at this bar's open, unless that open came before the decision."""
        order = self.working[bar.contract_id]
        if bar.start_us < order.after_us:
            return None
        del self.working[bar.contract_id]
        size = abs(order.quantity)
        worse = self.slippage(bar.open, bar.volume)
        price = bar.open + worse if order.quantity > 0 else bar.open - worse
        execution = Execution(
            bar.contract_id,
            row,
            bar.start_us,
            order.quantity,
            price,
            worse,
            self.commission(size, price),
            order.reason,
        )
        self.executions.append(execution)
        return execution
