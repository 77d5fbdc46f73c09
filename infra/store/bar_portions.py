"""Bars of the database in portions: more of them than are wanted in memory at once."""

from collections import Counter
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass, replace

import polars as pl
from sqlalchemy import ARRAY, BigInteger, DateTime, bindparam
from sqlalchemy import text as sql

from infra.bar_replay import BarFilter
from infra.settings import Settings
from infra.store.bars import moment_of, read_bars
from infra.store.database import Store
from schemas.moments import to_microseconds

_PORTION = 100_000
_EXTENT = sql(
    "SELECT contract_id, count(*) AS bars, min(start) AS first, max(start) AS last FROM bars"
    " WHERE contract_id = ANY(:contract_ids) AND bar_size_seconds = :size AND price_kind = :price_kind"
    " AND basis = :basis AND (:first IS NULL OR start >= :first) AND (:stop IS NULL OR start < :stop)"
    " GROUP BY contract_id"
).bindparams(
    bindparam("contract_ids", type_=ARRAY(BigInteger)),
    bindparam("first", type_=DateTime(timezone=True)),
    bindparam("stop", type_=DateTime(timezone=True)),
)


@dataclass(frozen=True)
class StoredBars:
    """What there is of `wanted`, which names contracts, one size, one kind of price and one basis."""

    settings: Settings
    wanted: BarFilter
    counts: Counter[int]
    """By contract, revisions included."""
    first_us: int
    last_us: int
    """Between these they start."""

    @classmethod
    async def of(cls, settings: Settings, wanted: BarFilter) -> "StoredBars":
        """Counted, not read."""
        given = {
            "contract_ids": list(wanted.contract_ids or ()),
            "size": wanted.bar_size_seconds,
            "price_kind": wanted.price_kind,
            "basis": wanted.basis,
            "first": moment_of(wanted.start_us),
            "stop": moment_of(wanted.end_us),
        }
        store = Store(settings, "backtester")
        try:
            async with store.reading() as connection:
                rows = (await connection.execute(_EXTENT, given)).all()
        finally:
            await store.close()
        first = min((to_microseconds(row.first) for row in rows), default=0)
        last = max((to_microseconds(row.last) for row in rows), default=0)
        return cls(settings, wanted, Counter({row.contract_id: row.bars for row in rows}), first, last)

    async def portions(self, contract_ids: Collection[int]) -> AsyncIterator[pl.DataFrame]:
        """The bars of some contracts, one per start, the newest revision, sorted by end and contract. A bar waits
        until none can come that ends before it."""
        ids = sorted(each for each in contract_ids if each in self.counts)
        count = sum(self.counts[each] for each in ids)
        step = max((self.last_us - self.first_us) * _PORTION // max(count, 1), 1)
        waiting: pl.DataFrame | None = None
        store = Store(self.settings, "backtester")
        try:
            async with store.reading() as connection:
                for begin in range(self.first_us, self.last_us + 1, step):
                    stop = min(begin + step, self.last_us + 1)
                    part = replace(self.wanted, contract_ids=ids, start_us=begin, end_us=stop)
                    fresh = await read_bars(connection, part)
                    ready = fresh if waiting is None else pl.concat([waiting, fresh]).sort("end_us", "contract_id")
                    waiting = ready.filter(pl.col("end_us") > stop)
                    yield ready.filter(pl.col("end_us") <= stop)
        finally:
            await store.close()
        if waiting is not None:
            yield waiting
