"""An account's book as the tables have it, made into what `check` judges by."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from pydantic import ValidationError

from engine import risk
from engine.account_book import Account, AccountBook, Held, Mark
from engine.in_flight import InFlight
from engine.portfolio import exactly
from engine.trading_state import why_stopped
from schemas.account import RiskLimits, TradingMode
from schemas.order_words import OrderType, Side

_ZERO = Decimal(0)
InSession = Callable[[str, datetime], bool | None]
"""Whether an exchange trades at a market time; None where its days are not known."""


def limits_of(stored: Any) -> RiskLimits | None:
    """Limits that do not load are none, which denies everything."""
    try:
        return RiskLimits.model_validate(stored)
    except ValidationError:
        return None


def account_book(account_id: str, row: Any, market_time: datetime, in_session: InSession) -> AccountBook:
    """`row` as `infra.store.book.read` gives it; `market_time` says which day it is, unless the book is further."""
    day = max(filter(None, (risk.trading_day(market_time), row.trading_day, row.marked_day)))
    holdings = [_holding(each) for each in row.parts or ()]
    states = row.states or {}
    return AccountBook(
        account_id,
        modes={scope: TradingMode(mode) for scope, (mode, _, _) in states.items()},
        stops={scope: why_stopped(scope, mode, *who) for scope, (mode, *who) in states.items() if mode != "ACTIVE"},
        limits={scope: limits_of(limits) for scope, limits in (row.limits or {}).items()},
        account=_account(row),
        positions={held.contract_id: held for held in map(_held, row.positions or ())},
        of_strategy={(strategy, held.contract_id): held for strategy, held, _ in holdings},
        in_flight={each["order_id"]: _in_flight(each) for each in row.held or ()},
        marks={each[0]: Mark(_amount(each[1]), _moment(each[2])) for each in row.marks or ()},
        volumes={each[0]: _amount(each[3]) for each in row.marks or () if each[3] is not None},
        restricted=row.restricted or {},
        realised_today=exactly(row.realised_pnl_today) if row.trading_day == day else _ZERO,
        realised_of_strategy=_earned(row.parts or (), str(day)),
        loss_unknown=_named(row.unvalued) if row.trading_day == day else "",
        loss_unknown_of_strategy=_unknown(row.parts or (), str(day)),
        unrealised_before=exactly(row.unrealised_before) if row.marked_day == day else _ZERO,
        last_minute=Counter({(each[0], each[1]): each[2] for each in row.minute or ()}),
        same_side=Counter({(each[0], each[1], Side(each[2])): each[3] for each in row.same_side or ()}),
        messages=Counter({each[0]: each[1] for each in row.traffic or ()}),
        fills=Counter({each[0]: each[2] for each in row.traffic or ()}),
        duplicate_window=risk.DUPLICATE_WINDOW,
        in_session={int(c): in_session(exchange, market_time) for c, exchange in (row.exchanges or {}).items()},
    )


def _account(row: Any) -> Account:
    if row.told_at is None:
        return Account()
    rates = {currency: Decimal(rate) for currency, rate in row.rates.items()}
    return Account(row.currency, row.told_at, exactly(row.buying_power - row.spent), rates)


def _held(row: Sequence[Any]) -> Held:
    contract, symbol, currency, quantity, average, price = row
    return Held(contract, symbol, currency, _amount(quantity), _amount(average), price and _amount(price))


def _holding(row: Sequence[Any]) -> tuple[str, Held, str]:
    strategy, contract, symbol, currency, quantity, average, _, day, _ = row
    return strategy, Held(contract, symbol, currency, _amount(quantity), _amount(average)), day


def _earned(rows: Sequence[Sequence[Any]], day: str) -> dict[str, Decimal]:
    found: dict[str, Decimal] = {}
    for row in rows:
        if row[7] == day:
            found[row[0]] = found.get(row[0], _ZERO) + _amount(row[6])
    return found


def _unknown(rows: Sequence[Sequence[Any]], day: str) -> dict[str, str]:
    found: dict[str, dict[str, str]] = {}
    for row in rows:
        if row[7] == day and row[8]:
            found.setdefault(row[0], {}).update(row[8])
    return {strategy: _named(unvalued) for strategy, unvalued in found.items()}


def _named(currencies: Mapping[str, str]) -> str:
    return ", ".join(sorted(currencies))


def _in_flight(row: Mapping[str, Any]) -> InFlight:
    return InFlight(
        order_id=row["order_id"],
        strategy_id=row["strategy_id"],
        contract_id=row["contract_id"],
        symbol=row["symbol"],
        currency=row["currency"],
        side=Side(row["side"]),
        quantity=_amount(row["quantity"]),
        remaining=_amount(row["remaining"]),
        filled=_amount(row["filled"]),
        state=row["state"],
        price=_amount(row["price"]),
        order_type=OrderType(row["order_type"]),
        limit_price=row["limit_price"] and _amount(row["limit_price"]),
        stop_price=row["stop_price"] and _amount(row["stop_price"]),
        opened_at=_moment(row["opened_at"]),
        parent_id=row["parent_id"] or "",
        oca_group=row["oca_group"],
        parent_side=row["parent_side"] and Side(row["parent_side"]),
        parent_filled=_amount(row["parent_filled"] or "0"),
        parent_least=_least(row["parent_quantity"] or "0", row["parent_changes"] or ()),
        changes=tuple(_amount(each[1]) for each in row["changes"]),
    )


def _least(quantity: str, changes: Sequence[Sequence[str]]) -> Decimal:
    return min(_amount(quantity), *(_amount(each[1]) for each in changes)) if changes else _amount(quantity)


def _amount(text: str) -> Decimal:
    return exactly(Decimal(text))


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
