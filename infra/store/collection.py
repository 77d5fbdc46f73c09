"""Collection runs as the data farmer tells them."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from infra.store.newest import put_newest
from infra.store.tables import collection_runs
from schemas.collection import CollectionRun


async def put_runs(connection: AsyncConnection, events: Sequence[CollectionRun]) -> None:
    """The newest state of each run."""
    rows = [event.model_dump(exclude={"type"}) | {"kind": event.kind, "state": event.state.value} for event in events]
    await put_newest(connection, collection_runs, rows)
