"""A symbol removed: archived first, gone from the tables, and a rebuild from the topics keeps to it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import polars as pl
from sqlalchemy import text as sql

from consumers.persister import build as build_persister
from infra import topic_admin
from infra.bar_replay import BarFilter, read_bars
from infra.rebuild import rebuild
from infra.settings import Settings
from infra.store import portfolio
from infra.store.bars import read_bars as stored_bars
from infra.store.database import Store
from producers.cli.desk import Desk
from schemas.account import Position
from schemas.collection import RunState
from schemas.market import Want
from schemas.registry import RemoveSymbol
from schemas.validation import SymbolRemoved, SymbolState
from tests.builders import APPLE, SEEN
from tests.integration.a_gateway import scripted_gateway, simulator
from tests.integration.an_order_path import settled
from tests.integration.test_data_farmer import Asker, a_collection, a_validation, everything, farming
from tests.integration.test_service import running
from tests.integration.test_symbols import describe, entry

IBM = 8314
_TABLES = ("bars", "quarantine", "symbols", "removals", "sessions")


def a_removal(run_id: str, symbol: str = "AAPL", *, keep_data: bool = False) -> RemoveSymbol:
    return RemoveSymbol(
        event_time=SEEN, ingest_time=SEEN, run_id=run_id, symbol=symbol, keep_data=keep_data, requested_by="ann"
    )


@contextlib.asynccontextmanager
async def storing_and_farming(settings: Settings) -> AsyncIterator[Asker]:
    await topic_admin.apply(settings)
    persister = running(build_persister(settings))
    async with persister, simulator() as gateway, farming(settings, gateway.port) as asker:
        yield asker


async def rows(settings: Settings) -> dict[str, list[Any]]:
    """Every row of the tables that know symbols or their data."""
    store = Store(settings, "persister", pool_size=1)
    try:
        async with store.reading() as connection:
            found = {}
            for table in _TABLES:
                listed = await connection.execute(sql(f"SELECT * FROM {table}"))
                found[table] = sorted(map(str, listed.all()))
            return found
    finally:
        await store.close()


async def stored(settings: Settings, contract_id: int) -> pl.DataFrame:
    store = Store(settings, "persister", pool_size=1)
    try:
        async with store.reading() as connection:
            return await stored_bars(connection, BarFilter(contract_ids=[contract_id]))
    finally:
        await store.close()


async def until_stored(settings: Settings, counts: dict[int, int]) -> None:
    """Until the persister has so many bars of each contract."""
    async with asyncio.timeout(30):
        while {each: len(await stored(settings, each)) for each in counts} != counts:
            await asyncio.sleep(0.05)


async def until_removed(settings: Settings, count: int) -> None:
    async with asyncio.timeout(30):
        while sum("removed by" in row for row in (await rows(settings))["symbols"]) != count:
            await asyncio.sleep(0.05)


async def test_a_removed_symbol_is_archived_and_gone_and_a_rebuild_gives_the_same_rows(
    stack_settings: Settings,
) -> None:
    async with storing_and_farming(stack_settings) as asker:
        await asker.run(a_collection("run-1", "AAPL", "IBM"))
        await until_stored(stack_settings, {APPLE: 18, IBM: 18})
        before = await stored(stack_settings, APPLE)
        told = await asker.run(a_removal("run-2"))
        await until_stored(stack_settings, {APPLE: 0, IBM: 18})
        await until_removed(stack_settings, 1)
        await settled(stack_settings, "persister")
        after = await rows(stack_settings)

    assert (told.state, told.kind, told.failures) == (RunState.DONE, "remove", {})
    (removed,) = await everything(stack_settings, "reference.removals.v1")
    assert isinstance(removed, SymbolRemoved)
    assert (removed.contract_id, removed.bars, removed.requested_by) == (APPLE, 18, "ann")
    archived = pl.read_parquet(f"{removed.archive}/*.parquet")
    assert archived.sort("start_us").equals(before.sort("start_us"))
    gone = await entry(stack_settings, "AAPL")
    assert (gone.state, gone.contract) == (SymbolState.REMOVED, None)
    assert gone.reason == f"removed by ann: 18 bars archived to {removed.archive}"

    assert (await read_bars(stack_settings))["contract_id"].unique().to_list() == [IBM], "a replay of the topics too"
    await rebuild(stack_settings)
    assert await rows(stack_settings) == after


async def test_a_symbol_that_is_added_again_starts_anew(stack_settings: Settings) -> None:
    async with storing_and_farming(stack_settings) as asker:
        await asker.run(a_collection("run-1", "AAPL"))
        await until_stored(stack_settings, {APPLE: 18})
        await asker.run(a_removal("run-2"))
        again = await asker.run(a_collection("run-3", "AAPL", end=datetime(2013, 2, 15, tzinfo=UTC)))
        await until_stored(stack_settings, {APPLE: again.bars_published})
        await settled(stack_settings, "persister")
        before = await rows(stack_settings)
    await rebuild(stack_settings)

    assert again.gateway_requests >= 1
    assert 0 < again.bars_published < 18
    assert (await entry(stack_settings, "AAPL")).state is SymbolState.VALID
    assert await rows(stack_settings) == before
    assert len(await read_bars(stack_settings)) == again.bars_published


async def test_bars_that_the_persister_meets_after_their_removal_are_not_stored(stack_settings: Settings) -> None:
    async with simulator() as gateway, farming(stack_settings, gateway.port) as asker:
        await asker.run(a_collection("run-1", "AAPL", "IBM"))
        await asker.run(a_removal("run-2"))
    async with running(build_persister(stack_settings)):  # it was away all the time
        await until_stored(stack_settings, {APPLE: 0, IBM: 18})
        await until_removed(stack_settings, 1)
        assert len(await stored(stack_settings, APPLE)) == 0


async def test_only_the_registry_forgets_a_symbol_whose_data_are_kept(stack_settings: Settings) -> None:
    async with storing_and_farming(stack_settings) as asker:
        await asker.run(a_collection("run-1", "AAPL"))
        await until_stored(stack_settings, {APPLE: 18})
        await asker.run(a_removal("run-2", keep_data=True))
        await until_removed(stack_settings, 1)

    assert len(await stored(stack_settings, APPLE)) == 18
    assert await everything(stack_settings, "reference.removals.v1") == []


async def test_what_a_strategy_watches_or_an_account_holds_is_not_removed(stack_settings: Settings) -> None:
    position = Position.model_validate(
        {"event_time": SEEN, "ingest_time": SEEN, "account_id": "DU1", "contract_id": IBM, "symbol": "IBM"}
        | {"quantity": Decimal(100), "average_price": Decimal(200), "realised_pnl": 0, "commission": 0, "fills": 1}
    )
    store = Store(stack_settings, "portfolio", pool_size=1)
    async with store.transaction() as tx:
        await portfolio.save_position(tx.connection, position)
    await store.close()
    async with simulator() as gateway, farming(stack_settings, gateway.port) as asker, Desk(stack_settings) as desk:
        await asker.run(a_validation("run-1", "AAPL", "IBM"))
        people, strategy = a_want("api"), a_want("crossover")
        await desk.publish(people)
        await desk.publish(strategy)
        watched = await asker.run(a_removal("run-2"))
        held = await asker.run(a_removal("run-3", "IBM"))
        await desk.publish(strategy.ended(SEEN))
        free = await asker.run(a_removal("run-4"))
        unknown = await asker.run(a_removal("run-5"))

    assert "AAPL is in use by crossover" in watched.failures["AAPL"]
    assert "account DU1 holds 100 IBM" in held.failures["IBM"]
    assert free.failures == {}
    assert "AAPL is not in the registry" in unknown.failures["AAPL"]
    wants = [each for each in await everything(stack_settings, "market.wants.v1") if isinstance(each, Want)]
    assert (wants[-1].holder, wants[-1].is_over) == ("api", True)


def a_want(holder: str) -> Want:
    return Want(event_time=SEEN, ingest_time=SEEN, contract_id=APPLE, symbol="AAPL", quotes=True, holder=holder)


async def test_a_symbol_is_not_removed_while_a_run_collects_it(stack_settings: Settings) -> None:
    served = scripted_gateway()
    async with served as gateway, farming(stack_settings, gateway.port) as asker, Desk(stack_settings) as desk:
        describe(gateway, ("NYSE", 1))
        gateway.answers[20] = lambda peer, fields: None  # history is asked for, and no answer comes yet
        await desk.publish(a_collection("run-1", "BHP"))
        async with asyncio.timeout(30):
            while not gateway.requests(20):
                await asyncio.sleep(0.02)
        refused = await asker.run(a_removal("run-2", "BHP"))

    assert "BHP is being collected by run run-1" in refused.failures["BHP"]
