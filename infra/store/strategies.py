"""Live strategies and their signals, and every code of a strategy that was ever evaluated."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import text as sql
from sqlalchemy.ext.asyncio import AsyncConnection

from infra.store.newest import put_newest, put_once
from infra.store.tables import live_strategies, signals
from schemas.strategy import Signal, StrategyState

# one writer, in the order of the topic: the number that a code gets does not depend on when it is stored
_NEW_CODE = sql(
    "INSERT INTO strategies (code_hash, strategy, version, first_seen)"
    " SELECT :code_hash, :strategy, 1 + COALESCE(MAX(version), 0), :first_seen FROM strategies"
    " WHERE strategy = :strategy ON CONFLICT (code_hash) DO NOTHING"
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
    """Number the code of a strategy when it is new."""
    await connection.execute(_NEW_CODE, {"code_hash": code_hash, "strategy": strategy, "first_seen": seen})
