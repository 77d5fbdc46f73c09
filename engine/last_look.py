"""The last look at an approved order: sizes, price, rates and repetitions once more, by what was sent and nothing else.

It shares no rule with the risk service on purpose: what slips through one is held by the other.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from engine.risk_ceilings import capped
from schemas.account import RiskLimits
from schemas.order_terms import PRICES
from schemas.order_words import TRIGGERED
from schemas.orders import OrderIntent, RiskBasis

MINUTE = timedelta(minutes=1)
REPEATED_WITHIN = timedelta(seconds=0.5)
"""Shorter than what risk takes for a repetition: its clock and ours read the same moments at other times."""


class RefusalCode(StrEnum):
    """Why an approval was not acted on."""

    SHUT = "shut"
    KILLED = "killed"
    OTHER_ACCOUNT = "other_account"
    HALTED = "halted"
    REDUCING_ONLY = "reducing_only"
    WITHOUT_LIMITS = "without_limits"
    QUANTITY_CEILING = "quantity_ceiling"
    NOTIONAL_CEILING = "notional_ceiling"
    PRICE_COLLAR = "price_collar"
    ORDER_RATE = "order_rate"
    THROTTLED = "throttled"
    OUTFLOW = "outflow"
    REPEATED = "repeated"
    VOID = "void"
    EXPIRED = "expired"
    ORPHANED = "orphaned"
    BRACKET = "bracket"


@dataclass(frozen=True)
class Refusal:
    """A code for machines, and for people what it is about."""

    code: RefusalCode
    text: str

    def __str__(self) -> str:
        return f"{self.code}: {self.text}"


@dataclass(frozen=True)
class Sent:
    """An order that went out."""

    at: datetime
    worth: Decimal
    shape: tuple[object, ...] = ()
    """What makes another order the same one again; nothing for orders of an earlier process."""


def sent_of(intent: OrderIntent, at: datetime) -> Sent:
    """What is remembered of an order that goes out."""
    return Sent(at, _worth(intent), _shape(intent))


def _worth(intent: OrderIntent) -> Decimal:
    return intent.quantity * max(intent.worst_price(intent.reference_price), Decimal(0))


def _shape(intent: OrderIntent) -> tuple[object, ...]:
    prices = (getattr(intent, name) for name in PRICES)
    others = (intent.quantity, intent.order_type, intent.good_till, intent.parent_id)
    return intent.strategy_id, intent.contract_id, intent.side, *others, *prices


def look_at_change(wanted: OrderIntent, basis: RiskBasis) -> Refusal | None:
    """Why an order must not become what is `wanted`; None when it may."""
    if basis.limits is None:
        return _unlimited()
    return _too_large(wanted, basis, capped(basis.limits))


def _unlimited() -> Refusal:
    return Refusal(RefusalCode.WITHOUT_LIMITS, "risk has approved it without limits")


def last_look(intent: OrderIntent, basis: RiskBasis, sent: Iterable[Sent], now: datetime) -> Refusal | None:
    """Why `intent` must not go out after the orders that were `sent` within the last minute; None when it may."""
    if basis.limits is None:
        return _unlimited()
    limits, lately = capped(basis.limits), [each for each in sent if each.at > now - MINUTE]
    return _too_large(intent, basis, limits) or _too_many(intent, limits, lately, now)


def _too_large(intent: OrderIntent, basis: RiskBasis, limits: RiskLimits) -> Refusal | None:
    if intent.quantity > limits.quantity_max:
        return Refusal(
            RefusalCode.QUANTITY_CEILING, f"{intent.quantity:f} is more than {limits.quantity_max:f} an order"
        )
    if _worth(intent) > limits.notional_max:
        return Refusal(RefusalCode.NOTIONAL_CEILING, f"worth {_worth(intent):f}, at most {limits.notional_max:f}")
    price = basis.price or intent.reference_price
    centre = intent.stop_price if intent.order_type in TRIGGERED and intent.stop_price else price
    # what pays more than the market costs money at once; what waits on the other side costs none
    if intent.limit_price is not None and centre > 0:
        share = (intent.limit_price - centre) * intent.side.sign / centre
        if share > limits.price_collar:
            return Refusal(RefusalCode.PRICE_COLLAR, f"{share:.4f} beyond {centre:f}, at most {limits.price_collar:f}")
    return None


def _too_many(intent: OrderIntent, limits: RiskLimits, lately: list[Sent], now: datetime) -> Refusal | None:
    if len(lately) + 1 > limits.orders_per_minute_max:
        return Refusal(RefusalCode.ORDER_RATE, f"{len(lately)} orders went out within a minute")
    if _repeats(intent, lately, now):
        return Refusal(RefusalCode.REPEATED, "the same order went out a moment ago")
    most, worth = limits.outflow_per_minute_max, sum((each.worth for each in lately), Decimal(0)) + _worth(intent)
    if most is not None and worth > most:
        return Refusal(RefusalCode.OUTFLOW, f"orders worth {worth:f} within a minute, at most {most:f}")
    return None


def _repeats(intent: OrderIntent, lately: list[Sent], now: datetime) -> bool:
    """Whether the same went out a moment ago, and nothing on the other side since: who turns twice repeats nothing."""
    shape = _shape(intent)
    strategy, contract, side = shape[:3]
    own = [each for each in lately if each.shape[:2] == (strategy, contract)]
    turned = max((each.at for each in own if each.shape[2] != side), default=None)
    since = now - REPEATED_WITHIN if turned is None else max(turned, now - REPEATED_WITHIN)
    return any(each.shape == shape and each.at > since for each in own)
