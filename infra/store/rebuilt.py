"""Whether a service has made its tables from the topics: once in the life of a database, before its first record."""

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from infra.store.tables import inbox

_BEFORE_THE_FIRST = -1


async def is_done(connection: AsyncConnection, service: str) -> bool:
    """Whether it has; a database that was lost and made anew does not know."""
    query = inbox.select().where(inbox.c.service == service, inbox.c.record_offset == _BEFORE_THE_FIRST)
    return (await connection.execute(query)).first() is not None


async def done(connection: AsyncConnection, service: str, topic: str) -> None:
    """Remember it, as a row of the inbox that has taken nothing: no topic is too short for it."""
    values = {"service": service, "topic": topic, "partition": 0, "record_offset": _BEFORE_THE_FIRST}
    await connection.execute(insert(inbox).values(values).on_conflict_do_nothing())
