"""Risk limits of accounts: anybody who trades may lower them, only an admin raises them."""

import asyncio
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field

from consumers.api.access import Trader, Viewer
from consumers.api.changes import Change
from consumers.api.front import Front
from consumers.api.models import Answer, Body, Whole
from consumers.api.problems import ForbiddenError, InvalidError
from consumers.api.views import Latest
from infra.api_keys import Role
from infra.store import queries
from schemas.account import RiskLimits
from schemas.event import Name, UtcTime

_SEEN_SECONDS = 3.0
_ACCOUNT_MAX = 120
"""A scope is a name, too, and has `account:` before it."""
_Amount = Annotated[Decimal, Field(ge=0, max_digits=18, decimal_places=8)]
_Count = Annotated[Whole, Field(ge=0, le=1_000_000)]


class LimitsIn(Body):
    """New limits of an account; what is left out stays as it is."""

    account_id: Annotated[Name, Field(max_length=_ACCOUNT_MAX)]
    quantity_max: _Amount | None = None
    notional_max: _Amount | None = None
    position_max: _Amount | None = None
    gross_exposure_max: _Amount | None = None
    open_orders_max: _Count | None = None
    open_orders_per_contract_max: _Count | None = None
    orders_per_minute_max: _Count | None = None
    daily_loss_max: _Amount | None = None
    price_collar: Annotated[Decimal, Field(gt=0, lt=1)] | None = None
    price_age_max_seconds: Annotated[float, Field(gt=0, le=86_400)] | None = None

    def given(self) -> dict[str, Any]:
        """The limits that are to change."""
        return self.model_dump(exclude_none=True, exclude={"account_id"})


class LimitsOut(Answer):
    """The limits in force."""

    scope: str
    version: int
    quantity_max: Decimal = Field(description="Per order.")
    notional_max: Decimal = Field(description="Per order, in the account's currency.")
    position_max: Decimal = Field(description="Absolute position per contract, orders in flight at their worst.")
    gross_exposure_max: Decimal
    open_orders_max: int
    open_orders_per_contract_max: int
    orders_per_minute_max: int
    daily_loss_max: Decimal
    price_collar: Decimal = Field(description="Greatest distance of a limit price from the reference price.")
    price_age_max_seconds: float
    event_time: UtcTime


def raised(before: RiskLimits | None, changes: Mapping[str, Any]) -> list[str]:
    """Which changes permit more than before; of every limit more is looser, and no limits at all permit nothing."""
    if before is None:
        return ["everything, since there were no limits"]
    return [name for name, value in changes.items() if value > getattr(before, name)]


class Limits:
    """Routes about risk limits."""

    def __init__(self, front: Front, told: Latest[RiskLimits]) -> None:
        self._front = front
        self._told = told
        self._one_at_a_time = asyncio.Lock()

    def router(self) -> APIRouter:
        router = APIRouter(tags=["risk"])
        router.get("/risk/limits", summary="Limits in force, by account")(self.list_limits)
        router.put("/risk/limits", status_code=202, summary="Lower limits; as admin also raise them")(self.change)
        return router

    async def list_limits(self, caller: Viewer) -> list[LimitsOut]:
        async with self._front.reading() as connection:
            rows = await queries.limits_in_force(connection)
        return [LimitsOut.model_validate(RiskLimits.model_validate(row["limits"])) for row in rows]

    async def change(self, caller: Trader, body: LimitsIn) -> LimitsOut:
        """Takes effect for the next order. Raising any limit, or setting the first ones, needs the role admin."""
        changes = body.given()
        if not changes:
            raise InvalidError("body: no limit is named: nothing would change")
        scope = f"account:{body.account_id}"
        async with self._one_at_a_time:
            before = await self._in_force(scope)
            looser = raised(before, changes)
            if looser and not caller.role.includes(Role.ADMIN):
                why = f"this raises {', '.join(looser)}: only the role admin may; {caller.role} may lower limits"
                await self._front.changes.refused(caller, "PUT /risk/limits", why)
                raise ForbiddenError(why)
            after = self._next(scope, before, changes)
            await self._front.changes.make(caller, Change("PUT /risk/limits", scope, before, after), [after])
            # the next version is counted from what the topic says, so wait until it says this one
            await self._told.wait_for(scope, lambda seen: seen.version >= after.version, _SEEN_SECONDS)
        return LimitsOut.model_validate(after)

    async def _in_force(self, scope: str) -> RiskLimits | None:
        """The highest version that risk has stored or the topic has told."""
        async with self._front.reading() as connection:
            rows = await queries.limits_in_force(connection, scope)
        found = [RiskLimits.model_validate(row["limits"]) for row in rows]
        if told := self._told.get(scope):
            found.append(told)
        return max(found, key=lambda limits: limits.version, default=None)

    def _next(self, scope: str, before: RiskLimits | None, changes: Mapping[str, Any]) -> RiskLimits:
        now = self._front.service.clock.now()
        if before is None:
            return RiskLimits(scope=scope, version=1, event_time=now, ingest_time=now, **changes)
        return before.revised(version=before.version + 1, event_time=now, ingest_time=now, **changes)
