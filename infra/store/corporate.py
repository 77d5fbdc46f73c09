"""What companies did to their shares, every revision of it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import RowMapping, select
from sqlalchemy.ext.asyncio import AsyncConnection

from infra.store.newest import Row, put_once
from infra.store.tables import corporate_actions
from schemas.corporate import CorporateAction

_ACTION: TypeAdapter[CorporateAction] = TypeAdapter(CorporateAction)
_COMMON = frozenset({"type", "contract_id", "symbol", "ex_date", "revision", "canceled", "origin", "by", "note"})
_TIMES = frozenset({"event_time", "ingest_time"})
_ROWS_MAX = 10_000


async def put_actions(connection: AsyncConnection, events: Sequence[CorporateAction]) -> None:
    """Each revision once."""
    await put_once(connection, corporate_actions, [_row(event) for event in events])


def _row(event: CorporateAction) -> Row:
    return {
        **event.model_dump(include=set(_COMMON) - {"origin"}),
        "origin": event.origin.value,
        "terms": event.model_dump(mode="json", exclude=set(_COMMON | _TIMES)),
        "event_time": event.event_time,
        "ingest_time": event.ingest_time,
    }


async def actions_of(
    connection: AsyncConnection, contract_id: int, known_by: datetime | None = None
) -> list[CorporateAction]:
    """Every revision of a contract's actions, in the order in which they take effect; as known at a moment."""
    statement = select(corporate_actions).where(corporate_actions.c.contract_id == contract_id)
    if known_by is not None:
        statement = statement.where(corporate_actions.c.ingest_time <= known_by)
    order = (corporate_actions.c.ex_date, corporate_actions.c.type, corporate_actions.c.revision)
    rows = await connection.execute(statement.order_by(*order).limit(_ROWS_MAX))
    return [_ACTION.validate_python(_values(row)) for row in rows.mappings()]


def _values(row: RowMapping) -> dict[str, Any]:
    return {**row["terms"], **{name: row[name] for name in (*_COMMON, *_TIMES)}}
