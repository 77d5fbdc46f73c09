"""The exchange of a backtest: working orders meet bars and become executions."""

from engine.exchange.book import Exchange
from engine.exchange.costs import CostModelError, commission_model, slippage_model
from engine.exchange.orders import Execution, Order, order_of
from engine.exchange.rules import RuleError, Rules
from engine.exchange.working import Broker

__all__ = [
    "Broker",
    "CostModelError",
    "Exchange",
    "Execution",
    "Order",
    "RuleError",
    "Rules",
    "commission_model",
    "order_of",
    "slippage_model",
]
