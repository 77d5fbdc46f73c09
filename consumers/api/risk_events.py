"""What risk has denied and stopped, who has taken note of it, and which symbols are restricted."""

import asyncio
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncConnection

from consumers.api.access import Trader, Viewer
from consumers.api.changes import Change
from consumers.api.decisions import AccountFilter
from consumers.api.front import Front
from consumers.api.models import Answer, Body, Limit, Offset, Page, page_of
from consumers.api.problems import ForbiddenError, InvalidError, NotFoundError
from infra.api_keys import Role
from infra.store import risk_queries
from infra.store.queries import Slice
from schemas.account import Restriction
from schemas.event import Name, UtcTime

_SYMBOLS_MAX = 1000


class RiskEventOut(Answer):
    """An intent that was denied, or something that was stopped."""

    breach_id: str
    scope: str
    account_id: str
    strategy_id: str
    rule: str = Field(description="The reason of a denial; `halted` or `reducing` of a stop.")
    detail: str
    event_time: UtcTime
    ingest_time: UtcTime
    by: str | None = Field(description="Who has taken note of it; null: nobody yet.")
    note: str | None
    at: UtcTime | None


class AcknowledgeIn(Body):
    """What is to be remembered beside who and when."""

    note: Annotated[str, Field(max_length=400)] = ""


class AcknowledgedOut(Answer):
    """Who took note of an event; who came first stays."""

    breach_id: str
    by: str
    new: bool = Field(description="false: somebody had taken note of it before.")


class RestrictedOut(Answer):
    """A symbol of which only what is held may be reduced."""

    symbol: str
    reason: str
    by: str
    event_time: UtcTime


class RestrictedIn(Body):
    """The whole restricted list, as it shall be."""

    symbols: Annotated[tuple[Name, ...], Field(max_length=_SYMBOLS_MAX, examples=[["GME"]])]
    reason: Annotated[str, Field(min_length=1, max_length=400)]


class RiskEvents:
    """Routes about risk events and restrictions."""

    def __init__(self, front: Front) -> None:
        self._front = front
        self._one_at_a_time = asyncio.Lock()

    def router(self) -> APIRouter:
        router = APIRouter(tags=["risk"])
        router.get("/risk/events", summary="What was denied and stopped, the newest first")(self.list_events)
        router.post("/risk/events/{breach_id}/acknowledge", summary="Take note of an event")(self.acknowledge)
        router.get("/risk/restricted", summary="Symbols that may only be reduced")(self.list_restricted)
        router.put("/risk/restricted", status_code=202, summary="Restrict symbols; as admin also free them")(
            self.restrict
        )
        return router

    async def list_events(
        self,
        caller: Viewer,
        account_id: AccountFilter = None,
        strategy_id: Annotated[str | None, Query(max_length=128)] = None,
        rule: Annotated[str | None, Query(max_length=64, description="Only of this rule.")] = None,
        acknowledged: Annotated[bool | None, Query(description="false: only those nobody has taken note of.")] = None,
        limit: Limit = 100,
        offset: Offset = 0,
    ) -> Page[RiskEventOut]:
        async with self._front.reading() as connection:
            rows = await risk_queries.event_page(
                connection,
                Slice(limit, offset),
                acknowledged=acknowledged,
                account_id=account_id,
                strategy_id=strategy_id,
                rule=rule,
            )
        return page_of([RiskEventOut.model_validate(dict(row)) for row in rows], limit, offset)

    async def acknowledge(
        self, caller: Trader, breach_id: Annotated[str, Path(max_length=128)], body: AcknowledgeIn
    ) -> AcknowledgedOut:
        """Changes nothing else: what is halted stays halted."""
        async with self._front.reading() as connection:
            if not await risk_queries.event_exists(connection, breach_id):
                raise NotFoundError(f"no risk event {breach_id!r}: GET /risk/events lists them")
        now = self._front.service.clock.now()
        new = await self._front.changes.keep(
            caller,
            lambda held: _acknowledged(held, breach_id, caller.actor, body, now),
        )
        return AcknowledgedOut(breach_id=breach_id, by=caller.actor, new=new)

    async def list_restricted(self, caller: Viewer) -> list[RestrictedOut]:
        async with self._front.reading() as connection:
            rows = await risk_queries.restricted(connection)
        return [RestrictedOut.model_validate(dict(row)) for row in rows]

    async def restrict(self, caller: Trader, body: RestrictedIn) -> list[RestrictedOut]:
        """Takes effect for the next order. Taking a symbol off the list needs the role admin."""
        async with self._one_at_a_time:
            before = {each.symbol for each in await self.list_restricted(caller)}
            wanted = set(body.symbols)
            freed, added = sorted(before - wanted), sorted(wanted - before)
            if not freed and not added:
                raise InvalidError("body: that is the list already: nothing would change")
            if freed and not caller.role.includes(Role.ADMIN):
                why = f"this frees {', '.join(freed)}: only the role admin may; {caller.role} may restrict symbols"
                await self._front.changes.refused(caller, "PUT /risk/restricted", why)
                raise ForbiddenError(why)
            now = self._front.service.clock.now()
            told = [
                Restriction(
                    symbol=symbol,
                    restricted=symbol in wanted,
                    reason=body.reason,
                    by=caller.actor,
                    event_time=now,
                    ingest_time=now,
                )
                for symbol in [*added, *freed]
            ]
            await self._front.changes.make(caller, Change("PUT /risk/restricted", "restricted", after=body), told)
        kept = [each for each in await self.list_restricted(caller) if each.symbol in wanted - set(added)]
        new = [RestrictedOut.model_validate(each) for each in told if each.restricted]
        return sorted([*kept, *new], key=lambda each: each.symbol)


async def _acknowledged(
    connection: AsyncConnection, breach_id: str, by: str, body: AcknowledgeIn, now: datetime
) -> tuple[bool, Change | None]:
    new = await risk_queries.acknowledge(connection, breach_id, by, body.note, now)
    return new, Change("POST /risk/events/{breach_id}/acknowledge", breach_id, after=body) if new else None
