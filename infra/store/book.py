"""Risk's books: positions, reservations, limits and states of an account, and decisions made on one version of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from pydantic import ValidationError
from sqlalchemy import JSON, select
from sqlalchemy import text as sql
from sqlalchemy.ext.asyncio import AsyncConnection

from infra.publish import Origin
from infra.store.columns_of_tables import plain
from infra.store.database import Store, at_once
from infra.store.tables import risk_limits
from schemas.account import RiskLimits, TradingMode
from schemas.event import Event
from schemas.orders import CancelIntent, ModifyIntent, OrderIntent, RiskDecision

# whoever changes anything about an account takes its row and raises its version, so that a decision notices
_LOCK = sql(
    "UPDATE books SET version = version + 1, updated_at = :now WHERE account_id = :account"
    " RETURNING realised_pnl_today, trading_day"
)
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
    EXISTS (SELECT FROM decisions WHERE intent_id = :intent) AS decided,
    (SELECT version FROM books WHERE account_id = :account) AS version,
    (SELECT realised_pnl_today FROM books WHERE account_id = :account) AS realised_pnl_today,
    (SELECT trading_day FROM books WHERE account_id = :account) AS trading_day
FROM own
""").columns(modes=JSON, limits=JSON)
_DECIDE = """
unchanged AS (
    UPDATE books SET version = version + 1, updated_at = :now WHERE account_id = :account_id AND version = :version
    RETURNING version
), proposed AS (
    INSERT INTO intents (intent_id, type, account_id, strategy_id, contract_id, order_id, side, quantity, limit_price,
                         body, event_time, received_at)
    SELECT :intent_id, :type, :account_id, :strategy_id, :contract_id, :order_id, :side, :quantity, :limit_price,
           CAST(:intent AS jsonb), :event_time, :now FROM unchanged
), {more} done AS (
    INSERT INTO decisions (decision_id, intent_id, account_id, strategy_id, approved, reason, detail, approved_fields,
                           body, decided_at, expires_at)
    SELECT :decision_id, :intent_id, :account_id, :strategy_id, :approved, :reason, :detail, :approved_fields,
           CAST(:decision AS jsonb), :now, :expires_at FROM unchanged
    RETURNING decision_id
)"""
_RESERVED = """marked AS (
    INSERT INTO book_positions (account_id, contract_id, quantity, average_price, realised_pnl, price, price_time)
    SELECT :account_id, :contract_id, 0, 0, 0, :price, :price_time FROM unchanged
    ON CONFLICT (account_id, contract_id) DO UPDATE SET price = excluded.price, price_time = excluded.price_time
), reserved AS (
    INSERT INTO reservations (order_id, account_id, strategy_id, contract_id, side, quantity, told, filled, remaining,
                              price, sequence, state, opened_at)
    SELECT :intent_id, :account_id, :strategy_id, :contract_id, :side, :quantity, 0, 0, :quantity, :price, 0, 'open',
           :now FROM unchanged
),"""
_BREACHED = """breached AS (
    INSERT INTO risk_events (breach_id, scope, account_id, strategy_id, rule, detail, event_time, ingest_time)
    SELECT :decision_id, :scope, :account_id, :strategy_id, :reason, :detail, :event_time, :now FROM unchanged
),"""
_DECIDE_ONLY = at_once(_DECIDE.format(more=""))
_DECIDE_AND_RESERVE = at_once(_DECIDE.format(more=_RESERVED))
_DECIDE_AND_TELL = at_once(_DECIDE.format(more=_BREACHED))


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
    version: int
    """Of the book: a decision holds only while nothing has changed."""
    day: Day


@dataclass(frozen=True)
class Decided:
    """What belongs to a decision beside itself: the version it was made on, its fingerprint, the order's price."""

    version: int
    fingerprint: str
    price: Decimal | None


async def lock(connection: AsyncConnection, account_id: str, now: datetime) -> Day:
    """Take the account's row: until the transaction ends nobody else decides, and decisions under way are void."""
    values = {"account": account_id, "now": now}
    row = (await connection.execute(_LOCK, values)).first()
    if row is None:
        await connection.execute(_OPEN_BOOK, values)
        row = (await connection.execute(_LOCK, values)).one()
    return Day(plain(row.realised_pnl_today), row.trading_day)


async def open_book(connection: AsyncConnection, account_id: str, now: datetime) -> None:
    """Make the account's row, when it is missing."""
    await connection.execute(_OPEN_BOOK, {"account": account_id, "now": now})


async def read(
    connection: AsyncConnection,
    intent: OrderIntent | CancelIntent | ModifyIntent,
    scopes: Sequence[str],
    now: datetime,
    window: timedelta,
) -> Snapshot | None:
    """The book as it is now, in one look; None when there is none yet.

    `window` is how far back an equal order is a duplicate.
    """
    order = intent if isinstance(intent, OrderIntent) else None
    row = (
        await connection.execute(
            _READ,
            {
                "intent": intent.intent_id,
                "account": intent.account_id,
                "contract": order.contract_id if order else 0,
                "strategy": intent.strategy_id,
                "side": order.side.value if order else "",
                "quantity": order.quantity if order else None,
                "limit_price": order.limit_price if order else None,
                "minute_ago": now - timedelta(minutes=1),
                "recently": now - window,
                "scopes": list(scopes),
                "scope": f"account:{intent.account_id}",
            },
        )
    ).one()
    if row.version is None:
        return None
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
        version=row.version,
        day=Day(plain(row.realised_pnl_today), row.trading_day),
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


async def decide(
    store: Store, decision: RiskDecision, events: Sequence[Event], book: Decided, *, cause: Origin
) -> bool:
    """Write and publish a decision; False when the book has changed since it was read: then nothing was written."""
    intent = decision.intent
    order = intent if isinstance(intent, OrderIntent) else None
    values: dict[str, Any] = {
        "version": book.version,
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
        "now": decision.basis.decided_at,
        "decision_id": decision.decision_id,
        "approved": decision.approved,
        "reason": decision.reason.value if decision.reason else None,
        "detail": decision.detail,
        "approved_fields": book.fingerprint if decision.approved else None,
        "decision": decision.to_json().decode(),
        "expires_at": decision.basis.decided_at + decision.expires_after,
    }
    statement = _DECIDE_ONLY
    if not decision.approved:
        statement = _DECIDE_AND_TELL
        values["scope"] = f"account:{intent.account_id}"
    elif order is not None:
        statement = _DECIDE_AND_RESERVE
        values |= {"price": book.price, "price_time": order.reference_time}
    return await store.at_once(statement, values, events, cause=cause)
