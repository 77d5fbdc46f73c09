"""A strategy deployed over HTTP: what ships by its name, what was uploaded with the text of its newest version."""

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Response
from pydantic import AfterValidator, Field

from consumers.api.access import Trader
from consumers.api.changes import Change
from consumers.api.front import Front
from consumers.api.known_strategies import refuse_undeclared, unknown
from consumers.api.live_strategies import command_fields
from consumers.api.models import Accepted, Body, Flag, Whole, spelt
from consumers.api.portfolio import account_of
from consumers.api.problems import ConflictError, InvalidError
from consumers.api.symbols import tradable
from consumers.api.views import Latest
from engine.live.machine import ended
from infra.bar_moments import LIVE_BAR_SECONDS, LiveBarSize
from infra.store import uploads
from schemas.event import Money, Name
from schemas.strategy import Deploy, Start, StrategyState


class DeployIn(Body):
    """A strategy that is to trade, as `scizor live start` asks for one."""

    strategy: Name = Field(description="One that ships, or one that was uploaded.", examples=["buy_and_hold"])
    strategy_id: Annotated[
        str | None, Field(max_length=128, pattern=r"^[A-Za-z0-9][A-Za-z0-9._: -]*$", description="Else the name.")
    ] = None
    parameters: dict[str, Any] = Field(default_factory=dict, max_length=200, examples=[{}])
    symbols: Annotated[
        tuple[Annotated[str, Field(max_length=64)], ...],
        Field(min_length=1, max_length=500, examples=[["AAPL"]]),
        AfterValidator(spelt),
    ]
    account_id: Name | None = Field(None, description="May be left out when there is only one account.")
    quantity: float = Field(100.0, gt=0, le=1e9, allow_inf_nan=False, description="Shares of a full position.")
    trigger: Literal["bars", "ticks"] = Field("bars", description="Whether it decides on bars or on every trade.")
    bar_size: LiveBarSize = "1m"
    warmup_bars: Annotated[Whole, Field(ge=0, le=100_000, description="Collected bars to begin with.")] = 0
    shadow: Flag = Field(False, description="Only pretend: simulated fills, no order leaves.")
    capital: Annotated[Money, Field(gt=0)] | None = Field(
        None, description="What the strategy's own cash begins with, if it looks at it."
    )
    start: Flag = Field(True, description="Begin to trade at once; else POST .../start does.")


class Deploying:
    """The route that deploys."""

    def __init__(self, front: Front, states: Latest[StrategyState]) -> None:
        self._front = front
        self._states = states

    def router(self) -> APIRouter:
        router = APIRouter(tags=["strategies"])
        router.post("/trading/strategies", status_code=202, summary="Deploy a strategy, and start it")(self.deploy)
        return router

    async def deploy(self, caller: Trader, body: DeployIn, response: Response) -> Accepted:
        """Publishes the commands; `location` tells how the strategy stands, once the strategist has answered."""
        name = body.strategy_id or body.strategy
        before = self._states.get(name)
        if before is not None and not ended(before.state):
            raise ConflictError(f"{name} is {before.state} already: stop it first, or choose another strategy_id")
        account = await account_of(self._front, body.account_id)
        for symbol in body.symbols:
            await tradable(self._front, symbol)
        taken = {"symbols", "quantity", "trigger", "warmup_bars", "shadow", "capital", "strategy"}
        deployed = Deploy(
            **command_fields(self._front, caller, name),
            **body.model_dump(include=taken),
            **await self._code(body.strategy, body.parameters),
            account_id=account.account_id,
            bar_size_seconds=LIVE_BAR_SECONDS[body.bar_size],
        )
        commands: list[Deploy | Start] = [deployed]
        if body.start:
            commands.append(Start(**command_fields(self._front, caller, name)))
        change = Change("POST /trading/strategies", name, after=body)
        await self._front.changes.make(caller, change, commands)
        response.headers["Location"] = location = f"/trading/strategies/{name}"
        return Accepted(id=deployed.command_id, location=location)

    async def _code(self, strategy: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """What is to run with which parameters. Raises what says why it cannot."""
        async with self._front.reading() as connection:
            row = await uploads.newest(connection, strategy)
            known = [each["name"] for each in await uploads.listed(connection)]
        if row is None or row["deleted_at"] is not None:
            return {"parameters": await asyncio.to_thread(_of_those_shipped, strategy, parameters, known)}
        if not row["unread"]:
            await asyncio.to_thread(refuse_undeclared, row, parameters)
        async with self._front.reading() as connection:
            source = await uploads.source_of(connection, strategy, row["code_sha256"])
        assert source is not None, "a version has its text"
        return {"parameters": parameters, "source": source.decode(), "code_sha256": row["code_sha256"]}


def _of_those_shipped(name: str, parameters: Mapping[str, Any], uploaded: list[str]) -> dict[str, Any]:
    """The given parameters as the strategy takes them."""
    from engine.registry import names, strategy_class  # the engine, hence not at import
    from engine.strategy import ParameterError

    if name not in names():
        raise InvalidError(unknown(name, names(), uploaded), "body.strategy")
    try:
        parsed = strategy_class(name).Config.parse(parameters)
    except ParameterError as error:
        raise InvalidError(str(error), "body.parameters") from error
    return parsed.model_dump(mode="json", include=set(parameters))
