"""The newest price of each contract, from bars and quotes as they come."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from consumers.api.views import Latest
from infra.store.columns_of_tables import plain
from schemas.market import Bar, Quote


@dataclass(frozen=True)
class Price:
    """What a share cost, when that was in the market, and when we received it."""

    price: Decimal
    event_time: datetime
    received_at: datetime


class Prices:
    """Folds two topics; of what both say the later received counts."""

    def __init__(self) -> None:
        self.bars = Latest[Bar](lambda bar: str(bar.contract_id))
        self.quotes = Latest[Quote](lambda quote: str(quote.contract_id))

    def newest(self, contract_id: int) -> Price | None:
        """The last close or the middle of the last quote; None before the first."""
        found = []
        if bar := self.bars.get(str(contract_id)):
            found.append(Price(_exact(bar.close), bar.event_time, bar.ingest_time))
        if (quote := self.quotes.get(str(contract_id))) and quote.bid > 0 and quote.ask >= quote.bid:
            found.append(Price(_exact((quote.bid + quote.ask) / 2), quote.event_time, quote.ingest_time))
        return max(found, key=lambda price: price.received_at, default=None)


def _exact(price: float) -> Decimal:
    return plain(round(Decimal(str(price)), 8))
