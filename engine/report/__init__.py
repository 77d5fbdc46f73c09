"""The reports: HTML pages of a backtest, of several, and of a day of live trading; none asks anybody for anything."""

from engine.report.comparison import comparison
from engine.report.daily import daily
from engine.report.page import page

__all__ = ["comparison", "daily", "page"]
