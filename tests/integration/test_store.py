"""Transactions on a real PostgreSQL: inbox, outbox, relay, and what becomes of failures."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

import asyncpg
import pytest
from sqlalchemy import text as sql
from sqlalchemy.exc import DBAPIError

from infra.clock import SystemClock
from infra.delivery import is_transient
from infra.embedded.postgres import PostgresServer
from infra.publish import NotAWriterError, Origin, Outgoing
from infra.settings import Settings
from infra.store import outbox
from infra.store.database import RecordTooLargeError, Store, StoreRefusedError, StoreUnavailableError
from infra.store.leases import Lease
from infra.store.revision import known_revision
from schemas.account import LimitBreached
from tests.builders import NOON, SEEN, a_bar


def an_origin(offset: int, partition: int = 0) -> Origin:
    return Origin("trading.intents.v1", partition, offset, b"DU1", 0, SEEN)


def a_breach(number: int) -> LimitBreached:
    return LimitBreached(
        event_time=NOON,
        ingest_time=SEEN,
        breach_id=f"b{number}",
        scope="account:DU1",
        account_id="DU1",
        rule="position_max",
        detail="too much",
    )


class Broker:
    """Takes records in order; acknowledges when told, or at once; may be away."""

    def __init__(self) -> None:
        self.taken: list[Outgoing] = []
        self.away = False
        self.silent = False

    async def post(self, records: Sequence[Outgoing]) -> "asyncio.Future[Any]":
        if self.away:
            raise ConnectionError("no broker")
        self.taken += records
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if not self.silent:
            future.set_result(None)
        return future

    @property
    def numbers(self) -> list[int]:
        return [int(record.value.split(b'"breach_id":"b')[1].split(b'"')[0]) for record in self.taken]


@contextlib.asynccontextmanager
async def relaying(store: Store, broker: Broker) -> AsyncIterator[None]:
    task = asyncio.create_task(store.outbox.relay(broker.post))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(condition: Any, seconds: float = 30) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


async def rows_in_outbox(store: Store) -> int:
    async with store.reading() as connection:
        return int(await connection.scalar(sql("SELECT count(*) FROM outbox")) or 0)


async def publish(store: Store, *numbers: int) -> None:
    async with store.transaction() as transaction:
        for number in numbers:
            await transaction.publish(a_breach(number))


async def test_a_record_is_seen_once_its_transaction_has_committed(store: Store) -> None:
    async def change_its_mind() -> None:
        async with store.transaction() as transaction:
            assert not await transaction.seen(an_origin(7))
            raise ValueError("changed its mind")

    with pytest.raises(ValueError, match="changed its mind"):
        await change_its_mind()
    for expected in (False, True):
        async with store.transaction() as transaction:
            assert await transaction.seen(an_origin(7)) is expected
    async with store.transaction() as transaction:
        assert await transaction.seen(an_origin(6)), "an earlier record of the partition was handled before"
        assert not await transaction.seen(an_origin(8))
        assert not await transaction.seen(an_origin(6, partition=1))


async def test_of_two_members_with_the_same_record_one_waits_and_sees_it_handled(store: Store) -> None:
    entered = asyncio.Event()

    async def first() -> bool:
        async with store.transaction() as transaction:
            seen = await transaction.seen(an_origin(1))
            entered.set()
            await asyncio.sleep(0.05)
            return seen

    async def second() -> bool:
        await entered.wait()
        async with store.transaction() as transaction:
            return await transaction.seen(an_origin(1))

    assert list(await asyncio.gather(first(), second())) == [False, True]


async def test_a_commit_publishes_in_order_and_the_outbox_empties(store: Store) -> None:
    broker = Broker()
    async with relaying(store, broker):
        for number in range(0, 30, 3):
            await publish(store, number, number + 1, number + 2)
        await until(lambda: len(broker.taken) == 30)
        assert broker.numbers == list(range(30))
        async with asyncio.timeout(30):
            while await rows_in_outbox(store):
                await asyncio.sleep(0.05)
    record = broker.taken[0]
    assert (record.topic, record.key, record.value) == ("risk.events.v1", b"account:DU1", a_breach(0).to_json())
    headers = dict(record.headers)
    assert headers["ce_type"] == b"scizor.risk.events.v1.LimitBreached"


async def test_what_was_undone_is_not_published(store: Store) -> None:
    async def undo() -> None:
        async with store.transaction() as transaction:
            await transaction.publish(a_breach(1))
            raise ValueError("undone")

    broker = Broker()
    async with relaying(store, broker):
        with pytest.raises(ValueError, match="undone"):
            await undo()
        await publish(store, 2)
        await until(lambda: broker.taken)
    assert broker.numbers == [2]


async def test_leftovers_of_a_killed_process_leave_first_and_unchanged(settings: Settings, store: Store) -> None:
    async with store.transaction() as transaction:
        await transaction.publish(a_breach(1), cause=an_origin(1))
        prepared = transaction.to_publish[0]
    await publish(store, 2)
    await store.close()

    again, broker = Store(settings, "risk"), Broker()
    await publish(again, 3)
    async with relaying(again, broker):
        await until(lambda: len(broker.taken) == 3)
    await again.close()
    assert broker.numbers == [1, 2, 3]
    assert broker.taken[0] == prepared


async def test_rows_of_another_service_stay_where_they_are(settings: Settings, store: Store) -> None:
    await publish(store, 1)
    other, broker = Store(settings, "executor"), Broker()
    async with relaying(other, broker):
        await asyncio.sleep(0.1)
    await other.close()
    assert broker.taken == []
    assert await rows_in_outbox(store) == 1


async def test_unacknowledged_records_come_again_and_nothing_is_lost(settings: Settings, store: Store) -> None:
    broker = Broker()
    broker.silent = True
    async with relaying(store, broker):
        await publish(store, 1, 2)
        await until(lambda: len(broker.taken) == 2)
    second = Broker()
    async with relaying(store, second):
        await until(lambda: len(second.taken) == 2)
    assert second.numbers == [1, 2]


async def test_while_the_broker_is_away_commits_go_on_and_readiness_says_why(store: Store) -> None:
    broker = Broker()
    broker.away = True
    async with relaying(store, broker):
        for number in range(5):
            await publish(store, number)
        await until(store.outbox.why_not_ready)
        broker.away = False
        await until(lambda: len(broker.taken) == 5)
        await until(lambda: store.outbox.why_not_ready() is None)
    assert broker.numbers == list(range(5))


async def test_more_than_memory_holds_is_read_from_the_table(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "_MEMORY_MAX", 4)
    monkeypatch.setattr(outbox, "_READ_ROWS", 3)
    broker = Broker()
    async with relaying(store, broker):
        await publish(store, 0)
        await until(lambda: broker.taken)
        await asyncio.gather(*(publish(store, *range(first, first + 5)) for first in range(1, 51, 5)))
        await until(lambda: len(broker.taken) >= 51)
    assert sorted(set(broker.numbers)) == list(range(51))
    firsts = [broker.numbers.index(number) for number in range(1, 6)]
    assert firsts == sorted(firsts)


async def test_a_service_publishes_only_what_it_declares_and_nothing_too_large(store: Store) -> None:
    async with store.transaction() as transaction:
        with pytest.raises(NotAWriterError):
            await transaction.publish(a_bar())
        large = a_breach(1).model_copy(update={"detail": "x" * 2_000_000})
        with pytest.raises(RecordTooLargeError):
            await transaction.publish(large)


async def test_a_lost_connection_is_transient_and_the_next_transaction_works(
    store: Store, postgres_server: PostgresServer, settings: Settings
) -> None:
    name = settings.database_url.get_secret_value().rsplit("/", 1)[1]
    kick = f"SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '{name}'"

    async def lose_it() -> None:
        async with store.transaction() as transaction:
            await transaction.seen(an_origin(1))
            postgres_server.execute(kick, "postgres")
            await transaction.connection.execute(sql("SELECT 1"))

    with pytest.raises(StoreUnavailableError) as lost:
        await lose_it()
    assert is_transient(lost.value)
    async with asyncio.timeout(30):
        while True:
            try:
                async with store.transaction() as transaction:
                    assert not await transaction.seen(an_origin(1))
            except StoreUnavailableError:
                continue
            break


async def test_no_server_missing_tables_and_forgetful_servers_are_told(settings: Settings, store: Store) -> None:
    nowhere = settings.model_copy(
        update={"database_url": type(settings.database_url)("postgresql://a:b@127.0.0.1:1/c")}
    )
    absent = Store(nowhere, "risk")
    with pytest.raises(StoreUnavailableError, match=r"127.0.0.1:1/c does not answer"):
        await absent.start()
    await absent.close()
    with pytest.raises(StoreRefusedError, match="scizor db upgrade"):
        async with store.transaction() as transaction:
            await transaction.connection.execute(sql("SELECT * FROM never_made"))
    with pytest.raises(DBAPIError, match="ck_trading_state_mode"):
        async with store.transaction() as transaction:
            await transaction.connection.execute(
                sql("INSERT INTO trading_state VALUES ('global', 'MAYBE', '', 'me', now(), now())")
            )
    database = await asyncpg.connect(settings.database_url.get_secret_value())
    await database.execute(
        f"ALTER DATABASE {settings.database_url.get_secret_value().rsplit('/', 1)[1]} SET synchronous_commit = off"
    )
    await database.close()
    forgetful = Store(settings, "risk")
    with pytest.raises(Exception, match="synchronous_commit = on"):
        await forgetful.start()
    await forgetful.close()


async def test_the_audit_log_is_a_chain_that_nobody_can_change(settings: Settings) -> None:
    database = await asyncpg.connect(settings.database_url.get_secret_value())
    row = (
        "INSERT INTO audit_log (actor, role, action, target, outcome, request_id, detail)"
        " VALUES ('a', 'admin', 'kill', 'x', 'ok', 'r', '{}')"
    )
    others = [await asyncpg.connect(settings.database_url.get_secret_value()) for _ in range(3)]
    await asyncio.gather(*(each.execute(row) for each in [database, *others]))
    rows = await database.fetch("SELECT sequence, previous_hash, hash FROM audit_log ORDER BY sequence")
    assert [each["sequence"] for each in rows] == [1, 2, 3, 4]
    assert [each["previous_hash"] for each in rows] == [b"", *(each["hash"] for each in rows[:-1])]
    for change in ("UPDATE audit_log SET actor = 'b'", "DELETE FROM audit_log", "TRUNCATE audit_log"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
            await database.execute(change)
    for each in [database, *others]:
        await each.close()


@pytest.mark.parametrize(
    ("revision", "what_to_do"),
    [("9999", "a newer build has upgraded them"), ("0001", "run `scizor db upgrade`")],
)
async def test_the_tables_of_another_build_are_refused_by_who_starts_and_who_would_lead(
    settings: Settings, database_url: str, revision: str, what_to_do: str
) -> None:
    store, clock = Store(settings, "risk"), SystemClock()
    refused, lease = Lease(settings, "executor", clock), Lease(settings, "executor", clock)
    database = await asyncpg.connect(database_url)
    try:
        await database.execute("UPDATE alembic_version SET version_num = $1", revision)
        for attempt in (store.start, refused.acquire):
            with pytest.raises(StoreRefusedError, match=what_to_do):
                await attempt()
        assert await database.fetchval("SELECT count(*) FROM leases") == 0
        await database.execute("UPDATE alembic_version SET version_num = $1", known_revision())
        await store.start()
        await lease.acquire()
    finally:
        await database.close()
        for each in (refused, lease):
            await each.release()
        await store.close()
