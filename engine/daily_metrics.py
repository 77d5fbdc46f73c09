"""The figures of live trading up to a day, by the code that makes those of a backtest.

The curve has a point for every day on which a price of something held is known: what the account, or the strategy in
it, has earned since its first execution, on top of what the account was worth before it.
"""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import numpy as np

from engine.daily import Prices
from engine.exchange import Execution
from engine.ledger import Curve, RoundTrip
from engine.portfolio import ZERO, ContractLedger, Portfolio
from engine.statistics import metrics

Row = Mapping[str, Any]


def figures_of(material: Row, prices: Prices) -> dict[str, float | None] | None:
    """None while nothing was traded, and where a rate is missing or stale: sums of several currencies mean nothing."""
    account = material["account"]
    portfolio = Portfolio()
    for event in material["events"]:
        portfolio.apply(event)
    parts = [
        (ledger, part)
        for key, ledger in portfolio.ledgers.items()
        if (part := _part(portfolio, key, material["strategy_id"])) is not None
    ]
    steps = [(ledger, step.execution, part) for ledger, part in parts for step in part.changed_steps]
    rates = {ledger.currency: prices.in_base(Decimal(1), ledger.currency) for ledger, _ in parts}
    if account is None or not steps or None in rates.values():
        return None
    worth = {currency: float(rate or ZERO) for currency, rate in rates.items()}
    executions = [_execution(ledger, each, part, worth[ledger.currency]) for ledger, each, part in steps]
    curve = _curve(material, prices, executions, float(account["net_liquidation"]))
    if curve is None:
        return None
    trips = [_trip(row, worth.get(row["currency"], 1.0)) for row in material["ever_closed"]]
    found = metrics(curve, trips, executions).model_dump()
    return {name: value for name, value in found.items() if value is not None and name != "slippage_paid"}


def _part(portfolio: Portfolio, key: tuple[str, int], strategy_id: str | None) -> ContractLedger | None:
    return portfolio.ledgers[key] if strategy_id is None else portfolio.parts(*key).get(strategy_id)


def _execution(ledger: ContractLedger, each: Any, part: ContractLedger, rate: float) -> Execution:
    moment = _microseconds(each.executed_at)
    quantity, price = float(each.quantity), float(each.price) * rate
    cost = float(part.cost_of(each.execution_id)) * rate
    return Execution(ledger.contract_id, 0, moment, quantity, price, 0.0, cost, "", rate=rate)


def _curve(material: Row, prices: Prices, executions: Sequence[Execution], worth: float) -> Curve | None:
    """The equity at every day's last price; None without a single one."""
    by_day: dict[date, dict[int, tuple[float, int]]] = {}
    for row in material["closes"]:
        by_day.setdefault(row["day"], {})[row["contract_id"]] = (float(row["close"]), _microseconds(row["at"]))
    for contract, mark in prices.after.items():
        if mark.at >= material["begins"]:
            by_day.setdefault(material["day"], {})[contract] = (float(mark.price), _microseconds(mark.at))
    first = min(each.time_us for each in executions)
    last: dict[int, float] = {}
    rows: list[tuple[int, float, float]] = []
    ordered = sorted(executions, key=lambda each: each.time_us)
    for day in sorted(by_day):
        last |= {contract: price for contract, (price, _) in by_day[day].items()}
        moment = max(at for _, at in by_day[day].values())
        if moment >= first:
            rows.append((moment, *_earned([each for each in ordered if each.time_us <= moment], last)))
    if not rows:
        return None
    began_with = worth - rows[-1][1]
    times, earned, gross = (np.array(column) for column in zip(*rows, strict=True))
    return Curve(times.astype(np.int64), began_with + earned, gross.astype(np.float64), began_with)


def _earned(executions: Sequence[Execution], prices: Mapping[int, float]) -> tuple[float, float]:
    """What executions have earned by now, after costs, and the gross value of what they left: at the day's prices, or
    at that of the last execution where nothing else is known."""
    held: dict[int, float] = {}
    value_of: dict[int, float] = {}
    paid = 0.0
    for each in executions:
        contract = each.contract_id
        held[contract] = held.get(contract, 0.0) + each.quantity
        paid += each.quantity * each.price + each.commission
        value_of[contract] = prices[contract] * each.rate if contract in prices else each.price
    values = [quantity * value_of[contract] for contract, quantity in held.items()]
    return sum(values) - paid, sum(abs(value) for value in values)


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
