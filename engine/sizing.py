"""From a strategy's target to an order's signed quantity, and the one place where a float becomes a Decimal.

How large a full position is, is told by name (`SIZINGS`); strategies that give orders may call the same formulas.
"""

import math
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal

from engine.strategy import StrategySignal, nearest

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


GAUGED = ("risk_per_trade", "volatility_target")
"""Sizings that look back over a contract's bars."""
SIZINGS = ("fixed", "percent_of_equity", "risk_per_trade", "volatility_target", "kelly_fraction")
"""`fixed`: so many shares. `percent_of_equity`: worth that percentage of the equity. `risk_per_trade`: two average true
ranges against it cost that percentage. `volatility_target`: its volatility a year is that percentage of the equity.
`kelly_fraction`: that percentage of what Kelly's formula makes of the trades closed so far."""

ATR_SIZE = 14
ATR_MULTIPLE = 2.0
VOLATILITY_SIZE = 20
KELLY_TRADES_LEAST = 20
"""Fewer closed trades say nothing of the odds: until then a full position is the fixed quantity."""


class SizingError(ValueError):
    """There is no sizing of this name, or its rate cannot be."""


def check_sizing(name: str, rate: float) -> None:
    """Raise SizingError unless there is a sizing of this name that takes this rate."""
    if name not in SIZINGS:
        raise SizingError(f"no sizing {name}{nearest(name, SIZINGS)}: {', '.join(SIZINGS)}")
    if name != "fixed" and not 0 < rate < math.inf:
        raise SizingError(f"sizing {name} takes a percentage above zero, not {rate:g}")


def percent_of_equity(equity: float, price: float, percent: float) -> float:
    """equity * percent / 100 / price; nothing at a price of zero or without equity."""
    return max(equity, 0.0) * (percent / 100.0) / abs(price) if price else 0.0


def risk_per_trade(equity: float, atr: float, percent: float, multiple: float = ATR_MULTIPLE) -> float:
    """equity * percent / 100 / (multiple * ATR): a stop `multiple` ranges away loses that much. R. van Tharp, Trade
    Your Way to Financial Freedom (1998), on position sizing by volatility."""
    return max(equity, 0.0) * (percent / 100.0) / (multiple * atr) if atr > 0 else 0.0


def volatility_target(equity: float, price: float, volatility: float, percent: float) -> float:
    """equity * (percent / 100) / volatility / price, with the price's volatility a year as a fraction. A. Moreira, T.
    Muir, Volatility-Managed Portfolios, Journal of Finance 72 (2017)."""
    return max(equity, 0.0) * (percent / 100.0 / volatility) / abs(price) if price and volatility > 0 else 0.0


@dataclass
class Odds:
    """What closed trades earned: how many won and lost, and how much in all (losses without sign)."""

    wins: int = 0
    losses: int = 0
    won: float = 0.0
    lost: float = 0.0

    def note(self, gain: float) -> None:
        """Count one closed trade."""
        if gain > 0:
            self.wins += 1
            self.won += gain
        else:
            self.losses += 1
            self.lost -= gain

    @property
    def kelly(self) -> float:
        """W - (1 - W) / R, with W the share of trades won and R the average win over the average loss; J. L. Kelly, A
        New Interpretation of Information Rate (1956). At least 0 and at most 1."""
        trades = self.wins + self.losses
        if not trades or not self.wins:
            return 0.0
        if not self.lost:
            return 1.0
        share = self.wins / trades
        ratio = (self.won / self.wins) / (self.lost / self.losses)
        return min(max(share - (1.0 - share) / ratio, 0.0), 1.0)


def kelly_quantity(equity: float, price: float, odds: Odds, percent: float) -> float:
    """equity * percent / 100 * Kelly's fraction / price."""
    return percent_of_equity(equity, price, percent * odds.kelly)
