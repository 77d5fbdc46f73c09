"""How risk stands: exposure, use of limits, value at risk, drawdown; all by the same book that orders are judged on."""

from dataclasses import asdict
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncConnection

from consumers.api.access import Viewer
from consumers.api.decisions import AccountFilter
from consumers.api.front import Front
from consumers.api.models import Answer, Exact
from consumers.api.problems import ConflictError, InvalidError, NotFoundError
from engine.account_book import AccountBook
from engine.account_figures import Exposure, exposures, pnl_today, uses
from engine.account_rows import account_book
from engine.portfolio import exactly
from engine.portfolio_risk import SESSIONS_MIN, concentration_of, outcomes_of, tail_of
from engine.trading_state import account_scope, mode_of
from infra.calendars.open_now import in_session
from infra.store import book, risk_queries
from infra.store.book import Asked
from schemas.account import TradingMode
from schemas.event import UtcTime

_YEARS = timedelta(days=6 * 366)


class ExposureOut(Answer):
    """One contract. Money is in the account's base currency."""

    contract_id: int
    symbol: str
    currency: str
    position: Exact
    open_buys: Exact = Field(description="What orders in flight may still buy, at worst.")
    open_sells: Exact
    open_orders: int
    price: Exact | None = Field(description="The newest that risk has seen.")
    rate: Exact | None = Field(description="Of the contract's currency in the base currency.")
    value: Exact = Field(description="Of the position; negative when short.")
    worst_quantity: Exact
    worst: Exact = Field(description="What it may be worth when all that is in flight fills on one side.")
    unrealised: Exact
    share: float | None = Field(description="Of the gross value of all positions.")


class ExposuresOut(Answer):
    """What an account has at stake."""

    account_id: str
    currency: str
    gross: Exact
    net: Exact
    gross_worst: Exact = Field(description="With all that is in flight at its worst; the figure that limits look at.")
    largest_share: float | None
    herfindahl: float | None = Field(description="Concentration: 1 for one position, 1/n for n equal ones.")
    contracts: list[ExposureOut]


class UseOut(Answer):
    """How much of a limit is used."""

    limit: str
    used: Exact
    most: Exact
    share: float | None


class StatusOut(Answer):
    """Whether an account may trade, and how its day goes."""

    account_id: str
    mode: TradingMode = Field(description="The strictest of the account's and the global one.")
    currency: str
    limits_version: int | None = Field(description="null: no limits, nothing trades.")
    net_liquidation: Exact | None
    peak: Exact | None
    drawdown: float | None = Field(description="How far below its peak the account is, as a fraction of the peak.")
    buying_power: Exact | None = Field(
        description="As told, less what has filled since and what orders in flight may need."
    )
    initial_margin: Exact | None
    maintenance_margin: Exact | None
    told_at: UtcTime | None = Field(description="When the broker said so.")
    realised_today: Exact
    unrealised_today: Exact
    pnl_today: Exact
    open_orders: int


class VarOut(Answer):
    """What a day could cost, by what past sessions would have done to today's positions."""

    account_id: str
    currency: str
    confidence: float
    value_at_risk: float = Field(description="A loss that was passed in a share of 1 - confidence of the sessions.")
    expected_shortfall: float = Field(description="The mean loss of those sessions.")
    sessions: int = Field(description="How many were looked at.")
    method: str = "historical simulation over daily closes, horizon one session"
    source: str = "Hull, Options, Futures, and Other Derivatives; Acerbi and Tasche (2002) for expected shortfall"


class ReportOut(Answer):
    """Everything about an account's risk in one answer."""

    made_at: UtcTime
    status: StatusOut
    utilisation: list[UseOut]
    exposure: ExposuresOut
    var: VarOut | None
    var_missing: str = Field(description="Why there is no value at risk; empty when there is.")
    events_today: dict[str, int] = Field(description="Denials and stops of the last 24 hours, by rule.")


Confidence = Annotated[float, Query(ge=0.9, le=0.999, description="Expected shortfall is usually told at 0.975.")]
Sessions = Annotated[int, Query(ge=SESSIONS_MIN, le=1500)]


class RiskFigures:
    """Routes about how risk stands."""

    def __init__(self, front: Front) -> None:
        self._front = front

    def router(self) -> APIRouter:
        router = APIRouter(tags=["risk"])
        router.get("/risk/status", summary="Whether an account may trade, and how its day goes")(self.status)
        router.get("/risk/utilisation", summary="How far limits are used")(self.utilisation)
        router.get("/risk/exposure", summary="What is at stake, by contract")(self.exposure)
        router.get("/risk/var", summary="Value at risk and expected shortfall")(self.var)
        router.get("/risk/report", summary="All of it in one answer")(self.report)
        return router

    async def status(self, caller: Viewer, account_id: AccountFilter = None) -> StatusOut:
        """Without `account_id` the only account there is."""
        return await self._status(await self.book(account_id))

    async def utilisation(self, caller: Viewer, account_id: AccountFilter = None) -> list[UseOut]:
        """Orders in flight count at their worst. The most used limit comes first."""
        return _uses(await self.book(account_id))

    async def exposure(self, caller: Viewer, account_id: AccountFilter = None) -> ExposuresOut:
        """By the newest prices that risk has seen, in the account's base currency."""
        return _exposures(await self.book(account_id))

    async def var(
        self,
        caller: Viewer,
        account_id: AccountFilter = None,
        confidence: Confidence = 0.975,
        sessions: Sessions = 500,
    ) -> VarOut:
        """By historical simulation over the daily closes in the database; 409 where those are too few."""
        return await self._var(await self.book(account_id), confidence, sessions)

    async def report(self, caller: Viewer, account_id: AccountFilter = None) -> ReportOut:
        """What somebody who answers for the account looks at once a day."""
        found = await self.book(account_id)
        missing, var = "", None
        try:
            var = await self._var(found, 0.975, 500)
        except ConflictError as error:
            missing = str(error)
        now = self._front.service.clock.now()
        async with self._front.reading() as connection:
            events = await risk_queries.denials_since(connection, found.account_id, now - timedelta(days=1))
        return ReportOut(
            made_at=now,
            status=await self._status(found),
            utilisation=_uses(found),
            exposure=_exposures(found),
            var=var,
            var_missing=missing,
            events_today=events,
        )

    async def book(self, account_id: str | None, asked: Asked | None = None) -> AccountBook:
        """The account's book as it is now; of the only account when none is named."""
        now = self._front.service.clock.now()
        async with self._front.reading() as connection:
            account_id = account_id or await self._only_account(connection)
            row = await book.read(connection, asked or Asked(account_id), now)
            market_time: datetime = await risk_queries.market_time(connection) or now
        if row is None:
            raise NotFoundError(
                f"risk knows no account {account_id!r}: it hears of one with its first order or balance"
            )
        return account_book(account_id, row, market_time, in_session)

    async def _only_account(self, connection: AsyncConnection) -> str:
        known = [row["account_id"] for row in await risk_queries.accounts(connection)]
        if not known:
            raise NotFoundError("no account is known yet: the executor tells them once it has reached the gateway")
        if len(known) > 1:
            raise InvalidError(f"there are several accounts: name one of {', '.join(known)} in account_id")
        return str(known[0])

    async def _status(self, found: AccountBook) -> StatusOut:
        async with self._front.reading() as connection:
            rows = {row["account_id"]: row for row in await risk_queries.accounts(connection)}
        told = rows.get(found.account_id)
        limits = found.limits.get(account_scope(found.account_id))
        worth, peak = (told["net_liquidation"], told["peak"]) if told else (None, None)
        unrealised = found.unrealised_now - found.unrealised_before
        return StatusOut(
            account_id=found.account_id,
            mode=mode_of(found.modes, found.account_id),
            currency=found.account.currency,
            limits_version=limits.version if limits else None,
            net_liquidation=worth,
            peak=peak,
            drawdown=float(1 - worth / peak) if worth is not None and peak else None,
            buying_power=found.buying_power,
            initial_margin=told["initial_margin"] if told else None,
            maintenance_margin=told["maintenance_margin"] if told else None,
            told_at=found.account.told_at,
            realised_today=found.realised_today,
            unrealised_today=unrealised,
            pnl_today=pnl_today(found),
            open_orders=sum(each.works for each in found.in_flight.values()),
        )

    async def _var(self, found: AccountBook, confidence: float, sessions: int) -> VarOut:
        values = {each.contract_id: float(each.value) for each in exposures(found) if each.position}
        tail, count = None, 0
        if values:
            async with self._front.reading() as connection:
                until = await risk_queries.market_time(connection) or self._front.service.clock.now()
                closes = await risk_queries.daily_closes(connection, sorted(values), until - _YEARS, until)
            outcomes = outcomes_of(values, closes)[-sessions:]
            count = len(outcomes)
            if count < SESSIONS_MIN:
                raise ConflictError(
                    f"there are {count} sessions for which every position has a daily close, at least {SESSIONS_MIN} "
                    "are needed: collect daily bars of what is held"
                )
            tail = tail_of(outcomes, confidence)
        return VarOut(
            account_id=found.account_id,
            currency=found.account.currency,
            confidence=confidence,
            value_at_risk=tail.value_at_risk if tail else 0.0,
            expected_shortfall=tail.expected_shortfall if tail else 0.0,
            sessions=count,
        )


def _uses(found: AccountBook) -> list[UseOut]:
    return [UseOut(limit=each.limit, used=each.used, most=each.most, share=each.share) for each in uses(found)]


def _exposures(found: AccountBook) -> ExposuresOut:
    known: list[Exposure] = exposures(found)
    gross = sum((abs(each.value) for each in known), Decimal(0))
    concentration = concentration_of([float(each.value) for each in known])
    return ExposuresOut(
        account_id=found.account_id,
        currency=found.account.currency,
        gross=exactly(gross),
        net=exactly(sum((each.value for each in known), Decimal(0))),
        gross_worst=exactly(sum((each.worst for each in known), Decimal(0))),
        largest_share=concentration.largest_share if concentration else None,
        herfindahl=concentration.herfindahl if concentration else None,
        contracts=[
            ExposureOut(**asdict(each), share=float(abs(each.value) / gross) if gross else None) for each in known
        ],
    )
