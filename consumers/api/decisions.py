"""What risk decided about intents, and on what grounds."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field

from consumers.api.access import Viewer
from consumers.api.front import Front
from consumers.api.models import Answer, Limit, Offset, Page, page_of
from infra.store import queries
from infra.store.queries import Slice
from schemas.event import UtcTime
from schemas.orders import DenialReason

AccountFilter = Annotated[str | None, Query(max_length=128, description="Only of this account.")]


class DecisionOut(Answer):
    """Risk's verdict. Denied is ours; rejected would be the broker's."""

    decision_id: str
    intent_id: str
    account_id: str
    strategy_id: str
    approved: bool
    reason: DenialReason | None
    detail: str
    decided_at: UtcTime
    expires_at: UtcTime
    intent: dict[str, Any] = Field(description="What was proposed, as it was published.")
    basis: dict[str, Any] = Field(description="Everything the decision was based on.")


def decision_out(row: Any) -> DecisionOut:
    """A row of the decisions table."""
    return DecisionOut.model_validate({**row, "intent": row["body"]["intent"], "basis": row["body"]["basis"]})


class Decisions:
    """Routes about decisions."""

    def __init__(self, front: Front) -> None:
        self._front = front

    def router(self) -> APIRouter:
        router = APIRouter(tags=["risk"])
        router.get("/decisions", summary="What risk decided, the newest first")(self.list_decisions)
        return router

    async def list_decisions(
        self,
        caller: Viewer,
        approved: Annotated[bool | None, Query(description="false: only what was denied, with the reason.")] = None,
        account_id: AccountFilter = None,
        limit: Limit = 100,
        offset: Offset = 0,
    ) -> Page[DecisionOut]:
        async with self._front.reading() as connection:
            rows = await queries.decision_page(
                connection, Slice(limit, offset), approved=approved, account_id=account_id
            )
        return page_of([decision_out(row) for row in rows], limit, offset)
