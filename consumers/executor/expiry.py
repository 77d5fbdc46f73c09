"""When an order's time is over, by the hours of its contract in the zone of its exchange."""

from collections import OrderedDict
from datetime import datetime, timedelta

from consumers.executor.tracking import Tracked
from infra.gateway import hours
from infra.gateway.market_clock import MarketClock
from infra.store import orders as table
from infra.store.database import Store
from schemas.orders import TimeInForce
from schemas.validation import Contract

_REMEMBERED_MAX = 1_000
_AHEAD = timedelta(days=10)
"""No exchange is closed for longer."""


def last_moment(order: Tracked, contract: Contract) -> datetime | None:
    """Market time after which it cannot trade any more; None where only a cancel ends it."""
    intent = order.intent
    if intent is None or intent.time_in_force is TimeInForce.GTC:
        return None
    if intent.good_till is not None:
        return intent.good_till
    placed = intent.event_time
    session = next(iter(hours.sessions(contract, placed, placed + _AHEAD)), None)
    if session is None:
        return None
    if intent.outside_hours:
        day = session[1].astimezone(hours.zone(contract.time_zone))
        return day.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    return session[1]


class Expiry:
    """Knows the time at the exchange, as the gateway tells it, and the hours of what is traded."""

    def __init__(self, store: Store, market: MarketClock) -> None:
        self._store = store
        self._market = market
        self._contracts: OrderedDict[int, Contract | None] = OrderedDict()

    async def is_over(self, order: Tracked) -> bool | None:
        """Whether its time has passed; None when that cannot be told."""
        now = self._market.now()
        contract = await self._contract(order.contract_id) if now is not None and order.ours else None
        if now is None or contract is None:
            return None
        last = last_moment(order, contract)
        return last is not None and last <= now

    async def _contract(self, contract_id: int) -> Contract | None:
        if self._contracts.get(contract_id) is None:
            async with self._store.looking() as connection:
                self._contracts[contract_id] = await table.contract(connection, contract_id)
            while len(self._contracts) > _REMEMBERED_MAX:
                self._contracts.popitem(last=False)
        return self._contracts[contract_id]
