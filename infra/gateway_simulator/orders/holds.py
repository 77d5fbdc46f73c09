"""What keeps an order out of the market, and what conditions see of it."""

from decimal import Decimal
from enum import StrEnum

from infra.gateway_simulator.accounts.margin import standing_of
from infra.gateway_simulator.accounts.worth import worth_of
from infra.gateway_simulator.floor import Shared
from infra.gateway_simulator.orders.conditions import hold
from infra.gateway_simulator.orders.matching import money
from infra.gateway_simulator.orders.order import Order, Status
from infra.gateway_simulator.orders.time_in_force import may_trade
from infra.gateway_simulator.orders.triggers import prices_seen

LAG = 0.001  # seconds by which market time may be behind a moment that has come


class Hold(StrEnum):
    """Those with IB's words are told to the client as the reason why its order is held."""

    WAY = "way"
    CHILD = "child"
    LOCATE = "locate"
    TIME = "time"
    CONDITIONS = "conditions"
    SESSION = "session"
    TRIGGER = "trigger"


_TOLD = (Hold.CHILD, Hold.LOCATE, Hold.TRIGGER)


def holds(order: Order, shared: Shared) -> list[Hold]:
    """All that the order still waits for."""
    terms, now = order.terms, shared.now()
    found = {
        Hold.WAY: order.arrives_at > 0,
        Hold.CHILD: shared.book.parent(order) is not None,
        Hold.LOCATE: not order.located,
        Hold.TIME: terms.good_after > now + LAG,
        Hold.CONDITIONS: bool(terms.conditions) and not terms.conditions_cancel and not order.conditions_met,
        Hold.SESSION: not may_trade(terms, now) or (terms.time_in_force == "OPG" and not order.triggered),
        Hold.TRIGGER: terms.waits_for_trigger and not order.triggered,
    }
    return [each for each, is_held in found.items() if is_held]


def why_held(order: Order, shared: Shared) -> str:
    """As IB tells it: child,trigger."""
    if order.status is not Status.PRE_SUBMITTED:
        return ""
    found = holds(order, shared)
    return ",".join(each for each in _TOLD if each in found)


def conditions_hold(order: Order, shared: Shared) -> bool:
    """Whether its conditions are met now; outside of regular hours only where the client says so."""
    terms = order.terms
    session = terms.instrument.calendar.latest(shared.now())
    if not terms.conditions_ignore_hours and not session.open <= shared.now() < session.close:
        return False
    return hold(terms.conditions, Seeing(shared, order))


class Seeing:
    """The market and the account, as the conditions of one order see them."""

    def __init__(self, shared: Shared, order: Order) -> None:
        self._shared = shared
        self._order = order

    def now(self) -> float:
        return self._shared.now()

    def price(self, contract_id: int, method: int, is_more: bool) -> Decimal | None:
        instrument = self._shared.catalogue.by_id.get(contract_id)
        quote = self._shared.world.quote(instrument, self.now()) if instrument is not None else None
        if quote is None:
            return None
        seen = prices_seen(quote, method, is_more)
        return max(seen) if is_more else min(seen)

    def cushion(self) -> Decimal:
        """Excess liquidity as a percentage of the net liquidation value."""
        account = self._shared.accounts.named(self._order.terms.account) or self._shared.accounts.first
        standing, net = standing_of(account), worth_of(account).net_liquidation
        return (standing.equity - standing.maintenance) / net * 100 if net else Decimal(0)

    def has_traded(self, security_type: str, symbol: str, exchange: str) -> bool:
        """Whether the account has traded the symbol since the order came."""
        known = self._order.permanent_id
        for each in self._shared.book.executions:
            instrument = each.order.terms.instrument
            is_it = instrument.symbol == symbol and instrument.kind == security_type
            is_there = exchange in ("", "SMART", instrument.exchange)
            if is_it and is_there and each.moment >= self._order.came_at and each.order.permanent_id != known:
                return True
        return False

    def volume(self, contract_id: int) -> Decimal | None:
        instrument = self._shared.catalogue.by_id.get(contract_id)
        return None if instrument is None else Decimal(self._shared.world.so_far(instrument, self.now()).volume)

    def percent_change(self, contract_id: int) -> Decimal | None:
        """From yesterday's close."""
        instrument = self._shared.catalogue.by_id.get(contract_id)
        if instrument is None:
            return None
        quote, day = self._shared.world.quote(instrument, self.now()), self._shared.world.so_far(instrument, self.now())
        if quote is None or not day.previous_close:
            return None
        return (money(quote.last) / money(day.previous_close) - 1) * 100
