"""Bars and ticks that were set aside, and what a person decided about them."""

from collections.abc import Sequence

from sqlalchemy import func
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from infra.store import removals
from infra.store.newest import Row, put_once
from infra.store.tables import quarantine
from schemas.market import Quarantined, Rejected, Released

_EVENT = insert(quarantine)
_RESOLVE = _EVENT.on_conflict_do_update(
    index_elements=["quarantine_id"],
    # the first decision counts
    set_={
        name: func.coalesce(quarantine.c[name], _EVENT.excluded[name])
        for name in ("resolution", "resolved_by", "resolved_at")
    },
)


async def put_findings(connection: AsyncConnection, events: Sequence[Quarantined | Released | Rejected]) -> None:
    """Findings, and the decisions about them, in their order."""
    await put_once(connection, quarantine, [_finding(event) for event in events if isinstance(event, Quarantined)])
    if decided := [_decision(event) for event in events if not isinstance(event, Quarantined)]:
        await connection.execute(_RESOLVE, decided)
    await removals.clear_findings(connection, {event.contract_id for event in events})


def _finding(event: Quarantined) -> Row:
    return {
        "quarantine_id": event.quarantine_id,
        "contract_id": event.contract_id,
        "symbol": event.symbol,
        "rule": event.rule.value,
        "severity": event.severity.value,
        "reason": event.reason,
        "record": event.record,
        "event_time": event.event_time,
        "ingest_time": event.ingest_time,
    }


def _decision(event: Released | Rejected) -> Row:
    return {
        "quarantine_id": event.quarantine_id,
        "contract_id": event.contract_id,
        "ingest_time": event.ingest_time,
        "resolution": event.type.lower(),
        "resolved_by": event.by,
        "resolved_at": event.event_time,
    }
