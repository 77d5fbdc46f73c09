"""What one record shows by itself; findings keep it as it came: never an exception, nothing lost."""

import json
import math
import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeVar

from schemas.event import Event
from schemas.market import Bar, HistoricalBar, Quarantined, QuarantineRule, Quote, Severity, Tick

_FINDINGS = uuid.uuid5(uuid.NAMESPACE_URL, "urn:scizor:quarantine")
_PRICES = ("open", "high", "low", "close", "price", "bid", "ask")
_NO_PRICE = (0.0, -1.0)
"""How IB says that there is no ask."""
_SIZES = ("volume", "size", "bid_size", "ask_size")

E = TypeVar("E", Bar, HistoricalBar, Tick, Quote)


def broken_rule(values: Mapping[str, float]) -> tuple[QuarantineRule, str] | None:
    """The first rule, in the order of the table, that a record breaks by itself, and how."""
    numbers = {name: values[name] for name in (*_PRICES, *_SIZES) if name in values}
    if bad := [name for name, number in numbers.items() if not math.isfinite(number)]:
        return QuarantineRule.NOT_FINITE, f"{bad[0]} is {numbers[bad[0]]}"
    if bad := [name for name in _SIZES if numbers.get(name, 0) < 0]:
        return QuarantineRule.NEGATIVE_SIZE, f"{bad[0]} is {numbers[bad[0]]:g}"
    if "high" in numbers:
        low, high, opening, close = (numbers[name] for name in ("low", "high", "open", "close"))
        if not low <= min(opening, close) <= max(opening, close) <= high:
            return QuarantineRule.OHLC_RANGE, f"open {opening:g}, close {close:g} outside {low:g}..{high:g}"
    if "bid" in numbers and numbers["bid"] > numbers["ask"] and numbers["ask"] not in _NO_PRICE:
        return QuarantineRule.CROSSED_QUOTE, f"bid {numbers['bid']:g} above ask {numbers['ask']:g}"
    return None


def checked(kind: type[E], values: dict[str, Any]) -> E | Quarantined:
    """The event made of `values`, or the finding that it cannot be true."""
    broken = broken_rule(values)
    if broken is None:
        return kind(**values)
    rule, reason = broken
    return quarantined(kind, values, rule, reason, severity=Severity.ERROR)


def finding_id(rule: QuarantineRule, record: str) -> str:
    return str(uuid.uuid5(_FINDINGS, f"{rule}\0{record}"))


def quarantined(
    kind: type[Event], values: dict[str, Any], rule: QuarantineRule, reason: str, *, severity: Severity
) -> Quarantined:
    """The finding about `values`; the same record makes the same finding."""
    plain = {name: _plain(value) for name, value in values.items() if name != "ingest_time"}
    record = json.dumps({"type": kind.__name__, **plain}, sort_keys=True)
    return Quarantined(
        quarantine_id=finding_id(rule, record),
        event_time=values["event_time"],
        ingest_time=values["ingest_time"],
        contract_id=values["contract_id"],
        symbol=values["symbol"],
        rule=rule,
        severity=severity,
        reason=reason,
        record=record,
    )


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else repr(value)
    if isinstance(value, bool | int | str):
        return value
    return value.isoformat() if isinstance(value, datetime) else str(value)
