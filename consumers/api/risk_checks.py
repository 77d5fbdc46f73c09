"""What risk would say to an order, and whether trading is allowed."""

from typing import Annotated

from fastapi import APIRouter
from pydantic import Field

from consumers.api.access import Trader, Viewer
from consumers.api.changes import Change
from consumers.api.emergency import Scope
from consumers.api.front import Front
from consumers.api.models import Answer, Body
from consumers.api.order_bodies import OrderIn
from consumers.api.placing import Placing
from consumers.api.prices import Prices
from consumers.api.problems import ConflictError, ForbiddenError
from consumers.api.risk_figures import RiskFigures
from consumers.api.trading import StateOut
from engine.account_book import Mark
from engine.judging import judged
from engine.trading_state import RECONCILER, strictness
from infra.api_keys import Role
from infra.kill import KillFlag
from infra.store import queries
from infra.store.book import Asked
from schemas.account import TradingMode, TradingState
from schemas.event import Name
from schemas.order_words import MANUAL
from schemas.orders import DenialReason, RiskDecision
from schemas.risk import RiskBasis

_RISK = "risk"


class CheckIn(OrderIn):
    """An order as it would be placed by hand, or by a strategy."""

    strategy_id: Name = MANUAL


class CheckOut(Answer):
    """What risk would decide about one order at this moment; nothing was reserved and nothing sent."""

    intent_id: str
    approved: bool
    reason: DenialReason | None
    detail: str
    basis: RiskBasis = Field(description="Everything the decision would be based on.")


class ModeIn(Body):
    """What may trade, and why."""

    scope: Scope = "global"
    mode: TradingMode
    reason: Annotated[str, Field(min_length=1, max_length=400)]


class RiskChecks:
    """Routes that ask risk, and tell it how strict to be."""

    def __init__(self, front: Front, figures: RiskFigures, placing: Placing, prices: Prices) -> None:
        self._front = front
        self._figures = figures
        self._placing = placing
        self._prices = prices

    def router(self) -> APIRouter:
        router = APIRouter(tags=["risk"])
        router.post("/risk/check", summary="What risk would say to an order; nothing is sent")(self.check)
        router.get("/risk/trading-state", summary="What may trade, by scope")(self.states)
        router.post("/risk/trading-state", status_code=202, summary="Reduce or halt; as admin also allow more")(
            self.change
        )
        return router

    async def check(self, caller: Trader, body: CheckIn) -> list[CheckOut]:
        """By the code that judges orders, on the book as it is now, with prices as this service has seen them. Of a
        bracket every order is judged, each after those before it."""
        order = OrderIn.model_validate(body.model_dump(exclude={"strategy_id"}, exclude_unset=True))
        found = await self._placing.asked_for(self._front.service.entropy.new_id(), order)
        intents = [each.model_copy(update={"strategy_id": body.strategy_id}) for each in found]
        first, ids = intents[0], [each.intent_id for each in intents]
        asked = Asked(first.account_id, ids, [first.contract_id], [body.strategy_id], [first.symbol])
        book = await self._figures.book(first.account_id, asked)
        seen, known = self._prices.newest(first.contract_id), book.marks.get(first.contract_id)
        if seen is not None and (known is None or seen.received_at > known.received_at):
            book.marks[first.contract_id] = Mark(seen.price, seen.received_at)
        now = self._front.service.clock.now()
        return [_told(decision) for decision, _ in judged(book, intents, lambda: now)]

    async def states(self, caller: Viewer) -> list[StateOut]:
        """As risk holds them. An account without a state of its own is HALTED."""
        async with self._front.reading() as connection:
            rows = await queries.trading_states(connection)
        return [StateOut.model_validate(dict(row)) for row in rows]

    async def change(self, caller: Trader, body: ModeIn) -> StateOut:
        """A stricter mode takes the role trader; so does enabling a strategy that risk has disabled. Anything else
        that allows more takes admin; what the kill switch or the executor has halted is lifted by POST /trading/arm."""
        async with self._front.reading() as connection:
            rows = await queries.trading_states(connection, body.scope)
        before = StateOut.model_validate(dict(rows[0])) if rows else None
        if _is_looser(before, body):
            await self._refuse_loosening(caller, before, body)
        now = self._front.service.clock.now()
        state = TradingState(
            scope=body.scope, mode=body.mode, reason=body.reason, by=caller.actor, event_time=now, ingest_time=now
        )
        change = Change("POST /risk/trading-state", body.scope, before, body)
        make = self._front.changes.make_at_once if body.mode is TradingMode.HALTED else self._front.changes.make
        await make(caller, change, [state])
        return StateOut.model_validate(state)

    async def _refuse_loosening(self, caller: Trader, before: StateOut | None, body: ModeIn) -> None:
        killed = KillFlag(self._front.service.settings.home).read().of((body.scope,))
        if killed is not None:
            raise ConflictError(f"{killed}: POST /trading/arm lifts it")
        if before is not None and before.by == RECONCILER:
            raise ConflictError(
                f"the executor halted {body.scope} ({before.reason}) and lifts that itself once books and broker "
                "agree; POST /trading/arm can override it"
            )
        disabled = before is not None and before.by == _RISK and body.scope.startswith("strategy:")
        if not disabled and not caller.role.includes(Role.ADMIN):
            why = f"this allows {body.scope} more than before: only the role admin may"
            await self._front.changes.refused(caller, "POST /risk/trading-state", why)
            raise ForbiddenError(why)


def _told(decision: RiskDecision) -> CheckOut:
    return CheckOut(
        intent_id=decision.intent_id,
        approved=decision.approved,
        reason=decision.reason,
        detail=decision.detail,
        basis=decision.basis,
    )


def _is_looser(before: StateOut | None, body: ModeIn) -> bool:
    """Without a state an account is halted, and any other scope holds nothing back."""
    known = before.mode if before is not None else None
    if known is None:
        known = TradingMode.HALTED if body.scope.startswith("account:") else TradingMode.ACTIVE
    return strictness(body.mode) < strictness(known)
