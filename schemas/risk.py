"""What a decision of risk says: why it was no, and everything that it was based on."""

from decimal import Decimal
from enum import StrEnum
from typing import Literal

from schemas.account import RiskLimits, TradingMode
from schemas.event import Event, Money, Name, SignedQuantity, UtcTime

_ZERO = Decimal(0)


class DenialReason(StrEnum):
    """Why risk said no. Denied is ours; rejected is the broker's."""

    DUPLICATE = "duplicate"
    TRADING_HALTED = "trading_halted"
    REDUCING_ONLY = "reducing_only"
    LIMITS_MISSING = "limits_missing"
    QUANTITY_MAX = "quantity_max"
    NOTIONAL_MAX = "notional_max"
    ADV_SHARE_MAX = "adv_share_max"
    POSITION_MAX = "position_max"
    GROSS_EXPOSURE_MAX = "gross_exposure_max"
    NET_EXPOSURE_MAX = "net_exposure_max"
    BUYING_POWER = "buying_power"
    ACCOUNT_UNKNOWN = "account_unknown"
    OPEN_ORDERS_MAX = "open_orders_max"
    ORDER_RATE_MAX = "order_rate_max"
    ORDERS_PER_FILL_MAX = "orders_per_fill_max"
    SAME_SIDE_ORDERS_MAX = "same_side_orders_max"
    DAILY_LOSS_MAX = "daily_loss_max"
    PRICE_STALE = "price_stale"
    PRICE_MISSING = "price_missing"
    PRICE_COLLAR = "price_collar"
    PRICE_DISAGREES = "price_disagrees"
    SIGNAL_STALE = "signal_stale"
    FX_STALE = "fx_stale"
    TICK_SIZE = "tick_size"
    LOT_SIZE = "lot_size"
    RESTRICTED = "restricted"
    INSTRUMENT_NOT_ALLOWED = "instrument_not_allowed"
    OUTSIDE_HOURS = "outside_hours"
    SELF_MATCH = "self_match"
    UNKNOWN_ORDER = "unknown_order"
    INSTRUMENT_BLOCKED = "instrument_blocked"
    UNSUPPORTED = "unsupported"


class ScopeBasis(Event):
    """What a decision was based on beside the account: the limits and figures of one strategy or symbol."""

    type: Literal["ScopeBasis"] = "ScopeBasis"
    limits: RiskLimits | None
    """None: limits are stored that do not load, and count as zero."""
    scope: Name
    position: SignedQuantity = _ZERO
    open_buys: Decimal = _ZERO
    open_sells: Decimal = _ZERO
    open_orders: int = 0
    open_orders_of_contract: int = 0
    orders_last_minute: int = 0
    open_price: Money = _ZERO
    exposure_elsewhere: Money = _ZERO
    net_low_elsewhere: Money = _ZERO
    net_high_elsewhere: Money = _ZERO
    realised_pnl_today: Money = _ZERO
    unrealised_pnl_today: Money = _ZERO
    exposure_unknown: str = ""
    loss_unknown: str = ""


class RiskBasis(Event):
    """Everything a decision was based on, so that it can be made again and compared."""

    type: Literal["RiskBasis"] = "RiskBasis"
    decided_at: UtcTime
    """The clock reading of the decision."""
    trading_mode: TradingMode
    stopped_by: str = ""
    """Which scope is not ACTIVE, who has stopped it and why, and what lifts that."""
    position: SignedQuantity
    open_buys: Decimal
    """Quantity of this contract that may still be bought by orders in flight."""
    open_sells: Decimal
    open_orders: int
    open_orders_of_contract: int = 0
    orders_last_minute: int
    open_price: Money = _ZERO
    """The highest price at which an order in flight for this contract counts."""
    gross_exposure: Money
    """Sum over contracts of the worst-case absolute position times price, before this intent, in the base currency."""
    exposure_elsewhere: Money | None = None
    """The same without this contract; None in records of before."""
    net_low_elsewhere: Money = _ZERO
    """What the positions of the other contracts are worth together when all that is in flight sells."""
    net_high_elsewhere: Money = _ZERO
    """The same when all that is in flight buys."""
    realised_pnl_today: Money
    unrealised_pnl_today: Money = _ZERO
    duplicate_of: str = ""
    """The intent that asked for the same a moment before."""
    blocked_by: str = ""
    """The order of this contract of which nobody could tell whether the broker has it."""
    crossing: str = ""
    """The account's own open order that this one could trade with."""
    crossing_terms: str = ""
    """Its side, quantity and price, for people; empty in records of before."""
    price: Money | None
    """The newest price that risk itself had seen."""
    price_time: UtcTime | None
    """Wall time at which risk had received it."""
    limits: RiskLimits | None
    scopes: tuple[ScopeBasis, ...] = ()
    currency: str = ""
    """The account's base currency; empty when the broker has not told it."""
    fx_rate: Money | None = None
    """What one unit of the order's currency is worth in the base currency."""
    account_time: UtcTime | None = None
    """Wall time at which the broker told buying power and rates."""
    buying_power: Money | None = None
    """What the broker told, less what has filled since and what orders in flight may need at their worst."""
    average_volume: Money | None = None
    """Shares a day, over the last twenty sessions."""
    restricted: str = ""
    """Why the symbol is on the restricted list."""
    in_session: bool | None = None
    """Whether the instrument's exchange trades at the intent's market time; None when its hours are not known."""
    covered: Decimal = _ZERO
    """Quantity in flight that the order takes the place of: its own before a change, or its group's largest."""
    covered_price: Money | None = None
    """Of an order that is to be changed: at what price it has counted. None for others, and in records of before."""
    quota: Decimal | None = None
    """What the order can fill at most beside its quantity: what its parent has filled."""
    working: bool = True
    """Whether the order that is to be changed, or the parent, is known and has not ended."""
    entered: Decimal | None = None
    """Of an exit: how little its parent may come to in all. None for other orders."""
    left: Decimal = _ZERO
    """Of an order that is to be changed: what its largest exit may come to."""
    apart: str = ""
    """Another exit of the same parent, in no group with this one."""
    messages_lately: int = 0
    """Orders, changes and cancels of the strategy within the last ten minutes."""
    fills_lately: int = 0
    same_side_orders: int = 0
    """Orders of the strategy on this side of the contract since its position last changed."""
    strategy_orders_last_minute: int = 0
    exposure_unknown: str = ""
    """A symbol that is held or in flight and cannot be valued in the base currency."""
    loss_unknown: str = ""
    """Currencies without a rate in which the day has earned or lost something."""
