"""What happens in trading as it happens: orders, fills, positions and risk events."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request
from pydantic import Field
from starlette.responses import Response

from consumers.api.access import Viewer
from consumers.api.backlog import Backlog
from consumers.api.decisions import AccountFilter
from consumers.api.front import Front
from consumers.api.models import Answer
from consumers.api.reels import Wish
from consumers.api.rows import answer
from consumers.api.streams import EventStream, Streams, place_named, spoken
from consumers.api.trade_tape import TOPICS, TradeKind, TradeTape

Kinds = Annotated[list[TradeKind], Query(description="What to follow; all four unless said.")]


class HappenedOut(Answer):
    """One event, as a stream tells it."""

    event: TradeKind
    id: str = Field(description="`Last-Event-ID`, to be told what comes after it.")
    data: dict[str, Any] = Field(description="As the topic's schema has it.")


class HappenedLatelyOut(Answer):
    """Events that this service still has in memory, the oldest first."""

    events: list[HappenedOut]
    id: str = Field(description="`Last-Event-ID`, to be told what comes from now on.")


class TradeStream:
    """The route that tells what happens."""

    def __init__(self, front: Front) -> None:
        service = front.service
        self._tape = TradeTape(service.catalogue, service.settings)
        self._streams = Streams(self._tape, Backlog(service.settings), service.metrics.registry)
        service.before(self._tape.begin)
        service.on_batch(list(TOPICS), self._tape.on_records)
        service.after(self._tape.close)

    def router(self) -> APIRouter:
        router = APIRouter(tags=["trading"])
        stream = {"text/event-stream": {"schema": {"type": "string"}}}
        answers: dict[int | str, dict[str, Any]] = {
            200: {"description": "The last; with `Accept: text/event-stream` all that follows.", "content": stream}
        }
        router.get(
            "/trading/events",
            summary="What happens: orders, fills, positions, risk events; also as a stream",
            response_model=HappenedLatelyOut,
            responses=answers,
        )(self.events)
        return router

    async def events(
        self,
        request: Request,
        caller: Viewer,
        kinds: Kinds = [*TradeKind],  # noqa: B006 # FastAPI copies defaults
        account_id: AccountFilter = None,
        last_event_id: Annotated[str | None, Header(description="The last id seen: what came since is told.")] = None,
    ) -> Response:
        """`Accept: text/event-stream`: events `begin`, then `order`, `fill`, `position`, `risk` as they come.

        `gap` tells of events that will not come: kept no longer, or they came faster than the client took them.
        """
        wish = Wish(account_id, kinds, place_named(last_event_id, TradeKind))
        if "text/event-stream" in request.headers.get("accept", ""):
            self._streams.refuse_too_many(caller)
            return EventStream(self._streams, caller, wish)
        place, told = self._tape.lately(wish)
        said = spoken(told)
        return answer({"events": [{"event": name, "id": at, "data": data} for name, at, data in said], "id": place})
