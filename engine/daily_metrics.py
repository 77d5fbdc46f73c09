"""The figures of live trading up to a day, by the code that makes those of a backtest.

The curve has a point for every day on which a price of something held is known: what the account, or the strategy in
it, has earned since its first execution, on top of what the account was worth before it.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import numpy as np

from engine.daily import DayBook, Prices
from engine.exchange import Execution
from engine.ledger import Curve, RoundTrip
from engine.portfolio import ZERO, ContractLedger
from engine.statistics import metrics
from engine.statistics.figures import Closed, of_trades

Row = Mapping[str, Any]
_NOW = 2**62
"""After every moment that anything has, in microseconds."""


def figures_of(material: Row, prices: Prices, book: DayBook) -> dict[str, float | None] | None:
    """None while nothing was traded, and where a rate is missing or stale: sums of several currencies mean nothing.

    Without what is of the account's worth when money was paid out that had been earned: see `notes_on`.
    """
    account, parts = material["account"], book.until_now()
    traded = {*(ledger.currency for ledger, _ in parts), *(row["currency"] for row in material["ever_closed"])}
    rates = {currency: prices.in_base(Decimal(1), currency) for currency in traded}
    if account is None or None in rates.values():
        return None
    worth = {currency: float(rate or ZERO) for currency, rate in rates.items()}
    known = [
        _execution(ledger, step.execution, part, worth[ledger.currency])
        for ledger, part in parts
        for step in part.steps
    ]
    executions = [each for each in known if each.time_us < _microseconds(material["ends"])]
    curve = _curve(material, known, float(account["net_liquidation"])) if executions else None
    if curve is None:
        return None
    trips = [_trip(row, worth[row["currency"]]) for row in material["ever_closed"]]
    found = metrics(curve, trips, executions).model_dump() if curve.cash > 0 else of_trades(Closed.of(trips))
    return {name: value for name, value in found.items() if value is not None and name != "slippage_paid"}


def notes_on(figures: Mapping[str, float | None] | None) -> list[str]:
    """Why they are less sure than they look."""
    if figures is None:
        return []
    if "total_return" not in figures:
        return ["More was earned than the account is worth now: money was paid out, and no return can be told."]
    return [
        "Returns count on what the account is worth now less what was earned: what was paid in or out is not known."
    ]


def _execution(ledger: ContractLedger, each: Any, part: ContractLedger, rate: float) -> Execution:
    moment = _microseconds(each.executed_at)
    quantity, price = float(each.quantity), float(each.price) * rate
    cost = float(part.cost_of(each.execution_id)) * rate
    return Execution(ledger.contract_id, 0, moment, quantity, price, 0.0, cost, "", rate=rate)


def _curve(material: Row, executions: Sequence[Execution], worth: float) -> Curve | None:
    """The equity at every day's last price up to the day; None without a single one. What the account is worth now is
    told, hence all that was earned until now is not what it began with."""
    first, ends = min(each.time_us for each in executions), _microseconds(material["ends"])
    *points, now = earned_by_day(executions, [*_days(material), (_NOW, {})])
    rows = [each for each in points if first <= each[0] <= ends]
    if not rows:
        return None
    began_with = worth - now[1]
    times, earned, gross = (np.array(column) for column in zip(*rows, strict=True))
    return Curve(times.astype(np.int64), began_with + earned, gross.astype(np.float64), began_with)


def _days(material: Row) -> list[tuple[int, dict[int, float]]]:
    """Of each day the last prices, and when the last of them was true: of bars, or what risk has seen since."""
    by_day: dict[date, dict[int, tuple[int, float]]] = {}
    for row in material["closes"]:
        by_day.setdefault(row["day"], {})[row["contract_id"]] = _microseconds(row["at"]), float(row["close"])
    for row in material["marks"]:
        day = by_day.setdefault(row["at"].astimezone(material["begins"].tzinfo).date(), {})
        seen = _microseconds(row["at"]), float(row["price"])
        day[row["contract_id"]] = max(day.get(row["contract_id"], seen), seen, key=lambda known: known[0])
    days = (by_day[day] for day in sorted(by_day))
    return [
        (max(at for at, _ in day.values()), {contract: price for contract, (_, price) in day.items()}) for day in days
    ]


def earned_by_day(
    executions: Sequence[Execution], days: Sequence[tuple[int, Mapping[int, float]]]
) -> list[tuple[int, float, float]]:
    """At the moment of each day: what executions have earned by then, after costs, and the gross value of what they
    left; at the last prices known, or at that of the last execution where no other is. One walk through both."""
    ordered = deque(sorted(executions, key=lambda each: each.time_us))
    held: dict[int, float] = {}
    newest: dict[int, Execution] = {}
    prices: dict[int, float] = {}
    paid, found = 0.0, []
    for moment, known in days:
        prices |= known
        while ordered and ordered[0].time_us <= moment:
            each = ordered.popleft()
            held[each.contract_id] = held.get(each.contract_id, 0.0) + each.quantity
            paid += each.quantity * each.price + each.commission
            newest[each.contract_id] = each
        values = [
            quantity * (prices[contract] * newest[contract].rate if contract in prices else newest[contract].price)
            for contract, quantity in held.items()
        ]
        found.append((moment, sum(values) - paid, sum(abs(value) for value in values)))
    return found


def _trip(row: Row, rate: float) -> RoundTrip:
    sign = 1.0 if row["side"] == "BUY" else -1.0
    entry, left = float(row["entry_price"]) * rate, float(row["exit_price"]) * rate
    return RoundTrip(
        row["contract_id"],
        sign * float(row["quantity"]),
        _microseconds(row["opened_at"]),
        _microseconds(row["closed_at"]),
        entry,
        left,
        0,
        float(row["commission"]) * rate,
        0.0,
        float(row["net_pnl"]) * rate,
        open=False,
    )


def _microseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1_000_000)
