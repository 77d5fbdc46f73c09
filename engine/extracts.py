"""What a finished event shows of a run beside its figures: thinned prices with indicators, and sums by symbol."""

from typing import Any

import numpy as np

from engine.backtest import BacktestResult
from engine.columns import Floats, Integers
from schemas.moments import to_datetime

SYMBOLS_MAX = 4
"""Of so many symbols the prices are shown."""
PRICE_POINTS_MAX = 1_000
_DIGITS = 8


def time_text(microseconds: int) -> str:
    return to_datetime(microseconds).isoformat().replace("+00:00", "Z")


def thinned(places: Integers, most: int) -> Integers:
    """Evenly spaced, the first and the last among them."""
    return places if len(places) <= most else places[spread(len(places), most)]


def spread(count: int, most: int) -> Integers:
    """Which of so many are kept: evenly spaced, the first and the last among them."""
    return np.arange(count) if count <= most else np.linspace(0, count - 1, most).round().astype(np.int64)


def prices(result: BacktestResult) -> tuple[dict[str, Any], ...]:
    """Closes of the first symbols, thinned, with the indicators that the strategy looked at."""
    columns, found = result.columns, []
    for contract_id in columns.contracts[:SYMBOLS_MAX]:
        own = columns.rows[contract_id]
        kept = thinned(np.arange(len(own)), PRICE_POINTS_MAX)
        indicators = {name: numbers(values[own][kept]) for name, values in result.indicators.items()}
        found.append(
            {
                "symbol": columns.symbol(contract_id),
                "time": [time_text(each) for each in columns.end_us[own[kept]].tolist()],
                "close": numbers(columns.close[own[kept]]),
                "indicators": indicators,
            }
        )
    return tuple(found)


def numbers(values: Floats) -> list[float | None]:
    return [float(f"{value:.{_DIGITS}g}") if np.isfinite(value) else None for value in values.tolist()]


def by_symbol(result: BacktestResult) -> tuple[dict[str, Any], ...]:
    """What each symbol brought, in the order of their names."""
    columns = result.columns
    rows: dict[int, dict[str, Any]] = {
        contract_id: {
            "symbol": columns.symbol(contract_id),
            "bars": len(own),
            "trades": 0,
            "win_rate": None,
            "traded": 0.0,
            "commission": 0.0,
            "slippage": 0.0,
            "pnl": 0.0,
        }
        for contract_id, own in columns.rows.items()
    }
    won = dict.fromkeys(rows, 0)
    for each in result.executions:
        row = rows[each.contract_id]
        row["traded"] += abs(each.quantity * each.price)
        row["commission"] += each.commission
        row["slippage"] += each.slippage * abs(each.quantity)
    for trip in result.round_trips:
        row = rows[trip.contract_id]
        row["pnl"] += trip.pnl
        row["trades"] += not trip.open
        won[trip.contract_id] += not trip.open and trip.pnl > 0
    for contract_id, row in rows.items():
        row["win_rate"] = won[contract_id] / row["trades"] if row["trades"] else None
    return tuple(sorted(rows.values(), key=lambda row: str(row["symbol"])))
