"""Splits, dividends and the like: what is known of a symbol, and what a person adds or takes back."""

from datetime import date
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from pydantic import Field, model_validator

from consumers.api.access import Trader, Viewer
from consumers.api.changes import Change
from consumers.api.front import Front
from consumers.api.models import Accepted, Answer, Body, Flag, Moment
from consumers.api.symbols import SymbolPath, known_contract
from infra.corporate_actions import Terms, action_of, next_revision
from infra.store.corporate import actions_of
from schemas.corporate import CorporateAction

FIRST_DAY = date(1900, 1, 1)


class ActionIn(Body):
    """A corporate action, with the fields of its type; one of the same symbol, type and day is corrected by it."""

    symbol: Annotated[str, Field(min_length=1, max_length=64, examples=["AAPL"])]
    type: Literal["Split", "Dividend", "SymbolChanged", "Delisted"]
    ex_date: Annotated[date, Field(ge=FIRST_DAY, le=date(2100, 1, 1), description="The first day without it.")]
    new_shares: Annotated[float | None, Field(gt=0, le=100_000, allow_inf_nan=False)] = None
    old_shares: Annotated[float | None, Field(gt=0, le=100_000, allow_inf_nan=False)] = None
    amount: Annotated[float | None, Field(gt=0, le=1e9, allow_inf_nan=False, description="For each share.")] = None
    currency: Annotated[str | None, Field(min_length=3, max_length=3, pattern="^[A-Z]{3}$")] = None
    old_symbol: Annotated[str | None, Field(min_length=1, max_length=64)] = None
    new_symbol: Annotated[str | None, Field(min_length=1, max_length=64)] = None
    canceled: Flag = Field(False, description="It did not happen after all.")
    note: Annotated[str, Field(max_length=500)] = ""

    @model_validator(mode="after")
    def _complete(self) -> "ActionIn":
        self.terms().check()
        return self

    def terms(self) -> Terms:
        return Terms(
            self.type, self.ex_date, self.new_shares, self.old_shares, self.amount, self.currency,
            self.old_symbol, self.new_symbol, canceled=self.canceled, note=self.note,
        )  # fmt: skip


class ActionsOut(Answer):
    """Every revision that is known, in the order of the days; the highest revision of a type and day holds."""

    symbol: str
    contract_id: int
    items: list[CorporateAction]


class Actions:
    """Routes about corporate actions."""

    def __init__(self, front: Front) -> None:
        self._front = front

    def router(self) -> APIRouter:
        router = APIRouter(tags=["data"])
        router.get("/corporate-actions/{symbol}", summary="What a company did to its shares")(self.show)
        router.post("/corporate-actions", status_code=202, summary="Add or correct an action")(self.add)
        return router

    async def show(
        self,
        caller: Viewer,
        symbol: SymbolPath,
        as_of: Annotated[Moment, Query(description="Only what was known at this moment.")] = None,
    ) -> ActionsOut:
        contract = await known_contract(self._front, symbol)
        async with self._front.reading() as connection:
            found = await actions_of(connection, contract.contract_id, as_of)
        return ActionsOut(symbol=contract.symbol, contract_id=contract.contract_id, items=found)

    async def add(self, caller: Trader, body: ActionIn, response: Response) -> Accepted:
        """Publishes the action. What was known before stays known: `as_of` asks for it."""
        contract = await known_contract(self._front, body.symbol)
        terms = body.terms()
        async with self._front.reading() as connection:
            known = await actions_of(connection, contract.contract_id)
        now = self._front.service.clock.now()
        action = action_of(contract, terms, by=caller.label, revision=next_revision(known, terms), now=now)
        target = f"{contract.symbol} {action.type} {action.ex_date}"
        await self._front.changes.make(caller, Change("POST /corporate-actions", target, after=action), [action])
        location = f"/corporate-actions/{body.symbol}"
        response.headers["Location"] = location
        return Accepted(
            id=f"{contract.contract_id}.{action.type}.{action.ex_date}.{action.revision}", location=location
        )
