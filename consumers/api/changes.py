"""Changes that callers ask for: audited and published in one transaction, or refused."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncConnection

from consumers.api.access import Caller
from consumers.api.broker_watch import BrokerWatch
from consumers.api.problems import AWAY, UnavailableError
from infra.publish import Origin
from infra.service import Service
from infra.store import audit
from infra.store.audit import AuditRow
from infra.store.database import Store
from schemas.event import Event

T = TypeVar("T")

_PATIENCE_SECONDS = 5.0
_URGENT_PATIENCE_SECONDS = 1.0
"""How long what is urgent waits for the database."""
_SPOOL_INTERVAL_SECONDS = 5.0


@dataclass(frozen=True)
class Change:
    """What is asked for, as the audit log tells it."""

    action: str
    """Method and route."""
    target: str
    before: BaseModel | None = None
    after: BaseModel | None = None
    reason: str = ""


class Changes:
    """Carries out changes for callers of one service."""

    def __init__(self, service: Service, store: Store, broker_watch: BrokerWatch) -> None:
        self._broker_watch = broker_watch
        self._service = service
        self._store = store
        self._spool = audit.spool(service.settings.home / f"audit-{service.name}.jsonl")

    async def make(self, caller: Caller, change: Change, events: Sequence[Event]) -> None:
        """Commit the audit row together with the events. Raises UnavailableError when that cannot be done now."""
        if why := self._broker_watch.trouble or self._store.outbox.why_not_ready():
            raise UnavailableError(f"{why[:200]}: nothing was changed, try again")
        async with asyncio.timeout(_PATIENCE_SECONDS):
            await self._commit(caller, change, events)

    async def keep(self, caller: Caller, write: Callable[[AsyncConnection], Awaitable[tuple[T, Change | None]]]) -> T:
        """Commit what `write` does to tables of ours together with the audit row of the change that it tells of."""
        async with asyncio.timeout(_PATIENCE_SECONDS), self._store.transaction() as tx:
            kept, change = await write(tx.connection)
            if change is not None:
                await audit.note(tx.connection, self._row(caller, change, "done"))
        return kept

    async def make_at_once(self, caller: Caller, change: Change, events: Sequence[Event]) -> None:
        """The same for what must not wait for the database: without it, publish now and write the audit row later."""
        try:
            async with asyncio.timeout(_URGENT_PATIENCE_SECONDS):
                await self._commit(caller, change, events)
        except AWAY:
            origin = self._origin(caller)
            for event in events:
                async with asyncio.timeout(_PATIENCE_SECONDS):
                    await self._service.publish(event, cause=origin)
            await self._spool_row(self._row(caller, change, "done"))

    async def spooled(self, caller: Caller, change: Change) -> None:
        """Note what was done already and waits for nobody: the row is on the disk now, in the database soon."""
        await self._spool_row(self._row(caller, change, "done"))

    async def refused(self, caller: Caller, action: str, why: str) -> None:
        """Note a change that the caller's role does not permit."""
        row = self._row(caller, Change(action, action.partition(" ")[2]), "refused")
        row = replace(row, detail={**row.detail, "reason": why})
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS), self._store.transaction() as tx:
                await audit.note(tx.connection, row)
        except AWAY:
            await self._spool_row(row)

    async def keep_spool_empty(self) -> None:
        """Move audit rows from the spool file to the database; the background task of a service."""
        while True:
            await asyncio.sleep(_SPOOL_INTERVAL_SECONDS)
            rows, lines = await asyncio.to_thread(self._spool.take)
            if not lines:
                continue
            try:
                async with self._store.transaction() as tx:
                    for row in rows:
                        await audit.note(tx.connection, row)
            except AWAY:
                continue
            if len(rows) < lines:
                self._service.log.error("broken audit rows dropped", count=lines - len(rows))
            await asyncio.to_thread(self._spool.drop, lines)

    async def _spool_row(self, row: AuditRow) -> None:
        try:
            await asyncio.to_thread(self._spool.add, row)
        except OSError:
            self._service.log.exception("audit row lost", action=row.action, actor=row.actor, outcome=row.outcome)

    async def _commit(self, caller: Caller, change: Change, events: Sequence[Event]) -> None:
        origin = self._origin(caller)
        async with self._store.transaction() as tx:
            await audit.note(tx.connection, self._row(caller, change, "done"))
            for event in events:
                await tx.publish(event, cause=origin)

    def _row(self, caller: Caller, change: Change, outcome: str) -> AuditRow:
        detail: dict[str, Any] = {"key_id": caller.key_id, "service": self._service.name}
        for name, model in (("before", change.before), ("after", change.after)):
            if model is not None:
                detail[name] = model.model_dump(mode="json")
        if change.reason:
            detail["reason"] = change.reason
        return AuditRow(
            at=self._service.clock.now(),
            actor=caller.label,
            role=caller.role.value,
            action=change.action,
            target=change.target,
            outcome=outcome,
            request_id=caller.request_id,
            detail=detail,
        )

    def _origin(self, caller: Caller) -> Origin:
        """The request as a cause: its id becomes the correlation id of all that follows."""
        now = self._service.clock.now()
        return Origin(
            topic="http",
            partition=0,
            offset=0,
            key=None,
            timestamp_ms=int(now.timestamp() * 1000),
            received_at=now,
            correlation_id=caller.request_id,
        )
