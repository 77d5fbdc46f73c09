"""What was found about market data: look at it, and release or reject what was kept out."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import Field
from sqlalchemy import RowMapping

from consumers.api.access import Caller, Trader, Viewer
from consumers.api.changes import Change
from consumers.api.front import Front
from consumers.api.models import Answer, Limit, Offset, Page, page_of
from consumers.api.problems import ConflictError, InvalidError, NotFoundError
from consumers.api.symbols import known_contract
from infra.quality.findings import NotReleasableError
from infra.quality.release import released_bar
from infra.store.findings import Findings, finding, finding_page
from schemas.event import Event, UtcTime
from schemas.market import QuarantineRule, Rejected, Released, Severity

FindingId = Annotated[str, Path(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9][A-Za-z0-9-]*$")]


class FindingOut(Answer):
    """One finding. An error kept the record out of the market data; a warning only tells."""

    quarantine_id: str
    contract_id: int
    symbol: str
    rule: QuarantineRule
    severity: Severity
    reason: str
    record: str = Field(description="The record as the gateway gave it, as JSON text.")
    event_time: UtcTime
    ingest_time: UtcTime
    resolution: str | None = Field(description="released, rejected, or null while nobody has decided.")
    resolved_by: str | None
    resolved_at: UtcTime | None


class Quarantine:
    """Routes about findings."""

    def __init__(self, front: Front) -> None:
        self._front = front

    def router(self) -> APIRouter:
        router = APIRouter(tags=["quarantine"])
        router.get("/quarantine", summary="Findings, the latest first")(self.list_findings)
        router.get("/quarantine/{quarantine_id}", summary="One finding")(self.show)
        router.post("/quarantine/{quarantine_id}/release", status_code=202, summary="Let a bar through")(self.release)
        router.post("/quarantine/{quarantine_id}/reject", status_code=202, summary="Keep it out for good")(self.reject)
        return router

    async def list_findings(
        self,
        caller: Viewer,
        symbol: Annotated[str | None, Query(min_length=1, max_length=128)] = None,
        rule: QuarantineRule | None = None,
        severity: Severity | None = None,
        undecided: Annotated[bool | None, Query(description="true: nobody has decided; false: decided.")] = None,
        limit: Limit = 100,
        offset: Offset = 0,
    ) -> Page[FindingOut]:
        contract = await known_contract(self._front, symbol) if symbol is not None else None
        wanted = Findings(contract.contract_id if contract else None, rule, severity, undecided)
        async with self._front.reading() as connection:
            rows = await finding_page(connection, wanted, limit, offset)
        return page_of([FindingOut.model_validate(dict(row)) for row in rows], limit, offset)

    async def show(self, caller: Viewer, quarantine_id: FindingId) -> FindingOut:
        return FindingOut.model_validate(dict(await self._row(quarantine_id)))

    async def release(self, caller: Trader, quarantine_id: FindingId) -> FindingOut:
        """Publishes the bar, as it was, to the topic that it was meant for. A bar that cannot be true is refused.

        A warning is closed by it: its bar went through.
        """
        row = await self._open(quarantine_id)
        decision = Released(**self._decided(row, caller))
        if row["severity"] != Severity.ERROR:
            return await self._decide(caller, "release", row, [decision])
        now = self._front.service.clock.now()
        try:
            async with self._front.reading() as connection:
                bar = await released_bar(connection, row, now)
        except NotReleasableError as error:
            raise InvalidError(str(error)) from error
        return await self._decide(caller, "release", row, [bar, decision])

    async def reject(self, caller: Trader, quarantine_id: FindingId) -> FindingOut:
        row = await self._open(quarantine_id)
        if row["severity"] != Severity.ERROR:
            raise ConflictError(f"{quarantine_id} is a warning: the record went through; release it to close it")
        return await self._decide(caller, "reject", row, [Rejected(**self._decided(row, caller))])

    def _decided(self, row: RowMapping, caller: Caller) -> dict[str, Any]:
        now = self._front.service.clock.now()
        return {
            "event_time": now,
            "ingest_time": now,
            "quarantine_id": row["quarantine_id"],
            "contract_id": row["contract_id"],
            "by": caller.label,
        }

    async def _decide(self, caller: Caller, what: str, row: RowMapping, events: list[Event]) -> FindingOut:
        before = FindingOut.model_validate(dict(row))
        decision = events[-1]
        assert isinstance(decision, Released | Rejected), "the decision comes last"
        after = before.model_copy(
            update={
                "resolution": decision.type.lower(),
                "resolved_by": decision.by,
                "resolved_at": decision.event_time,
            }
        )
        change = Change(f"POST /quarantine/{{quarantine_id}}/{what}", row["quarantine_id"], before, after)
        await self._front.changes.make(caller, change, events)
        return after

    async def _row(self, quarantine_id: str) -> RowMapping:
        async with self._front.reading() as connection:
            row = await finding(connection, quarantine_id)
        if row is None or row["rule"] is None:
            raise NotFoundError(f"no finding {quarantine_id!r}: GET /quarantine lists them")
        return row

    async def _open(self, quarantine_id: str) -> RowMapping:
        row = await self._row(quarantine_id)
        if row["resolution"] is not None:
            raise ConflictError(f"{quarantine_id} was {row['resolution']} by {row['resolved_by']} already")
        return row
