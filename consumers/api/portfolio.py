"""What is held: executions, positions, balances."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import Field

from consumers.api.access import Viewer
from consumers.api.decisions import AccountFilter
from consumers.api.front import Front
from consumers.api.models import Answer, Exact, Limit, Offset, Page
from consumers.api.problems import InvalidError, NotFoundError
from consumers.api.rows import fields, page, told
from infra.store import pages, queries
from infra.store.queries import Slice
from schemas.event import UtcTime
from schemas.orders import Side


class FillOut(Answer):
    """One execution that counts, its newest revision."""

    execution_id: str
    revision: int
    order_id: str = Field(description="Ours; empty when the order was not placed by SCIZOR.")
    account_id: str
    strategy_id: str
    contract_id: int
    symbol: str
    currency: str
    side: Side
    last_quantity: Exact
    last_price: Exact
    exchange: str
    commission: Exact | None = Field(description="null: not yet told.")
    commission_currency: str | None
    event_time: UtcTime


class PositionOut(Answer):
    """Signed quantity and average price of one contract in one account, folded from all fills."""

    account_id: str
    contract_id: int
    symbol: str
    currency: str
    quantity: Exact = Field(description="Positive long, negative short.")
    average_price: Exact
    realised_pnl: Exact
    commission: Exact
    fills: int
    event_time: UtcTime


class AccountOut(Answer):
    """Balances as the broker tells them."""

    account_id: str
    currency: str
    net_liquidation: Exact
    cash: Exact
    buying_power: Exact
    positions: dict[str, Exact] = Field(description="Quantity by contract id, as the broker counts.")
    event_time: UtcTime
    ingest_time: UtcTime = Field(description="When it was received.")


class Portfolio:
    """Routes about what is held."""

    def __init__(self, front: Front) -> None:
        self._front = front

    def router(self) -> APIRouter:
        router = APIRouter(tags=["portfolio"])
        get = router.get
        get("/fills", summary="Executions that count, the latest first", response_model=Page[FillOut])(self.list_fills)
        get("/positions", summary="Positions by account and symbol", response_model=Page[PositionOut])(
            self.list_positions
        )
        router.get("/account", summary="Balances of an account")(self.account)
        return router

    async def list_fills(
        self,
        caller: Viewer,
        account_id: AccountFilter = None,
        order_id: Annotated[str | None, Query(max_length=40)] = None,
        limit: Limit = 100,
        offset: Offset = 0,
    ) -> Response:
        wanted = {"account_id": account_id, "order_id": order_id}
        row = await self._front.ask(pages.fill_page(Slice(limit, offset), fields(FillOut), **wanted))
        return page(told(row["json"]), limit, offset)

    async def list_positions(
        self,
        caller: Viewer,
        account_id: AccountFilter = None,
        open_only: Annotated[bool, Query(description="false: also what was closed.")] = True,
        limit: Limit = 100,
        offset: Offset = 0,
    ) -> Response:
        part, wanted = Slice(limit, offset), {"account_id": account_id}
        row = await self._front.ask(pages.position_page(part, fields(PositionOut), open_only=open_only, **wanted))
        return page(told(row["json"]), limit, offset)

    async def account(self, caller: Viewer, account_id: AccountFilter = None) -> AccountOut:
        """Without `account_id` the only account there is."""
        return await account_of(self._front, account_id)


async def account_of(front: Front, account_id: str | None) -> AccountOut:
    """The account of this id, or the only one."""
    async with front.reading() as connection:
        rows = await queries.accounts(connection)
    known = {row["account_id"]: row for row in rows}
    if not known:
        raise NotFoundError("no account is known yet: the executor tells them once it has reached the gateway")
    names = ", ".join(known)
    if account_id is None:
        if len(known) > 1:
            raise InvalidError(f"there are several accounts: name one of {names} in account_id")
        (account_id,) = known
    if account_id not in known:
        raise NotFoundError(f"no account {account_id!r}: there is {names}")
    return AccountOut.model_validate(dict(known[account_id]))
