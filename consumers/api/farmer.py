"""The data farmer's HTTP service: symbols, collection runs, stored bars, live data."""

import asyncio

from fastapi import FastAPI

from consumers.api.actions import Actions
from consumers.api.application import About
from consumers.api.bars import Bars
from consumers.api.collection_health import CollectionHealth
from consumers.api.collections import Collections, Requested
from consumers.api.coverage import Coverages
from consumers.api.front import Front
from consumers.api.history import History
from consumers.api.live_health import live_facts
from consumers.api.names import Names
from consumers.api.quarantine import Quarantine
from consumers.api.realtime import RealTime
from consumers.api.subscriptions import LiveData, want_key
from consumers.api.symbols import Symbols
from consumers.api.views import Latest
from infra.garbage import spare_the_collector
from infra.settings import Settings
from schemas.collection import CollectionRun
from schemas.market import Subscription, Want
from schemas.validation import Symbol

ABOUT = About(
    "SCIZOR data farmer",
    "Search the symbol registry, have symbols validated and history collected, read stored bars, "
    "want live data. Changes answer 202: the event is published, its outcome is told under `Location`.",
)


def build(front: Front) -> FastAPI:
    """Wire views and routes."""
    runs = Latest[CollectionRun](lambda run: run.run_id, keys_max=1000)
    wants = Latest[Want](want_key)
    subscriptions = Latest[Subscription](lambda subscription: str(subscription.contract_id))
    requested = Requested()
    health = CollectionHealth(front)
    front.remember(CollectionRun, runs, fold=False)
    front.remember(Want, wants, fold=True)
    front.remember(Subscription, subscriptions, fold=True)
    registry = Latest[Symbol](lambda entry: entry.symbol_id)
    front.remember(Symbol, registry, fold=True)
    names = Names(front, registry)
    realtime = RealTime(front, subscriptions, names)
    routes = (
        Symbols(front, requested, runs),
        Collections(front, runs, requested),
        Bars(front, names),
        History(front),
        Coverages(front),
        Quarantine(front),
        Actions(front),
        LiveData(front, wants, subscriptions, realtime.tape, names),
        realtime,
    )
    app = front.app(ABOUT, [each.router() for each in routes], lambda: health.facts() | live_facts(subscriptions))
    realtime.attach(app)
    return app


def main() -> None:
    front = Front("api_farmer", Settings())
    app = build(front)
    spare_the_collector()
    asyncio.run(front.service.run(app))


if __name__ == "__main__":
    main()
