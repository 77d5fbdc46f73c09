"""Past bars for a strategy that is deployed, read by offsets so that the same can be read again."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from aiokafka import TopicPartition
from aiokafka.partitioner import DefaultPartitioner

from infra.delivery import MalformedRecordError, parse
from infra.journal.digest import Digest
from infra.journal.spans import HISTORY
from infra.replay import read_to_end
from infra.settings import Settings
from infra.topics import load_catalogue
from schemas.market import Basis, HistoricalBar, PriceKind
from schemas.place import Place
from schemas.strategy import Deploy

_SLACK = 10_000
_Kept = dict[datetime, tuple[HistoricalBar, bytes]]
"""By start: the bar, and the record's value."""


@dataclass(frozen=True)
class PastBars:
    """The last bars of each contract, oldest first; how far each partition was read; SHA-256 of the bars' records."""

    bars: list[HistoricalBar]
    reached: dict[Place, int]
    digest: str


async def past_bars(
    settings: Settings, deployment: Deploy, contracts: Collection[int], until: Mapping[Place, int] | None = None
) -> PastBars:
    """The last `warmup_bars` of each contract, from the partitions where these contracts stand.

    `until` repeats an earlier reading: nothing behind those offsets counts. Of a bar that came again, the last holds.
    """
    topic = load_catalogue().topic(HISTORY)
    kept: dict[int, _Kept] = {contract_id: {} for contract_id in contracts}
    keys = {str(contract_id).encode(): contract_id for contract_id in contracts}
    reached: dict[Place, int] = {}
    async for records in read_to_end(settings, [HISTORY], start=partial(only_of, keys)):
        place = (HISTORY, records[0].partition)
        end = records[-1].offset if until is None else until.get(place, -1)
        if until is None:
            reached[place] = end
        for record in records:
            contract_id = keys.get(record.key or b"")
            if contract_id is None or record.offset > end:
                continue
            try:
                event = parse(topic, record)
            except MalformedRecordError:
                continue
            if isinstance(event, HistoricalBar) and _is_fit(event, deployment):
                of_contract = kept[contract_id]
                of_contract[event.start] = (event, record.value or b"")
                if len(of_contract) > deployment.warmup_bars + _SLACK:
                    kept[contract_id] = {each[0].start: each for each in _newest(of_contract, deployment)}
    found = [each for of_contract in kept.values() for each in _newest(of_contract, deployment)]
    found.sort(key=lambda each: (each[0].event_time, each[0].contract_id))
    digest = Digest()
    for number, (_, value) in enumerate(found):
        digest.put(number, value)
    return PastBars([bar for bar, _ in found], dict(until or reached), digest.hexdigest())


def only_of(keys: Collection[bytes], begins: Mapping[TopicPartition, int]) -> dict[TopicPartition, int | None]:
    """Where to begin with the partitions that have records of these keys; others are none's business."""
    numbers = sorted(place.partition for place in begins)
    choose = DefaultPartitioner()
    wanted = {choose(key, numbers, numbers) for key in keys}
    return {place: begin if place.partition in wanted else None for place, begin in begins.items()}


def _is_fit(bar: HistoricalBar, deployment: Deploy) -> bool:
    """Of the right size, and of the series that a strategy sees."""
    series = (bar.price_kind, bar.basis)
    wanted = (PriceKind.TRADES, Basis.SPLIT_ADJUSTED)
    return series == wanted and bar.bar_size.total_seconds() == deployment.bar_size_seconds


def _newest(bars: _Kept, deployment: Deploy) -> list[tuple[HistoricalBar, bytes]]:
    return sorted(bars.values(), key=lambda each: each[0].event_time)[-deployment.warmup_bars :]
