"""The service: what it folds, and what it tells of each day."""

from consumers.portfolio.keeper import PortfolioKeeper
from consumers.portfolio.reports import Reports
from infra.service import Service
from infra.settings import Settings
from infra.store.database import Store


def build(settings: Settings) -> Service:
    """The service, wired."""
    service = Service("portfolio", settings)
    store = Store(settings, "portfolio", pool_size=2)
    service.relay(store)
    PortfolioKeeper(service, store).wire()
    service.task("reports", Reports(service, store).run)
    return service
