"""The backtester's HTTP service: which strategies there are, backtests and their reports."""

import asyncio

from fastapi import FastAPI

from consumers.api.application import About
from consumers.api.backtest_progress import Followed
from consumers.api.backtest_results import BacktestResults
from consumers.api.backtests import Backtests
from consumers.api.catalog import StrategyCatalog
from consumers.api.front import Front
from consumers.api.optimizations import Optimizations
from consumers.api.views import Latest
from infra.garbage import spare_the_collector
from infra.sandbox.canary import SandboxGate
from infra.settings import Settings
from schemas.backtest import BacktestProgress
from schemas.research import OptimizationProgress

ABOUT = About(
    "SCIZOR backtester",
    "Request backtests, follow them, read their results and reports, compare them. A backtest is a replay of the "
    "stored bars: the same request on the same bars gives the same result hash. Search parameters, and be told what "
    "the best of them are worth after so many trials.",
)


def build(front: Front) -> FastAPI:
    """Wire views and routes."""
    progress = Latest[BacktestProgress](lambda told: told.backtest_id, keys_max=1000)
    front.remember(BacktestProgress, progress, fold=False)
    gate = SandboxGate(front.service.clock, front.service.settings.home)
    front.service.before(gate.prove)
    catalog = StrategyCatalog(front, gate)
    searched = Latest[OptimizationProgress](lambda told: told.optimization_id, keys_max=1000)
    front.remember(OptimizationProgress, searched, fold=False)
    backtests = Backtests(front, progress, catalog.pinned)
    routers = [
        catalog.router(),
        BacktestResults(front, backtests).router(),  # before it, since /backtests/compare is no id
        backtests.router(),
        Followed(front, backtests, progress).router(),
        Optimizations(front, searched, catalog).router(),
    ]
    return front.app(ABOUT, routers, gate.facts)


def main() -> None:
    front = Front("api_backtester", Settings())
    app = build(front)
    spare_the_collector()
    asyncio.run(front.service.run(app))


if __name__ == "__main__":
    main()
