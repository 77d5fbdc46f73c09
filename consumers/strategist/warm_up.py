"""Past bars for a strategy that is deployed, read by offsets so that the same can be read again."""

from collections.abc import Mapping

from consumers.strategist.journal import Place
from engine.facts import Bar, bar_of
from infra.delivery import MalformedRecordError, parse
from infra.replay import read_to_end
from infra.settings import Settings
from infra.topics import load_catalogue
from schemas.market import Basis, HistoricalBar, PriceKind
from schemas.strategy import Deploy
from schemas.validation import Contract

HISTORY = "market.history.v1"
_SLACK = 10_000


async def past_bars(
    settings: Settings, deployment: Deploy, contracts: Mapping[int, Contract], until: Mapping[Place, int] | None = None
) -> tuple[list[Bar], dict[Place, int]]:
    """The last `warmup_bars` of each contract, oldest first, and how far each partition was read (last offsets).

    `until` repeats an earlier reading: nothing behind those offsets counts. Of a bar that came again, the last holds.
    """
    topic = load_catalogue().topic(HISTORY)
    kept: dict[int, dict[int, Bar]] = {contract_id: {} for contract_id in contracts}
    keys = {str(contract_id).encode(): contract_id for contract_id in contracts}
    reached: dict[Place, int] = {}
    async for records in read_to_end(settings, [HISTORY]):
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
                bar = bar_of(event)
                kept[contract_id][bar.start_us] = bar
                if len(kept[contract_id]) > deployment.warmup_bars + _SLACK:
                    kept[contract_id] = {each.start_us: each for each in _newest(kept[contract_id], deployment)}
    bars = [bar for of_contract in kept.values() for bar in _newest(of_contract, deployment)]
    return sorted(bars, key=lambda bar: (bar.end_us, bar.contract_id)), dict(until or reached)


def _is_fit(bar: HistoricalBar, deployment: Deploy) -> bool:
    """Of the right size, and of the series that a strategy sees."""
    series = (bar.price_kind, bar.basis)
    wanted = (PriceKind.TRADES, Basis.SPLIT_ADJUSTED)
    return series == wanted and bar.bar_size.total_seconds() == deployment.bar_size_seconds


def _newest(bars: Mapping[int, Bar], deployment: Deploy) -> list[Bar]:
    return sorted(bars.values(), key=lambda bar: bar.end_us)[-deployment.warmup_bars :]
