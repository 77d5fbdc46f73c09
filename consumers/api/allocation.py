"""How an account's capital is shared out over its strategies."""

from decimal import Decimal
from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import Field, ValidationError

from consumers.api.access import Trader, Viewer
from consumers.api.changes import Change
from consumers.api.front import Front
from consumers.api.models import Answer, Body
from consumers.api.problems import InvalidError, NotFoundError
from consumers.api.views import Latest
from schemas.event import Money, Name, UtcTime
from schemas.strategy import AllocationMethod, AllocationPlan, StrategyState

AccountId = Annotated[str, Path(max_length=128, pattern=r"^[A-Za-z0-9][A-Za-z0-9._: -]*$")]


class PlanIn(Body):
    """A new plan. Sizes follow it, and the prices; every order goes through risk."""

    method: AllocationMethod = AllocationMethod.FIXED
    capital: Annotated[Money, Field(ge=0, description="Zero ends the plan; sizes stay.")]
    weights: dict[Name, Annotated[float, Field(ge=0, le=1)]] = Field(examples=[{"crossover": 0.6, "momentum": 0.4}])
    band: Annotated[float, Field(ge=0, le=1)] = 0.1


class PlanOut(Answer):
    """The plan in force."""

    account_id: str
    method: AllocationMethod
    capital: Decimal
    weights: dict[str, float]
    band: float
    by: str
    event_time: UtcTime


class Allocation:
    """Routes about plans, from the service's own view of their topic."""

    def __init__(self, front: Front, plans: Latest[AllocationPlan], strategies: Latest[StrategyState]) -> None:
        self._front = front
        self._plans = plans
        self._strategies = strategies

    def router(self) -> APIRouter:
        router = APIRouter(tags=["strategies"])
        router.get("/trading/allocation", summary="How capital is shared out")(self.list_plans)
        router.put("/trading/allocation/{account_id}", status_code=202, summary="Share an account's capital out")(
            self.change
        )
        return router

    async def list_plans(self, caller: Viewer) -> list[PlanOut]:
        return [PlanOut.model_validate(each) for each in self._plans.all()]

    async def change(self, caller: Trader, account_id: AccountId, wanted: PlanIn) -> PlanOut:
        known = {each.strategy_id for each in self._strategies.all() if each.deployment.account_id == account_id}
        if unknown := sorted(set(wanted.weights) - known):
            raise NotFoundError(f"{account_id} has no live strategy {', '.join(unknown)}: GET /trading/strategies")
        now = self._front.service.clock.now()
        try:
            plan = AllocationPlan(
                account_id=account_id,
                by=caller.actor,
                **wanted.model_dump(),
                event_time=now,
                ingest_time=now,
            )
        except ValidationError as error:
            raise InvalidError(error.errors()[0]["msg"], where="body.weights") from error
        change = Change("PUT /trading/allocation/{account_id}", account_id, self._plans.get(account_id), plan)
        await self._front.changes.make(caller, change, [plan])
        return PlanOut.model_validate(plan)
