"""What accounts see of the simulated world, and how little work it makes to look again."""

from datetime import date
from decimal import Decimal

from infra.gateway_simulator.accounts.valuation import Valuation
from infra.gateway_simulator.instruments.catalogue import Catalogue
from infra.gateway_simulator.instruments.instrument import Kind
from infra.gateway_simulator.market.daily import DailyBook
from infra.gateway_simulator.market.market import World
from infra.gateway_simulator.market.prices import UNITS

CATALOGUE = Catalogue()
APPLE = CATALOGUE.by_symbol["AAPL"]
MORE_THAN_ARE_KEPT_OTHERWISE = 60


class Market:
    """A valuation whose time is moved by hand."""

    def __init__(self, day: date) -> None:
        self.world = World(DailyBook(7, {}), 7)
        self.now = 0.0
        self.valuation = Valuation(self.world, CATALOGUE, lambda: self.now)
        self.go_to(day)

    def go_to(self, day: date) -> None:
        self.now = APPLE.calendar.session(day).open + 3600


def test_what_many_accounts_hold_is_derived_once_a_day_however_often_it_is_valued() -> None:
    market = Market(date(2013, 2, 28))
    american = (each for each in CATALOGUE.by_id.values() if each.kind is Kind.STOCK and each.venue == APPLE.venue)
    held = [each for each, _ in zip(american, range(MORE_THAN_ARE_KEPT_OTHERWISE), strict=False)]
    marks = [market.valuation.mark(each) for each in held]
    session = APPLE.calendar.latest(market.now)
    derived = [market.world.path(each, session) for each in held]
    market.now += 600

    later = [market.valuation.mark(each) for each in held]

    assert len(held) == MORE_THAN_ARE_KEPT_OTHERWISE
    assert all(market.world.path(each, session) is path for each, path in zip(held, derived, strict=True))
    assert later != marks
    fresh = Market(date(2013, 2, 28))
    fresh.now = market.now
    assert later == [fresh.valuation.mark(each) for each in held]


def test_the_close_before_is_that_of_the_day_in_shares_of_the_day() -> None:
    market = Market(date(2005, 2, 25))
    market.valuation.previous_close(APPLE)

    market.go_to(date(2005, 2, 28))  # two for one, as the file of real prices knows

    friday = market.world.series(APPLE).on(date(2005, 2, 25))
    assert friday is not None
    assert market.valuation.previous_close(APPLE) == Decimal(friday.close) / UNITS / 2
