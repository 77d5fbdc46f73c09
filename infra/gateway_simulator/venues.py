"""Where instruments are listed: the exchange's hours, its zone as IB names it, its currency and price increments."""

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from infra.gateway_simulator.calendar import Calendar, local, market_calendar
from infra.gateway_simulator.prices import US_STOCKS, PriceRule, in_steps


@dataclass(frozen=True)
class Venue:
    """One exchange, by IB's name. `routes` are the exchanges to which an order for its listings may go."""

    name: str
    market: str  # the calendar that it keeps
    zone_name: str
    currency: str
    rule: PriceRule
    routes: tuple[str, ...]

    @cached_property
    def calendar(self) -> Calendar:
        return market_calendar(self.market)

    def local(self, moment: float) -> datetime:
        """Wall time of an epoch second."""
        return local(moment, self.calendar.zone)

    def ib_text(self, moment: float) -> str:
        """The form in which IB writes moments: 20231006 15:59:30 US/Eastern."""
        return f"{self.local(moment):%Y%m%d %H:%M:%S} {self.zone_name}"


US_ROUTES = ("SMART", "NYSE", "NASDAQ", "ISLAND", "ARCA", "AMEX", "BATS", "IEX")
ASX_STOCKS = in_steps(9001, ("0", "0.001"), ("0.1", "0.005"), ("2", "0.01"))


def _american(name: str) -> Venue:
    return Venue(name, "XNYS", "US/Eastern", "USD", US_STOCKS, US_ROUTES)


VENUES = {
    each.name: each
    for each in (
        *map(_american, ("NYSE", "NASDAQ", "ARCA", "AMEX", "BATS")),
        Venue("ASX", "XASX", "Australia/NSW", "AUD", ASX_STOCKS, ("SMART", "ASX")),
    )
}

MARKET_RULES = {each.number: each for each in (US_STOCKS, ASX_STOCKS)}
