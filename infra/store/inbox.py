"""Whether a database and the topics belong together: what was handled must exist.

Topics that were made anew begin at offset 0, and an inbox of older ones would take their first records for repeats.
"""

from aiokafka import TopicPartition
from sqlalchemy import select

from infra import broker
from infra.errors import EnvironmentUnhealthyError
from infra.settings import Settings
from infra.store.database import Store
from infra.store.tables import inbox


class ForeignTopicsError(EnvironmentUnhealthyError):
    def __init__(self, place: TopicPartition, handled: int, end: int) -> None:
        super().__init__(
            f"the database has handled {place.topic}/{place.partition} up to offset {handled}, but the topic ends at "
            f"{end}: these topics are not those of this database; point SCIZOR_DATABASE_URL or SCIZOR_KAFKA to where "
            "they belong together, or start with a fresh database"
        )


async def refuse_foreign_topics(settings: Settings, store: Store) -> None:
    """Raise ForeignTopicsError when the service's inbox knows records that the topics do not have."""
    async with store.looking() as connection:
        handled_something = (inbox.c.service == store.service) & (inbox.c.record_offset >= 0)
        query = select(inbox.c.topic, inbox.c.partition, inbox.c.record_offset).where(handled_something)
        rows = (await connection.execute(query)).all()
    if not rows:
        return
    handled = {TopicPartition(settings.topic_prefix + row.topic, row.partition): row.record_offset for row in rows}
    consumer = broker.reader(settings)
    await consumer.start()
    try:
        ends = await consumer.end_offsets(list(handled))
    finally:
        await consumer.stop()
    for place, offset in handled.items():
        if offset >= ends[place]:
            raise ForeignTopicsError(place, offset, ends[place])
