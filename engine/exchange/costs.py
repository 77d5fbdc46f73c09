"""What trading costs: commissions, slippage, interest and borrowing, by name.

Order of arithmetic, which other matchers repeat to reach the same bits: price = base + side * slippage, then
commission on quantity and price, then cash -= quantity * price + commission.
"""

from collections.abc import Callable
from typing import Protocol

from engine.strategy import nearest
from schemas.moments import to_datetime

Commission = Callable[[float, float], float]
"""(quantity without sign, price) -> money paid, zero or more, of every execution for itself."""

Slippage = Callable[[float, float, float], float]
"""(price, volume of the bar, quantity without sign) -> how much worse the price gets, zero or more."""


class CostModelError(ValueError):
    """There is no cost model of this name."""


class ByOrder(Protocol):
    """A commission whose least and most count by order: a later part fill pays what the order owes beyond the first."""

    def of_order(self, filled: float, value: float, quantity: float, price: float, time_us: int) -> float:
        """What an execution of `quantity` (signed) adds to an order with `filled` shares worth `value` (unsigned)."""


def _commission_bps(rate: float) -> Commission:
    fraction = rate / 10_000
    return lambda quantity, price: quantity * abs(price) * fraction


def _commission_per_share(rate: float) -> Commission:
    return lambda quantity, price: quantity * rate


def _no_commission(rate: float) -> Commission:
    return lambda quantity, price: 0.0


def _slippage_bps(rate: float) -> Slippage:
    fraction = rate / 10_000
    return lambda price, volume, quantity: abs(price) * fraction


def _slippage_fixed(rate: float) -> Slippage:
    return lambda price, volume, quantity: rate


def _slippage_half_spread(rate: float) -> Slippage:
    fraction = rate / 20_000
    return lambda price, volume, quantity: abs(price) * fraction


def _slippage_volume_share(rate: float) -> Slippage:
    """zipline's VolumeShareSlippage: price * impact * share ** 2, with an impact of 0.1 there.

    https://zipline.ml4t.io/api-reference.html#slippage-models
    """

    def worse(price: float, volume: float, quantity: float) -> float:
        share = min(quantity / volume, 1.0) if volume > 0 else 1.0
        return abs(price) * rate * (share * share)

    return worse


def _no_slippage(rate: float) -> Slippage:
    return lambda price, volume, quantity: 0.0


SLIPPAGES: dict[str, Callable[[float], Slippage]] = {
    "none": _no_slippage,
    "bps": _slippage_bps,
    "fixed": _slippage_fixed,
    "half_spread": _slippage_half_spread,
    "volume_share": _slippage_volume_share,
}
"""By name, from a rate: `bps` of the price, `fixed` money a share, `half_spread` half of a spread in bps of the price,
`volume_share` of the price times the square of the order's share of the bar's volume."""


class IbFixed:
    """US shares, fixed pricing of IBKR Pro: `rate` a share (0.005), at least 1.00, at most 1 % of the trade's value.

    https://www.interactivebrokers.com/en/pricing/commissions-stocks.php
    """

    def __init__(self, rate: float) -> None:
        self._rate = rate

    def of_order(self, filled: float, value: float, quantity: float, price: float, time_us: int) -> float:
        size = abs(quantity)
        owed = self._bounded(filled + size, value + size * abs(price))
        return owed - self._bounded(filled, value) if filled else owed

    def _bounded(self, quantity: float, value: float) -> float:
        return min(max(quantity * self._rate, 1.0), value * 0.01)


class IbTiered:
    """US shares, tiered pricing of IBKR Pro, third parties' fees included; `exchange_fee` is money a share.

    The month's shares decide the rate of each share (a tier's rate applies to the shares within it); at least 0.35 and
    at most 1 % of the trade's value an order. Then NSCC and DTC clearing a share, the exchange, the pass-through of
    NYSE and FINRA on the commission, and for sales SEC's fee on the value and FINRA's trading activity fee.
    https://www.interactivebrokers.com/en/pricing/commissions-stocks.php
    """

    TIERS = ((300_000.0, 0.0035), (3e6, 0.0020), (2e7, 0.0015), (1e8, 0.0010), (float("inf"), 0.0005))
    LEAST, MOST = 0.35, 0.01
    CLEARING, PASSED_ON = 0.00020, 0.000175 + 0.000563
    SEC, ACTIVITY, ACTIVITY_MAX = 0.0000278, 0.000166, 8.30

    def __init__(self, exchange_fee: float) -> None:
        self._exchange_fee = exchange_fee
        self._month = (0, 0)
        self._shares = 0.0

    def of_order(self, filled: float, value: float, quantity: float, price: float, time_us: int) -> float:
        at = to_datetime(time_us)
        if (at.year, at.month) != self._month:
            self._month, self._shares = (at.year, at.month), 0.0
        size = abs(quantity)
        first = max(self._shares - filled, 0.0)  # of the month, when the order began
        owed = self._bounded(first, filled + size, value + size * abs(price))
        commission = owed - self._bounded(first, filled, value) if filled else owed
        self._shares += size
        fees = size * (self.CLEARING + self._exchange_fee) + commission * self.PASSED_ON
        if quantity < 0:
            fees += size * abs(price) * self.SEC + min(size * self.ACTIVITY, self.ACTIVITY_MAX)
        return commission + fees

    def _bounded(self, first: float, quantity: float, value: float) -> float:
        return min(max(self._by_tier(first, quantity), self.LEAST), value * self.MOST)

    def _by_tier(self, first: float, quantity: float) -> float:
        total, at, left = 0.0, first, quantity
        for end, rate in self.TIERS:
            within = min(max(end - at, 0.0), left)
            total += within * rate
            at += within
            left -= within
        return total


COMMISSIONS: dict[str, Callable[[float], Commission | ByOrder]] = {
    "none": _no_commission,
    "bps": _commission_bps,
    "per_share": _commission_per_share,
    "ib_fixed": IbFixed,
    "ib_tiered": IbTiered,
}
"""By name, from a rate: `bps` of the traded value, money `per_share`, `ib_fixed` money a share within bounds an order,
`ib_tiered` by the month's volume, the rate being what exchanges take a share for liquidity removed."""


COMMISSION_RATES = {"none": 0.0, "ib_fixed": 0.005, "ib_tiered": 0.003}
"""What their owners say they cost, by name; the others have no rate of their own. IB gives orders that remove liquidity
about 0.003 a share of exchange fees."""

SLIPPAGE_RATES = {"none": 0.0, "volume_share": 0.1}
"""The impact is zipline's."""


def commission_model(name: str, rate: float) -> Commission | ByOrder:
    """The commission model of this name. Raises CostModelError when there is none."""
    if name not in COMMISSIONS:
        raise CostModelError(f"no commission model {name}{nearest(name, COMMISSIONS)}: {', '.join(COMMISSIONS)}")
    return COMMISSIONS[name](rate)


def slippage_model(name: str, rate: float) -> Slippage:
    """The slippage model of this name. Raises CostModelError when there is none."""
    if name not in SLIPPAGES:
        raise CostModelError(f"no slippage model {name}{nearest(name, SLIPPAGES)}: {', '.join(SLIPPAGES)}")
    return SLIPPAGES[name](rate)
