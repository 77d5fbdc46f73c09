"""The long answers about orders: openOrder, orderStatus, completedOrder, execDetails, commissionReport.

What a client set is told as it set it; the neutral values are those that the gateway sends for a plain stock order.
"""

from decimal import Decimal

from infra.gateway_simulator.accounts.brokerage import Impact
from infra.gateway_simulator.instruments.contracts import execution_fields, order_fields
from infra.gateway_simulator.orders.conditions import condition_fields
from infra.gateway_simulator.orders.oca import REDUCE_LATE
from infra.gateway_simulator.orders.order import LIMITED, TRAILS, Execution, Order, Status
from infra.gateway_simulator.protocol.wire import UNSET_DOUBLE, UNSET_INTEGER, Fields, Value

Message = tuple[Value, ...]

UNSET_LONG = "9223372036854775807"
_NEUTRAL = {
    **dict.fromkeys(("origin", "discretionary", "short_sale_slot", "auction_strategy", "reference_type"), "0"),
    **dict.fromkeys(("price_management", "volatility_type", "adjusted_unit", "display_size"), "0"),
    "exempt_code": "-1",
    "neutral_type": "None",
    "clearing_intent": "IB",
    "adjusted_kind": "None",
}
_FLAGS = frozenset(
    {
        *("outside_hours", "hidden", "block", "sweep", "all_or_none", "e_trade_only", "firm_quote_only", "not_held"),
        *("continuous_update", "opt_out_smart", "solicited", "randomize_size", "randomize_price", "oms_container"),
        *("discretionary_to_limit", "auto_cancel_parent"),
    }
)
_TO_MODEL = ("fa_group", "fa_method", "fa_percentage", "fa_profile", "model")
_TO_EXEMPT = (
    *("good_till", "rule_80a", "percent_offset", "settling_firm", "short_sale_slot", "designated_location"),
    "exempt_code",
)
_BOX = ("starting_price", "stock_reference", "delta", "range_lower", "range_upper", "display_size")
_VOLATILITY = ("volatility", "volatility_type")
_ADJUSTED = ("adjusted_stop", "adjusted_stop_limit", "adjusted_trail")


def open_order(order: Order, version: int, impact: Impact | None = None) -> Message:
    """Message 5."""
    terms = order.terms
    return (
        *(5, order.told_id, *order_fields(terms.instrument)),
        *_terms(order),
        *_told(order, "origin", "reference"),
        *(order.client_id, order.permanent_id),
        *_told(order, "outside_hours", "hidden", "discretionary", "good_after"),
        "",  # share allocation, dead
        *_told(order, *_TO_MODEL, *_TO_EXEMPT, "auction_strategy", *_BOX),
        *_told(order, "block", "sweep", "all_or_none", "minimum_quantity"),
        *(terms.oca_type or REDUCE_LATE, *_told(order, "e_trade_only", "firm_quote_only", "nbbo_cap")),
        *(terms.parent_id, terms.trigger_method),
        *_told(order, *_VOLATILITY),
        *("None", "", 0, "", "", "", "?", 0, 0, ""),  # delta neutral: type, price, then eight of its own
        *_told(order, "continuous_update", "reference_type"),
        *(_stop(order), _number(order, "trail_percent"), "", "", ""),  # basis points, combination
        *(0, 0, 0),  # legs, leg prices, routing parameters
        *("", "", "", ""),  # scale, hedge
        *_told(order, "opt_out_smart", "clearing_account", "clearing_intent", "not_held"),
        *(0, ""),  # delta neutral contract, algorithm
        *_told(order, "solicited"),
        *_state(order, impact),
        *_told(order, "randomize_size", "randomize_price"),
        *_conditions(order),
        *_adjusted(order),
        *_told(order, "soft_dollar_name", "soft_dollar_value"),
        *("", _number(order, "cash_quantity") or 0, 1),  # its display name, cash quantity, no automatic price
        *_told(order, "oms_container", "discretionary_to_limit", "price_management"),
        *((_told_number(order, "duration"),) if version >= 158 else ()),
        *((_told_number(order, "post_to_ats"),) if version >= 160 else ()),
        *(_told(order, "auto_cancel_parent") if version >= 162 else ()),
        *(("", "", "", "", "") if version >= 170 else ()),  # pegged to best and to midpoint
    )


def completed_order(order: Order, version: int) -> Message:
    """Message 101; ids are not part of it, but for the permanent one."""
    terms = order.terms
    return (
        *(101, *order_fields(terms.instrument)),
        *_terms(order),
        *_told(order, "origin", "reference"),
        order.permanent_id,
        *_told(order, "outside_hours", "hidden", "discretionary", "good_after"),
        *_told(order, *_TO_MODEL, *_TO_EXEMPT, *_BOX),
        *_told(order, "sweep", "all_or_none", "minimum_quantity"),
        *(terms.oca_type or REDUCE_LATE, terms.trigger_method),
        *_told(order, *_VOLATILITY),
        *("None", "", 0, 0, 0, ""),  # delta neutral: type, price, then four of its own
        *_told(order, "continuous_update", "reference_type"),
        *(_stop(order), _number(order, "trail_percent"), ""),
        *(0, 0, 0, "", "", "", ""),  # legs, leg prices, routing parameters, scale, hedge
        *_told(order, "clearing_account", "clearing_intent", "not_held"),
        *(0, ""),  # delta neutral contract, algorithm
        *_told(order, "solicited"),
        order.status,
        *_told(order, "randomize_size", "randomize_price"),
        *_conditions(order),
        *(_stop(order), _number(order, "limit_offset") or UNSET_DOUBLE, _number(order, "cash_quantity") or 0, 1),
        *_told(order, "oms_container"),
        *("", order.filled, 0),  # cancelled at, filled, reference future
        *_told(order, "auto_cancel_parent"),
        *("", 0, 0),  # shareholder, imbalance only, route to BBO
        *(order.parent_permanent_id or UNSET_LONG, terms.instrument.venue.ib_text(order.finished_at), order.end),
        *(("", "", "", "", "") if version >= 170 else ()),
    )


def order_status(order: Order, why_held: str, status: Status | None = None) -> Message:
    return (
        *(3, order.told_id, status or order.status, order.filled, order.remaining, _rounded(order.average_price)),
        *(order.permanent_id, order.terms.parent_id, order.last_price, order.client_id, why_held, 0),
    )


def execution_details(execution: Execution, request_id: int, version: int) -> Message:
    """Message 11; `version` makes no difference up to 176."""
    order = execution.order
    instrument = order.terms.instrument
    return (
        *(11, request_id, order.told_id, *execution_fields(instrument, instrument.exchange)),
        *(execution.execution_id, instrument.venue.ib_text(execution.moment)),
        *(order.terms.account, instrument.exchange),
        *("BOT" if order.sign > 0 else "SLD", execution.quantity, execution.price),
        *(order.permanent_id, order.client_id, 0, execution.cumulative, _rounded(execution.average_price)),
        *(order.terms.reference, "", "", order.terms.told.get("model", ""), 1 if execution.adds_liquidity else 2),
    )


def commission_report(execution: Execution) -> Message:
    realized: Value = UNSET_DOUBLE if execution.realized is None else _rounded(execution.realized)
    paid, currency = execution.commission, execution.commission_currency
    return (59, 1, execution.execution_id, paid, currency, realized, UNSET_DOUBLE, "")


def _terms(order: Order) -> Message:
    terms = order.terms
    limit: Value | None = order.limit if terms.kind == "TRAIL LIMIT" and order.triggered else None
    if limit is None:
        limit = terms.limit if terms.kind in LIMITED else _number(order, "limit")
    told = (terms.time_in_force, terms.oca_group, terms.account, terms.told.get("open_close", ""))
    return (terms.action, terms.quantity, terms.kind, limit or 0, _number(order, "auxiliary") or 0, *told)


def _stop(order: Order) -> Value:
    """The stop of a trailing order, which follows the market."""
    return order.stop if order.terms.kind in TRAILS and order.stop is not None else UNSET_DOUBLE


def _state(order: Order, impact: Impact | None) -> Message:
    """What-if, status, nine margins, three commissions, currency, warning."""
    if impact is None:
        return (0, order.status, *([UNSET_DOUBLE] * 9), "", "", "", "", "")
    before, after = impact.before.told(), impact.after.told()
    change = tuple(now - was for was, now in zip(before, after, strict=True))
    least, most = (impact.least, impact.most) if impact.least != impact.most else ("", "")
    return (1, Status.PRE_SUBMITTED, *before, *change, *after, impact.commission, least, most, impact.currency, "")


def _conditions(order: Order) -> Message:
    terms = order.terms
    if not terms.conditions:
        return (0,)
    listed = (value for each in terms.conditions for value in condition_fields(each))
    return (len(terms.conditions), *listed, terms.conditions_ignore_hours, terms.conditions_cancel)


def _adjusted(order: Order) -> Message:
    """Kind, trigger price, the trailing stop once more, limit offset, and the prices of adjusted stops."""
    offset = _number(order, "limit_offset")
    rest = [_number(order, name) for name in _ADJUSTED]
    return (
        *_told(order, "adjusted_kind"),
        _number(order, "trigger_price") or UNSET_DOUBLE,
        _stop(order),
        UNSET_DOUBLE if offset == "" else offset,
        *(each or UNSET_DOUBLE for each in rest),
        *_told(order, "adjusted_unit"),
    )


def _told(order: Order, *names: str) -> Message:
    """Fields as the client set them."""
    return tuple(_one(order.terms.told.get(name, ""), name) for name in names)


def _one(text: str, name: str) -> Value:
    if name in _FLAGS:
        return Fields([text]).flag()
    return _NEUTRAL.get(name, text) if text in ("", "0.0") else text  # some clients write a zero in full


def _number(order: Order, name: str) -> Decimal | str:
    """A number as the client set it, nothing where it did not."""
    found = Fields([order.terms.told.get(name, "")]).number()
    return "" if found is None else found


def _told_number(order: Order, name: str) -> Value:
    found = _number(order, name)
    return UNSET_INTEGER if found == "" else found


def _rounded(value: Decimal) -> Decimal:
    return value.quantize(Decimal("0.00000001"))
