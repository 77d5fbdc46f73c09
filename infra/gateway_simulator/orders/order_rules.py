"""What the gateway itself refuses before an order reaches anybody: what makes no sense, in IB's codes and words."""

from dataclasses import dataclass
from decimal import Decimal

from infra.gateway_simulator.instruments.order_types import takes
from infra.gateway_simulator.orders.oca import TYPES
from infra.gateway_simulator.orders.order import AT_CLOSE, LIMITED, ORDER_KINDS, STOPS, TOUCHES, TRAILS, Terms
from infra.gateway_simulator.orders.placement import Placement
from infra.gateway_simulator.orders.time_in_force import AT_ONCE, TIMES_IN_FORCE, misses_close
from infra.gateway_simulator.orders.triggers import METHODS

INVALID = 321
AMOUNT_MAX = 1_000_000_000
OUT_OF_RANGE = (109, "Price is out of the range defined by the Precautionary Settings at order presets.")
OFF_GRID = (110, "The price does not conform to the minimum price variation for this contract.")
TIF_MISMATCH = (111, "The TIF type and the order type are incompatible.")
CLOSE_IS_DAY = (113, "The Tif option should be set to DAY for MOC and LOC orders.")
BAD_METHOD = (146, "Invalid trigger method.")
BAD_DATE = (343, "Invalid Good Till Date")
UNSUPPORTED_KIND = (387, "Unsupported order type for this exchange and security type.")
NO_PARENT = (10006, "Missing parent order.")
_NO_ACCOUNT = (435, "You must specify an account.")
_NO_SIZE = (434, "The order size cannot be zero.")
_LATE_FOR_CLOSE = (201, "Order rejected - reason:It is too late for the closing auction of this session.")


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error in answer to a placed or changed order."""

    code: int
    text: str


def unsound(placement: Placement, known_account: bool) -> Refusal | None:
    """What can be seen from the message alone."""
    quantity = placement.number("quantity") or Decimal(0)
    if not known_account and not placement.account:
        return Refusal(*_NO_ACCOUNT)
    flaw = ""
    if not placement.asked.exchange:
        flaw = "Please enter exchange"
    elif not known_account:
        flaw = f"Invalid account code '{placement.account[:20]}'."
    elif placement.told["action"] not in ("BUY", "SELL"):
        flaw = f"Invalid action {placement.told['action'][:20]!r}: BUY or SELL"
    elif placement.told["time_in_force"] not in TIMES_IN_FORCE:
        flaw = f"Invalid time in force {placement.told['time_in_force'][:20]!r}: {', '.join(TIMES_IN_FORCE)}"
    elif quantity < 0:
        flaw = "Order size must be greater than zero"
    elif placement.beyond:
        flaw = f"not supported by this simulator: {', '.join(placement.beyond)}"
    if flaw:
        return Refusal(INVALID, invalid_text(flaw))
    if placement.told["kind"] not in ORDER_KINDS:
        return Refusal(*UNSUPPORTED_KIND)
    return Refusal(*_NO_SIZE) if not quantity else None


def improper(terms: Terms, now: float) -> Refusal | None:
    """What depends on the instrument or on the time."""
    if not takes(terms):
        return Refusal(*UNSUPPORTED_KIND)
    amounts = (terms.limit, terms.auxiliary, terms.trail_stop, terms.limit_offset, terms.percent_offset)
    if not all(each is None or 0 <= each <= AMOUNT_MAX for each in (*amounts, terms.quantity)):
        return Refusal(*OUT_OF_RANGE)
    found = _missing(terms) or _odd(terms)
    if found:
        return Refusal(INVALID, invalid_text(found))
    if not all(terms.instrument.rule.fits(each) for each in _prices(terms)):
        return Refusal(*OFF_GRID)
    if terms.trigger_method not in METHODS:
        return Refusal(*BAD_METHOD)
    return _untimely(terms, now)


def invalid_text(cause: str) -> str:
    return f"Error validating request.-'sm' : cause - {cause}"


def _missing(terms: Terms) -> str:
    """A price that its type needs."""
    if terms.kind in LIMITED and (terms.limit is None or terms.limit <= 0):
        return "Please enter a limit price"
    if terms.kind in TRAILS:
        if terms.auxiliary is None and terms.trail_percent is None:
            return "Please enter a trailing amount or percent"
        if terms.kind == "TRAIL LIMIT" and terms.limit_offset is None and (terms.limit is None or not terms.trail_stop):
            return "Please enter a limit price offset"
    elif terms.kind in STOPS and (terms.auxiliary is None or terms.auxiliary <= 0):
        return "Please enter a stop price"
    elif terms.kind in TOUCHES and (terms.auxiliary is None or terms.auxiliary <= 0):
        return "Please enter a trigger price"
    return ""


def _odd(terms: Terms) -> str:
    """Sizes and groups that cannot be."""
    if terms.quantity % 1 and terms.instrument.kind != "CRYPTO":
        return "Order size must be a whole number greater than zero"
    if not 0 <= terms.minimum_quantity <= terms.quantity or not 0 <= terms.display_size <= terms.quantity:
        return "Minimum and displayed quantity must lie between zero and the order size"
    if terms.oca_group and terms.oca_type not in (0, *TYPES):
        return f"Invalid OCA type {terms.oca_type}: 1, 2 or 3"
    if terms.trail_percent is not None and not 0 < terms.trail_percent < 100:
        return "The trailing percent must lie between 0 and 100"
    return ""


def _prices(terms: Terms) -> list[Decimal]:
    found = [terms.limit, terms.trail_stop]
    if terms.kind in TOUCHES or terms.kind in STOPS - TRAILS:
        found.append(terms.auxiliary)
    return [each for each in found if each is not None]


def _untimely(terms: Terms, now: float) -> Refusal | None:
    tif = terms.time_in_force
    if terms.kind in AT_CLOSE and tif != "DAY":
        return Refusal(*CLOSE_IS_DAY)
    if (tif == "OPG" and terms.kind not in ("MKT", "LMT")) or (tif in AT_ONCE and terms.waits_for_trigger):
        return Refusal(*TIF_MISMATCH)
    if tif == "GTD" and terms.good_till <= now:
        return Refusal(*BAD_DATE)
    return Refusal(*_LATE_FOR_CLOSE) if misses_close(terms, now) else None
