"""Many bars at once into the table: all of them straight, or past what is known and what was removed."""

from collections.abc import AsyncIterator
from datetime import timedelta

import polars as pl
import pytest

from infra.bar_replay import BarFilter
from infra.columns import frame_of
from infra.settings import Settings
from infra.store.bars import Stored, add_bars, read_revisions
from infra.store.database import Store
from infra.store.removals import put_removals
from schemas.validation import SymbolRemoved
from tests.builders import NOON, SEEN, a_historical_bar

_MANY = 600
"""Enough to be tried straight."""


@pytest.fixture
async def store(database_url: str, stack_settings: Settings) -> AsyncIterator[Store]:
    store = Store(stack_settings, "persister", pool_size=1)
    yield store
    await store.close()


def many_bars(contract_id: int) -> pl.DataFrame:
    bar = a_historical_bar(contract_id=contract_id)
    times = [NOON + number * bar.bar_size for number in range(_MANY)]
    return frame_of(bar.revised(start=time, event_time=time + bar.bar_size) for time in times)


async def put(store: Store, frame: pl.DataFrame) -> Stored:
    async with store.transaction() as transaction:
        return await add_bars(transaction.connection, frame)


async def stored(store: Store) -> pl.DataFrame:
    async with store.reading() as connection:
        return await read_revisions(connection, BarFilter(price_kind=None, basis=None))


async def test_new_bars_are_stored_as_they_are(store: Store) -> None:
    frame = many_bars(1)

    assert await put(store, frame) == Stored(new=_MANY, known=0)

    assert (await stored(store)).equals(frame)


async def test_a_known_bar_and_one_that_comes_twice_change_nothing(store: Store) -> None:
    frame = many_bars(1)
    await put(store, frame[7:8])
    again = frame.with_columns(close=pl.col("open"))  # what is known stays as it was

    assert await put(store, pl.concat([frame, again[-1:]])) == Stored(new=_MANY - 1, known=2)
    assert await put(store, again) == Stored(new=0, known=_MANY)

    assert (await stored(store)).equals(frame)


async def test_bars_seen_before_their_contract_was_removed_stay_out(store: Store) -> None:
    removal = SymbolRemoved(
        event_time=SEEN + timedelta(days=1),
        ingest_time=SEEN,
        contract_id=1,
        symbol="AAPL",
        symbol_id="AAPL",
        requested_by="test",
    )
    async with store.transaction() as transaction:
        await put_removals(transaction.connection, [removal])
    others = many_bars(2)

    assert await put(store, pl.concat([many_bars(1), others])) == Stored(new=_MANY, known=_MANY)

    assert (await stored(store)).equals(others)
