"""From a strategy's target to an order's signed quantity, and the one place where a float becomes a Decimal."""

import math
from decimal import ROUND_HALF_EVEN, Decimal

from engine.strategy import StrategySignal

_SMALLEST = Decimal("0.00000001")
_ALMOST = 1e-9
"""So near to a whole lot counts as one: 0.29 * 100 is 28.999999999999996."""


def to_decimal(value: float) -> Decimal:
    """The decimal that `value` is written as, rounded to 8 places. Raises ValueError for infinity and NaN."""
    if not math.isfinite(value):
        raise ValueError(f"{value} is no amount")
    return Decimal(repr(float(value))).quantize(_SMALLEST, ROUND_HALF_EVEN)


def whole_lots(target: float, full: float, lot: float = 1.0) -> int:
    """How many lots `target` times `full` is, signed, rounded towards zero: the one rule, live and in a backtest."""
    lots = target * full / lot
    return int(lots + _ALMOST if lots > 0 else lots - _ALMOST)


def order_quantity(target: float, held: float, full: float, lot: float = 1.0) -> float:
    """Signed quantity that brings `held` to `target` times `full`, rounded towards zero to whole lots."""
    return whole_lots(target, full, lot) * lot - held


def sizing(
    signal: StrategySignal, current_quantity: Decimal, full_quantity: Decimal, price: float, lot: Decimal = Decimal(1)
) -> Decimal:
    """Signed quantity of the order that `signal` asks for; 0 when there is nothing to do.

    `current_quantity` is what is held and what orders in flight will add; `full_quantity` the size of a full position.
    The wanted position is rounded towards zero to whole lots. Without a finite `price` there is no market: 0.
    """
    if not math.isfinite(price):
        return Decimal(0)
    return whole_lots(signal.value, float(full_quantity), float(lot)) * lot - current_quantity
