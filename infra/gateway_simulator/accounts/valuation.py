"""What accounts know of the market: prices, days, splits, settlement and rates, all of the one simulated world."""

from collections.abc import Callable, Iterable
from datetime import date
from decimal import Decimal

from infra.gateway_simulator.accounts.currencies import Rates
from infra.gateway_simulator.instruments.calendar import Session, local, market_calendar
from infra.gateway_simulator.instruments.catalogue import Catalogue
from infra.gateway_simulator.instruments.instrument import Instrument, Kind
from infra.gateway_simulator.market.market import World
from infra.gateway_simulator.market.prices import UNITS

# Trading days between a stock's trade and its payment, from a day on. SEC rule 15c6-1 as amended; ASX Settlement.
_CYCLES = {
    "USD": ((date.min, 3), (date(2017, 9, 5), 2), (date(2024, 5, 28), 1)),
    "AUD": ((date.min, 3), (date(2016, 3, 7), 2)),
}
_OTHER_CYCLE = ((date.min, 2),)
_FOREX_DAYS, _DERIVATIVE_DAYS = 2, 1


class Valuation:
    """The market as accounts see it."""

    def __init__(self, world: World, catalogue: Catalogue, now: Callable[[], float]) -> None:
        self._world = world
        self._now = now
        self._rates = Rates(catalogue.by_id.values(), self.mark)
        self._closes: dict[int, tuple[date, Decimal]] = {}  # the last ones asked for, of each instrument with the day

    def mark(self, instrument: Instrument) -> Decimal:
        """The last price; 0 before the first trade ever."""
        quote = self._world.held_quote(instrument, self._now())
        return Decimal(quote.last) / UNITS if quote is not None else Decimal(0)

    def previous_close(self, instrument: Instrument) -> Decimal:
        day, known = self.day(instrument), self._closes.get(instrument.contract_id)
        if known is None or known[0] != day:
            known = self._closes[instrument.contract_id] = (day, self._close_before(instrument, day))
        return known[1]

    def _close_before(self, instrument: Instrument, day: date) -> Decimal:
        series = self._world.series(instrument)
        before = series.before(day)
        if before is None:
            return Decimal(0)
        return Decimal(before.close) / UNITS / series.split_factor(before.day, day)

    def day(self, instrument: Instrument) -> date:
        return instrument.hours.latest(self._now()).day

    def split(self, instrument: Instrument, since: date, until: date) -> int:
        return self._world.series(instrument).split_factor(since, until)

    def splits(self, session: Session, instruments: Iterable[Instrument]) -> list[tuple[Instrument, int]]:
        """Those of the session's market that have more shares from its opening on, and how many for one."""
        before = market_calendar(session.market).back(session.day, 1)
        here = ((each, self.split(each, before, session.day)) for each in instruments if _is_of(each, session.market))
        return [(each, ratio) for each, ratio in here if ratio != 1]

    def settles(self, instrument: Instrument) -> date:
        """The trade counts for the day on which it happens, or for the next that trades."""
        calendar, today = instrument.calendar, self.today()
        day = today if calendar.is_open_on(today) else calendar.following(today).day
        for _ in range(_days_to_pay(instrument, day)):
            day = calendar.following(day).day
        return day

    def today(self) -> date:
        return local(self._now()).date()

    def rate(self, currency: str, into: str) -> Decimal:
        return self._rates.rate(currency, into)


def _is_of(instrument: Instrument, market: str) -> bool:
    return instrument.calendar.market == market


def _days_to_pay(instrument: Instrument, day: date) -> int:
    match instrument.kind:
        case Kind.STOCK:
            cycles = _CYCLES.get(instrument.currency, _OTHER_CYCLE)
            return next(days for since, days in reversed(cycles) if since <= day)
        case Kind.CRYPTO:
            return 0
        case _:
            return _FOREX_DAYS if instrument.kind is Kind.FOREX else _DERIVATIVE_DAYS
