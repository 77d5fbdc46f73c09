"""Strategies that trade: how they stand, and commands to them."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Response
from pydantic import Field

from consumers.api.access import Caller, Trader, Viewer
from consumers.api.changes import Change
from consumers.api.front import Front
from consumers.api.models import Accepted, Answer, Body, Flag
from consumers.api.problems import ConflictError, NotFoundError
from consumers.api.views import Latest
from engine.live.machine import why_not
from schemas.event import Money, UtcTime
from schemas.strategy import (
    Deploy,
    Pause,
    Promote,
    Reconfigure,
    Resume,
    RunningState,
    Start,
    Stop,
    StrategyCommand,
    StrategyState,
)

StrategyId = Annotated[str, Path(max_length=128, pattern=r"^[A-Za-z0-9][A-Za-z0-9._: -]*$")]
_PREFIXES = {"/trading/strategies": False, "/strategies": True}
"""Where the routes are, and whether they are there for callers of before alone."""


class StopIn(Body):
    """How to stop."""

    liquidate: Flag = Field(False, description="Close what is held, at the market, before it stops.")


class ReconfigureIn(Body):
    """New parameters, from the next bar on."""

    parameters: dict[str, Any] = Field(examples=[{"fast": 5, "slow": 20}])


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
    last_command: str = Field(description="Id of the last command that was taken or refused.")
    refused: str = Field(description="Why the last command was refused; empty when it was taken.")
    shadow: bool = Field(description="It only pretends: no order of its leaves.")
    pnl: Money = Field(description="Realised and unrealised, at the last prices, without commissions.")
    event_time: UtcTime
    ingest_time: UtcTime


class LiveStrategies:
    """Routes about live strategies, from the service's own view of their topic."""

    def __init__(self, front: Front, states: Latest[StrategyState]) -> None:
        self._front = front
        self._states = states

    def router(self) -> APIRouter:
        router = APIRouter(tags=["strategies"])
        for prefix, old in _PREFIXES.items():
            one = f"{prefix}/{{strategy_id}}"
            router.get(prefix, summary="All live strategies", deprecated=old)(self.list_strategies)
            router.get(one, summary="One live strategy", deprecated=old)(self.show)
            post = router.post
            post(f"{one}/start", status_code=202, summary="Begin to trade", deprecated=old)(self.start)
            post(f"{one}/stop", status_code=202, summary="Stop for good", deprecated=old)(self.stop)
            post(f"{one}/pause", status_code=202, summary="Go on watching, send no orders", deprecated=old)(self.pause)
            post(f"{one}/resume", status_code=202, summary="Send orders again", deprecated=old)(self.resume)
        own = "/trading/strategies/{strategy_id}"
        router.get(f"{own}/status", summary="How a live strategy stands")(self.show)
        router.post(f"{own}/reconfigure", status_code=202, summary="New parameters")(self.reconfigure)
        router.post(f"{own}/promote", status_code=202, summary="Let a shadow trade")(self.promote)
        return router

    async def list_strategies(self, caller: Viewer) -> list[LiveStrategyOut]:
        states = sorted(self._states.all(), key=lambda state: state.strategy_id)
        return [LiveStrategyOut.model_validate(state) for state in states]

    async def show(self, caller: Viewer, strategy_id: StrategyId) -> LiveStrategyOut:
        return LiveStrategyOut.model_validate(self._known(strategy_id))

    async def start(self, caller: Trader, strategy_id: StrategyId, response: Response) -> Accepted:
        return await self._command(caller, Start(**command_fields(self._front, caller, strategy_id)), response)

    async def stop(
        self, caller: Trader, strategy_id: StrategyId, response: Response, how: StopIn | None = None
    ) -> Accepted:
        liquidate = how is not None and how.liquidate
        return await self._command(
            caller, Stop(liquidate=liquidate, **command_fields(self._front, caller, strategy_id)), response
        )

    async def pause(self, caller: Trader, strategy_id: StrategyId, response: Response) -> Accepted:
        return await self._command(caller, Pause(**command_fields(self._front, caller, strategy_id)), response)

    async def resume(self, caller: Trader, strategy_id: StrategyId, response: Response) -> Accepted:
        return await self._command(caller, Resume(**command_fields(self._front, caller, strategy_id)), response)

    async def reconfigure(
        self, caller: Trader, strategy_id: StrategyId, wanted: ReconfigureIn, response: Response
    ) -> Accepted:
        fields = command_fields(self._front, caller, strategy_id)
        return await self._command(caller, Reconfigure(parameters=wanted.parameters, **fields), response)

    async def promote(self, caller: Trader, strategy_id: StrategyId, response: Response) -> Accepted:
        return await self._command(caller, Promote(**command_fields(self._front, caller, strategy_id)), response)

    def _known(self, strategy_id: str) -> StrategyState:
        state = self._states.get(strategy_id)
        if state is None:
            raise NotFoundError(
                f"no live strategy {strategy_id!r}: GET /trading/strategies lists those that were deployed"
            )
        return state

    async def _command(self, caller: Caller, command: StrategyCommand, response: Response) -> Accepted:
        """Publish it, unless the strategy could only refuse it."""
        before = self._known(command.strategy_id)
        holds = bool(before.positions) and not before.shadow
        if refusal := why_not(before.state, command, command.strategy_id, holds=holds):
            raise ConflictError(f"{command.strategy_id} refuses: {refusal}")
        action = f"POST /trading/strategies/{{strategy_id}}/{type(command).__name__.lower()}"
        await self._front.changes.make(caller, Change(action, command.strategy_id, before, command), [command])
        response.headers["Location"] = location = f"/trading/strategies/{command.strategy_id}"
        return Accepted(id=command.command_id, location=location)


def command_fields(front: Front, caller: Caller, strategy_id: str) -> dict[str, Any]:
    """What every command says of itself."""
    now = front.service.clock.now()
    return {
        "command_id": front.service.entropy.new_id(),
        "strategy_id": strategy_id,
        "by": caller.actor,
        "event_time": now,
        "ingest_time": now,
    }
