"""Which bars are known already, so that only new or changed ones are published."""

from collections import OrderedDict

import polars as pl

from infra import bar_replay
from infra.bar_replay import BarFilter
from infra.columns import BAR_SCHEMA, NATURAL_KEY, newest
from infra.service import Service
from infra.store.bars import read_bars
from infra.store.database import Store, StoreUnavailableError

_ROWS_MAX = 1_000_000
_CONTENT = ("open", "high", "low", "close", "volume")


class Shelf:
    """Known bars: the database's, and those that this process published, which the database may not have yet.

    Without a database the topics are read instead, once for each contract.
    """

    def __init__(self, service: Service, store: Store | None) -> None:
        self._service = service
        self._store = store
        self._published: OrderedDict[int, pl.DataFrame] = OrderedDict()

    async def fresh(self, contract_id: int, bars: pl.DataFrame) -> pl.DataFrame:
        """Those of a contract's bars that are new, and those that changed, with their next revision."""
        if bars.is_empty():
            return bars
        known = (await self._known(contract_id, bars)).select(*NATURAL_KEY, *_CONTENT, "revision")
        both = bars.join(known, on=NATURAL_KEY, how="left", suffix="_known", maintain_order="left")
        changed = pl.any_horizontal(pl.col(name) != pl.col(f"{name}_known") for name in _CONTENT)
        return (
            both.filter(pl.col("revision_known").is_null() | changed)
            .with_columns(revision=(pl.col("revision_known") + 1).fill_null(0))
            .select(BAR_SCHEMA.names())
        )

    def put(self, contract_id: int, bars: pl.DataFrame) -> None:
        """Remember what the broker has acknowledged."""
        before = self._published.get(contract_id, BAR_SCHEMA.to_frame())
        self._published[contract_id] = newest(pl.concat([before, bars]))
        self._published.move_to_end(contract_id)
        while len(self._published) > 1 and sum(map(len, self._published.values())) > _ROWS_MAX:
            self._published.popitem(last=False)

    async def _known(self, contract_id: int, bars: pl.DataFrame) -> pl.DataFrame:
        wanted = BarFilter(
            contract_ids=[contract_id],
            bar_size_seconds=bars["bar_size_seconds"][0],
            start_us=bars["start_us"].min(),  # type: ignore[arg-type] # polars types min() by no column type
            end_us=bars["start_us"].max() + 1,  # type: ignore[arg-type, operator] # the same
        )
        stored = await self._stored(wanted)
        if stored is None and contract_id not in self._published:
            topics = await bar_replay.read_bars(self._service.settings, wanted=BarFilter(contract_ids=[contract_id]))
            self.put(contract_id, topics)
        published = self._published.get(contract_id, BAR_SCHEMA.to_frame()).filter(wanted.expression())
        return published if stored is None else newest(pl.concat([stored.select(BAR_SCHEMA.names()), published]))

    async def _stored(self, wanted: BarFilter) -> pl.DataFrame | None:
        """What the database has; None without a database."""
        if self._store is None:
            return None
        try:
            async with self._store.reading() as connection:
                return await read_bars(connection, wanted)
        except StoreUnavailableError as error:
            self._service.log.warning("the database is away, reading the topics instead", error=str(error))
            return None
