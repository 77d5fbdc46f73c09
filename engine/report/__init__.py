"""The reports: an HTML page of one backtest and one that compares several; neither asks anybody for anything."""

from engine.report.comparison import comparison
from engine.report.page import page

__all__ = ["comparison", "page"]
