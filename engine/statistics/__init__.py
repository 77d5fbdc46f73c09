"""What a run's equity and round trips amount to: figures with their definitions, and how sure they are."""

from engine.statistics.brief import Brief
from engine.statistics.confidence import intervals
from engine.statistics.figures import metrics
from engine.statistics.model import StrategyMetrics
from engine.statistics.sessions import periods_per_year, session_ends, session_returns

__all__ = [
    "Brief",
    "StrategyMetrics",
    "intervals",
    "metrics",
    "periods_per_year",
    "session_ends",
    "session_returns",
]
