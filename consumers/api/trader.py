"""The algo trader's HTTP service: orders, what is held, limits, whether trading is allowed, live strategies."""

import asyncio

from fastapi import FastAPI

from consumers.api.allocation import Allocation
from consumers.api.application import About
from consumers.api.closing import Closing
from consumers.api.decisions import Decisions
from consumers.api.deploying import Deploying
from consumers.api.emergency import Emergency
from consumers.api.front import Front
from consumers.api.limits import Limits
from consumers.api.live_strategies import LiveStrategies
from consumers.api.orders import Orders
from consumers.api.performance import Performance
from consumers.api.placing import Placing
from consumers.api.portfolio import Portfolio
from consumers.api.positions import Positions
from consumers.api.prices import Prices
from consumers.api.reconciling import Reconciling
from consumers.api.risk_checks import RiskChecks
from consumers.api.risk_events import RiskEvents
from consumers.api.risk_figures import RiskFigures
from consumers.api.trade_stream import TradeStream
from consumers.api.trading import Trading
from consumers.api.views import Latest
from infra.garbage import spare_the_collector
from infra.settings import Settings
from schemas.account import RiskLimits
from schemas.market import Bar, Quote
from schemas.strategy import AllocationPlan, StrategyState

ABOUT = About(
    "SCIZOR algo trader",
    "Orders with their trail from wish to execution, positions and balances as the fills and the broker tell them, "
    "risk decisions and limits, halting and arming, and commands to live strategies. "
    "Changes answer 202: the event is published, and risk judges every order, also one placed here.",
)


def build(front: Front) -> FastAPI:
    """Wire views and routes."""
    prices = Prices()
    limits = Latest[RiskLimits](lambda told: told.scope)
    strategies = Latest[StrategyState](lambda state: state.strategy_id)
    front.remember_prices({Bar: prices.bars, Quote: prices.quotes})
    front.remember(RiskLimits, limits, fold=True)
    front.remember(StrategyState, strategies, fold=True)
    plans = Latest[AllocationPlan](lambda plan: plan.account_id)
    front.remember(AllocationPlan, plans, fold=True)
    figures = RiskFigures(front)
    placing = Placing(front, prices)
    routes = (
        Orders(front, placing),
        Portfolio(front),
        Closing(front, placing, figures),
        Reconciling(front),
        Positions(front, figures),
        Decisions(front),
        Limits(front, limits),
        figures,
        RiskEvents(front),
        RiskChecks(front, figures, placing, prices),
        Trading(front),
        TradeStream(front),
        Performance(front, strategies),
        Emergency(front),
        Deploying(front, strategies),
        LiveStrategies(front, strategies),
        Allocation(front, plans, strategies),
    )
    return front.app(ABOUT, [each.router() for each in routes])


def main() -> None:
    front = Front("api_trader", Settings())
    app = build(front)
    spare_the_collector()
    asyncio.run(front.service.run(app))


if __name__ == "__main__":
    main()
