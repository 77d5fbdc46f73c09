"""A day of an account, or of one strategy in it: what it earned by contract and altogether, from its executions alone.

Of every execution the newest revision counts. Unrealised profit is what is held at the price of the day's end, less the
same at the end of the day before. Money of another currency counts at its rate; where that is missing or stale there is
no total, and the report says so.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from engine.portfolio import ZERO, ContractLedger, Holding, Portfolio, Step, exactly
from schemas.orders import Commission, FillEvent


@dataclass(frozen=True)
class Mark:
    """A price to value by, and when it was true."""

    price: Decimal
    at: datetime
    source: str


@dataclass(frozen=True)
class Rate:
    """What one unit of a currency is worth in the account's."""

    value: Decimal
    told_at: datetime | None
    stale: bool = False


@dataclass(frozen=True)
class ContractDay:
    """A contract's day. Money in its currency, `net` also in the account's; None where something is not known."""

    contract_id: int
    symbol: str
    currency: str
    bought: Decimal
    sold: Decimal
    quantity: Decimal
    average_price: Decimal
    mark: Mark | None
    realised: Decimal
    unrealised: Decimal | None
    """Change over the day."""
    commission: Decimal | None
    net: Decimal | None
    net_base: Decimal | None


@dataclass(frozen=True)
class DayTotals:
    """In the account's currency; None where a price or a rate is missing or stale."""

    realised: Decimal | None
    unrealised: Decimal | None
    commission: Decimal | None
    net: Decimal | None
    traded: Decimal | None
    executions: int


@dataclass(frozen=True)
class Window:
    """A day, in market time: from its beginning until before its end."""

    begins: datetime
    ends: datetime


@dataclass(frozen=True)
class Prices:
    """Prices at both ends of a day, by contract, and what currencies were worth."""

    before: Mapping[int, Mark]
    after: Mapping[int, Mark]
    rates: Mapping[str, Rate]

    def in_base(self, amount: Decimal | None, currency: str) -> Decimal | None:
        rate = self.rates.get(currency)
        if amount is None or rate is None or rate.stale:
            return ZERO if amount == ZERO else None
        return exactly(amount * rate.value)

    def converted(self, amount: Decimal, currency: str, into: str) -> Decimal | None:
        """Money of one currency in another: None when the rate of either is missing or stale."""
        base, unit = self.in_base(amount, currency), self.in_base(Decimal(1), into)
        if currency == into or not amount:
            return amount
        return exactly(base / unit) if base is not None and unit else None


class DayBook:
    """Executions folded up to both ends of a day, and up to now."""

    def __init__(self, events: Iterable[FillEvent], window: Window, strategy_id: str | None = None) -> None:
        self._strategy = strategy_id
        self._began = window.begins
        ordered = sorted(events, key=_when)  # in their order they fold the quickest; they come to the same in any
        begins, ends = (bisect_left(ordered, moment, key=_when) for moment in (window.begins, window.ends))
        self._closing = _folded(Portfolio(), ordered[:begins])
        self._opening = {key: part.holding for key in self._closing.ledgers if (part := self._part(self._closing, key))}
        _folded(self._closing, ordered[begins:ends])
        self._newest = self._closing if ends == len(ordered) else _folded(Portfolio(), ordered)
        self._charged: dict[str, Commission] = {}
        for event in ordered[begins:ends]:
            if isinstance(event, Commission):
                known = self._charged.setdefault(event.execution_id, event)
                self._charged[event.execution_id] = max(known, event, key=lambda told: told.revision)

    def until_now(self) -> list[tuple[ContractLedger, ContractLedger]]:
        """By contract, the ledger of the account and that of what is reported, of the days after, too."""
        known = self._newest
        return [(ledger, part) for key, ledger in known.ledgers.items() if (part := self._part(known, key)) is not None]

    def contracts(self, prices: Prices) -> list[ContractDay]:
        """Every contract that was held or traded on the day."""
        found = []
        for key in sorted(self._closing.ledgers):
            after, before = self._part(self._closing, key), self._opening.get(key, Holding())
            if after is None or not (after.holding.quantity or before.quantity or self._steps(after)):
                continue
            found.append(self._contract(self._closing.ledgers[key], before, after, prices))
        return found

    def commissions(self) -> dict[str, Decimal]:
        """What the day's executions cost, by the currency in which it was charged; busted ones cost nothing."""
        found: dict[str, Decimal] = {}
        for key in self._closing.ledgers:
            part = self._part(self._closing, key)
            for told in self._costs(part) if part is not None else ():
                found[told.currency] = found.get(told.currency, ZERO) + told.amount
        return found

    def _costs(self, part: ContractLedger) -> list[Commission]:
        """Those of the day's executions of one contract."""
        charged = (told for told in self._charged.values() if told.account_id == part.account_id)
        return [told for told in charged if part.counts(told.execution_id)]

    def totals(self, days: Sequence[ContractDay], prices: Prices) -> DayTotals:
        """All contracts together."""
        costs = [prices.in_base(amount, currency) for currency, amount in self.commissions().items()]
        steps = [
            (step.execution.quantity * step.execution.price, self._closing.ledgers[key].currency)
            for key in self._closing.ledgers
            if (part := self._part(self._closing, key)) is not None
            for step in self._steps(part)
        ]
        realised = _sum(prices.in_base(day.realised, day.currency) for day in days)
        unrealised = _sum(prices.in_base(day.unrealised, day.currency) for day in days)
        commission = _sum(costs)
        net = _sum((realised, unrealised, None if commission is None else -commission))
        traded = _sum(prices.in_base(abs(amount), currency) for amount, currency in steps)
        return DayTotals(realised, unrealised, commission, net, traded, len(steps))

    def _part(self, portfolio: Portfolio, key: tuple[str, int]) -> ContractLedger | None:
        return portfolio.ledgers.get(key) if self._strategy is None else portfolio.parts(*key).get(self._strategy)

    def _steps(self, part: ContractLedger) -> list[Step]:
        return [step for step in part.steps if step.execution.executed_at >= self._began]

    def _contract(self, names: ContractLedger, before: Holding, after: ContractLedger, prices: Prices) -> ContractDay:
        steps = [step.execution for step in self._steps(after)]
        realised = exactly(after.holding.realised - before.realised)
        mark = prices.after.get(names.contract_id)
        opened, closed = _unrealised(before, prices.before.get(names.contract_id)), _unrealised(after.holding, mark)
        unrealised = None if opened is None or closed is None else exactly(closed - opened)
        cost = _sum(prices.converted(told.amount, told.currency, names.currency) for told in self._costs(after))
        net = _sum((realised, unrealised, None if cost is None else -cost))
        return ContractDay(
            names.contract_id,
            names.symbol,
            names.currency,
            sum((each.quantity for each in steps if each.quantity > 0), ZERO),
            -sum((each.quantity for each in steps if each.quantity < 0), ZERO),
            after.holding.quantity,
            after.holding.average_price,
            mark,
            realised,
            unrealised,
            cost,
            net,
            prices.in_base(net, names.currency),
        )


def _when(event: FillEvent) -> datetime:
    return event.event_time


def _folded(portfolio: Portfolio, events: Iterable[FillEvent]) -> Portfolio:
    for event in events:
        portfolio.apply(event)
    return portfolio


def _unrealised(holding: Holding, mark: Mark | None) -> Decimal | None:
    """What is held would earn at the price; None without one."""
    if not holding.quantity:
        return ZERO
    return None if mark is None else (mark.price - holding.average_price) * holding.quantity


def _sum(amounts: Iterable[Decimal | None]) -> Decimal | None:
    total = ZERO
    for amount in amounts:
        if amount is None:
            return None
        total += amount
    return exactly(total)
