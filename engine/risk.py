"""Pre-trade risk: an intent and a book go in, a decision comes out that says what it was based on.

Orders in flight count at their worst: all open buys filled and no sell, or all open sells filled and no buy.
"""

import hashlib
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from engine.portfolio import exactly
from schemas.account import RiskLimits, TradingMode
from schemas.orders import (
    CancelIntent,
    DenialReason,
    ModifyIntent,
    OrderIntent,
    OrderType,
    RiskBasis,
    RiskDecision,
    Side,
)

APPROVAL_LIFE = timedelta(seconds=2)
"""An approval that was not acted on within this time (wall clock) is void."""

DUPLICATE_WINDOW = timedelta(seconds=1)
"""The same order of the same strategy within this time (wall clock) is taken for a mistake."""

CLOCK_SKEW_MAX = timedelta(milliseconds=250)
"""A price from further in the future than this means that two clocks disagree."""

_DECISIONS = uuid.uuid5(uuid.NAMESPACE_URL, "urn:scizor:decisions")
_ZERO = Decimal(0)
_DAY_ZONE = ZoneInfo("America/New_York")

AnyIntent = OrderIntent | CancelIntent | ModifyIntent
Denial = tuple[DenialReason, str]


@dataclass(frozen=True)
class Book:
    """All that risk knows about an account, seen from one contract, at one moment."""

    trading_mode: TradingMode = TradingMode.HALTED
    limits: RiskLimits | None = None
    position: Decimal = _ZERO
    open_buys: Decimal = _ZERO
    """Quantity of the contract that orders in flight may still buy."""
    open_sells: Decimal = _ZERO
    open_orders: int = 0
    """Of the account."""
    open_orders_of_contract: int = 0
    orders_last_minute: int = 0
    exposure_elsewhere: Decimal = _ZERO
    """Sum over the other contracts of the worst-case absolute position times price."""
    realised_pnl_today: Decimal = _ZERO
    duplicate_of: str = ""
    """The intent that asked for the same a moment ago."""
    blocked_by: str = ""
    """The order of this contract of which nobody can tell whether the broker has it."""


def worst_case(position: Decimal, open_buys: Decimal, open_sells: Decimal) -> Decimal:
    """The largest absolute position that orders in flight can lead to."""
    return max(abs(position + open_buys), abs(position - open_sells))


def _worth(quantity: Decimal, price: Decimal | None) -> Decimal:
    return exactly(quantity * (price or _ZERO))


def decision_id_of(intent_id: str) -> str:
    """One intent has one decision: its id is a function of the intent's."""
    return str(uuid.uuid5(_DECISIONS, intent_id))


def fingerprint(intent: AnyIntent) -> str:
    """Of everything that is approved with an intent: SHA-256 of the intent as it is written."""
    return hashlib.sha256(intent.to_json()).hexdigest()


def valuation_price(intent: OrderIntent) -> Decimal:
    """What a share counts in limits: the reference price, or the limit price where that is higher."""
    return max(intent.reference_price, intent.limit_price or intent.reference_price)


def check(intent: AnyIntent, book: Book, now: datetime) -> RiskDecision:
    """Our verdict on `intent` at wall time `now`. The same arguments give the same decision."""
    denial = _denial(intent, book, now)
    return RiskDecision(
        decision_id=decision_id_of(intent.intent_id),
        intent_id=intent.intent_id,
        account_id=intent.account_id,
        strategy_id=intent.strategy_id,
        approved=denial is None,
        reason=denial[0] if denial else None,
        detail=denial[1] if denial else "",
        intent=intent,
        basis=_basis(intent, book, now),
        expires_after=APPROVAL_LIFE,
        event_time=intent.event_time,
        ingest_time=now,
    )


def book_of(basis: RiskBasis) -> Book:
    """The book that a decision was based on, so that the decision can be made again."""
    exposure = _worth(worst_case(basis.position, basis.open_buys, basis.open_sells), basis.price)
    return Book(
        trading_mode=basis.trading_mode,
        limits=basis.limits,
        position=basis.position,
        open_buys=basis.open_buys,
        open_sells=basis.open_sells,
        open_orders=basis.open_orders,
        open_orders_of_contract=basis.open_orders_of_contract,
        orders_last_minute=basis.orders_last_minute,
        exposure_elsewhere=basis.gross_exposure - exposure,
        realised_pnl_today=basis.realised_pnl_today,
        duplicate_of=basis.duplicate_of,
        blocked_by=basis.blocked_by,
    )


def _basis(intent: AnyIntent, book: Book, now: datetime) -> RiskBasis:
    price, price_time = None, None
    if isinstance(intent, OrderIntent):
        price, price_time = valuation_price(intent), intent.reference_time
    here = _worth(worst_case(book.position, book.open_buys, book.open_sells), price)
    return RiskBasis(
        decided_at=now,
        trading_mode=book.trading_mode,
        position=book.position,
        open_buys=book.open_buys,
        open_sells=book.open_sells,
        open_orders=book.open_orders,
        open_orders_of_contract=book.open_orders_of_contract,
        orders_last_minute=book.orders_last_minute,
        gross_exposure=book.exposure_elsewhere + here,
        realised_pnl_today=book.realised_pnl_today,
        duplicate_of=book.duplicate_of,
        blocked_by=book.blocked_by,
        price=price,
        price_time=price_time,
        limits=book.limits,
        event_time=intent.event_time,
        ingest_time=now,
    )


def _denial(intent: AnyIntent, book: Book, now: datetime) -> Denial | None:
    if isinstance(intent, CancelIntent):
        return None  # a cancel never raises exposure: it always passes
    if isinstance(intent, ModifyIntent):
        return DenialReason.UNSUPPORTED, "an order cannot be changed: cancel it and send another"
    if book.limits is None:
        return DenialReason.LIMITS_MISSING, "no limits are set for the account: `scizor live limits` sets them"
    for rule in _RULES:
        if denial := rule(intent, book, book.limits, now):
            return denial
    return None


def reduces(intent: OrderIntent, book: Book) -> bool:
    """Whether the order can only bring the position nearer to zero, even when all others in flight fill first."""
    if intent.side is Side.SELL:
        return book.position - book.open_sells - intent.quantity >= 0
    return book.position + book.open_buys + intent.quantity <= 0


def _trading_mode(intent: OrderIntent, book: Book, limits: RiskLimits, now: datetime) -> Denial | None:
    if book.trading_mode is TradingMode.HALTED:
        return DenialReason.TRADING_HALTED, "trading is halted for this account, strategy or symbol"
    if book.trading_mode is TradingMode.REDUCING and not reduces(intent, book):
        return DenialReason.REDUCING_ONLY, f"only orders that reduce the position of {book.position:f} pass"
    return None


def _once(intent: OrderIntent, book: Book, limits: RiskLimits, now: datetime) -> Denial | None:
    if book.blocked_by:
        return DenialReason.INSTRUMENT_BLOCKED, f"nobody can tell whether the broker has order {book.blocked_by}"
    if book.duplicate_of:
        return DenialReason.DUPLICATE, f"the same as {book.duplicate_of} a moment ago"
    return None


def _shape(intent: OrderIntent, book: Book, limits: RiskLimits, now: datetime) -> Denial | None:
    if intent.quantity % 1:
        return DenialReason.LOT_SIZE, f"{intent.quantity:f} is not a whole number of shares"
    if intent.limit_price is not None and intent.limit_price % intent.minimum_tick:
        return DenialReason.TICK_SIZE, f"{intent.limit_price:f} is not a multiple of {intent.minimum_tick:f}"
    return None


def _price(intent: OrderIntent, book: Book, limits: RiskLimits, now: datetime) -> Denial | None:
    if intent.reference_price <= 0:
        return DenialReason.PRICE_MISSING, f"the reference price {intent.reference_price:f} is no price to value by"
    age = now - intent.reference_time
    if age > timedelta(seconds=limits.price_age_max_seconds):
        oldest = limits.price_age_max_seconds
        return DenialReason.PRICE_STALE, f"the price is {age.total_seconds():.3f} s old, at most {oldest:g} s pass"
    if age < -CLOCK_SKEW_MAX:
        return DenialReason.PRICE_STALE, f"the price is from {-age.total_seconds():.3f} s in the future"
    if intent.order_type is OrderType.LIMIT and intent.limit_price is not None:
        distance = abs(intent.limit_price - intent.reference_price)
        if distance > limits.price_collar * intent.reference_price:
            share = distance / intent.reference_price
            return DenialReason.PRICE_COLLAR, f"{share:.4f} away from the last price, at most {limits.price_collar:f}"
    return None


def _size(intent: OrderIntent, book: Book, limits: RiskLimits, now: datetime) -> Denial | None:
    if intent.quantity > limits.quantity_max:
        return DenialReason.QUANTITY_MAX, f"{intent.quantity:f} is more than {limits.quantity_max:f} an order"
    notional = intent.quantity * valuation_price(intent)
    if notional > limits.notional_max:
        return DenialReason.NOTIONAL_MAX, f"worth {notional:f}, at most {limits.notional_max:f} an order"
    return None


def _exposure(intent: OrderIntent, book: Book, limits: RiskLimits, now: datetime) -> Denial | None:
    buys = book.open_buys + (intent.quantity if intent.side is Side.BUY else _ZERO)
    sells = book.open_sells + (intent.quantity if intent.side is Side.SELL else _ZERO)
    own_side = book.position + buys if intent.side is Side.BUY else sells - book.position
    # only the side that this order adds to can refuse it: otherwise a full book could not be brought down
    if own_side > limits.position_max:
        worst = own_side * intent.side.sign
        return DenialReason.POSITION_MAX, f"the position could reach {worst:f}, at most {limits.position_max:f}"
    before = worst_case(book.position, book.open_buys, book.open_sells)
    after = worst_case(book.position, buys, sells)
    gross = book.exposure_elsewhere + _worth(after, valuation_price(intent))
    if after > before and gross > limits.gross_exposure_max:
        return DenialReason.GROSS_EXPOSURE_MAX, f"gross exposure {gross:f}, at most {limits.gross_exposure_max:f}"
    return None


def _flow(intent: OrderIntent, book: Book, limits: RiskLimits, now: datetime) -> Denial | None:
    if book.open_orders + 1 > limits.open_orders_max:
        return DenialReason.OPEN_ORDERS_MAX, f"{book.open_orders} orders are open, at most {limits.open_orders_max}"
    if book.open_orders_of_contract + 1 > limits.open_orders_per_contract_max:
        most = limits.open_orders_per_contract_max
        return DenialReason.OPEN_ORDERS_MAX, f"{book.open_orders_of_contract} are open for this symbol, at most {most}"
    if book.orders_last_minute + 1 > limits.orders_per_minute_max:
        most = limits.orders_per_minute_max
        return DenialReason.ORDER_RATE_MAX, f"{book.orders_last_minute} orders in the last minute, at most {most}"
    return None


def _loss(intent: OrderIntent, book: Book, limits: RiskLimits, now: datetime) -> Denial | None:
    if loss_exceeds(book.realised_pnl_today, limits) and not reduces(intent, book):
        return (
            DenialReason.DAILY_LOSS_MAX,
            f"lost {-book.realised_pnl_today:f} today, at most {limits.daily_loss_max:f}",
        )
    return None


def trading_day(moment: datetime) -> date:
    """The day that a market time belongs to: IBKR's account day, New York's."""
    return moment.astimezone(_DAY_ZONE).date()


def loss_exceeds(realised_pnl_today: Decimal, limits: RiskLimits) -> bool:
    """Whether the day's loss is over its limit: then the account is halted."""
    return -realised_pnl_today > limits.daily_loss_max


Rule = Callable[[OrderIntent, Book, RiskLimits, datetime], Denial | None]
_RULES: tuple[Rule, ...] = (_trading_mode, _once, _shape, _price, _size, _exposure, _loss, _flow)
