"""Strategies that trade: how they stand, and commands to them."""

from typing import Annotated

from fastapi import APIRouter, Path, Response
from pydantic import Field

from consumers.api.access import Caller, Trader, Viewer
from consumers.api.changes import Change
from consumers.api.front import Front
from consumers.api.models import Accepted, Answer
from consumers.api.problems import NotFoundError
from consumers.api.views import Latest
from schemas.event import UtcTime
from schemas.strategy import Deploy, Pause, Resume, RunningState, Start, Stop, StrategyState

StrategyId = Annotated[str, Path(min_length=1, max_length=128)]
_Command = type[Start] | type[Stop] | type[Pause] | type[Resume]


class LiveStrategyOut(Answer):
    """How a live strategy stands."""

    strategy_id: str
    state: RunningState
    deployment: Deploy
    signals: int
    intents: int
    denied: int
    positions: dict[str, str] = Field(description="Own quantity by symbol.")
    bars_seen: int
    error: str
    event_time: UtcTime
    ingest_time: UtcTime


class LiveStrategies:
    """Routes about live strategies, from the service's own view of their topic."""

    def __init__(self, front: Front, states: Latest[StrategyState]) -> None:
        self._front = front
        self._states = states

    def router(self) -> APIRouter:
        router = APIRouter(tags=["strategies"])
        router.get("/strategies", summary="All live strategies")(self.list_strategies)
        router.get("/strategies/{strategy_id}", summary="One live strategy")(self.show)
        post = router.post
        post("/strategies/{strategy_id}/start", status_code=202, summary="Begin to trade")(self.start)
        post("/strategies/{strategy_id}/stop", status_code=202, summary="Stop for good; positions stay")(self.stop)
        post("/strategies/{strategy_id}/pause", status_code=202, summary="Go on watching, send no orders")(self.pause)
        post("/strategies/{strategy_id}/resume", status_code=202, summary="Send orders again")(self.resume)
        return router

    async def list_strategies(self, caller: Viewer) -> list[LiveStrategyOut]:
        states = sorted(self._states.all(), key=lambda state: state.strategy_id)
        return [LiveStrategyOut.model_validate(state) for state in states]

    async def show(self, caller: Viewer, strategy_id: StrategyId) -> LiveStrategyOut:
        return LiveStrategyOut.model_validate(self._known(strategy_id))

    async def start(self, caller: Trader, strategy_id: StrategyId, response: Response) -> Accepted:
        return await self._command(caller, strategy_id, Start, response)

    async def stop(self, caller: Trader, strategy_id: StrategyId, response: Response) -> Accepted:
        return await self._command(caller, strategy_id, Stop, response)

    async def pause(self, caller: Trader, strategy_id: StrategyId, response: Response) -> Accepted:
        return await self._command(caller, strategy_id, Pause, response)

    async def resume(self, caller: Trader, strategy_id: StrategyId, response: Response) -> Accepted:
        return await self._command(caller, strategy_id, Resume, response)

    def _known(self, strategy_id: str) -> StrategyState:
        state = self._states.get(strategy_id)
        if state is None:
            raise NotFoundError(f"no live strategy {strategy_id!r}: GET /strategies lists those that were deployed")
        return state

    async def _command(self, caller: Caller, strategy_id: str, kind: _Command, response: Response) -> Accepted:
        before = self._known(strategy_id)
        now = self._front.service.clock.now()
        command = kind(
            command_id=self._front.service.entropy.new_id(),
            strategy_id=strategy_id,
            by=f"key {caller.label}"[:128],
            event_time=now,
            ingest_time=now,
        )
        action = f"POST /strategies/{{strategy_id}}/{kind.__name__.lower()}"
        await self._front.changes.make(caller, Change(action, strategy_id, before, command), [command])
        response.headers["Location"] = location = f"/strategies/{strategy_id}"
        return Accepted(id=command.command_id, location=location)
