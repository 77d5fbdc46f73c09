"""Risk limits of accounts, strategies and symbols: anybody who trades may lower them, only an admin raises them."""

import asyncio
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any

from fastapi import APIRouter, Path
from pydantic import Field

from consumers.api.access import Trader, Viewer
from consumers.api.changes import Change
from consumers.api.front import Front
from consumers.api.models import Answer, Body, Flag, Whole
from consumers.api.portfolio import account_of
from consumers.api.problems import ForbiddenError, InvalidError, NotFoundError
from consumers.api.views import Latest
from engine.risk_ceilings import CEILINGS, STARTING, not_asked, over_ceilings
from infra.api_keys import Role
from infra.store import queries
from schemas.account import RiskLimits
from schemas.event import Name, UtcTime

_SEEN_SECONDS = 3.0
_ACCOUNT_MAX = 120
"""A scope is a name, too, and has `account:` before it."""
_STRATEGY_MAX = 119
_OF_AN_ACCOUNT = "account:"
_Amount = Annotated[Decimal, Field(ge=0, max_digits=18, decimal_places=8)]
StrategyName = Annotated[str, Path(max_length=_STRATEGY_MAX, pattern=r"^[A-Za-z0-9][A-Za-z0-9._: -]*$")]
_Count = Annotated[Whole, Field(ge=0, le=1_000_000)]


_Ages = Annotated[float, Field(gt=0, le=86_400)]
_Share = Annotated[Decimal, Field(gt=0, le=1)]


class _Changes(Body):
    """New limits; what is left out stays as it is."""

    quantity_max: _Amount | None = None
    notional_max: _Amount | None = None
    position_max: _Amount | None = None
    gross_exposure_max: _Amount | None = None
    net_exposure_max: _Amount | None = None
    open_orders_max: _Count | None = None
    open_orders_per_contract_max: _Count | None = None
    orders_per_minute_max: _Count | None = None
    strategy_orders_per_minute_max: _Count | None = None
    outflow_per_minute_max: _Amount | None = None
    same_side_orders_max: _Count | None = None
    round_trips_per_hour_max: _Count | None = None
    rejects_in_a_row_max: Annotated[Whole, Field(ge=1, le=1000)] | None = None
    orders_per_fill_max: Annotated[Whole, Field(ge=1, le=1000)] | None = None
    daily_loss_max: _Amount | None = None
    daily_loss_reducing: _Amount | None = None
    price_collar: Annotated[Decimal, Field(gt=0, lt=1)] | None = None
    price_age_max_seconds: _Ages | None = None
    account_age_max_seconds: _Ages | None = None
    signal_age_max_seconds: _Ages | None = None
    adv_share_max: _Share | None = None
    buying_power_share_max: _Share | None = None
    sessions_only: Flag | None = None
    instruments: Annotated[tuple[Name, ...], Field(max_length=2000)] | None = None
    without: Annotated[tuple[str, ...], Field(max_length=30)] = Field(
        (), description="Names of limits that shall no longer be; of those that may be missing."
    )
    reason: Annotated[str, Field(max_length=400)] = Field("", description="For the audit log.")

    def given(self) -> dict[str, Any]:
        """The limits that are to change; None: it shall no longer be."""
        changes = self.model_dump(exclude_none=True, include=set(RiskLimits.model_fields))
        for name in self.without:
            if name not in OPTIONAL:
                raise InvalidError(f"without: {name[:50]!r} cannot be missing; those that can: {', '.join(OPTIONAL)}")
            changes[name] = None
        return changes


class LimitsIn(_Changes):
    """New limits of an account, or of a symbol in every account, of which loss and habits are not asked."""

    account_id: Annotated[Name, Field(max_length=_ACCOUNT_MAX)] | None = None
    symbol: Annotated[Name, Field(max_length=_ACCOUNT_MAX)] | None = None

    @property
    def scope(self) -> str:
        if (self.account_id is None) == (self.symbol is None):
            raise InvalidError("body: name account_id, or symbol, and not both")
        return f"{_OF_AN_ACCOUNT}{self.account_id}" if self.account_id is not None else f"symbol:{self.symbol}"


class StrategyLimitsIn(_Changes):
    """New limits of a strategy, which hold beside its account's; of prices, ages and habits only the account's hold."""


class LimitsOut(Answer):
    """The limits in force. null: there is no such limit."""

    scope: str
    version: int
    quantity_max: Decimal = Field(description="Per order.")
    notional_max: Decimal = Field(description="Per order, in the account's currency.")
    position_max: Decimal = Field(description="Absolute position per contract, orders in flight at their worst.")
    gross_exposure_max: Decimal
    net_exposure_max: Decimal | None
    open_orders_max: int
    open_orders_per_contract_max: int
    orders_per_minute_max: int
    strategy_orders_per_minute_max: int | None = Field(description="Of each strategy on its own.")
    outflow_per_minute_max: Decimal | None = Field(description="Worth of all orders sent within a minute.")
    same_side_orders_max: int | None
    round_trips_per_hour_max: int | None
    rejects_in_a_row_max: int | None
    orders_per_fill_max: int | None
    daily_loss_max: Decimal = Field(description="Realised and unrealised; beyond it the account is halted.")
    daily_loss_reducing: Decimal | None = Field(description="Beyond it only reducing orders pass; null: two thirds.")
    price_collar: Decimal = Field(description="Greatest distance of a limit price from the price risk has seen.")
    price_age_max_seconds: float
    account_age_max_seconds: float
    signal_age_max_seconds: float | None
    adv_share_max: Decimal | None
    buying_power_share_max: Decimal | None
    sessions_only: bool
    instruments: tuple[str, ...] | None
    event_time: UtcTime


OPTIONAL = tuple(name for name, field in RiskLimits.model_fields.items() if field.default is None)
_WIDE = {name: most for name, most in CEILINGS.items() if RiskLimits.model_fields[name].default is not None}
"""What a strategy's or a symbol's first limits leave to the account's."""


def raised(before: RiskLimits | None, changes: Mapping[str, Any]) -> list[str]:
    """Which changes permit more than before; no limits of an account at all permit nothing."""
    if before is None:
        return ["everything, since there were no limits"]
    return [name for name, value in changes.items() if _is_looser(name, getattr(before, name), value)]


def _is_looser(name: str, before: Any, after: Any) -> bool:
    """Of every limit more is looser, and none is loosest."""
    if before is None or after is None:
        return before is not None and after is None
    if name == "sessions_only":
        return bool(before and not after)
    if name == "instruments":
        return not set(after) <= set(before)
    return bool(after > before)


class Limits:
    """Routes about risk limits."""

    def __init__(self, front: Front, told: Latest[RiskLimits]) -> None:
        self._front = front
        self._told = told
        self._one_at_a_time = asyncio.Lock()

    def router(self) -> APIRouter:
        router = APIRouter(tags=["risk"])
        router.get("/risk/limits", summary="Limits in force, by scope")(self.list_limits)
        router.put("/risk/limits", status_code=202, summary="Lower limits; as admin also raise them")(self.change)
        router.get("/risk/limits/{strategy}", summary="A strategy's own limits")(self.of_strategy)
        router.put(
            "/risk/limits/{strategy}", status_code=202, summary="Lower a strategy's limits; as admin also raise"
        )(self.change_of_strategy)
        return router

    async def list_limits(self, caller: Viewer) -> list[LimitsOut]:
        """Of every scope that concerns an order all limits hold, and none above its ceiling in the code."""
        async with self._front.reading() as connection:
            rows = await queries.limits_in_force(connection)
        return [LimitsOut.model_validate(RiskLimits.model_validate(row["limits"])) for row in rows]

    async def of_strategy(self, caller: Viewer, strategy: StrategyName) -> LimitsOut:
        found = await self._in_force(f"strategy:{strategy}")
        if found is None:
            raise NotFoundError(f"strategy {strategy!r} has no limits of its own: those of its account hold")
        return LimitsOut.model_validate(found)

    async def change(self, caller: Trader, body: LimitsIn) -> LimitsOut:
        """Takes effect for the next order. Raising any limit, or an account's first ones, needs the role admin.

        The first ones are of an account that the executor has told of.
        """
        return await self._change(caller, "PUT /risk/limits", body.scope, body)

    async def change_of_strategy(self, caller: Trader, strategy: StrategyName, body: StrategyLimitsIn) -> LimitsOut:
        """They hold beside the account's. The first ones only lower what the strategy may do."""
        return await self._change(caller, "PUT /risk/limits/{strategy}", f"strategy:{strategy}", body)

    async def _change(self, caller: Trader, action: str, scope: str, body: _Changes) -> LimitsOut:
        changes = body.given()
        if not changes:
            raise InvalidError("body: no limit is named: nothing would change")
        if over := over_ceilings(changes):
            raise InvalidError(f"body: {'; '.join(over)}: the code lets nobody set more")
        if idle := not_asked(scope, changes):
            raise InvalidError(
                f"body: {', '.join(idle)}: of {scope} nothing would be held against it: set it on the account, "
                "by PUT /risk/limits with account_id"
            )
        async with self._one_at_a_time:
            before = await self._in_force(scope)
            first = before is None and scope.startswith(_OF_AN_ACCOUNT)
            looser = raised(before, changes) if first or before is not None else []
            if looser and not caller.role.includes(Role.ADMIN):
                why = f"this raises {', '.join(looser)}: only the role admin may; {caller.role} may lower limits"
                await self._front.changes.refused(caller, action, why)
                raise ForbiddenError(why)
            if first:
                await account_of(self._front, scope.removeprefix(_OF_AN_ACCOUNT))
            after = self._next(scope, before, changes)
            change = Change(action, scope, before, after, reason=body.reason)
            await self._front.changes.make(caller, change, [after])
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
            begin = STARTING if scope.startswith(_OF_AN_ACCOUNT) else _WIDE
            return RiskLimits(scope=scope, version=1, event_time=now, ingest_time=now, **{**begin, **changes})
        return before.revised(version=before.version + 1, event_time=now, ingest_time=now, **changes)
