"""Conditions of orders: price, time, margin, execution, volume and percent change, joined by `and` and `or`."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from infra.gateway_simulator.protocol.wire import Fields, Value, WireError

PRICE, TIME, MARGIN, EXECUTION, VOLUME, PERCENT_CHANGE = 1, 3, 4, 5, 6, 7
KINDS = (PRICE, TIME, MARGIN, EXECUTION, VOLUME, PERCENT_CHANGE)
CONDITIONS_MAX = 50  # of one order


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition; which fields count depends on its kind."""

    kind: int
    joined_by_and: bool = True  # with the condition that follows
    is_more: bool = True
    value: str = ""  # price, moment, percent or volume
    contract_id: int = 0
    exchange: str = ""
    trigger_method: int = 0
    security_type: str = ""
    symbol: str = ""
    moment: float = 0.0  # what the value of a time condition means

    @property
    def number(self) -> Decimal:
        return Decimal(self.value or 0)


class Seen(Protocol):
    """What conditions look at."""

    def price(self, contract_id: int, method: int, is_more: bool) -> Decimal | None: ...
    def now(self) -> float: ...
    def cushion(self) -> Decimal: ...
    def has_traded(self, security_type: str, symbol: str, exchange: str) -> bool: ...
    def volume(self, contract_id: int) -> Decimal | None: ...
    def percent_change(self, contract_id: int) -> Decimal | None: ...


def read_conditions(fields: Fields) -> tuple[Condition, ...]:
    """As they stand in placeOrder, from their count on; what the moments mean is found out later."""
    count = fields.whole()
    if not 0 <= count <= CONDITIONS_MAX:
        raise WireError(f"{count} conditions are beyond 0..{CONDITIONS_MAX}")
    return tuple(_read(fields) for _ in range(count))


def _read(fields: Fields) -> Condition:
    kind, joined = fields.whole(), fields.text() != "o"
    if kind not in KINDS:
        raise WireError(f"no condition of type {kind}")
    if kind == EXECUTION:
        security_type, exchange, symbol = fields.text(), fields.text(), fields.text()
        return Condition(kind, joined, security_type=security_type, exchange=exchange, symbol=symbol)
    is_more, value = fields.flag(), fields.text()
    if kind != TIME:
        Fields([value]).number()  # a value that is no number is told at once
    if kind in (TIME, MARGIN):
        return Condition(kind, joined, is_more, value)
    contract_id, exchange = fields.whole(), fields.text()
    method = fields.whole() if kind == PRICE else 0
    return Condition(kind, joined, is_more, value, contract_id, exchange, method)


def condition_fields(condition: Condition) -> tuple[Value, ...]:
    """As they stand in openOrder and completedOrder."""
    head: tuple[Value, ...] = (condition.kind, "a" if condition.joined_by_and else "o")
    if condition.kind == EXECUTION:
        return (*head, condition.security_type, condition.exchange, condition.symbol)
    head = (*head, condition.is_more, condition.value)
    if condition.kind in (TIME, MARGIN):
        return head
    head = (*head, condition.contract_id, condition.exchange)
    return (*head, condition.trigger_method) if condition.kind == PRICE else head


def hold(conditions: tuple[Condition, ...], seen: Seen) -> bool:
    """Whether all that is joined by `and` holds, in one of the parts that are joined by `or`."""
    part = True
    for place, each in enumerate(conditions, 1):
        part = part and _holds(each, seen)
        ends_part = place == len(conditions) or not each.joined_by_and
        if ends_part and part:
            return True
        part = part or ends_part
    return not conditions


def _holds(condition: Condition, seen: Seen) -> bool:
    if condition.kind == EXECUTION:
        return seen.has_traded(condition.security_type, condition.symbol, condition.exchange)
    if condition.kind == TIME:
        now = seen.now()
        return now >= condition.moment if condition.is_more else now <= condition.moment
    found = _observed(condition, seen)
    if found is None:
        return False
    return found >= condition.number if condition.is_more else found <= condition.number


def _observed(condition: Condition, seen: Seen) -> Decimal | None:
    if condition.kind == PRICE:
        return seen.price(condition.contract_id, condition.trigger_method, condition.is_more)
    if condition.kind == MARGIN:
        return seen.cushion()
    if condition.kind == VOLUME:
        return seen.volume(condition.contract_id)
    return seen.percent_change(condition.contract_id)
