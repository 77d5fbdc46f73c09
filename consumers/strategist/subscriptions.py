"""Which live data the strategies want, each told under the strategy's own id."""

from collections.abc import Collection
from datetime import datetime

from engine.live.running import RunningStrategy
from infra.replay import fold
from infra.settings import Settings
from schemas.market import Urgency, Want

_WANTS = "market.wants.v1"


async def changes(settings: Settings, strategies: Collection[RunningStrategy], now: datetime) -> list[Want]:
    """What has to be told so that the topic says what `strategies` want, and no longer what they wanted once."""
    ours = {strategy.strategy_id for strategy in strategies}
    told: dict[tuple[int, str], Want] = {}
    async for event, _ in fold(settings, [_WANTS]):
        if isinstance(event, Want) and event.holder in ours:
            told[event.contract_id, event.holder] = event
    wanted = {
        (contract_id, each.strategy_id): contract.symbol
        for each in strategies
        if each.subscribes
        for contract_id, contract in each.contracts.items()
    }
    ticking = {each.strategy_id for each in strategies if each.deployment.trigger == "ticks"}
    changed = []
    for (contract_id, strategy_id), symbol in sorted(wanted.items()):
        before, ticks = told.get((contract_id, strategy_id)), strategy_id in ticking
        if before is None or (before.bars, before.ticks) != (True, ticks):
            changed.append(_want(contract_id, symbol, strategy_id, now, ticks=ticks))
    ended = (want for key, want in sorted(told.items()) if key not in wanted and not want.is_over)
    return changed + [each.ended(now) for each in ended]


def _want(contract_id: int, symbol: str, strategy_id: str, now: datetime, *, ticks: bool) -> Want:
    return Want(
        contract_id=contract_id,
        symbol=symbol,
        holder=strategy_id,
        bars=True,
        ticks=ticks,
        urgency=Urgency.TRADING,
        event_time=now,
        ingest_time=now,
    )
