"""Findings about live data that did not come."""

import json
from datetime import datetime, timedelta

from infra.quality.rules import RULES
from infra.quality.values import finding_id
from schemas.market import LIVE_BAR, Quarantined, QuarantineRule
from schemas.validation import Contract

_REASON_MAX = 500


def missing_bars(contract: Contract, start: datetime, end: datetime, now: datetime, why: str) -> Quarantined:
    """Bars between two moments were not published; history may have them later."""
    reason = f"no live bars from {start:%F %T} to {end:%F %T}: {why}"
    return _finding(QuarantineRule.GAP, contract, ("bars", start, end), now, reason)


def missing_events(contract: Contract, feed: str, start: datetime, end: datetime, now: datetime) -> Quarantined:
    """Ticks or quotes between two moments are lost: nobody can tell them afterwards."""
    reason = f"{feed} between {start:%F %T} and {end:%F %T} were missed: their subscription was interrupted"
    return _finding(QuarantineRule.GAP, contract, (feed, start, end), now, reason)


def silent(contract: Contract, last: datetime, market_time: datetime, now: datetime) -> Quarantined:
    """A subscription brings no bars, though the exchange is open."""
    count = (market_time - last) // LIVE_BAR
    reason = f"no bar since {last:%F %T}, {count} are missing: the subscription is asked for again"
    return _finding(QuarantineRule.STALE, contract, ("bars", last, market_time), now, reason)


def _finding(
    rule: QuarantineRule, contract: Contract, what: tuple[str, datetime, datetime], now: datetime, reason: str
) -> Quarantined:
    feed, start, end = what
    record = json.dumps(
        {
            "type": "Feed",
            "feed": feed,
            "contract_id": contract.contract_id,
            "start": start.isoformat(),
            "end": (end - timedelta(microseconds=end.microsecond)).isoformat(),
        },
        sort_keys=True,
    )
    return Quarantined(
        quarantine_id=finding_id(rule, record),
        event_time=end,
        ingest_time=now,
        contract_id=contract.contract_id,
        symbol=contract.symbol,
        rule=rule,
        severity=RULES[rule].severity,
        reason=reason[:_REASON_MAX],
        record=record,
    )
