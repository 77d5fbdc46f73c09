"""The simulator's ledger folded by a judge: orders, fills after corrections, positions, and orders of each intent."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

Line = dict[str, Any]
OrderKey = tuple[int, int]  # client id, order id
CHANGES = ("fill", "correction", "bust")


@dataclass
class OrderSeen:
    """One order as the gateway saw it; `status` is empty while it lives."""

    client_id: int
    order_id: int
    reference: str
    side: str
    quantity: Decimal
    received: int = 1
    accepted: bool = False
    refused: list[int] = field(default_factory=list)
    status: str = ""
    cancels: int = 0


@dataclass(frozen=True)
class FillSeen:
    """The newest revision of one execution; one that was taken back has no quantity."""

    root: str
    revision: int
    order: OrderKey
    reference: str
    contract_id: int
    side: str
    quantity: Decimal
    price: Decimal
    commission: Decimal

    @property
    def signed(self) -> Decimal:
        return self.quantity if self.side == "BUY" else -self.quantity


@dataclass
class Ledger:
    """All lines in the order in which they were written, and what they add up to."""

    lines: list[Line]
    orders: dict[OrderKey, OrderSeen] = field(default_factory=dict)
    fills: dict[str, FillSeen] = field(default_factory=dict)
    traded: dict[OrderKey, Decimal] = field(default_factory=dict)
    """What was filled of each order, before corrections: they bring no order back to life."""

    @classmethod
    def read(cls, path: Path) -> "Ledger":
        """Also while it is being written, or after its writer was killed: half a line at the end is not there."""
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        ledger = cls([json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()])
        for line in ledger.lines:
            ledger._take(line)
        return ledger

    def of(self, *kinds: str) -> Iterator[Line]:
        return (line for line in self.lines if line["kind"] in kinds)

    def orders_of_intents(self) -> dict[str, set[OrderKey]]:
        """The orders that came to the gateway for each reference: more than one is the fault that must never be."""
        found: dict[str, set[OrderKey]] = {}
        for order in self.orders.values():
            found.setdefault(order.reference, set()).add((order.client_id, order.order_id))
        return found

    def twice(self) -> dict[str, set[OrderKey]]:
        """Intents with more than one order that the gateway took."""
        taken = {key for key, order in self.orders.items() if order.accepted}
        return {ref: keys & taken for ref, keys in self.orders_of_intents().items() if ref and len(keys & taken) > 1}

    def filled(self, reference: str) -> Decimal:
        """What was traded for one intent, after corrections."""
        return sum((each.quantity for each in self.fills.values() if each.reference == reference), Decimal(0))

    def positions(self) -> dict[int, Decimal]:
        """Signed quantity by contract id, as the fills add up; flat ones are left out."""
        found: dict[int, Decimal] = {}
        for each in self.fills.values():
            found[each.contract_id] = found.get(each.contract_id, Decimal(0)) + each.signed
        return {contract_id: quantity for contract_id, quantity in found.items() if quantity}

    def held(self) -> dict[int, Decimal]:
        """The same as the gateway's own account says: two ways, one answer."""
        told = {line["contract_id"]: Decimal(line["quantity"]) for line in self.of("position")}
        return {contract_id: quantity for contract_id, quantity in told.items() if quantity}

    def live(self) -> list[OrderSeen]:
        """Orders that were accepted and have not ended."""
        return [
            order
            for key, order in self.orders.items()
            if order.accepted and not order.status and self.traded.get(key, Decimal(0)) < order.quantity
        ]

    def fired(self) -> list[str]:
        """Names of the faults that have happened."""
        return [line["name"] for line in self.of("fault") if "name" in line]

    def received_while(self, begin_ns: int, end_ns: int) -> list[Line]:
        """Orders that came between two moments of CLOCK_MONOTONIC."""
        return [line for line in self.of("order_received") if begin_ns <= line["monotonic_ns"] < end_ns]

    def _take(self, line: Line) -> None:
        kind = line["kind"]
        if kind in CHANGES:
            self._take_fill(line)
            return
        key = (line.get("client_id", -1), line.get("order_id") or 0)
        order = self.orders.get(key)
        if kind == "order_received" and not line.get("what_if"):
            self._take_order(key, order, line)
        elif order is not None and kind == "order_accepted":
            order.accepted = True
        elif order is not None and kind == "order_refused":
            order.refused.append(line["code"])
        elif order is not None and kind == "order_ended":
            order.status = line["status"]
        elif order is not None and kind in ("order_changed", "order_reduced"):
            order.quantity = Decimal(line["quantity"])
        elif order is not None and kind == "cancel_received":
            order.cancels += 1

    def _take_order(self, key: OrderKey, known: OrderSeen | None, line: Line) -> None:
        if known is not None:
            known.received += 1
            return
        quantity = Decimal(line["quantity"] or 0)
        self.orders[key] = OrderSeen(*key, line["order_ref"], line["side"], quantity)

    def _take_fill(self, line: Line) -> None:
        root, _, revision = line["execution_id"].rpartition(".")
        if line["kind"] == "fill":
            key = (line["client_id"], line["order_id"])
            self.traded[key] = self.traded.get(key, Decimal(0)) + Decimal(line["quantity"])
        known = self.fills.get(root)
        if known is None or known.revision < int(revision):
            amounts = (Decimal(line[name]) for name in ("quantity", "price", "commission"))
            named = (line["order_ref"], line["contract_id"], line["side"])
            self.fills[root] = FillSeen(root, int(revision), (line["client_id"], line["order_id"]), *named, *amounts)


def distinct(lines: Iterable[Line], *names: str) -> set[tuple[Any, ...]]:
    """What lines say in these fields, each combination once."""
    return {tuple(line.get(name) for name in names) for line in lines}
