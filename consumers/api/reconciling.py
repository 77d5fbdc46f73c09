"""Comparisons of our books with the broker's that somebody asks for; the executor makes them, and this tells them."""

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Response
from pydantic import Field

from consumers.api.access import Caller, Trader, Viewer
from consumers.api.changes import Change
from consumers.api.front import Front
from consumers.api.models import Accepted, Answer, Body
from consumers.api.portfolio import account_of
from consumers.api.problems import NotFoundError, TooManyError
from consumers.api.views import Latest
from schemas.event import Name, UtcTime
from schemas.reconciliation import Reconciled, ReconciliationAsked

_WAITING_MAX = 100
_LISTED_MAX = 100
_PLACE = "/positions/reconciliations"


class ReconcileIn(Body):
    """Whose books are to be compared."""

    account_id: Name | None = Field(None, description="May be left out when there is only one account.")


class ReconciliationOut(Answer):
    """A comparison that was asked for."""

    request_id: str
    account_id: str
    by: str
    asked_at: UtcTime
    state: Literal["waiting", "done"] = Field(
        description="It waits while the executor cannot ask the gateway: /trading/state tells why."
    )
    agree: bool | None = Field(description="null while it waits.")
    troubles: list[str] = Field(description="What does not agree: the account is halted until it does.")
    done_at: UtcTime | None


class Reconciling:
    """Routes about comparisons; also those of before a restart, for as long as the topic keeps them."""

    def __init__(self, front: Front) -> None:
        self._front = front
        self._asked = Latest[ReconciliationAsked](lambda asked: asked.request_id, keys_max=_LISTED_MAX * 10)
        self._done = Latest[Reconciled](lambda done: done.request_id, keys_max=_LISTED_MAX * 10)
        front.remember(ReconciliationAsked, self._asked, fold=True)
        front.remember(Reconciled, self._done, fold=True)

    def router(self) -> APIRouter:
        router = APIRouter(tags=["portfolio"])
        router.post("/positions/reconcile", status_code=202, summary="Compare our books with the broker's")(self.ask)
        router.get(_PLACE, summary="Comparisons that were asked for, the latest first")(self.list_all)
        router.get(f"{_PLACE}/{{request_id}}", summary="What one of them has found")(self.show)
        return router

    async def ask(self, caller: Trader, response: Response, whose: ReconcileIn | None = None) -> Accepted:
        """Publishes the request; `location` tells the outcome. Orders, executions and positions are compared."""
        body = whose or ReconcileIn()
        account = await account_of(self._front, body.account_id)
        if sum(self._done.get(each.request_id) is None for each in self._asked.all()) >= _WAITING_MAX:
            raise TooManyError(f"{_WAITING_MAX} comparisons wait already: GET {_PLACE} lists them")
        asked = self._request(caller, account.account_id)
        change = Change("POST /positions/reconcile", account.account_id, after=body)
        await self._front.changes.make(caller, change, [asked])
        self._asked.apply(asked, -1, 0)
        response.headers["Location"] = location = f"{_PLACE}/{asked.request_id}"
        return Accepted(id=asked.request_id, location=location)

    def _request(self, caller: Caller, account_id: str) -> ReconciliationAsked:
        now = self._front.service.clock.now()
        return ReconciliationAsked(
            request_id=self._front.service.entropy.new_id(),
            account_id=account_id,
            by=caller.actor,
            event_time=now,
            ingest_time=now,
        )

    async def list_all(self, caller: Viewer) -> list[ReconciliationOut]:
        found = sorted(self._asked.all(), key=lambda each: (each.event_time, each.request_id), reverse=True)
        return [self._told(each) for each in found[:_LISTED_MAX]]

    async def show(
        self, caller: Viewer, request_id: Annotated[str, Path(min_length=1, max_length=128)]
    ) -> ReconciliationOut:
        asked = self._asked.get(request_id)
        if asked is None:
            raise NotFoundError(f"no comparison {request_id!r}: GET {_PLACE} lists those of the last days")
        return self._told(asked)

    def _told(self, asked: ReconciliationAsked) -> ReconciliationOut:
        done = self._done.get(asked.request_id)
        return ReconciliationOut(
            request_id=asked.request_id,
            account_id=asked.account_id,
            by=asked.by,
            asked_at=asked.event_time,
            state="waiting" if done is None else "done",
            agree=None if done is None else not done.troubles,
            troubles=[] if done is None else list(done.troubles),
            done_at=None if done is None else done.event_time,
        )
