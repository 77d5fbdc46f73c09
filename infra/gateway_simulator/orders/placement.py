"""placeOrder as it comes over the wire: every field by name, and the terms that they mean."""

from dataclasses import dataclass, replace
from decimal import Decimal

from infra.gateway_simulator.history.past_request import RequestError, moment_of
from infra.gateway_simulator.instruments.contracts import Asked
from infra.gateway_simulator.instruments.instrument import Instrument
from infra.gateway_simulator.orders.conditions import TIME, Condition, read_conditions
from infra.gateway_simulator.orders.order import LIMITED, PEGGED, Terms
from infra.gateway_simulator.protocol.wire import Fields, WireError

WHOLE_MAX = 2**31 - 1
PAIRS_MAX = 100  # of legs and of parameters
DATE_FORM = (
    "The date, time, or time-zone entered is invalid. The correct format is yyyymmdd hh:mm:ss xxx where yyyymmdd and"
    " xxx are optional. E.g.: 20031126 15:59:00 US/Eastern."
)

_HEAD = (
    *("action", "quantity", "kind", "limit", "auxiliary", "time_in_force", "oca_group", "account", "open_close"),
    *("origin", "reference", "transmit", "parent_id", "block", "sweep", "display_size", "trigger_method"),
    *("outside_hours", "hidden"),
)
_MIDDLE = (
    *("dead", "discretionary", "good_after", "good_till", "fa_group", "fa_method", "fa_percentage", "fa_profile"),
    *("model", "short_sale_slot", "designated_location", "exempt_code", "oca_type", "rule_80a", "settling_firm"),
    *("all_or_none", "minimum_quantity", "percent_offset", "e_trade_only", "firm_quote_only", "nbbo_cap"),
    *("auction_strategy", "starting_price", "stock_reference", "delta", "range_lower", "range_upper"),
    *("override_percentage", "volatility", "volatility_type", "neutral_type", "neutral_price"),
)
_TRAILING = ("continuous_update", "reference_type", "trail_stop", "trail_percent", "scale_size", "scale_next")
_SCHEDULE = ("scale_table", "active_start", "active_stop")
_CLEARING = ("opt_out_smart", "clearing_account", "clearing_intent", "not_held")
_LAST = ("algorithm_id", "what_if", "options", "solicited", "randomize_size", "randomize_price")
_ADJUSTED = (
    *("adjusted_kind", "trigger_price", "limit_offset", "adjusted_stop", "adjusted_stop_limit", "adjusted_trail"),
    *("adjusted_unit", "operator", "soft_dollar_name", "soft_dollar_value", "cash_quantity", "decision_maker"),
    *("decision_algorithm", "execution_trader", "execution_algorithm", "no_auto_price", "oms_container"),
    *("discretionary_to_limit", "price_management"),
)
_VERSIONED = (
    *((158, "duration"), (160, "post_to_ats"), (162, "auto_cancel_parent"), (166, "error_override")),
    (169, "manual_time"),
)
# What has to be a number, and of those what has to be a whole one; the rest is text or a flag.
_WHOLE = (
    *("origin", "parent_id", "display_size", "trigger_method", "short_sale_slot", "exempt_code", "oca_type"),
    *("minimum_quantity", "auction_strategy", "volatility_type", "reference_type", "scale_size", "scale_next"),
    *("adjusted_unit", "price_management", "duration", "post_to_ats"),
)
_AMOUNTS = (
    *("quantity", "limit", "auxiliary", "discretionary", "percent_offset", "nbbo_cap", "starting_price"),
    *("stock_reference", "delta", "range_lower", "range_upper", "volatility", "neutral_price", "trail_stop"),
    *("trail_percent", "trigger_price", "limit_offset", "adjusted_stop", "adjusted_stop_limit", "adjusted_trail"),
    "cash_quantity",
)
_UNSET = frozenset({"1.7976931348623157e+308", "1.7976931348623157E308", "2147483647", "9223372036854775807"})


@dataclass(frozen=True, slots=True)
class Placement:
    """One placeOrder message. `beyond` names features that would change how the order trades, and are not had here."""

    order_id: int
    asked: Asked
    told: dict[str, str]
    conditions: tuple[Condition, ...]
    beyond: tuple[str, ...]

    @property
    def what_if(self) -> bool:
        return self.flag("what_if")

    @property
    def account(self) -> str:
        return self.told.get("account", "")

    def number(self, name: str) -> Decimal | None:
        return Fields([self.told.get(name, "")]).number()

    def whole(self, name: str) -> int:
        return int(self.number(name) or 0)

    def flag(self, name: str) -> bool:
        return Fields([self.told.get(name, "")]).flag()

    def terms(self, instrument: Instrument) -> Terms:
        """What the fields mean; RequestError where a moment is none."""
        told, kind = self.told, self.told["kind"]
        return Terms(
            instrument=instrument,
            action=told["action"],
            quantity=self.number("quantity") or Decimal(0),
            kind=kind,
            limit=self._limit(kind),
            time_in_force=told["time_in_force"],
            reference=told["reference"],
            outside_hours=self.flag("outside_hours"),
            account=told["account"],
            auxiliary=self.number("auxiliary") or None,
            oca_group=told["oca_group"],
            oca_type=self.whole("oca_type"),
            parent_id=self.whole("parent_id"),
            transmit=self.flag("transmit"),
            display_size=self.whole("display_size"),
            trigger_method=self.whole("trigger_method"),
            hidden=self.flag("hidden"),
            good_after=self._moment("good_after", 337),
            good_till=self._moment("good_till", 343) if told["time_in_force"] == "GTD" else 0.0,
            all_or_none=self.flag("all_or_none"),
            minimum_quantity=self.whole("minimum_quantity"),
            percent_offset=self.number("percent_offset"),
            trail_stop=self.number("trail_stop") or None,
            trail_percent=self.number("trail_percent") or None,
            limit_offset=self.number("limit_offset"),
            conditions=tuple(_timed(each) for each in self.conditions),
            conditions_ignore_hours=self.flag("conditions_ignore_hours"),
            conditions_cancel=self.flag("conditions_cancel"),
            told=told,
        )

    def _limit(self, kind: str) -> Decimal | None:
        limit = self.number("limit")
        if kind in LIMITED:
            return limit
        return (limit or None) if kind in PEGGED or kind == "TRAIL LIMIT" else None

    def _moment(self, name: str, code: int) -> float:
        return _moment(self.told[name], code) if self.told[name] else 0.0


def _timed(condition: Condition) -> Condition:
    return replace(condition, moment=_moment(condition.value, 337)) if condition.kind == TIME else condition


def _moment(text: str, code: int) -> float:
    try:
        return moment_of(text, 0.0)
    except RequestError:
        raise RequestError(code, DATE_FORM) from None


def by_hand(order_id: int, asked: Asked, said: dict[str, str]) -> Placement:
    """An order that nobody has sent: `said` are the fields that are not empty."""
    names = (*_HEAD, *_MIDDLE, *_TRAILING, *_SCHEDULE, *_CLEARING, *_LAST, *_ADJUSTED)
    told = dict.fromkeys(names, "") | {"transmit": "1", "time_in_force": "DAY"} | said
    return Placement(order_id, asked, told, (), ())


def read_placement(fields: Fields, version: int) -> Placement:
    order_id = fields.whole()
    asked = Asked.taken_from(fields)
    fields.skip(2)  # security id
    told: dict[str, str] = {}
    beyond: list[str] = []
    _take(fields, told, _HEAD)
    if asked.security_type == "BAG":
        beyond.append("combination orders")
        _skip_combination(fields)
    _take(fields, told, _MIDDLE)
    _take_blocks(fields, told, beyond)
    if told["kind"] == "PEG BENCH":
        fields.skip(5)
    conditions = read_conditions(fields)
    if conditions:
        _take(fields, told, ("conditions_ignore_hours", "conditions_cancel"))
    _take(fields, told, _ADJUSTED)
    _take(fields, told, tuple(name for since, name in _VERSIONED if version >= since))
    _check_numbers(told)
    told |= {name: told[name].upper() for name in ("action", "kind", "time_in_force")}
    told["time_in_force"] = told["time_in_force"] or "DAY"
    beyond += [name for name, wanted in _features(told).items() if wanted]
    return Placement(order_id, asked, told, conditions, tuple(beyond))


def _take(fields: Fields, told: dict[str, str], names: tuple[str, ...]) -> None:
    for name in names:
        text = fields.text().strip()
        told[name] = "" if text in _UNSET else text


def _check_numbers(told: dict[str, str]) -> None:
    """They are told back to clients, whose libraries stumble over what is no number."""
    for name in _AMOUNTS:
        Fields([told[name]]).number()
    for name in _WHOLE:
        found = Fields([told.get(name, "")]).number()
        if found is not None:
            if abs(found) > WHOLE_MAX or found % 1:
                raise WireError(f"{name} {told[name][:40]!r} is not a whole number of a sensible size")
            told[name] = str(int(found))


def _take_blocks(fields: Fields, told: dict[str, str], beyond: list[str]) -> None:
    """From delta neutral to the flags before the conditions, where blocks follow that depend on a field."""
    if told["neutral_type"] not in ("", "None"):
        beyond.append("delta neutral orders")
        fields.skip(8)
    _take(fields, told, _TRAILING)
    increment = fields.number()
    if increment is not None and increment > 0:
        beyond.append("scale orders")
        fields.skip(7)
    _take(fields, told, _SCHEDULE)
    if fields.text():
        beyond.append("hedge orders")
        fields.skip(1)
    _take(fields, told, _CLEARING)
    if fields.flag():
        beyond.append("delta neutral contracts")
        fields.skip(3)
    if fields.text():
        beyond.append("algorithms")
        fields.skip(2 * _count(fields))
    _take(fields, told, _LAST)


def _skip_combination(fields: Fields) -> None:
    fields.skip(8 * _count(fields))
    fields.skip(_count(fields))
    fields.skip(2 * _count(fields))


def _count(fields: Fields) -> int:
    count = fields.whole()
    if not 0 <= count <= PAIRS_MAX:
        raise WireError(f"{count} parts are beyond 0..{PAIRS_MAX}")
    return count


def _features(told: dict[str, str]) -> dict[str, bool]:
    def amount(name: str) -> bool:
        return bool(Fields([told[name]]).number())

    return {
        "discretionary amounts": amount("discretionary"),
        "volatility orders": amount("volatility"),
        "adjusted stops": told["adjusted_kind"] not in ("", "None"),
        "cash quantities": amount("cash_quantity"),
    }
