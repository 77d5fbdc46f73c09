"""How far a backtest is: asked for once, or followed as server-sent events until it has ended."""

import json
from collections import Counter
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Header
from starlette.responses import Response, StreamingResponse

from consumers.api.access import Caller, Viewer
from consumers.api.backtests import BacktestId, Backtests, ProgressOut, State
from consumers.api.front import Front
from consumers.api.models import Answer
from consumers.api.problems import TooManyError, UnavailableError
from consumers.api.rows import answer, picked
from consumers.api.views import Latest
from schemas.backtest import BacktestProgress

STREAM = "text/event-stream"
CLIENTS_MAX = 200
CLIENTS_OF_A_KEY_MAX = 20
_LOOK_SECONDS = 2.0
"""How long a word of the backtester is waited for, before the table is looked at again."""
_LAST_LOOK_SECONDS = 0.2
"""The same after its last word, when the table is about to have the result."""


class StandOut(Answer):
    """How a backtest stands."""

    backtest_id: str
    state: State
    progress: ProgressOut | None
    error: str | None = None


class Followed:
    """The route about progress, and who follows by it."""

    def __init__(self, front: Front, backtests: Backtests, progress: Latest[BacktestProgress]) -> None:
        self._front = front
        self._backtests = backtests
        self._progress = progress
        self._of_keys: Counter[str] = Counter()

    def router(self) -> APIRouter:
        router = APIRouter(tags=["backtests"])
        router.get(
            "/backtests/{backtest_id}/progress",
            summary="How far a backtest is; as server-sent events, until it has ended",
            response_model=StandOut,
            responses={200: {"content": {STREAM: {}}}},
        )(self.progress)
        return router

    async def progress(
        self,
        caller: Viewer,
        backtest_id: BacktestId,
        accept: Annotated[str, Header(max_length=1000, description=f"`{STREAM}` follows.")] = "application/json",
    ) -> Response:
        """With `Accept: text/event-stream` an event `progress` whenever something changes, and `end` at the end."""
        stand = await self._stand(backtest_id)
        if STREAM not in accept:
            return answer(stand)
        if self._of_keys.total() >= CLIENTS_MAX:
            raise UnavailableError(f"{CLIENTS_MAX} streams are open already: try again later")
        if self._of_keys[caller.key_id] >= CLIENTS_OF_A_KEY_MAX:
            raise TooManyError(f"this key has {CLIENTS_OF_A_KEY_MAX} streams open already: close one")
        return StreamingResponse(
            self._events(caller, backtest_id), media_type=STREAM, headers={"X-Accel-Buffering": "no"}
        )

    async def _stand(self, backtest_id: str) -> dict[str, Any]:
        return picked(StandOut, self._backtests.with_progress(await self._backtests.row(backtest_id)))

    async def _events(self, caller: Caller, backtest_id: str) -> AsyncIterator[bytes]:
        self._of_keys[caller.key_id] += 1
        try:
            told: dict[str, Any] = {}
            while not self._front.service.why_not_ready().get("start"):  # it is there again while the service stops
                known = self._progress.get(backtest_id)
                stand = await self._stand(backtest_id)
                if stand["state"] not in ("requested", "running"):
                    yield _event("end", stand)
                    return
                yield _event("progress", stand) if stand != told else b": nothing new\n\n"
                told = stand
                seconds = _LAST_LOOK_SECONDS if known is not None and known.finished else _LOOK_SECONDS
                await self._progress.wait_for(backtest_id, lambda news, known=known: news is not known, seconds)  # type: ignore[misc] # mypy knows no lambdas with defaults
            yield _event("end", {**told, "reason": "the service stops: come back in a moment"})
        finally:
            self._of_keys[caller.key_id] -= 1
            if not self._of_keys[caller.key_id]:
                del self._of_keys[caller.key_id]


def _event(name: str, data: dict[str, Any]) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n".encode()
