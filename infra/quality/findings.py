"""What the rules found about bars, as events: each finding carries the bar as it came, so that it can be released."""

import json
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import polars as pl
from pydantic import ValidationError

from infra.errors import UsageError
from infra.quality.frames import Judged
from infra.quality.rules import RULES
from infra.quality.values import finding_id, quarantined
from schemas.market import (
    Bar,
    HistoricalBar,
    Quarantined,
    QuarantineRule,
)
from schemas.moments import to_datetime

WARNINGS_MAX = 100
"""Of one rule and answer: what is beyond them is counted in the last one, an illiquid share would flood the topic."""
_KINDS: dict[str, type[Bar] | type[HistoricalBar]] = {"Bar": Bar, "HistoricalBar": HistoricalBar}
_REASON_MAX = 500


class NotReleasableError(UsageError):
    def __init__(self, quarantine_id: str, why: str) -> None:
        super().__init__(f"{quarantine_id} cannot be published: {why}; reject it instead")


def findings_of(judged: Judged, frame: pl.DataFrame, symbol: str) -> list[Quarantined]:
    """The events of what was found about a frame of BAR_SCHEMA that was collected."""
    counts = Counter(each.rule for _, each in judged.found if each.passes)
    told: Counter[QuarantineRule] = Counter()
    events = []
    for row, each in judged.found:
        reason = each.reason
        if each.passes:
            told[each.rule] += 1
            if told[each.rule] > WARNINGS_MAX:
                continue
            if told[each.rule] == WARNINGS_MAX < counts[each.rule]:
                reason = f"{reason}; and {counts[each.rule] - WARNINGS_MAX} more in this answer"
        values = _values(frame.row(row, named=True), symbol)
        events.append(quarantined(HistoricalBar, values, each.rule, reason[:_REASON_MAX], severity=each.severity))
    return events


def _values(row: dict[str, Any], symbol: str) -> dict[str, Any]:
    return {
        "contract_id": row["contract_id"],
        "symbol": symbol,
        "bar_size": timedelta(seconds=row["bar_size_seconds"]),
        "start": to_datetime(row["start_us"]),
        "event_time": to_datetime(row["end_us"]),
        "ingest_time": to_datetime(row["ingest_us"]),
        **{name: row[name] for name in ("open", "high", "low", "close", "volume", "source", "price_kind", "basis")},
    }


def empty_answer(
    contract_id: int, symbol: str, bar_size: timedelta, start: datetime, end: datetime, now: datetime
) -> Quarantined:
    """The finding that the gateway had nothing to say about a time in which the exchange was open."""
    rule = QuarantineRule.EMPTY_ANSWER
    asked = {"bar_size": str(bar_size), "contract_id": contract_id, "end": f"{end:%FT%TZ}", "start": f"{start:%FT%TZ}"}
    record = json.dumps({"type": "Answer", **asked}, sort_keys=True)
    return Quarantined(
        quarantine_id=finding_id(rule, record),
        event_time=end,
        ingest_time=now,
        contract_id=contract_id,
        symbol=symbol,
        rule=rule,
        severity=RULES[rule].severity,
        reason=f"no bars of {bar_size} from {start:%F %T} to {end:%F %T}, though the exchange was open",
        record=record,
    )


def bar_of(quarantine_id: str, record: str, now: datetime) -> Bar | HistoricalBar:
    """The bar that a finding keeps, known from now on; NotReleasableError when there is none that can be."""
    kept = json.loads(record)
    kind = _KINDS.get(kept.pop("type", ""))
    if kind is None:
        raise NotReleasableError(quarantine_id, "it is no bar")
    try:
        return kind.model_validate({**kept, "ingest_time": now})
    except ValidationError as error:
        raise NotReleasableError(quarantine_id, f"it can never be true ({error.errors()[0]['msg']})"[:300]) from error
