"""A backtest as one JSON document: numbers as they were computed, the same keys for every run."""

from collections.abc import Mapping
from typing import Any

from schemas.backtest import BacktestFinished

_LEFT_OUT = {
    "type", "event_time", "ingest_time", "backtest_id", "result_hash", "metrics", "fills", "round_trips", "equity",
    "benchmark", "prices",
}  # fmt: skip


def document(told: BacktestFinished, *, series: bool = True) -> dict[str, Any]:
    """What scripts read first, then everything else that is known; `series` are equity and benchmark over time."""
    found: dict[str, Any] = {
        "id": told.backtest_id,
        "result_hash": told.result_hash,
        "final_equity": told.metrics.get("final_equity"),
        "metrics": told.metrics,
        "fills": [_fill(each) for each in told.fills],
        "trades": [_trade(each) for each in told.round_trips],
    }
    if series:
        found["equity"] = {"time": [time for time, _ in told.equity], "value": [value for _, value in told.equity]}
        found["benchmark"] = list(told.benchmark)
    rest = told.model_dump(mode="json", exclude=_LEFT_OUT)
    return found | {"finished": told.event_time.isoformat(), **rest, "request": as_asked(rest["request"])}


def as_asked(request: Mapping[str, Any]) -> dict[str, Any]:
    """A backtest's request as a person made it: its `source` may be a file, of which the event's says nothing."""
    return {**request, "source": "file"} if request["file"] else dict(request)


def _fill(told: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "time": told["time"],
        "symbol": told["symbol"],
        "side": told["side"],
        "quantity": float(told["quantity"]),
        "price": float(told["price"]),
        "commission": float(told["commission"]),
    }


def _trade(told: Mapping[str, Any]) -> dict[str, Any]:
    """From flat to flat. One that is `open` has not ended: its exit is the last close."""
    return {
        "entry_time": told["entry_time"],
        "entry_price": float(told["entry_price"]),
        "exit_time": told["exit_time"],
        "exit_price": float(told["exit_price"]),
        "quantity": float(told["quantity"]),
        "pnl": float(told["pnl"]),
        "commission": float(told["commission"]),
        "symbol": told["symbol"],
        "direction": told["direction"],
        "open": told["open"],
    }
