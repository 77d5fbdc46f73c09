"""The portfolio: positions, round trips and the report of each day."""

from consumers.portfolio.portfolio import build

__all__ = ["build"]
