"""Where instruments are listed: the exchange's hours, its zone as IB names it, its currency and price increments."""

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from zoneinfo import ZoneInfo

from infra.gateway_simulator.instruments.calendar import Calendar, local, market_calendar, market_hours
from infra.gateway_simulator.market.prices import US_STOCKS, PriceRule, in_steps

SMART = "SMART"


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

    @cached_property
    def hours(self) -> Calendar:
        """All hours in which stocks trade there."""
        return market_hours(self.market)

    @property
    def is_smart(self) -> bool:
        """Whether IB routes orders for its listings by itself."""
        return SMART in self.routes

    @cached_property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.zone_name)

    def local(self, moment: float) -> datetime:
        """Wall time of an epoch second."""
        return local(moment, self.zone)

    def ib_text(self, moment: float) -> str:
        """The form in which IB writes moments: 20231006 15:59:30 US/Eastern."""
        return f"{self.local(moment):%Y%m%d %H:%M:%S} {self.zone_name}"


US_ROUTES = (SMART, "NYSE", "NASDAQ", "ISLAND", "ARCA", "AMEX", "BATS", "IEX")
OPTION_ROUTES = (SMART, "AMEX", "CBOE", "NASDAQOM", "PHLX")

# 26 is IB's number; those from 9001 on are ours.
ASX_STOCKS = in_steps(9001, ("0", "0.001"), ("0.1", "0.005"), ("2", "0.01"))
HALF_PIPS = in_steps(9008, ("0", "0.00005"))
HALF_PIPS_YEN = in_steps(9002, ("0", "0.005"))
QUARTER_POINTS = in_steps(9009, ("0", "0.25"))
POINTS = in_steps(9003, ("0", "1"))
OPTION_PENNIES = in_steps(9004, ("0", "0.01"))
CRYPTO_QUARTERS = in_steps(9005, ("0", "0.25"))
CRYPTO_CENTS = in_steps(9006, ("0", "0.01"))
INDEX_CENTS = in_steps(9007, ("0", "0.01"))

MARKET_RULES = {
    each.number: each
    for each in (
        *(US_STOCKS, ASX_STOCKS, HALF_PIPS, HALF_PIPS_YEN, QUARTER_POINTS, POINTS, OPTION_PENNIES),
        *(CRYPTO_QUARTERS, CRYPTO_CENTS, INDEX_CENTS),
    )
}


def _american(name: str) -> Venue:
    return Venue(name, "XNYS", "US/Eastern", "USD", US_STOCKS, US_ROUTES)


VENUES = {
    each.name: each
    for each in (
        *map(_american, ("NYSE", "NASDAQ", "ARCA", "AMEX", "BATS")),
        Venue("ASX", "XASX", "Australia/NSW", "AUD", ASX_STOCKS, (SMART, "ASX")),
        Venue("IDEALPRO", "FOREX", "US/Eastern", "USD", HALF_PIPS, ("IDEALPRO",)),
        Venue("CME", "CMES", "US/Central", "USD", QUARTER_POINTS, ("CME",)),
        Venue("SNFE", "SNFE", "Australia/NSW", "AUD", POINTS, ("SNFE",)),
        Venue("PAXOS", "CRYPTO", "UTC", "USD", CRYPTO_CENTS, ("PAXOS",)),
        Venue("CBOE", "XNYS", "US/Central", "USD", INDEX_CENTS, ("CBOE",)),
    )
}
NASDAQ_INDICES = Venue("NASDAQ", "XNYS", "US/Eastern", "USD", INDEX_CENTS, ("NASDAQ",))
SYDNEY_INDICES = Venue("ASX", "XASX", "Australia/NSW", "AUD", INDEX_CENTS, ("ASX",))
US_OPTIONS = Venue(SMART, "XNYS", "US/Eastern", "USD", OPTION_PENNIES, OPTION_ROUTES)
