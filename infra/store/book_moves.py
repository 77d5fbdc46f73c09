"""What moves risk's books: executions and commissions, each folded once."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

import orjson
from sqlalchemy import select
from sqlalchemy import text as sql
from sqlalchemy.ext.asyncio import AsyncConnection

from infra.store.book import Day, Rate, amounts, rate_of
from infra.store.tables import book_accounts, book_executions

ZERO = Decimal(0)


_AFFECTED = sql("""
SELECT r.*, e.revision AS e_revision, e.order_id AS e_order_id, e.contract_id AS e_contract_id,
       e.quantity AS e_quantity, e.price AS e_price, e.executed_at AS e_executed_at,
       e.commission_revision AS e_commission_revision, e.commission AS e_commission, e.strategy_id AS e_strategy,
       e.commission_currency AS e_charged_in, a.currency AS a_currency, a.rates AS a_rates, p.currency AS p_currency,
       h.quantity AS h_quantity, h.average_price AS h_average, h.realised_pnl AS h_realised,
       h.earned_today AS h_earned, h.trading_day AS h_day, h.unvalued AS h_unvalued,
       p.quantity AS p_quantity, p.average_price AS p_average, p.realised_pnl AS p_realised,
       NOT EXISTS (
           SELECT FROM book_executions later WHERE later.account_id = :account AND later.contract_id = :contract
              AND (later.executed_at, later.execution_id) > (:time, :execution)
       ) AS last
FROM (SELECT) one
LEFT JOIN book_accounts a ON a.account_id = :account
LEFT JOIN book_executions e ON e.account_id = :account AND e.execution_id = :execution
LEFT JOIN book_positions p ON p.account_id = :account AND p.contract_id = :contract
LEFT JOIN book_holdings h ON h.account_id = :account AND h.contract_id = coalesce(:contract, e.contract_id)
    AND h.strategy_id = coalesce(nullif(:strategy, ''), e.strategy_id)
LEFT JOIN reservations r ON r.order_id = coalesce(nullif(:order, ''), e.order_id)
""")
_FOLD_EXECUTION = """executed AS (
    INSERT INTO book_executions (account_id, execution_id, strategy_id, revision, order_id, contract_id, quantity,
                                 price, commission_revision, commission, commission_currency, executed_at, known_at)
    VALUES (:account, :execution, :strategy, :revision, :order, :contract, :quantity, :price, :commission_revision,
            :commission, :commission_currency, :executed_at, :now)
    ON CONFLICT (account_id, execution_id) DO UPDATE SET
        revision = excluded.revision, strategy_id = excluded.strategy_id, order_id = excluded.order_id,
        contract_id = excluded.contract_id, quantity = excluded.quantity, price = excluded.price,
        commission_revision = excluded.commission_revision,
        commission = excluded.commission, commission_currency = excluded.commission_currency,
        executed_at = excluded.executed_at
)"""
_FOLD_POSITION = """held AS (
    INSERT INTO book_positions (account_id, contract_id, symbol, currency, quantity, average_price, realised_pnl,
                                price)
    VALUES (:account, :contract, :symbol, :currency, :p_quantity, :p_average, :p_realised, :mark)
    ON CONFLICT (account_id, contract_id) DO UPDATE SET
        symbol = coalesce(nullif(excluded.symbol, ''), book_positions.symbol),
        currency = CASE WHEN excluded.symbol = '' THEN book_positions.currency ELSE excluded.currency END,
        quantity = excluded.quantity, average_price = excluded.average_price, realised_pnl = excluded.realised_pnl,
        price = coalesce(excluded.price, book_positions.price)
)"""
_FOLD_PART = """part AS (
    INSERT INTO book_holdings (account_id, strategy_id, contract_id, symbol, currency, quantity, average_price,
                               realised_pnl, earned_today, trading_day, unvalued, moved_at)
    VALUES (:account, :strategy, :contract, :symbol, :currency, :h_quantity, :h_average, :h_realised, :h_earned, :h_day,
            CAST(:h_unvalued AS jsonb), CASE WHEN :h_moved THEN CAST(:now AS timestamptz) END)
    ON CONFLICT (account_id, strategy_id, contract_id) DO UPDATE SET
        symbol = coalesce(nullif(excluded.symbol, ''), book_holdings.symbol),
        currency = CASE WHEN excluded.symbol = '' THEN book_holdings.currency ELSE excluded.currency END,
        quantity = excluded.quantity, average_price = excluded.average_price, realised_pnl = excluded.realised_pnl,
        earned_today = excluded.earned_today, trading_day = excluded.trading_day, unvalued = excluded.unvalued,
        moved_at = coalesce(excluded.moved_at, book_holdings.moved_at)
)"""
_FOLD_TRIP = """trip AS (
    INSERT INTO book_trips (account_id, execution_id, strategy_id, closed_at)
    VALUES (:account, :execution, :strategy, :now) ON CONFLICT DO NOTHING
)"""
_FOLD_RESERVATION = """kept AS (
    UPDATE reservations SET filled = :r_filled, remaining = :r_remaining,
        state = :r_state, released_at = CASE WHEN :r_state = 'released' THEN CAST(:now AS timestamptz) END
    WHERE order_id = :order
)"""
_FOLD_BOOK = """
UPDATE books SET realised_pnl_today = :pnl, trading_day = :day, unvalued = CAST(:unvalued AS jsonb),
    updated_at = :now
WHERE account_id = :account"""


@dataclass(frozen=True)
class KnownExecution:
    """The newest revision of an execution in the books; revision 0 when only its commission has come."""

    revision: int = 0
    order_id: str = ""
    strategy_id: str = ""
    contract_id: int | None = None
    quantity: Decimal = ZERO
    price: Decimal = ZERO
    executed_at: datetime | None = None
    commission_revision: int = 0
    commission: Decimal = ZERO
    commission_currency: str = ""

    @property
    def charged(self) -> Decimal:
        """What it cost; an execution that was busted, or has not come, costs nothing."""
        return self.commission if self.quantity else ZERO


@dataclass(frozen=True)
class HeldPosition:
    quantity: Decimal = ZERO
    average_price: Decimal = ZERO
    realised_pnl: Decimal = ZERO


@dataclass(frozen=True)
class Part:
    """What a strategy's own executions of one contract add up to."""

    held: HeldPosition = HeldPosition()
    day: Day = field(default_factory=lambda: Day(ZERO, None))


@dataclass(frozen=True)
class Affected:
    """What the books know of all that an execution touches."""

    execution: KnownExecution
    position: HeldPosition
    currency: str
    """Of the position; empty when nothing is known of the contract yet."""
    part: Part
    reservation: Any | None
    """Row of the reservation of its order."""
    last: bool
    """No execution of the contract happened after it."""
    rate: Rate


@dataclass(frozen=True)
class Place:
    """Where an execution, or its commission, belongs."""

    account_id: str
    execution_id: str
    at: datetime
    contract_id: int | None = None
    order_id: str = ""
    strategy_id: str = ""
    symbol: str = ""
    currency: str = "USD"


async def affected(connection: AsyncConnection, place: Place) -> Affected:
    """Everything that an execution touches, in one look."""
    values = {
        "account": place.account_id,
        "contract": place.contract_id,
        "order": place.order_id,
        "strategy": place.strategy_id,
        "time": place.at,
        "execution": place.execution_id,
    }
    row = (await connection.execute(_AFFECTED, values)).one()
    known = KnownExecution()
    if row.e_revision is not None:
        known = KnownExecution(
            row.e_revision,
            row.e_order_id,
            row.e_strategy,
            row.e_contract_id,
            row.e_quantity,
            row.e_price,
            row.e_executed_at,
            row.e_commission_revision,
            row.e_commission,
            row.e_charged_in,
        )
    held = HeldPosition(row.p_quantity, row.p_average, row.p_realised) if row.p_quantity is not None else HeldPosition()
    part = Part()
    if row.h_quantity is not None:
        part = Part(
            HeldPosition(row.h_quantity, row.h_average, row.h_realised),
            Day(row.h_earned, row.h_day, amounts(row.h_unvalued)),
        )
    reserved = row if row.order_id is not None else None
    return Affected(known, held, row.p_currency or "", part, reserved, row.last, rate_of(row.a_currency, row.a_rates))


@dataclass(frozen=True)
class Moved:
    """What an execution or its commission has moved; None where nothing of the kind."""

    known: KnownExecution
    day: Day
    held: HeldPosition | None = None
    part: Part | None = None
    part_moved: bool = False
    trip: bool = False
    reservation: dict[str, Any] | None = None


async def save_fold(connection: AsyncConnection, place: Place, moved: Moved, now: datetime) -> None:
    """Write what was moved, in one statement."""
    known, held, part = moved.known, moved.held, moved.part
    values: dict[str, Any] = {
        "account": place.account_id,
        "execution": place.execution_id,
        "strategy": known.strategy_id,
        "revision": known.revision,
        "order": known.order_id,
        "contract": known.contract_id,
        "quantity": known.quantity,
        "price": known.price,
        "executed_at": known.executed_at,
        "commission_revision": known.commission_revision,
        "commission": known.commission,
        "commission_currency": known.commission_currency,
        "pnl": moved.day.realised_pnl,
        "day": moved.day.day,
        "unvalued": _stored(moved.day),
        "now": now,
    }
    parts = [_FOLD_EXECUTION]
    if held is not None or part is not None:
        values |= {"symbol": place.symbol, "currency": place.currency}
    if held is not None:
        parts.append(_FOLD_POSITION)
        values |= {"p_quantity": held.quantity, "p_average": held.average_price, "p_realised": held.realised_pnl}
        values["mark"] = known.price or None
    if part is not None:
        parts.append(_FOLD_PART)
        own = part.held
        values |= {"h_quantity": own.quantity, "h_average": own.average_price, "h_realised": own.realised_pnl}
        values |= {"h_earned": part.day.realised_pnl, "h_day": part.day.day, "h_unvalued": _stored(part.day)}
        values["h_moved"] = moved.part_moved
    if moved.trip:
        parts.append(_FOLD_TRIP)
    if moved.reservation is not None:
        parts.append(_FOLD_RESERVATION)
        values |= {f"r_{name}": moved.reservation[name] for name in ("filled", "remaining", "state")}
    await connection.execute(sql("WITH " + ", ".join(parts) + _FOLD_BOOK), values)


_UNVALUED_PARTS = sql("SELECT * FROM book_holdings WHERE account_id = :account AND unvalued <> '{}'")
_SAVE_PART = sql(
    "UPDATE book_holdings SET earned_today = :pnl, unvalued = CAST(:unvalued AS jsonb)"
    " WHERE account_id = :account AND strategy_id = :strategy AND contract_id = :contract"
)


async def value_days(connection: AsyncConnection, account_id: str, day: Day, now: datetime) -> Day:
    """Value what the account and its strategies have earned while no rate was known, by the rates of now."""
    query = select(book_accounts.c.currency, book_accounts.c.rates).where(book_accounts.c.account_id == account_id)
    told = (await connection.execute(query)).one()
    rate = rate_of(told.currency, told.rates)
    for row in (await connection.execute(_UNVALUED_PARTS, {"account": account_id})).all():
        part = Day(row.earned_today, row.trading_day, amounts(row.unvalued)).valued(rate)
        place = {"account": account_id, "strategy": row.strategy_id, "contract": row.contract_id}
        await connection.execute(_SAVE_PART, {**place, "pnl": part.realised_pnl, "unvalued": _stored(part)})
    after = day.valued(rate)
    if after != day:
        values = {"pnl": after.realised_pnl, "day": after.day, "unvalued": _stored(after)}
        await connection.execute(sql(_FOLD_BOOK), {**values, "account": account_id, "now": now})
    return after


def _stored(day: Day) -> str:
    return orjson.dumps({currency: str(amount) for currency, amount in day.unvalued.items()}).decode()


async def executions_of(connection: AsyncConnection, account_id: str, contract_id: int) -> Sequence[Any]:
    """All executions of a contract in the books."""
    table = book_executions.c
    query = select(book_executions).where(
        table.account_id == account_id, table.contract_id == contract_id, table.revision > 0
    )
    return (await connection.execute(query)).all()
