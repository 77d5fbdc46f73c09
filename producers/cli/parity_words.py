"""How a difference between then and now is named."""

import json
from collections.abc import Mapping
from typing import Any

from infra.errors import ScizorError
from schemas.account import RiskLimits
from schemas.event import Event
from schemas.orders import Fill, FillBusted, FillCorrected, OrderUpdate, RiskDecision
from schemas.strategy import Allocate, Deploy, JournalEntry, Reconfigure

_SHOWN_MAX = 3


class DivergenceError(ScizorError):
    """The first difference: what caused it (input, parameter, limit, code, journal, ...), and where."""

    def __init__(self, cause: str, what: str, entry: JournalEntry | None = None) -> None:
        where = f" (journal entry {entry.sequence}, {entry.consumed_at:%F %T.%f}Z)" if entry is not None else ""
        super().__init__(f"{cause}: {what}{where}")
        self.cause = cause
        self.what = what
        self.sequence = entry.sequence if entry is not None else None


def without_ingest_time(event: Event) -> bytes:
    """The bytes that are compared."""
    return event.__pydantic_serializer__.to_json(event, exclude={"ingest_time"})


def differences(then: Event, now: Event) -> str:
    """The fields that differ, with both values."""
    pairs = _flat(json.loads(then.to_json())), _flat(json.loads(now.to_json()))
    names = [name for name in {**pairs[0], **pairs[1]} if not name.endswith("ingest_time")]
    found = [name for name in names if pairs[0].get(name) != pairs[1].get(name)]
    told = [f"{name} was {pairs[0].get(name)!r} and is {pairs[1].get(name)!r}" for name in found[:_SHOWN_MAX]]
    return ", ".join(told) + (f" and {len(found) - _SHOWN_MAX} more" if len(found) > _SHOWN_MAX else "")


def cause_of(event: Event) -> tuple[str, str]:
    """What a changed record stands for."""
    if isinstance(event, Deploy | Reconfigure | Allocate):
        return "parameter", f"the {type(event).__name__} command"
    if isinstance(event, RiskDecision):
        return "decision", f"the decision about {event.intent_id}"
    if isinstance(event, Fill | FillCorrected | FillBusted):
        return "input", f"the {type(event).__name__} {event.execution_id}"
    if isinstance(event, OrderUpdate):
        return "input", f"update {event.sequence} of order {event.order_id}"
    return "input", f"the {type(event).__name__}"


def limits_changed(used: RiskLimits, told: RiskLimits) -> str:
    """How the limits that a decision was made with differ from those of the same version that were told."""
    return f"limits {used.scope} version {used.version}: {differences(used, told)}"


def _flat(value: Any, name: str = "") -> dict[str, Any]:
    """The leaves of a document by their path."""
    if not isinstance(value, Mapping):
        return {name: value}
    found: dict[str, Any] = {}
    for key, part in value.items():
        found |= _flat(part, f"{name}.{key}" if name else key)
    return found
