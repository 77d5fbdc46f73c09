"""Which live data the strategies want, told beside what others want."""

from collections.abc import Collection
from datetime import datetime

from consumers.strategist.running import RunningStrategy
from infra.replay import fold
from infra.settings import Settings
from schemas.market import Subscription

_SUBSCRIPTIONS = "market.subscriptions.v1"


async def changes(settings: Settings, strategies: Collection[RunningStrategy], now: datetime) -> list[Subscription]:
    """What has to be told so that the topic says what `strategies` want, and no longer what they wanted once."""
    told: dict[int, Subscription] = {}
    async for event, _ in fold(settings, [_SUBSCRIPTIONS]):
        if isinstance(event, Subscription):
            told[event.contract_id] = event
    ours = {strategy.strategy_id for strategy in strategies}
    symbols = {key: each.symbol for key, each in told.items() if not ours.isdisjoint(each.wanted_by)}
    symbols |= {key: contract.symbol for each in strategies if each.watches for key, contract in each.contracts.items()}
    changed = []
    for contract_id, symbol in sorted(symbols.items()):
        before = told.get(contract_id)
        watching = [each for each in strategies if each.watches and contract_id in each.contracts]
        others = [name for name in (before.wanted_by if before else ()) if name not in ours]
        kept = before if others else None  # which of them wants ticks or quotes is not told: those stay for all
        after = Subscription(
            contract_id=contract_id,
            symbol=symbol,
            bars=bool(watching) or bool(kept and kept.bars),
            ticks=any(each.deployment.trigger == "ticks" for each in watching) or bool(kept and kept.ticks),
            quotes=bool(kept and kept.quotes),
            wanted_by=tuple(sorted({*others, *(each.strategy_id for each in watching)})),
            event_time=now,
            ingest_time=now,
        )
        if _differs(before, after):
            changed.append(after)
    return changed


def _differs(before: Subscription | None, after: Subscription) -> bool:
    if before is None:
        return bool(after.wanted_by)
    feeds = [(each.bars, each.ticks, each.quotes) for each in (before, after)]
    return sorted(before.wanted_by) != list(after.wanted_by) or (bool(after.wanted_by) and feeds[0] != feeds[1])
