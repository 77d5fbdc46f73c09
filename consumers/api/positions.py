"""What positions have earned and may cost, by account and by symbol; all that is held is the fold of all fills."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from fastapi import APIRouter, Response
from pydantic import Field
from sqlalchemy import RowMapping

from consumers.api.access import Viewer
from consumers.api.decisions import AccountFilter
from consumers.api.front import Front
from consumers.api.models import Answer, Exact, Limit, Offset, Page
from consumers.api.portfolio import PositionOut, account_of
from consumers.api.problems import NotFoundError
from consumers.api.risk_figures import ExposuresOut, RiskFigures
from consumers.api.rows import fields, page, told
from consumers.api.symbols import SymbolPath, known_contract
from engine.account_book import AccountBook
from engine.account_figures import exposures, pnl_today
from engine.portfolio import exactly
from infra.store import position_pages
from infra.store.queries import Slice
from infra.store.questions import Question
from infra.symbol_names import ANY_EXCHANGE, parse_symbol
from schemas.event import UtcTime
from schemas.orders import Side

_ZERO = Decimal(0)
_PageOf = Callable[[Slice, tuple[str, ...], str, int], Question]


class TradeOut(Answer):
    """One round trip: from flat to flat, or through zero to the other side."""

    trade_id: str
    account_id: str
    strategy_id: str
    contract_id: int
    symbol: str
    side: Side = Field(description="Of what opened it.")
    quantity: Exact
    entry_price: Exact
    exit_price: Exact
    gross_pnl: Exact
    commission: Exact
    net_pnl: Exact
    opened_at: UtcTime
    closed_at: UtcTime


class StepOut(Answer):
    """What one execution did to the position, and the position after it."""

    execution_id: str
    revision: int
    strategy_id: str
    symbol: str
    currency: str
    change: Exact = Field(description="Signed.")
    price: Exact
    commission: Exact = Field(description="0 while it has not been told.")
    quantity: Exact = Field(description="Held afterwards, signed.")
    average_price: Exact
    realised_pnl: Exact = Field(description="Of the position up to then, before commissions.")
    event_time: UtcTime


class EarnedOut(Answer):
    """What one contract has earned, in its own currency."""

    contract_id: int
    symbol: str
    currency: str
    quantity: Exact
    average_price: Exact
    price: Exact | None = Field(description="The newest that risk has seen, else of the last execution.")
    priced_at: UtcTime | None = Field(description="When that price was received; null: it is an execution's.")
    rate: Exact | None = Field(description="Of its currency in the base currency; null: not known.")
    realised_pnl: Exact = Field(description="Before commissions.")
    unrealised_pnl: Exact | None = Field(description="null: there is no price.")
    commission: Exact
    net_pnl: Exact | None = Field(description="Realised and unrealised, less commissions.")


class PnlOut(Answer):
    """What an account's positions have earned since their first execution; sums are in its base currency."""

    account_id: str
    currency: str
    realised_pnl: Exact
    unrealised_pnl: Exact
    commission: Exact
    net_pnl: Exact
    pnl_today: Exact = Field(description="Realised and unrealised since the day began, as the limit of losses counts.")
    realised_today: Exact
    rates_told_at: UtcTime | None = Field(description="When the broker told the rates of currencies.")
    unvalued: list[str] = Field(description="Symbols that are missing in the sums: no price, or no rate.")
    contracts: list[EarnedOut]


class SummaryOut(Answer):
    """An account's positions in a few figures; money is in its base currency."""

    account_id: str
    currency: str
    positions: int = Field(description="How many are open.")
    long: int
    short: int
    gross: Exact
    net: Exact
    realised_pnl: Exact
    unrealised_pnl: Exact
    commission: Exact
    net_pnl: Exact
    pnl_today: Exact
    largest: str | None = Field(description="The symbol of which most is held.")
    unvalued: list[str]


@dataclass(frozen=True)
class _Sums:
    """In the base currency."""

    realised: Decimal
    unrealised: Decimal
    commission: Decimal
    unvalued: list[str]

    @property
    def net(self) -> Decimal:
        return exactly(self.realised + self.unrealised - self.commission)


class Positions:
    """Routes about positions; what changes them is in `closing`."""

    def __init__(self, front: Front, figures: RiskFigures) -> None:
        self._front = front
        self._figures = figures

    def router(self) -> APIRouter:
        router = APIRouter(tags=["portfolio"])
        get = router.get
        get("/positions/summary", summary="An account's positions in a few figures")(self.summary)
        get("/positions/pnl", summary="What they have earned, by contract")(self.pnl)
        get("/positions/exposure", summary="What is at stake, by contract")(self.exposure)
        get("/positions/{symbol}", summary="One position, also one that was closed")(self.show)
        get("/positions/{symbol}/trades", summary="Its round trips, the latest first", response_model=Page[TradeOut])(
            self.trades
        )
        get("/positions/{symbol}/history", summary="How it came to be what it is", response_model=Page[StepOut])(
            self.history
        )
        return router

    async def summary(self, caller: Viewer, account_id: AccountFilter = None) -> SummaryOut:
        """Without `account_id` of the only account there is."""
        book, earned = await self._earned(account_id)
        sums, held = _sums(earned), [each for each in exposures(book) if each.position]
        largest = max(held, key=lambda each: abs(each.value), default=None)
        return SummaryOut(
            account_id=book.account_id,
            currency=book.account.currency,
            positions=len(held),
            long=sum(each.position > 0 for each in held),
            short=sum(each.position < 0 for each in held),
            gross=sum((abs(each.value) for each in held), _ZERO),
            net=sum((each.value for each in held), _ZERO),
            realised_pnl=sums.realised,
            unrealised_pnl=sums.unrealised,
            commission=sums.commission,
            net_pnl=sums.net,
            pnl_today=pnl_today(book),
            largest=largest.symbol if largest else None,
            unvalued=sums.unvalued,
        )

    async def pnl(self, caller: Viewer, account_id: AccountFilter = None) -> PnlOut:
        """Closed positions are among them: what they have realised stays."""
        book, earned = await self._earned(account_id)
        sums = _sums(earned)
        return PnlOut(
            account_id=book.account_id,
            currency=book.account.currency,
            realised_pnl=sums.realised,
            unrealised_pnl=sums.unrealised,
            commission=sums.commission,
            net_pnl=sums.net,
            pnl_today=pnl_today(book),
            realised_today=book.realised_today,
            rates_told_at=book.account.told_at,
            unvalued=sums.unvalued,
            contracts=earned,
        )

    async def exposure(self, caller: Viewer, account_id: AccountFilter = None) -> ExposuresOut:
        """The same as `/risk/exposure`: with orders in flight, by the prices that risk has seen."""
        return await self._figures.exposure(caller, account_id)

    async def show(self, caller: Viewer, symbol: SymbolPath, account_id: AccountFilter = None) -> PositionOut:
        return PositionOut.model_validate(dict(await held_as(self._front, symbol, account_id)))

    async def trades(
        self,
        caller: Viewer,
        symbol: SymbolPath,
        account_id: AccountFilter = None,
        limit: Limit = 100,
        offset: Offset = 0,
    ) -> Response:
        """A round trip that a correction has undone is told no more."""
        names = fields(TradeOut)
        return await self._page(position_pages.trade_page, names, Slice(limit, offset), symbol, account_id)

    async def history(
        self,
        caller: Viewer,
        symbol: SymbolPath,
        account_id: AccountFilter = None,
        limit: Limit = 100,
        offset: Offset = 0,
    ) -> Response:
        """One step for each execution that counts, the latest first; a correction moves those behind it, too."""
        names = fields(StepOut)
        return await self._page(position_pages.step_page, names, Slice(limit, offset), symbol, account_id)

    async def _page(
        self, ask: _PageOf, names: tuple[str, ...], part: Slice, symbol: str, account_id: str | None
    ) -> Response:
        held = await held_as(self._front, symbol, account_id)
        asked = ask(part, names, held["account_id"], held["contract_id"])
        return page(told((await self._front.ask(asked))["json"]), part.limit, part.offset)

    async def _earned(self, account_id: str | None) -> tuple[AccountBook, list[EarnedOut]]:
        book = await self._figures.book(account_id)
        async with self._front.reading() as connection:
            rows = await position_pages.positions_of(connection, book.account_id)
        return book, [_earned(book, row) for row in rows]


async def held_as(front: Front, symbol: str, account_id: str | None) -> RowMapping:
    """The position that goes by this name in the account, or in the only one; also one that was closed."""
    account = await account_of(front, account_id)
    name = parse_symbol(symbol)
    async with front.reading() as connection:
        rows = await position_pages.positions_of(connection, account.account_id, name.symbol)
    if rows and (len(rows) > 1 or name.exchange != ANY_EXCHANGE):
        meant = await known_contract(front, symbol)
        rows = [row for row in rows if row["contract_id"] == meant.contract_id]
    if not rows:
        raise NotFoundError(
            f"nothing of {symbol} was ever held in {account.account_id}: GET /positions?open_only=false lists what was"
        )
    return rows[0]


def _earned(book: AccountBook, row: Any) -> EarnedOut:
    contract, quantity, average = row["contract_id"], row["quantity"], row["average_price"]
    price, mark = book.price_of(contract), book.marks.get(contract)
    unrealised = _ZERO if not quantity else None if price is None else exactly(quantity * (price - average))
    kept = row["realised_pnl"] - row["commission"]
    return EarnedOut(
        contract_id=contract,
        symbol=row["symbol"],
        currency=row["currency"],
        quantity=quantity,
        average_price=average,
        price=price,
        priced_at=mark.received_at if mark else None,
        rate=book.account.rate(row["currency"]),
        realised_pnl=row["realised_pnl"],
        unrealised_pnl=unrealised,
        commission=row["commission"],
        net_pnl=None if unrealised is None else exactly(kept + unrealised),
    )


def _sums(earned: list[EarnedOut]) -> _Sums:
    """What has no rate counts in no sum, what has no price in that of the unrealised; both are named."""
    realised = unrealised = commission = _ZERO
    unvalued = [each.symbol for each in earned if each.rate is None or each.unrealised_pnl is None]
    for each in earned:
        rate = each.rate or _ZERO
        realised += each.realised_pnl * rate
        unrealised += (each.unrealised_pnl or _ZERO) * rate
        commission += each.commission * rate
    return _Sums(exactly(realised), exactly(unrealised), exactly(commission), unvalued)
