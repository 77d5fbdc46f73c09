"""Events and values for tests: everything has a default, a test names only what it is about."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from schemas.account import TradingMode, TradingState
from schemas.market import Bar, HistoricalBar, Source, Tick
from schemas.orders import CancelIntent, Fill, ModifyIntent, OrderIntent, OrderType, Side
from schemas.validation import Contract

NOON = datetime(2013, 2, 28, 17, 0, tzinfo=UTC)
SEEN = datetime(2026, 11, 21, 5, 0, tzinfo=UTC)
APPLE = 265598


def _bar_fields(**changes: Any) -> dict[str, Any]:
    size = changes.get("bar_size", timedelta(seconds=5))
    start = changes.get("start", NOON)
    fields = {
        "contract_id": APPLE,
        "symbol": "AAPL",
        "bar_size": size,
        "start": start,
        "event_time": start + size,
        "ingest_time": SEEN,
        "open": 440.0,
        "high": 441.5,
        "low": 439.25,
        "close": 441.0,
        "volume": 1200.0,
        "source": Source.DERIVED,
    }
    return fields | changes


def a_bar(**changes: Any) -> Bar:
    return Bar(**_bar_fields(**changes))


def a_historical_bar(**changes: Any) -> HistoricalBar:
    return HistoricalBar(**_bar_fields(**changes))


def a_tick(**changes: Any) -> Tick:
    fields = {
        "event_time": NOON,
        "ingest_time": SEEN,
        "contract_id": APPLE,
        "symbol": "AAPL",
        "price": 440.5,
        "size": 100.0,
        "source": Source.DERIVED,
    }
    return Tick(**(fields | changes))


def an_intent(**changes: Any) -> OrderIntent:
    fields = {
        "event_time": NOON,
        "ingest_time": SEEN,
        "intent_id": "intent-1",
        "account_id": "DU1234567",
        "strategy_id": "crossover",
        "contract_id": APPLE,
        "symbol": "AAPL",
        "side": Side.BUY,
        "quantity": Decimal(100),
        "order_type": OrderType.MARKET,
        "reference_price": Decimal("440.50"),
        "reference_time": SEEN,
    }
    return OrderIntent(**(fields | changes))


def as_seen(intent: OrderIntent) -> dict[str, Any]:
    """Of risk's book: what it has seen itself is what the strategy saw."""
    return {"price": intent.reference_price, "price_time": intent.reference_time, "currency": intent.currency}


def a_cancel(**changes: Any) -> CancelIntent:
    fields = {
        "event_time": NOON,
        "ingest_time": SEEN,
        "intent_id": "cancel-1",
        "account_id": "DU1234567",
        "strategy_id": "crossover",
        "order_id": "intent-1",
    }
    return CancelIntent(**(fields | changes))


def a_change(wanted: OrderIntent, **changes: Any) -> ModifyIntent:
    """A wish that an order become what is `wanted`."""
    fields = {
        "event_time": wanted.event_time,
        "ingest_time": wanted.ingest_time,
        "intent_id": "change-1",
        "account_id": wanted.account_id,
        "strategy_id": wanted.strategy_id,
        "order_id": wanted.intent_id,
        "wanted": wanted,
    }
    return ModifyIntent(**(fields | changes))


def a_fill(**changes: Any) -> Fill:
    fields = {
        "event_time": NOON,
        "ingest_time": SEEN,
        "execution_id": "0000e0d5.513f4f3a.01",
        "order_id": "intent-1",
        "broker_order_id": 1,
        "account_id": "DU1234567",
        "strategy_id": "crossover",
        "contract_id": APPLE,
        "symbol": "AAPL",
        "side": Side.BUY,
        "last_quantity": Decimal(100),
        "last_price": Decimal("440.52"),
    }
    return Fill(**(fields | changes))


def a_contract(**changes: Any) -> Contract:
    fields = {
        "event_time": NOON,
        "ingest_time": SEEN,
        "contract_id": APPLE,
        "symbol": "AAPL",
        "exchange": "SMART",
        "primary_exchange": "NASDAQ",
        "currency": "USD",
        "name": "APPLE INC",
        "minimum_tick": 0.01,
        "time_zone": "America/New_York",
        "daily_source": Source.REAL,
        "intraday_source": Source.DERIVED,
    }
    return Contract(**(fields | changes))


def a_trading_state(**changes: Any) -> TradingState:
    fields = {
        "event_time": NOON,
        "ingest_time": SEEN,
        "scope": "account:DU1234567",
        "mode": TradingMode.ACTIVE,
        "reason": "test",
        "by": "test",
    }
    return TradingState(**(fields | changes))
