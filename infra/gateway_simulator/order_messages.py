"""The long answers about orders: openOrder, orderStatus, completedOrder, execDetails, commissionReport."""

from dataclasses import dataclass
from decimal import Decimal

from infra.gateway_simulator.book import Execution, Order
from infra.gateway_simulator.calendar import ib_text
from infra.gateway_simulator.contracts import CURRENCY, execution_fields, order_fields
from infra.gateway_simulator.wire import UNSET_DOUBLE, UNSET_INTEGER, Value

Message = tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Preview:
    """Margins and commission of a what-if order."""

    before: tuple[Decimal, Decimal, Decimal]  # initial, maintenance, equity with loan
    change: tuple[Decimal, Decimal, Decimal]
    commission: Decimal


def open_order(order: Order, account: str, version: int, preview: Preview | None = None) -> Message:
    """Message 5. The neutral values are those that the gateway sends for a plain stock order."""
    return (
        *(5, order.order_id, *order_fields(order.terms.instrument)),
        *_terms(order),
        *("", account, "", 0, order.terms.reference, order.client_id, order.permanent_id),
        *(order.terms.outside_hours, 0, 0, "", ""),  # hidden, discretionary, good after, dead
        *("", "", "", *(("",) if version < 177 else ()), ""),  # advisor group, method, percentage, profile; model
        *("", "", "", "", 0, "", -1),  # good till, rule 80A, offset, settling firm, short sale slot, location, exempt
        *(0, "", "", "", "", "", "", 0, 0, 0, ""),  # auction .. minimum quantity
        *(3, 0, 0, "", 0, 0),  # OCA type, e-trade, firm quote, NBBO cap, parent, trigger method
        *("", 0, "None", "", 0, "", "", "", "?", 0, 0, ""),  # volatility and delta neutral
        *(0, 0, "", "", "", "", ""),  # continuous update .. combo description
        *(0, 0, 0),  # legs, leg prices, routing parameters
        *("", "", "", "", 0, "", "IB", 0, 0, ""),  # scale, hedge, opt out, clearing, not held, delta neutral, algorithm
        *_state(order, preview),
        *(0, 0, 0),  # randomize size and price, conditions
        *("None", UNSET_DOUBLE, UNSET_DOUBLE, UNSET_DOUBLE, UNSET_DOUBLE, UNSET_DOUBLE, UNSET_DOUBLE, 0),
        *("", "", "", 0, 1, 0, 0, 0),  # soft dollars, cash quantity, price for hedge, OMS, discretion, management
        *((UNSET_INTEGER,) if version >= 158 else ()),
        *((UNSET_INTEGER,) if version >= 160 else ()),
        *((0,) if version >= 162 else ()),
        *(("", "", "", "", "") if version >= 170 else ()),
    )


def _terms(order: Order) -> Message:
    terms = order.terms
    limit: Value = terms.limit if terms.limit is not None else 0
    return (terms.action, terms.quantity, terms.kind, limit, 0, terms.time_in_force)


def _state(order: Order, preview: Preview | None) -> Message:
    """Solicited, what-if, status, nine margins, three commissions, currency, warning."""
    if preview is None:
        return (0, 0, order.status, *([UNSET_DOUBLE] * 9), "", "", "", "", "")
    after = tuple(was + more for was, more in zip(preview.before, preview.change, strict=True))
    margins = (*preview.before, *preview.change, *after)
    return (0, 1, "PreSubmitted", *margins, preview.commission, "", "", CURRENCY, "")


def order_status(order: Order) -> Message:
    return (
        *(3, order.order_id, order.status, order.filled, order.remaining, _rounded(order.average_price)),
        *(order.permanent_id, 0, order.last_price, order.client_id, "", 0),
    )


def completed_order(order: Order, account: str, version: int) -> Message:
    """Message 101; ids are not part of it, but for the permanent one."""
    return (
        *(101, *order_fields(order.terms.instrument)),
        *_terms(order),
        *("", account, "", 0, order.terms.reference, order.permanent_id),
        *(order.terms.outside_hours, 0, 0, ""),
        *("", "", "", *(("",) if version < 177 else ()), ""),
        *("", "", "", "", 0, "", -1),  # good till .. exempt
        *("", "", "", "", "", "", 0, 0, "", 3, 0),  # starting price .. trigger method
        *("", 0, "None", "", 0, 0, 0, "", 0, 0, "", "", ""),  # volatility .. combo description
        *(0, 0, 0, "", "", "", "", "", "IB", 0, 0, "", 0),  # legs .. solicited
        *(order.status, 0, 0, 0),  # status, randomize, conditions
        *(UNSET_DOUBLE, UNSET_DOUBLE, 0, 1, 0, "", order.filled, 0, 0, "", 0, 0),  # trail stop .. route to BBO
        *("9223372036854775807", ib_text(order.finished_at), order.end),
        *(("", "", "", "", "") if version >= 170 else ()),
    )


def execution_details(execution: Execution, request_id: int, account: str) -> Message:
    order = execution.order
    instrument = order.terms.instrument
    return (
        *(11, request_id, order.order_id, *execution_fields(instrument, instrument.exchange)),
        *(execution.execution_id, ib_text(execution.moment), account, instrument.exchange),
        *("BOT" if order.sign > 0 else "SLD", execution.quantity, execution.price),
        *(order.permanent_id, order.client_id, 0, execution.cumulative, _rounded(execution.average_price)),
        *(order.terms.reference, "", "", "", 1 if execution.adds_liquidity else 2),
    )


def commission_report(execution: Execution) -> Message:
    realized: Value = UNSET_DOUBLE if execution.realized is None else _rounded(execution.realized)
    return (59, 1, execution.execution_id, execution.commission, CURRENCY, realized, UNSET_DOUBLE, "")


def _rounded(value: Decimal) -> Decimal:
    return value.quantize(Decimal("0.00000001"))
