"""Stop everything at once: what the kill switch is asked over its socket, whatever of the rest is up."""

import re
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import AfterValidator, Field

from consumers.api.access import Caller, Trader, Viewer
from consumers.api.changes import Change
from consumers.api.front import Front
from consumers.api.models import Answer, Body
from consumers.api.problems import ConflictError, UnavailableError
from infra import kill_line
from infra.kill import GLOBAL, Kill, KillFlag
from infra.kill_line import KillRefusedError, KillSwitchAwayError
from schemas.event import UtcTime

_SCOPE = re.compile(r"^(global|(account|strategy|symbol):[A-Za-z0-9][A-Za-z0-9._:/ -]*)$")


def _a_scope(text: str) -> str:
    if _SCOPE.fullmatch(text) is None:
        raise ValueError("no such scope: write global, account:ID, strategy:ID or symbol:NAME")
    return text


Scope = Annotated[
    str,
    Field(
        max_length=128,
        description="`global`, `account:ID`, `strategy:ID` or `symbol:NAME`.",
        examples=["global", "account:DU1234567"],
        json_schema_extra={"pattern": _SCOPE.pattern},
    ),
    AfterValidator(_a_scope),
]


class StopIn(Body):
    """What is to stop, and why."""

    scope: Scope = GLOBAL
    reason: Annotated[str, Field(min_length=1, max_length=400)]


class KillOut(Answer):
    """Something that was stopped, until somebody with the role admin arms it."""

    kill_id: str
    scope: str
    reason: str
    by: str
    at: UtcTime


class StopOut(Answer):
    """No order of the scope goes out any more, and the cancel of every open one is on its way."""

    kill: KillOut
    acknowledged_ms: float | None = Field(description="By the kill switch; null when it did not answer.")
    by_flag_alone: bool = Field(
        description="The kill switch did not answer: the executor sends nothing and cancels its own orders; those of "
        "others are cancelled once the kill switch is back."
    )
    fenced: bool = Field(description="No order was on its way to the gateway meanwhile.")
    asked_gateway: bool = Field(description="The gateway was asked to cancel everything at once, not order by order.")


class StoppedOut(Answer):
    """What is stopped, and how far it is."""

    killed: bool
    kills: list[KillOut]
    unconfirmed: list[str] = Field(description="Ids of kills whose cancels the executor has not confirmed yet.")
    cancels: dict[str, int] = Field(
        {},
        description="How many orders the executor has asked the broker to cancel, by the id of a kill of less than "
        "everything; 0: none of it was open, or its name is mistyped.",
    )
    open_orders: int | None = Field(description="Seen at the gateway without a cancel; null when nobody has looked.")
    gateway: str
    untold: int = Field(description="Trading states and audit rows that wait for Kafka and the database.")


class Emergency:
    """Routes to the kill switch."""

    def __init__(self, front: Front) -> None:
        self._front = front
        self._home = front.service.settings.home

    def router(self) -> APIRouter:
        router = APIRouter(tags=["trading"])
        router.post("/trading/emergency-stop", summary="Kill: stop and cancel, at once")(self.stop)
        router.get("/trading/emergency-stop", summary="What is killed, and what is still open")(self.stopped)
        return router

    async def stop(self, caller: Trader, body: StopIn) -> StopOut:
        """Works without Kafka and without the database, and is never rate-limited. `POST /trading/arm` lifts it."""
        service = self._front.service
        wanted = Kill(
            kill_id=service.entropy.new_id(),
            scope=body.scope,
            reason=body.reason,
            by=caller.actor,
            at=service.clock.now(),
        )
        try:
            answer = await kill_line.kill(self._home, wanted)
        except KillRefusedError as error:
            raise UnavailableError(str(error)) from error
        told = StopOut.model_validate({"acknowledged_ms": None, "asked_gateway": False, **answer})
        await self._front.changes.spooled(caller, Change("POST /trading/emergency-stop", body.scope, after=body))
        return told

    async def stopped(self, caller: Viewer) -> StoppedOut:
        """As the kill switch sees it; without it, what its flag says."""
        return StoppedOut.model_validate(await self._state())

    async def _state(self) -> dict[str, Any]:
        try:
            return await kill_line.ask(self._home, {"do": "state"})
        except KillSwitchAwayError as error:
            kills = KillFlag(self._home).read().kills
            nothing: dict[str, Any] = {"unconfirmed": [], "cancels": {}, "open_orders": None, "untold": 0}
            return {"killed": bool(kills), "kills": list(kills), "gateway": str(error), **nothing}


async def lift(front: Front, caller: Caller, scope: str, reason: str) -> None:
    """Arming what was killed is the kill switch's to do: nothing else takes the flag away."""
    home = front.service.settings.home
    kills = KillFlag(home).read()
    holds = kills.of((scope,))
    if holds is None:
        return
    if not any(kill.scope == scope for kill in kills.kills):
        raise ConflictError(f"{holds}: arm {holds.scope} first")
    try:
        await kill_line.ask(home, {"do": "arm", "scope": scope, "reason": reason, "by": caller.actor})
    except KillRefusedError as error:  # somebody else was faster
        raise ConflictError(str(error)) from error
