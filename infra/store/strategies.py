"""Live strategies and their signals, and every code of a strategy that was ever evaluated."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import text as sql
from sqlalchemy.ext.asyncio import AsyncConnection

from infra.store.newest import put_newest, put_once
from infra.store.tables import live_strategies, signals
from schemas.strategy import Signal, StrategyState

# trials and results come on two topics without an order between them: the earliest of all counts
_SEEN_CODE = sql(
    "INSERT INTO strategies (code_hash, strategy, first_seen) VALUES (:code_hash, :strategy, :first_seen)"
    " ON CONFLICT (code_hash) DO UPDATE SET first_seen = excluded.first_seen"
    " WHERE excluded.first_seen < strategies.first_seen"
)


async def put_states(connection: AsyncConnection, events: Sequence[StrategyState]) -> None:
    """The newest state of each live strategy."""
    rows = [
        {
            "strategy_id": event.strategy_id,
            "state": event.state.value,
            "strategy": event.deployment.strategy,
            "account_id": event.deployment.account_id,
            "deployment": event.deployment.model_dump(mode="json"),
            "signals": event.signals,
            "intents": event.intents,
            "denied": event.denied,
            "positions": event.positions,
            "bars_seen": event.bars_seen,
            "error": event.error,
            "event_time": event.event_time,
            "ingest_time": event.ingest_time,
        }
        for event in events
    ]
    await put_newest(connection, live_strategies, rows)


async def put_signals(connection: AsyncConnection, events: Sequence[Signal]) -> None:
    rows = [event.model_dump(exclude={"type"}) | {"source": event.source.value} for event in events]
    await put_once(connection, signals, rows)


async def put_code(connection: AsyncConnection, code_hash: str, strategy: str, seen: datetime) -> None:
    """Note the code of a strategy, and when it was first evaluated."""
    await connection.execute(_SEEN_CODE, {"code_hash": code_hash, "strategy": strategy, "first_seen": seen})
