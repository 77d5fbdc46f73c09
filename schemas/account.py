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
    reduced_by: Annotated[str, Field(max_length=128)] = ""
    """Of a kill over a reduced mode: who had reduced it. It is reduced by them again once the kill is lifted."""
    reduced_reason: Annotated[str, Field(max_length=500)] = ""


class RiskLimits(Event):
    """Pre-trade limits of an account, a strategy or a symbol; those of all scopes that concern an order hold.

    An account without limits trades nothing. Money is in the account's base currency. None: there is no such limit.
    """

    type: Literal["RiskLimits"] = "RiskLimits"
    scope: Name
    """`account:ID`, `strategy:ID` or `symbol:NAME`."""
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
    """What realised and unrealised losses of a day may come to; beyond it the scope is halted."""
    daily_loss_reducing: Annotated[Decimal, Field(ge=0)] | None = None
    """Beyond this loss only orders that reduce pass; None: two thirds of `daily_loss_max`."""
    price_collar: Annotated[Decimal, Field(gt=0, lt=1)] = Decimal("0.03")
    """Greatest distance of a limit price from the price that risk has seen, as a fraction of it."""
    price_age_max_seconds: Annotated[float, Field(gt=0)] = 10.0
    """Greatest age of that price, and of the strategy's: wall time since it was received."""
    net_exposure_max: Annotated[Decimal, Field(ge=0)] | None = None
    adv_share_max: Annotated[Decimal, Field(gt=0, le=1)] | None = None
    """Greatest share of an order in the average daily volume of the last twenty sessions."""
    buying_power_share_max: Annotated[Decimal, Field(ge=0, le=1)] | None = None
    """How much of the buying power that the broker told an order may take."""
    account_age_max_seconds: Annotated[float, Field(gt=0)] = 120.0
    """Greatest age of what the broker told about the account: buying power and exchange rates."""
    signal_age_max_seconds: Annotated[float, Field(gt=0)] | None = None
    """Greatest age of an intent: wall time since what caused it was received."""
    strategy_orders_per_minute_max: Annotated[int, Field(ge=0)] | None = None
    """Of each strategy on its own."""
    outflow_per_minute_max: Annotated[Decimal, Field(ge=0)] | None = None
    """What all orders that go out within a minute may be worth together; an order beyond it is not sent."""
    same_side_orders_max: Annotated[int, Field(ge=0)] | None = None
    """Orders of a strategy on one side of a contract while its position does not change; beyond: disabled."""
    round_trips_per_hour_max: Annotated[int, Field(ge=0)] | None = None
    """How often a strategy may come back to flat within an hour; beyond: disabled until a trader enables it again."""
    rejects_in_a_row_max: Annotated[int, Field(ge=1)] | None = None
    """So many orders of a strategy rejected one after another disable it."""
    orders_per_fill_max: Annotated[int, Field(ge=1)] | None = None
    """Orders, changes and cancels of a strategy for each of its fills, over ten minutes; beyond: disabled."""
    sessions_only: bool = False
    """Orders for at once pass only while the instrument's exchange trades."""
    instruments: Annotated[tuple[Name, ...], Field(max_length=2000)] | None = None
    """The symbols that may be traded; None: every one."""


class Restriction(Event):
    """Whether a symbol is on the restricted list: then nothing of it is bought or sold, only what is held reduced."""

    type: Literal["Restriction"] = "Restriction"
    symbol: Name
    restricted: bool
    reason: Annotated[str, Field(max_length=400)] = ""
    by: Name


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
    initial_margin: Money | None = None
    maintenance_margin: Money | None = None
    exchange_rates: dict[str, Money] = Field(default_factory=dict)
    """What one unit of a currency is worth in `currency`, for every currency that the account holds."""
    positions: dict[str, SignedQuantity] = Field(default_factory=dict)
    """Quantity by contract id, as the broker counts."""
