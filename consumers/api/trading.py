"""Whether trading is allowed: halt at once, arm with care."""

from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import Field, model_validator

from consumers.api.access import Admin, Trader, Viewer
from consumers.api.changes import Change
from consumers.api.emergency import Scope, lift
from consumers.api.front import Front
from consumers.api.models import Answer, Body, Flag
from consumers.api.problems import ConflictError
from consumers.api.rows import answer, fields, told
from engine.trading_state import RECONCILER
from infra.store import pages, queries
from schemas.account import TradingMode, TradingState
from schemas.event import UtcTime

Reason = Annotated[str, Field(min_length=1, max_length=400)]


class HaltIn(Body):
    """What is to stop, and why."""

    scope: Scope = "global"
    reason: Reason


class ArmIn(Body):
    """What may trade again, and why."""

    scope: Scope
    reason: Reason
    override: Flag = Field(
        False, description="Also lift the executor's own halt, though books and broker were not found equal."
    )
    accept_positions: Flag = Field(False, description="Take the broker's positions for the true ones; of an account.")
    accept_order_ids: Flag = Field(
        False, description="The gateway's order ids fell back, and that has been looked at; of an account."
    )

    @model_validator(mode="after")
    def _of_an_account(self) -> "ArmIn":
        if self.accepts and not self.scope.startswith("account:"):
            raise ValueError("scope: positions and order ids belong to an account: write account:ID")
        return self

    @property
    def accepts(self) -> bool:
        """Whether it settles what the executor has halted for."""
        return self.accept_positions or self.accept_order_ids


class StateOut(Answer):
    """The state of one scope; of several that concern an order the strictest holds."""

    scope: str
    mode: TradingMode
    reason: str
    by: str
    event_time: UtcTime


class Trading:
    """Routes about whether trading is allowed."""

    def __init__(self, front: Front) -> None:
        self._front = front

    def router(self) -> APIRouter:
        router = APIRouter(tags=["trading"])
        router.get("/trading/state", summary="What may trade, by scope", response_model=list[StateOut])(self.states)
        router.post("/trading/halt", status_code=202, summary="Stop: no new order passes")(self.halt)
        router.post("/trading/arm", status_code=202, summary="Let orders pass again")(self.arm)
        return router

    async def states(self, caller: Viewer) -> Response:
        """As risk holds them. An account without a state of its own is HALTED."""
        row = await self._front.ask(pages.trading_states(fields(StateOut)))
        return answer(told(row["json"]))

    async def halt(self, caller: Trader, body: HaltIn) -> StateOut:
        """Works without the database, and is never rate-limited. Orders that work already are not cancelled."""
        state = self._state(caller, body.scope, TradingMode.HALTED, body.reason)
        change = Change("POST /trading/halt", body.scope, after=body)
        await self._front.changes.make_at_once(caller, change, [state])
        return StateOut.model_validate(state)

    async def arm(self, caller: Admin, body: ArmIn) -> StateOut:
        """Lifts a halt or a kill of this scope; those of other scopes stay. What is accepted is compared once more."""
        async with self._front.reading() as connection:
            rows = await queries.trading_states(connection, body.scope)
        before = StateOut.model_validate(dict(rows[0])) if rows else None
        reconciling = before is not None and before.by == RECONCILER and before.mode is not TradingMode.ACTIVE
        if before is not None and reconciling and not body.override and not body.accepts:
            raise ConflictError(
                f"the executor halted {body.scope} ({before.reason}) and lifts that itself once books and broker "
                'agree; "override": true arms all the same'
            )
        await lift(self._front, caller, body.scope, body.reason)
        accepted = {"accept_positions": body.accept_positions, "accept_order_ids": body.accept_order_ids}
        state = self._state(caller, body.scope, TradingMode.ACTIVE, body.reason).model_copy(update=accepted)
        change = Change("POST /trading/arm", body.scope, before, body)
        await self._front.changes.make(caller, change, [state])
        return StateOut.model_validate(state)

    def _state(self, caller: Trader, scope: str, mode: TradingMode, reason: str) -> TradingState:
        now = self._front.service.clock.now()
        return TradingState(scope=scope, mode=mode, reason=reason, by=caller.actor, event_time=now, ingest_time=now)
