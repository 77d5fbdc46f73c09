"""What several holders want of one contract's live data, taken together."""

from collections.abc import Collection, Iterable
from datetime import datetime
from itertools import chain

from schemas.market import Subscription, Urgency, Want

HOLDERS_MAX = 100
"""Of one contract: who comes after them is served, but not named."""


def together(wants: Collection[Want], now: datetime) -> Subscription | None:
    """One subscription for all wants about one contract, known at `now`; None when there never was one."""
    if not wants:
        return None
    active = [want for want in wants if not want.is_over]
    sizes = sorted(set(chain.from_iterable(want.bar_sizes for want in active)))
    trading = any(want.urgency is Urgency.TRADING for want in active)
    newest = max(wants, key=lambda want: want.ingest_time)
    return Subscription(
        event_time=now,
        ingest_time=now,
        contract_id=newest.contract_id,
        symbol=newest.symbol,
        bars=any(want.bars for want in active),
        ticks=any(want.ticks for want in active),
        quotes=any(want.quotes for want in active),
        bar_sizes=tuple(sizes),
        wanted_by=tuple(sorted(want.holder for want in active)[:HOLDERS_MAX]),
        urgency=Urgency.TRADING if trading else Urgency.WATCHING,
    )


def since(wants: Iterable[Want]) -> datetime | None:
    """When the first of those that still want something told so last; None when nobody does."""
    return min((want.event_time for want in wants if not want.is_over), default=None)


def says_other(before: Subscription | None, after: Subscription) -> bool:
    """Whether there is anything to tell but the time."""
    if before is None:
        return bool(after.wanted_by)
    return before.model_copy(update={"event_time": after.event_time, "ingest_time": after.ingest_time}) != after
