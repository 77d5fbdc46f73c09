"""Transactions in which state, the inbox row and what is to be published agree, or none of them happened."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from sqlalchemy import ARRAY, BigInteger, LargeBinary, Text, TextClause, Uuid, bindparam
from sqlalchemy import text as sql
from sqlalchemy.ext.asyncio import AsyncConnection

from infra.errors import EnvironmentUnhealthyError, ScizorError
from infra.publish import NotAWriterError, Origin, Outgoing, outgoing
from infra.settings import Settings
from infra.store import connection
from infra.store.connection import StoreRefusedError, StoreUnavailableError
from infra.store.outbox import Outbox, encoded_headers, event_id_of
from infra.store.revision import refuse_tables_of_another_build
from infra.topics import Catalogue, load_catalogue
from schemas.event import Event

__all__ = ["Store", "StoreRefusedError", "StoreUnavailableError", "Transaction"]

POOL_SIZE = 4

_HANDLE = sql(
    "INSERT INTO inbox (service, topic, partition, record_offset) VALUES (:service, :topic, :partition, :record_offset)"
    " ON CONFLICT (service, topic, partition) DO UPDATE SET record_offset = excluded.record_offset"
    " WHERE inbox.record_offset < excluded.record_offset"
)
_PUT_OUT_TEXT = (
    "INSERT INTO outbox (id, owner, aggregatetype, aggregateid, type, payload, topic, key, headers, timestamp_ms)"
    " SELECT id, :owner, topic, convert_from(key, 'UTF8'), type, payload, topic, key, headers::jsonb, timestamp_ms"
    " FROM unnest(:ids, :types, :payloads, :topics, :keys, :headers, :timestamps)"
    " WITH ORDINALITY AS row (id, type, payload, topic, key, headers, timestamp_ms, number)"
    " {condition} ORDER BY number RETURNING sequence"
)
_OUTBOX_PARAMETERS = (
    bindparam("owner", type_=Text),
    bindparam("ids", type_=ARRAY(Uuid(as_uuid=False))),
    bindparam("types", type_=ARRAY(Text)),
    bindparam("payloads", type_=ARRAY(LargeBinary)),
    bindparam("topics", type_=ARRAY(Text)),
    bindparam("keys", type_=ARRAY(LargeBinary)),
    bindparam("headers", type_=ARRAY(Text)),
    bindparam("timestamps", type_=ARRAY(BigInteger)),
)
_PUT_OUT = sql(_PUT_OUT_TEXT.format(condition="")).bindparams(*_OUTBOX_PARAMETERS)


def at_once(steps: str) -> TextClause:
    """For `Store.at_once`: the WITH part of a statement; its step `done` has a row if, and only if, it came to pass."""
    condition = "WHERE EXISTS (SELECT FROM done)"
    return sql(f"WITH {steps} {_PUT_OUT_TEXT.format(condition=condition)}").bindparams(*_OUTBOX_PARAMETERS)


class RecordTooLargeError(ScizorError):
    def __init__(self, record: Outgoing, bytes_max: int) -> None:
        super().__init__(
            f"an event for {record.topic} has {len(record.value)} bytes, more than the topic's {bytes_max}"
        )


class Transaction:
    """One transaction of one service. Ends with the `async with` block: committed, or on an exception undone."""

    def __init__(self, connection: AsyncConnection, service: str, catalogue: Catalogue) -> None:
        self.connection = connection
        self._service = service
        self._catalogue = catalogue
        self.to_publish: list[Outgoing] = []

    async def seen(self, origin: Origin) -> bool:
        """Whether this record, or a later one of its partition, was handled before; from now on it was.

        Takes the partition's row: another member with the same record waits here and then sees it as handled.
        """
        result = await self.connection.execute(
            _HANDLE,
            {
                "service": self._service,
                "topic": origin.topic,
                "partition": origin.partition,
                "record_offset": origin.offset,
            },
        )
        return bool(result.rowcount == 0)

    async def publish(self, event: Event, *, cause: Origin | None = None) -> None:
        """Publish if and when this transaction commits, in the order of these calls."""
        self.to_publish.append(_record_of(event, cause, self._service, self._catalogue))

    async def put_out(self) -> list[int]:
        """Write what is to be published into the outbox; the numbers of its rows, in order."""
        if not self.to_publish:
            return []
        result = await self.connection.execute(_PUT_OUT, _outbox_values(self._service, self.to_publish))
        return list(result.scalars())


def _record_of(event: Event, cause: Origin | None, service: str, catalogue: Catalogue) -> Outgoing:
    topic = catalogue.topic_of(type(event))
    if topic.name not in catalogue.services[service].writes:
        raise NotAWriterError(service, topic.name)
    record = outgoing(topic, event, cause, f"scizor/{service}")
    if len(record.value) > topic.message_max_bytes:
        raise RecordTooLargeError(record, topic.message_max_bytes)
    return record


def _outbox_values(service: str, rows: Sequence[Outgoing]) -> dict[str, Any]:
    return {
        "owner": service,
        "ids": [event_id_of(row) for row in rows],
        "types": [dict(row.headers).get("ce_type", b"").decode() for row in rows],
        "payloads": [row.value for row in rows],
        "topics": [row.topic for row in rows],
        "keys": [row.key for row in rows],
        "headers": [encoded_headers(row.headers) for row in rows],
        "timestamps": [row.timestamp_ms for row in rows],
    }


class Store:
    """The database of one service: a small warm pool, and the outbox of what its commits publish."""

    def __init__(
        self, settings: Settings, service: str, *, catalogue: Catalogue | None = None, pool_size: int = POOL_SIZE
    ) -> None:
        self.service = service
        self._catalogue = catalogue or load_catalogue()
        self._pool_size = pool_size
        address = settings.database_url.get_secret_value()
        self.engine = connection.engine(address, name=service, pool_size=pool_size)
        self.outbox = Outbox(self.engine, service)

    async def start(self) -> None:
        """Open the connections ahead of the first record; refuse a database that forgets, or of another build."""
        async with AsyncExitStack() as opened:
            for _ in range(self._pool_size):
                held = await self._connected()
                opened.push_async_callback(held.close)
            await self._refuse_forgetful(held)
        async with self.looking() as held:
            await refuse_tables_of_another_build(held)

    async def close(self) -> None:
        await self.engine.dispose()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """One transaction (read committed). What it publishes leaves right after the commit.

        Raises StoreUnavailableError when it is worth trying again: nothing happened then, or, when the answer to the
        commit was lost, all of it, which `seen` tells the next time.
        """
        held = await self._connected()
        transaction = Transaction(held, self.service, self._catalogue)
        try:
            yield transaction
            numbers = await transaction.put_out()
            try:
                await held.commit()
            except BaseException:
                self.outbox.look_again()  # it may have been committed: the relay finds out from the table
                raise
            self.outbox.hand_over(numbers, transaction.to_publish)
        except connection.STATEMENT_FAILURES as error:
            if (meaning := connection.understood(error, self.engine.url)) is not None:
                raise meaning from error
            raise
        finally:
            await held.close()  # undoes what was not committed

    def record_of(self, event: Event, cause: Origin | None = None) -> Outgoing:
        """The record that publishes `event`; refuses a topic that this service does not declare."""
        return _record_of(event, cause, self.service, self._catalogue)

    async def at_once(self, statement: TextClause, values: Mapping[str, Any], records: Sequence[Outgoing]) -> bool:
        """A transaction in one statement (see `at_once`), which is one round trip instead of five.

        False when it did not come to pass: then nothing was written, and none of `records` is published.
        """
        held = await self._connected()
        try:
            alone = await held.execution_options(isolation_level="AUTOCOMMIT")
            result = await alone.execute(statement, {**values, **_outbox_values(self.service, records)})
            numbers = list(result.scalars())
        except BaseException as error:
            self.outbox.look_again()  # it may have come to pass: the relay finds out from the table
            if not isinstance(error, connection.STATEMENT_FAILURES):
                raise
            if (meaning := connection.understood(error, self.engine.url)) is not None:
                raise meaning from error
            raise
        finally:
            await held.close()
        self.outbox.hand_over(numbers, records if numbers else ())
        return bool(numbers)

    @asynccontextmanager
    async def looking(self) -> AsyncIterator[AsyncConnection]:
        """A connection on which every statement is a transaction of its own: the quickest way to look once."""
        async with self._held(isolation_level="AUTOCOMMIT") as held:
            yield held

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[AsyncConnection]:
        """A connection to read from, in one snapshot for all its statements."""
        async with self._held(isolation_level="REPEATABLE READ", postgresql_readonly=True) as held:
            yield held

    @asynccontextmanager
    async def _held(self, **options: Any) -> AsyncIterator[AsyncConnection]:
        held = await self._connected()
        try:
            yield await held.execution_options(**options)
        except connection.STATEMENT_FAILURES as error:
            if (meaning := connection.understood(error, self.engine.url)) is not None:
                raise meaning from error
            raise
        finally:
            await held.close()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A connection to read from, in one snapshot per statement."""
        async with self.transaction() as transaction:
            yield transaction.connection

    async def _connected(self) -> AsyncConnection:
        try:
            return await self.engine.connect()
        except connection.WORLD as error:
            if (meaning := connection.understood(error, self.engine.url)) is not None:
                raise meaning from error
            raise

    async def _refuse_forgetful(self, held: AsyncConnection) -> None:
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            value: Any = await held.scalar(sql(f"SHOW {setting}"))
            if value == "off":
                raise EnvironmentUnhealthyError(
                    f"PostgreSQL at {connection.place_of(self.engine.url)} runs with {setting} off and may forget "
                    f"what it confirmed: set {setting} = on"
                )
