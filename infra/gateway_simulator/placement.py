"""placeOrder as it comes over the wire: walked forward, kept where this gateway can act on it, refused where not."""

from dataclasses import dataclass
from decimal import Decimal

from infra.gateway_simulator.contracts import Asked
from infra.gateway_simulator.wire import Fields

TIMES_IN_FORCE = ("DAY", "GTC", "IOC")
ORDER_KINDS = ("MKT", "LMT")


@dataclass(frozen=True, slots=True)
class Placement:
    """One placeOrder message. `beyond` names features that would change how the order trades, and are not had here."""

    order_id: int
    asked: Asked
    action: str
    quantity: Decimal
    kind: str
    limit: Decimal | None
    time_in_force: str
    account: str
    reference: str
    outside_hours: bool
    what_if: bool
    beyond: tuple[str, ...]

    @property
    def flaw(self) -> str:
        """Why the gateway cannot take it; empty when it can."""
        if self.action not in ("BUY", "SELL"):
            return f"Invalid action {self.action[:20]!r}: BUY or SELL"
        if self.quantity <= 0 or self.quantity % 1:
            return "Order size must be a whole number greater than zero"
        if self.time_in_force not in TIMES_IN_FORCE:
            return f"Invalid time in force {self.time_in_force[:20]!r}: {', '.join(TIMES_IN_FORCE)}"
        if self.kind == "LMT" and (self.limit is None or self.limit <= 0):
            return "Please enter a limit price"
        if self.beyond:
            return f"not supported by this simulator: {', '.join(self.beyond)}"
        return ""


def read_placement(fields: Fields) -> Placement:
    order_id = fields.whole()
    asked = Asked.taken_from(fields)
    fields.skip(2)  # security id
    action, quantity, kind = fields.text().upper(), fields.number() or Decimal(0), fields.text().upper()
    limit, auxiliary = fields.number(), fields.number()
    time_in_force, oca_group, account = fields.text() or "DAY", fields.text(), fields.text()
    fields.skip(2)  # open or close, origin
    reference, transmit, parent = fields.text(), fields.flag(), fields.whole()
    fields.skip(4)  # block, sweep, display size, trigger method
    outside_hours, hidden = fields.flag(), fields.flag()
    features = {
        "one-cancels-all groups": bool(oca_group),
        "parent orders": bool(parent),
        "transmit=False": not transmit,
        "hidden orders": hidden,
        "auxiliary prices": bool(auxiliary) and kind in ORDER_KINDS,
        "combination orders": asked.security_type == "BAG",
    }
    what_if = False
    if asked.security_type != "BAG":
        what_if = _read_tail(fields, features)
    return Placement(
        order_id=order_id,
        asked=asked,
        action=action,
        quantity=quantity,
        kind=kind,
        limit=limit if kind == "LMT" else None,
        time_in_force=time_in_force.upper(),
        account=account,
        reference=reference,
        outside_hours=outside_hours,
        what_if=what_if,
        beyond=tuple(name for name, wanted in features.items() if wanted),
    )


def _read_tail(fields: Fields, features: dict[str, bool]) -> bool:
    """Fields 35 to 91 of a stock order; adds the features that are wanted, and tells whether it is a what-if."""
    fields.skip(2)  # dead, discretionary amount
    features["goodAfterTime"] = bool(fields.text())
    features["goodTillDate"] = bool(fields.text())
    fields.skip(11)  # advisor groups, model, short sale, OCA type, rule 80A, settling firm
    features["all or none"] = fields.flag()
    features["minimum quantity"] = bool(fields.number())
    fields.skip(13)  # percent offset .. volatility type
    if fields.text() not in ("", "None"):
        features["delta neutral orders"] = True
        fields.skip(8)
    fields.skip(1)  # delta neutral price
    fields.skip(2)  # continuous update, reference price
    features["trailing stops"] = any([bool(fields.number()), bool(fields.number())])
    fields.skip(2)
    increment = fields.number()
    if increment is not None and increment > 0:
        features["scale orders"] = True
        fields.skip(7)
    fields.skip(3)
    if fields.text():
        features["hedge orders"] = True
        fields.skip(1)
    fields.skip(4)  # opt out, clearing account and intent, not held
    if fields.flag():
        features["delta neutral contracts"] = True
        fields.skip(3)
    if fields.text():
        features["algorithms"] = True
        fields.skip(2 * fields.whole())
    fields.skip(1)  # algorithm id
    what_if = fields.flag()
    fields.skip(4)  # options, solicited, randomize size and price
    features["conditions"] = fields.whole() > 0
    return what_if
