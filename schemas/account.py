"""Accounts, positions, limits and whether trading is allowed."""

from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from schemas.event import ContractId, Event, Money, Name, SignedQuantity


class TradingMode(StrEnum):
    """ACTIVE: orders pass. REDUCING: only those that lower exposure. HALTED: none."""

    ACTIVE = "ACTIVE"
    REDUCING = "REDUCING"
    HALTED = "HALTED"


class TradingState(Event):
    """Whether a scope may trade; the newest one per `scope` holds. No state at all means HALTED."""

    type: Literal["TradingState"] = "TradingState"
    scope: Name
    """`global`, `account:ID`, `strategy:ID` or `symbol:ID`."""
    mode: TradingMode
    reason: Annotated[str, Field(max_length=500)]
    by: Name
    accept_positions: bool = False
    """A person takes the broker's positions for the true ones: the executor books the difference."""
    accept_order_ids: bool = False
    """A person has seen that the gateway's order ids fell back: the executor goes on with its own."""


class RiskLimits(Event):
    """Pre-trade limits of an account; a limit that is missing denies everything."""

    type: Literal["RiskLimits"] = "RiskLimits"
    scope: Name
    version: Annotated[int, Field(ge=1)]
    quantity_max: Annotated[Decimal, Field(ge=0)] = Decimal(1000)
    """Per order."""
    notional_max: Annotated[Decimal, Field(ge=0)] = Decimal(25_000)
    """Per order, in the account's currency."""
    position_max: Annotated[Decimal, Field(ge=0)] = Decimal(1000)
    """Absolute position per contract, orders in flight counted at their worst."""
    gross_exposure_max: Annotated[Decimal, Field(ge=0)] = Decimal(500_000)
    open_orders_max: Annotated[int, Field(ge=0)] = 50
    open_orders_per_contract_max: Annotated[int, Field(ge=0)] = 5
    orders_per_minute_max: Annotated[int, Field(ge=0)] = 60
    daily_loss_max: Annotated[Decimal, Field(ge=0)] = Decimal(20_000)
    price_collar: Annotated[Decimal, Field(gt=0, lt=1)] = Decimal("0.03")
    """Greatest distance of a limit price from the reference price, as a fraction of it."""
    price_age_max_seconds: Annotated[float, Field(gt=0)] = 10.0
    """Greatest age of the reference price: wall time since it was received."""


class LimitBreached(Event):
    """Risk denied an intent, or an account went over a limit."""

    type: Literal["LimitBreached"] = "LimitBreached"
    breach_id: Name
    scope: Name
    account_id: Name
    strategy_id: str = ""
    rule: Name
    detail: Annotated[str, Field(max_length=500)]


class Position(Event):
    """Signed quantity and average price of one contract in one account, folded from all fills."""

    type: Literal["Position"] = "Position"
    account_id: Name
    contract_id: ContractId
    symbol: Name
    currency: Name = "USD"
    quantity: SignedQuantity
    average_price: Money
    realised_pnl: Money
    commission: Money
    fills: Annotated[int, Field(ge=0)]
    """How many executions were folded."""


class AccountState(Event):
    """Balances and positions as the broker tells them."""

    type: Literal["AccountState"] = "AccountState"
    account_id: Name
    currency: Name
    net_liquidation: Money
    cash: Money
    buying_power: Money
    positions: dict[str, SignedQuantity] = Field(default_factory=dict)
    """Quantity by contract id, as the broker counts."""
