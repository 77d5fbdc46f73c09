"""Bars from the gateway's answers to their topic: those that are known already stay out."""

import asyncio
from collections import defaultdict

import polars as pl

from infra.bar_records import publish_bars
from infra.columns import BAR_SCHEMA
from infra.gateway import History, PastBar, Series, source_of
from infra.service import Service
from producers.data_farmer.shelf import Shelf
from schemas.validation import Contract

_HISTORY = "market.history.v1"
_MOMENT = pl.Datetime("us", "UTC")
_PAST_BARS = {"start": _MOMENT, "end": _MOMENT, **dict.fromkeys(PastBar._fields[2:], pl.Float64())}


class Harvest:
    """Publishes what answers brought. One answer of a contract at a time: what is known must not change meanwhile."""

    def __init__(self, service: Service, shelf: Shelf) -> None:
        self._service = service
        self._shelf = shelf
        self._turns: dict[int, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def put(self, contract: Contract, series: Series, part: History) -> int:
        """How many bars were new or had changed; they, and what was found wrong, are with the broker now."""
        frame = self._frame(contract, series, part)
        async with self._turns[contract.contract_id]:
            fresh = await self._shelf.fresh(contract.contract_id, frame)
            topic = self._service.catalogue.topic(_HISTORY)
            await publish_bars(self._service.publisher, topic, fresh, {contract.contract_id: contract.symbol})
            self._shelf.put(contract.contract_id, fresh)
        for finding in part.quarantined:
            await self._service.publish(finding)
        return len(fresh)

    def _frame(self, contract: Contract, series: Series, part: History) -> pl.DataFrame:
        prices = pl.DataFrame(part.bars, schema=_PAST_BARS, orient="row")
        now = self._service.clock.now()
        constants = {
            "contract_id": contract.contract_id,
            "bar_size_seconds": int(series.bar_size.total_seconds()),
            "ingest_us": int(now.timestamp()) * 1_000_000 + now.microsecond,
            "source": source_of(contract, series.bar_size).value,
            "price_kind": series.price_kind.value,
            "basis": series.basis.value,
            "revision": 0,
            "late": False,
        }
        return prices.select(
            pl.col("start").dt.epoch("us").alias("start_us"),
            pl.col("end").dt.epoch("us").alias("end_us"),
            *(pl.col(name) for name in ("open", "high", "low", "close", "volume")),
            *(pl.lit(value, dtype=BAR_SCHEMA[name]).alias(name) for name, value in constants.items()),
        ).select(BAR_SCHEMA.names())
