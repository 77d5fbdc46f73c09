"""Risk's books: positions, reservations, limits and states of an account, read and moved under one row lock."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from pydantic import ValidationError
from sqlalchemy import JSON, select, update
from sqlalchemy import text as sql
from sqlalchemy.ext.asyncio import AsyncConnection

from infra.store.columns_of_tables import plain
from infra.store.tables import books, risk_limits
from schemas.account import RiskLimits, TradingMode
from schemas.orders import OrderIntent, RiskDecision

_LOCK = sql("SELECT realised_pnl_today, trading_day FROM books WHERE account_id = :account FOR UPDATE")
_OPEN_BOOK = sql(
    "INSERT INTO books (account_id, version, realised_pnl_today, updated_at) VALUES (:account, 0, 0, :now)"
    " ON CONFLICT DO NOTHING"
)
_READ = sql("""
WITH held AS (
    SELECT order_id, contract_id, side, remaining, state FROM reservations
    WHERE account_id = :account AND state <> 'released'
), flight AS (
    SELECT contract_id, coalesce(sum(remaining) FILTER (WHERE side = 'BUY'), 0) AS buys,
           coalesce(sum(remaining) FILTER (WHERE side = 'SELL'), 0) AS sells,
           count(*) FILTER (WHERE state <> 'ended') AS orders,
           min(order_id) FILTER (WHERE state = 'unknown') AS unknown
    FROM held GROUP BY contract_id
), own AS (
    SELECT contract_id, coalesce(p.quantity, 0) AS quantity, coalesce(p.price, 0) AS price,
           coalesce(f.buys, 0) AS buys, coalesce(f.sells, 0) AS sells, coalesce(f.orders, 0) AS orders, f.unknown
    FROM (SELECT * FROM book_positions WHERE account_id = :account) p FULL JOIN flight f USING (contract_id)
)
SELECT
    coalesce(sum(quantity) FILTER (WHERE contract_id = :contract), 0) AS position,
    coalesce(sum(buys) FILTER (WHERE contract_id = :contract), 0) AS open_buys,
    coalesce(sum(sells) FILTER (WHERE contract_id = :contract), 0) AS open_sells,
    coalesce(sum(orders), 0)::bigint AS open_orders,
    coalesce(sum(orders) FILTER (WHERE contract_id = :contract), 0)::bigint AS open_orders_of_contract,
    min(unknown) FILTER (WHERE contract_id = :contract) AS blocked_by,
    coalesce(sum(greatest(abs(quantity + buys), abs(quantity - sells)) * price)
        FILTER (WHERE contract_id <> :contract), 0) AS exposure_elsewhere,
    (SELECT count(*) FROM reservations WHERE account_id = :account AND opened_at > :minute_ago) AS orders_last_minute,
    (SELECT json_object_agg(scope, mode) FROM trading_state WHERE scope = ANY(:scopes)) AS modes,
    (SELECT limits FROM risk_limits WHERE scope = :scope ORDER BY version DESC LIMIT 1) AS limits,
    (SELECT r.order_id FROM reservations r JOIN intents i ON i.intent_id = r.order_id
        WHERE r.account_id = :account AND r.contract_id = :contract AND r.state <> 'released'
          AND r.opened_at > :recently AND r.strategy_id = :strategy AND r.side = :side AND r.quantity = :quantity
          AND i.limit_price IS NOT DISTINCT FROM CAST(:limit_price AS numeric) LIMIT 1) AS duplicate_of,
    EXISTS (SELECT FROM decisions WHERE intent_id = :intent) AS decided
FROM own
""").columns(modes=JSON, limits=JSON)
_RECORD = """
WITH proposed AS (
    INSERT INTO intents (intent_id, type, account_id, strategy_id, contract_id, order_id, side, quantity, limit_price,
                         body, event_time, received_at)
    VALUES (:intent_id, :type, :account_id, :strategy_id, :contract_id, :order_id, :side, :quantity, :limit_price,
            CAST(:intent AS jsonb), :event_time, :now)
){reserved}
INSERT INTO decisions (decision_id, intent_id, account_id, strategy_id, approved, reason, detail, approved_fields, body,
                       decided_at, expires_at)
VALUES (:decision_id, :intent_id, :account_id, :strategy_id, :approved, :reason, :detail, :approved_fields,
        CAST(:decision AS jsonb), :now, :expires_at)
"""
_RESERVED = """, marked AS (
    INSERT INTO book_positions (account_id, contract_id, quantity, average_price, realised_pnl, price, price_time)
    VALUES (:account_id, :contract_id, 0, 0, 0, :price, :price_time)
    ON CONFLICT (account_id, contract_id) DO UPDATE SET price = excluded.price, price_time = excluded.price_time
), reserved AS (
    INSERT INTO reservations (order_id, account_id, strategy_id, contract_id, side, quantity, told, filled, remaining,
                              price, sequence, state, opened_at)
    VALUES (:intent_id, :account_id, :strategy_id, :contract_id, :side, :quantity, 0, 0, :quantity, :price, 0, 'open',
            :now)
)"""
_RECORD_ONLY = sql(_RECORD.format(reserved=""))
_RECORD_AND_RESERVE = sql(_RECORD.format(reserved=_RESERVED))


@dataclass(frozen=True)
class Day:
    """What an account has earned, and on which trading day."""

    realised_pnl: Decimal
    day: date | None

    def on(self, day: date) -> Decimal:
        """Of `day`: nothing yet when the book is of an earlier one."""
        return self.realised_pnl if day == self.day else Decimal(0)

    def earned(self, amount: Decimal, day: date) -> "Day":
        """With what was earned on `day`; news of a day that is over count for the day of the book."""
        if self.day is None or day > self.day:
            return Day(amount, day)
        return Day(self.realised_pnl + amount, self.day)


@dataclass(frozen=True)
class Snapshot:
    """A book's row set, seen from one contract, as the tables say it."""

    position: Decimal
    open_buys: Decimal
    open_sells: Decimal
    open_orders: int
    open_orders_of_contract: int
    orders_last_minute: int
    exposure_elsewhere: Decimal
    duplicate_of: str
    blocked_by: str
    modes: dict[str, TradingMode]
    limits: RiskLimits | None
    decided: bool
    """The intent has its decision already."""


async def lock(connection: AsyncConnection, account_id: str, now: datetime) -> Day:
    """Take the account's row: until the transaction ends nobody else decides about the account."""
    row = (await connection.execute(_LOCK, {"account": account_id})).first()
    if row is None:
        await connection.execute(_OPEN_BOOK, {"account": account_id, "now": now})
        row = (await connection.execute(_LOCK, {"account": account_id})).one()
    return Day(plain(row.realised_pnl_today), row.trading_day)


async def earn(connection: AsyncConnection, account_id: str, day: Day, now: datetime) -> None:
    await connection.execute(
        update(books)
        .where(books.c.account_id == account_id)
        .values(realised_pnl_today=day.realised_pnl, trading_day=day.day, version=books.c.version + 1, updated_at=now)
    )


async def decided(connection: AsyncConnection, intent_id: str) -> bool:
    """Whether this intent has its decision already."""
    known = await connection.execute(sql("SELECT 1 FROM decisions WHERE intent_id = :id"), {"id": intent_id})
    return known.first() is not None


async def read(
    connection: AsyncConnection, intent: OrderIntent, scopes: Sequence[str], now: datetime, window: timedelta
) -> Snapshot:
    """The book as it is now; `window` is how far back an equal order is a duplicate. Lock it first."""
    row = (
        await connection.execute(
            _READ,
            {
                "intent": intent.intent_id,
                "account": intent.account_id,
                "contract": intent.contract_id,
                "strategy": intent.strategy_id,
                "side": intent.side.value,
                "quantity": intent.quantity,
                "limit_price": intent.limit_price,
                "minute_ago": now - timedelta(minutes=1),
                "recently": now - window,
                "scopes": list(scopes),
                "scope": f"account:{intent.account_id}",
            },
        )
    ).one()
    return Snapshot(
        position=plain(row.position),
        open_buys=plain(row.open_buys),
        open_sells=plain(row.open_sells),
        open_orders=row.open_orders,
        open_orders_of_contract=row.open_orders_of_contract,
        orders_last_minute=row.orders_last_minute,
        exposure_elsewhere=plain(row.exposure_elsewhere),
        duplicate_of=row.duplicate_of or "",
        blocked_by=row.blocked_by or "",
        modes={scope: TradingMode(mode) for scope, mode in (row.modes or {}).items()},
        limits=_limits_of(row.limits),
        decided=row.decided,
    )


def _limits_of(stored: Any) -> RiskLimits | None:
    """A row that does not load is no limits, which denies everything."""
    try:
        return RiskLimits.model_validate(stored) if stored is not None else None
    except ValidationError:
        return None


async def limits_of(connection: AsyncConnection, account_id: str) -> RiskLimits | None:
    query = select(risk_limits.c.limits).where(risk_limits.c.scope == f"account:{account_id}")
    return _limits_of(await connection.scalar(query.order_by(risk_limits.c.version.desc()).limit(1)))


async def record(
    connection: AsyncConnection, decision: RiskDecision, fingerprint: str, price: Decimal | None, now: datetime
) -> None:
    """Write an intent with its decision; with a `price`, keep room for the whole order, valued at it."""
    intent = decision.intent
    order = intent if isinstance(intent, OrderIntent) else None
    values: dict[str, Any] = {
        "intent_id": intent.intent_id,
        "type": intent.type,
        "account_id": intent.account_id,
        "strategy_id": intent.strategy_id,
        "contract_id": order.contract_id if order else None,
        "order_id": None if isinstance(intent, OrderIntent) else intent.order_id,
        "side": order.side.value if order else None,
        "quantity": order.quantity if order else None,
        "limit_price": order.limit_price if order else None,
        "intent": intent.to_json().decode(),
        "event_time": intent.event_time,
        "now": now,
        "decision_id": decision.decision_id,
        "approved": decision.approved,
        "reason": decision.reason.value if decision.reason else None,
        "detail": decision.detail,
        "approved_fields": fingerprint if decision.approved else None,
        "decision": decision.to_json().decode(),
        "expires_at": now + decision.expires_after,
    }
    if order is None or price is None:
        await connection.execute(_RECORD_ONLY, values)
    else:
        reserving = {"price": price, "price_time": order.reference_time}
        await connection.execute(_RECORD_AND_RESERVE, values | reserving)
