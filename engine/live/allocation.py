"""How capital is shared out over strategies, and when their sizes have drifted far enough to be changed."""

from collections.abc import Mapping
from dataclasses import dataclass

from schemas.strategy import AllocationMethod, AllocationPlan


@dataclass(frozen=True)
class Share:
    """What a strategy's size is made of: full shares by symbol now, last prices, and how much its earnings move."""

    full: Mapping[str, float]
    prices: Mapping[str, float]
    volatility: float | None


def weights(plan: AllocationPlan, shares: Mapping[str, Share]) -> dict[str, float]:
    """Fractions of the capital, by strategy; they add up to 1 at most.

    `fixed`: as the plan says. `equal`: the same for each. `inverse_volatility`: in inverse proportion to how much a
    unit of money in each moves from bar to bar; equal, as long as one of them has too few bars to tell.
    """
    wanted = [name for name in plan.weights if name in shares]
    if plan.method is AllocationMethod.FIXED:
        return {name: plan.weights[name] for name in wanted}
    if plan.method is AllocationMethod.INVERSE_VOLATILITY:
        inverse = {name: _calm(shares[name]) for name in wanted}
        known = {name: calm for name, calm in inverse.items() if calm is not None}
        if len(known) == len(wanted):
            whole = sum(known.values())
            return {name: calm / whole for name, calm in known.items()}
    return dict.fromkeys(wanted, 1 / len(wanted)) if wanted else {}


def _calm(share: Share) -> float | None:
    """Money in a full position for each unit of money that it moves from bar to bar."""
    money = sum(share.full[symbol] * abs(price) for symbol, price in share.prices.items())
    return money / share.volatility if share.volatility and money else None


def sizes(plan: AllocationPlan, shares: Mapping[str, Share]) -> dict[str, dict[str, float]]:
    """Full shares by strategy and symbol: each strategy's capital in equal parts over its symbols, at the last prices.

    Only strategies of which every symbol has a price, and one of which lies outside the band around its present size.
    """
    found: dict[str, dict[str, float]] = {}
    for name, weight in weights(plan, shares).items():
        share = shares[name]
        if len(share.prices) < len(share.full) or not all(share.prices.values()):
            continue
        part = float(plan.capital) * weight / len(share.full)
        wanted = {symbol: float(int(part / abs(price))) for symbol, price in share.prices.items()}
        if any(_drifted(share.full[symbol], size, plan.band) for symbol, size in wanted.items()):
            found[name] = wanted
    return found


def _drifted(present: float, wanted: float, band: float) -> bool:
    if present == wanted:
        return False
    return present == 0 or abs(wanted / present - 1) > band
