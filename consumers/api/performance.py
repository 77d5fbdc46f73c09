"""How trading has done so far, by the code that makes the figures of a backtest and the reports of days."""

from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field

from consumers.api.access import Viewer
from consumers.api.decisions import AccountFilter
from consumers.api.front import Front
from consumers.api.models import Answer, Day, Exact
from consumers.api.portfolio import account_of
from consumers.api.problems import NotFoundError
from consumers.api.slow_answers import SlowAnswers
from consumers.api.views import Latest
from infra import day_material
from infra.settings import Settings
from infra.store import daily
from infra.store.database import Store
from schemas.event import UtcTime
from schemas.order_words import MANUAL
from schemas.strategy import StrategyState

Asked = tuple[str, str | None, date | None]
"""Account, strategy, day."""
DayAsked = Annotated[
    Day | None,
    Query(
        description="The last on which anything happened, unless said; before that, the market's day.",
        examples=["2013-02-28"],
    ),
]


class DayPnlOut(Answer):
    """What the day has earned, in the account's currency; null where a price or a rate is missing or stale."""

    realised: Exact | None
    unrealised: Exact | None = Field(description="Its change over the day.")
    commission: Exact | None
    net: Exact | None
    traded: Exact | None = Field(description="The value of all executions.")
    executions: int


class PerformanceOut(Answer):
    """An account, or one strategy in it, from its first execution up to a day."""

    account_id: str
    strategy_id: str | None
    day: date | None = Field(
        description="In New York; its end is where the figures end. Null while nothing has happened, and no price has "
        "told which day it is at the market."
    )
    made_at: UtcTime
    currency: str
    pnl: DayPnlOut
    trades_today: int = Field(description="Round trips that ended on the day.")
    denials_today: int
    metrics: dict[str, float] | None = Field(
        description="As of a backtest, by the last price of every day; null while nothing was traded, or where a rate "
        "is missing or stale. A figure that has too little to go by is left out."
    )
    to_know: list[str] = Field(description="Why a figure is missing, or less sure than it looks.")


class Performance:
    """The route about how trading does. It takes all executions to find it."""

    def __init__(self, front: Front, strategies: Latest[StrategyState]) -> None:
        self._front = front
        self._strategies = strategies
        self._answers: SlowAnswers[Asked, PerformanceOut] = SlowAnswers(self._look, front.service.clock)

    def router(self) -> APIRouter:
        router = APIRouter(tags=["trading"])
        router.get("/trading/performance", summary="How an account or a strategy has done")(self.performance)
        return router

    async def performance(
        self,
        caller: Viewer,
        account_id: AccountFilter = None,
        strategy_id: Annotated[str | None, Query(min_length=1, max_length=128)] = None,
        day: DayAsked = None,
    ) -> PerformanceOut:
        """The figures of `scizor live report`, without what only quotes tell."""
        account = await account_of(self._front, account_id)
        return await self._answers.of((account.account_id, strategy_id, day))

    async def _look(self, asked: Asked) -> PerformanceOut:
        """With a connection of its own, as it has a thread: folding many executions keeps nobody waiting."""
        account_id, strategy_id, day = asked
        settings: Settings = self._front.service.settings
        now = self._front.service.clock.now()
        store = Store(settings, self._front.service.name, pool_size=1)
        try:
            await self._refuse_unknown(store, account_id, strategy_id)
            known = await day_material.day_asked(store, account_id, day, now)
            wanted = daily.day_of(account_id, known or now.astimezone(daily.ZONE).date(), strategy_id)
            material = await day_material.figures_material(store, wanted, now)
        finally:
            await store.close()
        return PerformanceOut.model_validate(_figures(material) | {"day": known})

    async def _refuse_unknown(self, store: Store, account_id: str, strategy_id: str | None) -> None:
        """Neither deployed nor ever a trader: zeros would look like a day without trades."""
        if strategy_id is None or strategy_id == MANUAL or self._strategies.get(strategy_id) is not None:
            return
        async with store.reading() as connection:
            traders = await daily.traders(connection, account_id)
        if strategy_id not in traders:
            raise NotFoundError(
                f"no strategy {strategy_id!r} is deployed or has ever traded for {account_id}: "
                "GET /trading/strategies lists those that were deployed"
            )


def _figures(material: day_material.Material) -> dict[str, Any]:
    from engine.daily import DayBook, Window  # the engine, hence not at import
    from engine.daily_document import prices_of, to_know
    from engine.daily_metrics import figures_of, notes_on

    prices = prices_of(material)
    window = Window(material["begins"], material["ends"])
    book = DayBook([*material["events"], *material["later"]], window, material["strategy_id"])
    contracts = book.contracts(prices)
    metrics = figures_of(material, prices, book)
    as_they_are = ("account_id", "strategy_id", "day", "made_at", "trades_today", "denials_today")
    return {
        **{name: material[name] for name in as_they_are},
        "currency": (material["account"] or {}).get("currency", ""),
        "pnl": vars(book.totals(contracts, prices)),
        "metrics": metrics,
        "to_know": [*to_know(contracts, book.commissions(), prices, material), *notes_on(metrics)],
    }
