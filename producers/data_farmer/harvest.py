"""Bars from the gateway's answers to their topic: those that are known already stay out."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Generic, TypeVar

import polars as pl

from infra.bar_records import publish_bars
from infra.columns import BAR_SCHEMA
from infra.gateway import History, Series, source_of
from infra.service import Service
from producers.data_farmer.inspection import Inspection
from producers.data_farmer.shelf import Shelf
from schemas.market import HistoricalBar, Quarantined, Severity
from schemas.moments import to_microseconds
from schemas.validation import Contract

T = TypeVar("T")

_TOGETHER_MAX = 100
_GATHER_SECONDS = 0.05
"""Answers of a run come many at a time; their bars are worth this wait: they need no hurry, but much less work."""


class Shipping(Generic[T]):
    """What comes while other things are on their way is sent together: one large batch is cheaper than many."""

    def __init__(self, send: Callable[[list[T]], Awaitable[object]], *, gather_seconds: float = 0.0) -> None:
        self._send = send
        self._gather_seconds = gather_seconds
        self._waiting: list[tuple[T, asyncio.Future[None]]] = []
        self._sending: asyncio.Task[None] | None = None

    def add(self, thing: T) -> "asyncio.Future[None]":
        """Done when the broker has it; things go out in the order in which they were added."""
        sent: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((thing, sent))
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._send_all(), name="shipping")
        return sent

    async def _send_all(self) -> None:
        while self._waiting:
            await asyncio.sleep(self._gather_seconds)
            together, self._waiting = self._waiting[:_TOGETHER_MAX], self._waiting[_TOGETHER_MAX:]
            try:
                await self._send([thing for thing, _ in together])
            except Exception as error:  # noqa: BLE001 # told to everyone who waits for it
                for _, sent in together:
                    if not sent.done():
                        sent.set_exception(error)
            else:
                for _, sent in together:
                    if not sent.done():
                        sent.set_result(None)


class Harvest:
    """Publishes what answers brought. One answer of a contract at a time: what is known must not change meanwhile."""

    def __init__(self, service: Service, shelf: Shelf) -> None:
        self._service = service
        self._shelf = shelf
        self._symbols: dict[int, str] = {}
        self._shipping = Shipping(self._send, gather_seconds=_GATHER_SECONDS)
        self._turns: dict[int, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._inspection = Inspection(service.clock)

    async def put(
        self, contract: Contract, series: Series, part: History, *, nothing_known: bool = False
    ) -> tuple[History, int]:
        """The part as it was judged, and how many of its bars were new or had changed; all of it is with the broker.

        `nothing_known`: when its run began, there was none of these.
        """
        answer = self._frame(contract, series, part)
        split = None
        async with self._turns[contract.contract_id]:
            if self._inspection.is_short_of(contract, series, answer):
                self._inspection.recall(contract, series, await self._shelf.before(contract.contract_id, answer))
            frame, findings = self._inspection.judged(contract, series, answer)
            part, warnings = _sorted_out(part, frame, findings)
            is_new = nothing_known and not self._shelf.may_have_published(contract.contract_id, frame)
            fresh = frame if is_new else await self._shelf.fresh(contract.contract_id, frame)
            if (fresh["revision"] > 0).any():
                known = await self._shelf.known(contract.contract_id, frame)
                after = await self._shelf.after(contract.contract_id, frame)
                split = self._inspection.split(contract, known, frame, after)
            self._shelf.put(contract.contract_id, fresh)
            self._symbols[contract.contract_id] = contract.symbol
            shipped = self._shipping.add(fresh)
        await shipped
        for event in (*part.quarantined, *warnings, *filter(None, [split])):
            await self._service.publish(event)
        return part, len(fresh)

    async def _send(self, frames: list[pl.DataFrame]) -> None:
        bars = pl.concat(frames)
        if not bars.is_empty():
            topic = self._service.catalogue.topic_of(HistoricalBar)
            await publish_bars(self._service.publisher, topic, bars, self._symbols)

    def _frame(self, contract: Contract, series: Series, part: History) -> pl.DataFrame:
        constants = {
            "contract_id": contract.contract_id,
            "bar_size_seconds": int(series.bar_size.total_seconds()),
            "ingest_us": to_microseconds(self._service.clock.now()),
            "source": source_of(contract, series.bar_size).value,
            "price_kind": series.price_kind.value,
            "basis": series.basis.value,
            "revision": 0,
            "late": False,
        }
        count = len(part.bars)
        if not count:
            return BAR_SCHEMA.to_frame()
        same = {name: _one(name, value).new_from_index(0, count) for name, value in constants.items()}
        return pl.DataFrame([same[name] if name in same else part.bars[name] for name in BAR_SCHEMA])


@lru_cache(maxsize=4096)  # as many as there are contracts, and a few more: all but `ingest_us` come again and again
def _one(name: str, value: object) -> pl.Series:
    return pl.Series(name, [value], dtype=BAR_SCHEMA[name])


def _sorted_out(
    part: History, passing: pl.DataFrame, findings: Sequence[Quarantined]
) -> tuple[History, list[Quarantined]]:
    """The part without the bars that are kept out, which are in its quarantine now; and the warnings."""
    kept_out = [finding for finding in findings if finding.severity is Severity.ERROR]
    warnings = [finding for finding in findings if finding.severity is not Severity.ERROR]
    if len(passing) == len(part.bars):
        return part, warnings
    bars = passing.select(part.bars.columns)
    return replace(part, bars=bars, quarantined=[*part.quarantined, *kept_out]), warnings
