"""The strategies that can be backtested, with what they take."""

import asyncio
from typing import Any

from fastapi import APIRouter
from pydantic import Field

from consumers.api.access import Viewer
from consumers.api.models import Answer


class StrategyOut(Answer):
    """A strategy by name."""

    name: str
    description: str
    parameters: dict[str, Any] = Field(description="Names with their defaults.")


class StrategyCatalog:
    """Routes about strategies as they ship."""

    def __init__(self) -> None:
        self._listing: list[StrategyOut] | None = None

    def router(self) -> APIRouter:
        router = APIRouter(tags=["strategies"])
        router.get("/strategies", summary="Strategies that can be backtested")(self.list_strategies)
        return router

    async def list_strategies(self, caller: Viewer) -> list[StrategyOut]:
        if self._listing is None:
            self._listing = await asyncio.to_thread(_listing)
        return self._listing


def _listing() -> list[StrategyOut]:
    from engine.registry import listing  # loads the engine, hence not at import

    return [StrategyOut.model_validate(each) for each in listing()]
