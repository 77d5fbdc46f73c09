"""Tables made again from topics: emptied, then filled by reading every record from the beginning."""

from collections.abc import Callable
from dataclasses import dataclass, field

from sqlalchemy import text as sql

from infra.replay import read_to_end
from infra.settings import Settings
from infra.store.database import Store
from infra.store.keeping import Keeper, can_be_kept
from infra.store.tables import REBUILT_FROM_TOPICS
from infra.topics import Catalogue, load_catalogue

WRITER = "persister"


@dataclass
class Rebuilt:
    """How many records were read and how many of them are malformed, by topic; and the rows of each table."""

    records: dict[str, int] = field(default_factory=dict)
    malformed: dict[str, int] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)


async def rebuild(
    settings: Settings, *, catalogue: Catalogue | None = None, on_progress: Callable[[str, int], None] = lambda *_: None
) -> Rebuilt:
    """Empty the tables of the persister and fill them from the topics, in its name.

    A persister that runs meanwhile does no harm: what both store is the same. `on_progress` gets topic and records.
    """
    catalogue = catalogue or load_catalogue()
    store = Store(settings, WRITER, catalogue=catalogue, pool_size=1)
    keeper = Keeper(store, catalogue, settings.topic_prefix)
    rebuilt = Rebuilt()
    tables = [table.name for table in REBUILT_FROM_TOPICS]
    try:
        await store.start()
        async with store.transaction() as transaction:
            await transaction.connection.execute(sql(f"TRUNCATE {', '.join(tables)}"))
        for topic in catalogue.services[WRITER].reads:
            assert can_be_kept(catalogue.topic(topic)), f"there is no table for {topic}"
            rebuilt.records[topic] = rebuilt.malformed[topic] = 0
            async for records in read_to_end(settings, [topic], catalogue=catalogue):
                kept = await keeper.keep(records)
                rebuilt.records[topic] += len(records)
                rebuilt.malformed[topic] += sum(len(part.failures) for part in kept)
                on_progress(topic, rebuilt.records[topic])
        async with store.reading() as connection:
            for table in tables:
                rebuilt.rows[table] = int(await connection.scalar(sql(f"SELECT count(*) FROM {table}")) or 0)
    finally:
        await store.close()
    return rebuilt
