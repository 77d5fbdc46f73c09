"""What holds risk back: limits, trading states, restrictions and what the broker tells of accounts, each kept once."""

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import select
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from infra.store.tables import book_accounts, books, reservations, restrictions, risk_events, risk_limits, trading_state
from schemas.account import AccountState, LimitBreached, Restriction, RiskLimits, TradingMode, TradingState


async def save_limits(connection: AsyncConnection, limits: RiskLimits) -> None:
    """Keep a version of a scope's limits; a version that is known is never changed."""
    values = {
        "scope": limits.scope,
        "version": limits.version,
        "limits": limits.model_dump(mode="json"),
        "event_time": limits.event_time,
        "ingest_time": limits.ingest_time,
    }
    await connection.execute(insert(risk_limits).values(values).on_conflict_do_nothing())


async def state_of(connection: AsyncConnection, scope: str) -> TradingState | None:
    row = (await connection.execute(select(trading_state).where(trading_state.c.scope == scope))).first()
    if row is None:
        return None
    return TradingState(
        scope=row.scope,
        mode=TradingMode(row.mode),
        reason=row.reason,
        by=row.by,
        reduced_by=row.reduced_by,
        reduced_reason=row.reduced_reason,
        event_time=row.event_time,
        ingest_time=row.ingest_time,
    )


async def save_state(connection: AsyncConnection, state: TradingState) -> None:
    values = {
        "mode": state.mode.value,
        "reason": state.reason,
        "by": state.by,
        "reduced_by": state.reduced_by,
        "reduced_reason": state.reduced_reason,
        "event_time": state.event_time,
        "ingest_time": state.ingest_time,
    }
    statement = insert(trading_state).values(scope=state.scope, **values)
    await connection.execute(statement.on_conflict_do_update(index_elements=[trading_state.c.scope], set_=values))


async def save_breach(connection: AsyncConnection, breach: LimitBreached) -> None:
    values = breach.model_dump(exclude={"type"})
    await connection.execute(insert(risk_events).values(values).on_conflict_do_nothing())


async def save_stop(connection: AsyncConnection, breach_id: str, state: TradingState) -> None:
    """A stop that somebody else told; without an account when it is of everything, of a strategy or a symbol."""
    kind, _, name = state.scope.partition(":")
    values = {
        "breach_id": breach_id,
        "scope": state.scope,
        "account_id": name if kind == "account" else "",
        "strategy_id": name if kind == "strategy" else "",
        "rule": state.mode.value.lower(),
        "detail": f"{state.reason} ({state.by})",
        "event_time": state.event_time,
        "ingest_time": state.ingest_time,
    }
    await connection.execute(insert(risk_events).values(values).on_conflict_do_nothing())


async def limits_of(connection: AsyncConnection, scope: str) -> Any | None:
    """The newest limits of a scope as they are stored, or None."""
    query = select(risk_limits.c.limits).where(risk_limits.c.scope == scope)
    return await connection.scalar(query.order_by(risk_limits.c.version.desc()).limit(1))


async def save_restriction(connection: AsyncConnection, told: Restriction) -> None:
    """The newest word about a symbol counts."""
    values = told.model_dump(include={"restricted", "reason", "by", "event_time"})
    statement = insert(restrictions).values(symbol=told.symbol, **values)
    newer = restrictions.c.event_time <= statement.excluded.event_time
    await connection.execute(
        statement.on_conflict_do_update(index_elements=[restrictions.c.symbol], set_=values, where=newer)
    )


async def save_account(connection: AsyncConnection, told: AccountState) -> None:
    """What the broker says; the peak and the morning of the account stay."""
    values = told.model_dump(
        include={"currency", "net_liquidation", "buying_power", "initial_margin", "maintenance_margin"}
    )
    values |= {"rates": {name: str(rate) for name, rate in told.exchange_rates.items()}, "told_at": told.ingest_time}
    statement = insert(book_accounts).values(
        account_id=told.account_id, **values, peak=told.net_liquidation, unrealised_before=Decimal(0)
    )
    await connection.execute(
        statement.on_conflict_do_update(
            index_elements=[book_accounts.c.account_id],
            set_={**values, "peak": sql("greatest(book_accounts.peak, excluded.net_liquidation)")},
            where=book_accounts.c.told_at <= statement.excluded.told_at,
        )
    )


_STANDING = sql("""
SELECT a.account_id, a.trading_day AS marked_day, a.unrealised_before, a.loss_mode, b.realised_pnl_today,
    b.trading_day AS realised_day,
    coalesce((SELECT sum(p.quantity * (m.price - p.average_price)
            * CASE WHEN p.currency = a.currency THEN 1 ELSE (a.rates->>p.currency)::numeric END)
        FROM book_positions p JOIN marks m USING (contract_id) WHERE p.account_id = a.account_id AND p.quantity <> 0
    ), 0) AS unrealised,
    (SELECT max(m.event_time) FROM book_positions p JOIN marks m USING (contract_id)
        WHERE p.account_id = a.account_id AND p.quantity <> 0) AS market_time,
    EXISTS (SELECT FROM book_positions p WHERE p.account_id = a.account_id AND p.quantity <> 0
        AND p.currency <> a.currency AND a.rates->>p.currency IS NULL) AS unvalued
FROM book_accounts a JOIN books b USING (account_id)
""")


async def standings(connection: AsyncConnection) -> Sequence[Any]:
    """What the positions of every account earn at the newest prices, in its base currency."""
    return (await connection.execute(_STANDING)).all()


async def begin_day(connection: AsyncConnection, account_id: str, day: date, unrealised: Decimal) -> None:
    """Remember what the positions had earned before the day, unless it has begun already."""
    table = book_accounts.c
    statement = book_accounts.update().where(table.account_id == account_id, table.trading_day.is_distinct_from(day))
    values = {"trading_day": day, "unrealised_before": unrealised, "loss_mode": TradingMode.ACTIVE.value}
    await connection.execute(statement.values(**values))


async def forget_day(connection: AsyncConnection, account_id: str) -> None:
    """What was realised in a market that is no more."""
    values: dict[str, Any] = {"realised_pnl_today": Decimal(0), "trading_day": None, "unvalued": {}}
    await connection.execute(books.update().where(books.c.account_id == account_id).values(**values))


async def save_loss_mode(connection: AsyncConnection, account_id: str, mode: TradingMode) -> None:
    statement = book_accounts.update().where(book_accounts.c.account_id == account_id)
    await connection.execute(statement.values(loss_mode=mode.value))


async def rejected_in_a_row(
    connection: AsyncConnection, account_id: str, strategy_id: str, since: datetime, most: int
) -> int:
    """How many of the strategy's newest orders that the broker has answered were rejected, up to `most`."""
    table = reservations.c
    query = select(table.rejected).where(
        table.account_id == account_id, table.strategy_id == strategy_id, table.sequence > 1, table.opened_at > since
    )
    rows = (await connection.execute(query.order_by(table.opened_at.desc()).limit(most))).all()
    flags = [row.rejected for row in rows]
    return flags.index(False) if False in flags else len(flags)


_TRIPS = sql(
    "SELECT count(*) FROM book_trips WHERE account_id = :account AND strategy_id = :strategy AND closed_at > :since"
)


async def trips_since(connection: AsyncConnection, account_id: str, strategy_id: str, since: datetime) -> int:
    """How often a strategy has come back to flat since a moment of wall time."""
    values = {"account": account_id, "strategy": strategy_id, "since": since}
    return int(await connection.scalar(_TRIPS, values) or 0)
