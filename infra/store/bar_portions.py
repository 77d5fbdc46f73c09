"""Bars of the database in portions: more of them than are wanted in memory at once."""

from collections import Counter
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import polars as pl
from sqlalchemy import ARRAY, BigInteger, DateTime, bindparam
from sqlalchemy import text as sql
from sqlalchemy.ext.asyncio import AsyncConnection

from infra.bar_replay import BarFilter
from infra.settings import Settings
from infra.store.bars import moment_of, read_bars
from infra.store.database import Store
from schemas.moments import to_microseconds

_PORTION = 100_000
_WHICH = (
    " FROM bars WHERE contract_id = ANY(:contract_ids) AND bar_size_seconds = :size AND price_kind = :price_kind"
    " AND basis = :basis AND (:first IS NULL OR start >= :first) AND (:stop IS NULL OR start < :stop)"
)
_TYPES = (
    bindparam("contract_ids", type_=ARRAY(BigInteger)),
    bindparam("first", type_=DateTime(timezone=True)),
    bindparam("stop", type_=DateTime(timezone=True)),
)
_EXTENT = sql(
    f"SELECT contract_id, count(*) AS bars, min(start) AS first, max(start) AS last {_WHICH} GROUP BY contract_id"
).bindparams(*_TYPES)
_MANY = sql(f"SELECT count(*) FROM (SELECT 1 {_WHICH} LIMIT :enough) AS found").bindparams(*_TYPES)


@dataclass(frozen=True)
class StoredBars:
    """What there is of `wanted`, which names contracts, one size, one kind of price and one basis."""

    settings: Settings
    wanted: BarFilter
    counts: Counter[int]
    """By contract, revisions included."""

    @classmethod
    async def of(cls, settings: Settings, wanted: BarFilter) -> "StoredBars":
        """Counted, not read."""
        store = Store(settings, "backtester")
        try:
            async with store.snapshot() as connection:
                return cls(settings, wanted, (await Snapshot.of(connection, wanted)).counts)
        finally:
            await store.close()

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator["Snapshot"]:
        """To read from as the table is now, whatever is stored or removed meanwhile."""
        store = Store(self.settings, "backtester")
        try:
            async with store.snapshot() as connection:
                yield await Snapshot.of(connection, self.wanted)
        finally:
            await store.close()


@dataclass(frozen=True)
class Snapshot:
    """The table at one moment."""

    connection: AsyncConnection
    wanted: BarFilter
    counts: Counter[int]
    first_us: int
    last_us: int
    """Between these they start."""

    @classmethod
    async def of(cls, connection: AsyncConnection, wanted: BarFilter) -> "Snapshot":
        """Counted, not read."""
        rows = (await connection.execute(_EXTENT, _given(wanted))).all()
        first = min((to_microseconds(row.first) for row in rows), default=0)
        last = max((to_microseconds(row.last) for row in rows), default=0)
        return cls(connection, wanted, Counter({row.contract_id: row.bars for row in rows}), first, last)

    async def portions(self, contract_ids: Collection[int]) -> AsyncIterator[pl.DataFrame]:
        """The bars of some contracts, one per start, the newest revision, sorted by end and contract. A bar waits
        until none can come that ends before it."""
        ids = sorted(each for each in contract_ids if each in self.counts)
        waiting: pl.DataFrame | None = None
        async for part in self._parts(ids):
            fresh = await read_bars(self.connection, part)
            ready = fresh if waiting is None else pl.concat([waiting, fresh]).sort("end_us", "contract_id")
            waiting = ready.filter(pl.col("end_us") > part.end_us)
            yield ready.filter(pl.col("end_us") <= part.end_us)
        if waiting is not None:
            yield waiting

    async def _parts(self, ids: Collection[int]) -> AsyncIterator[BarFilter]:
        """Spans of time of few bars each, one after the other: halved where bars lie close, as those of years of which
        most have none."""
        count = sum(self.counts[each] for each in ids)
        step = max((self.last_us - self.first_us) * _PORTION // max(count, 1), 1)
        for begin in range(self.first_us, self.last_us + 1, step):
            spans = [(begin, min(begin + step, self.last_us + 1))]
            while spans:
                first, stop = spans.pop()
                part = replace(self.wanted, contract_ids=ids, start_us=first, end_us=stop)
                if stop - first > 1 and await self._is_too_much(part):
                    middle = (first + stop) // 2
                    spans += [(middle, stop), (first, middle)]
                else:
                    yield part

    async def _is_too_much(self, part: BarFilter) -> bool:
        most = 2 * _PORTION
        return bool(await self.connection.scalar(_MANY, {**_given(part), "enough": most + 1}) > most)


def _given(wanted: BarFilter) -> dict[str, object]:
    return {
        "contract_ids": list(wanted.contract_ids or ()),
        "size": wanted.bar_size_seconds,
        "price_kind": wanted.price_kind,
        "basis": wanted.basis,
        "first": moment_of(wanted.start_us),
        "stop": moment_of(wanted.end_us),
    }
