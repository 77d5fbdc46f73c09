"""What no limit can exceed, whoever sets it, and what a new account begins with."""

from decimal import Decimal
from typing import Any

from schemas.account import RiskLimits

CEILINGS: dict[str, Decimal | int | float] = {
    "quantity_max": Decimal(100_000),
    "notional_max": Decimal(10_000_000),
    "position_max": Decimal(1_000_000),
    "gross_exposure_max": Decimal(100_000_000),
    "net_exposure_max": Decimal(100_000_000),
    "open_orders_max": 1_000,
    "open_orders_per_contract_max": 1_000,
    "orders_per_minute_max": 10_000,
    "strategy_orders_per_minute_max": 10_000,
    "outflow_per_minute_max": Decimal(1_000_000_000),
    "daily_loss_max": Decimal(1_000_000),
    "daily_loss_reducing": Decimal(1_000_000),
    "price_collar": Decimal("0.25"),
    "price_age_max_seconds": 600.0,
    "account_age_max_seconds": 600.0,
    "signal_age_max_seconds": 600.0,
}
"""By the name of the limit, in the units of `RiskLimits`."""

STARTING: dict[str, Any] = {
    "buying_power_share_max": Decimal(1),
    "signal_age_max_seconds": 5.0,
    "strategy_orders_per_minute_max": 60,
    "same_side_orders_max": 5,
    "round_trips_per_hour_max": 20,
    "rejects_in_a_row_max": 3,
    "orders_per_fill_max": 50,
}
"""What the first limits of an account hold beside the defaults of `RiskLimits`, unless a person says otherwise."""

OF_STRATEGY = frozenset(
    {
        "quantity_max",
        "notional_max",
        "position_max",
        "gross_exposure_max",
        "net_exposure_max",
        "open_orders_max",
        "open_orders_per_contract_max",
        "orders_per_minute_max",
        "daily_loss_max",
        "daily_loss_reducing",
        "instruments",
    }
)
"""The limits that are asked of a strategy's own figures; all others are asked of the account alone."""

OF_SYMBOL = OF_STRATEGY - {"daily_loss_max", "daily_loss_reducing"}
"""The same of a symbol: what one has earned today nobody counts."""


def capped(limits: RiskLimits) -> RiskLimits:
    """The limits as they hold: none above its ceiling."""
    over = {name: most for name, most in CEILINGS.items() if (has := getattr(limits, name)) is not None and has > most}
    return limits.model_copy(update=over) if over else limits


def not_asked(scope: str, changes: dict[str, Any]) -> list[str]:
    """Which of these limits nothing would be held against if they were set on `scope`."""
    kind, _, _ = scope.partition(":")
    asked = {"strategy": OF_STRATEGY, "symbol": OF_SYMBOL}.get(kind)
    return [] if asked is None else [name for name, value in changes.items() if value and name not in asked]


def over_ceilings(changes: dict[str, Any]) -> list[str]:
    """Which of these limits are above their ceilings, told for people."""
    return [
        f"{name}: at most {CEILINGS[name]:f}"
        for name, value in changes.items()
        if name in CEILINGS and value is not None and value > CEILINGS[name]
    ]
