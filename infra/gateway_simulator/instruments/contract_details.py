"""What the gateway tells of a contract: message 10, in the words and the order of IB."""

from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal

from infra.gateway_simulator.instruments.calendar import Calendar
from infra.gateway_simulator.instruments.catalogue import Catalogue
from infra.gateway_simulator.instruments.contracts import Asked, expiry_text, has_expired, is_listed, multiplier_text
from infra.gateway_simulator.instruments.instrument import Instrument, Kind, Source
from infra.gateway_simulator.instruments.order_types import order_types
from infra.gateway_simulator.market.market import World
from infra.gateway_simulator.market.prices import UNITS
from infra.gateway_simulator.protocol.wire import Value

HOURS_DAYS = 6  # how far trading hours are told ahead
_EXPIRED_KEPT = timedelta(days=730)  # IB tells of futures so long after their end


class Directory:
    """Answers which contracts a description can mean."""

    def __init__(self, catalogue: Catalogue, world: World) -> None:
        self._catalogue = catalogue
        self._world = world

    def candidates(self, asked: Asked, now: float, *, with_expired: bool = False) -> list[Instrument]:
        """All that fit and are listed now, in a fixed order."""
        if asked.contract_id or (asked.local_symbol and asked.security_type == Kind.OPTION):
            found = asked.found_in(self._catalogue)
            matches = [found] if found is not None else []
        elif asked.security_type == Kind.OPTION:
            matches = [each for each in self.options(asked.symbol, now) if asked.fits(each)]
        else:
            matches = asked.listed_in(self._catalogue)
        return [each for each in matches if _is_told(each, now, with_expired=with_expired)]

    def options(self, symbol: str, now: float) -> Iterator[Instrument]:
        """The whole chain of an underlying, none of it beyond a split that would change its strikes."""
        underlying = self._catalogue.chains.underlying(symbol)
        if underlying is None:
            return
        series, today = self._world.series(underlying), underlying.hours.latest(now).day
        close = series.before(today)
        if close is None:
            return
        shares = series.split_factor(close.day, today)
        reference = Decimal(close.close) / UNITS / shares
        for each in self._catalogue.chains.listed(underlying, underlying.venue.local(now).date(), reference):
            if each.expiry is not None and series.split_factor(today, each.expiry) == 1:
                yield each


def _is_told(instrument: Instrument, now: float, *, with_expired: bool) -> bool:
    expiry = instrument.expiry
    if expiry is not None and has_expired(instrument, now):
        past = instrument.venue.local(now).date() - expiry
        return with_expired and instrument.kind is Kind.FUTURE and past <= _EXPIRED_KEPT
    return is_listed(instrument, now)


def details_fields(instrument: Instrument, world: World, *, version: int, now: float) -> tuple[Value, ...]:
    """What follows the request id in contractDetails."""
    venue, option = instrument.venue, instrument.option
    hours, liquid = (_hours(instrument, each, now) for each in (instrument.hours, instrument.calendar))
    tags = _tags(instrument, world, now)
    ends = instrument.future or option
    under = ends.underlying if ends is not None else None
    routes, rule = venue.routes, str(instrument.rule.number)
    in_lots = instrument.kind is Kind.STOCK and instrument.currency == "USD"  # sizes, to clients of those versions
    sizes = (instrument.size_increment, instrument.size_increment, Decimal(100 if instrument.kind is Kind.STOCK else 1))
    return (
        *(instrument.symbol, instrument.kind.value, expiry_text(instrument)),
        *(option.strike if option is not None else 0, option.right if option is not None else ""),
        *(instrument.route, instrument.currency, instrument.local_symbol),
        *(instrument.trading_class, instrument.trading_class, instrument.contract_id, instrument.rule.min_tick),
        *((100 if in_lots else 1,) if version < 164 else ()),
        *(multiplier_text(instrument), order_types(instrument), ",".join(routes), 1),
        *(under.contract_id if under is not None else 0, instrument.long_name, _primary(instrument)),
        *(_month(instrument.expiry), "", "", "", venue.zone_name, hours, liquid, "", 0),
        len(tags),
        *(part for tag in tags for part in tag),
        *(1, under.symbol if under is not None else "", under.kind.value if under is not None else ""),
        *(",".join([rule] * len(routes)), expiry_text(instrument), instrument.stock_type),
        *((instrument.size_increment,) if version == 163 else ()),
        *(sizes if version >= 164 else ()),
    )


def _tags(instrument: Instrument, world: World, now: float) -> list[tuple[str, str]]:
    """Where the prices come from, in the place of other identifiers."""
    if instrument.source is Source.SYNTHETIC:
        return [("SCIZOR_SOURCE", "synthetic")]
    until = world.series(instrument).last_sourced
    source = "synthetic" if instrument.hours.latest(now).day > until else "real"
    return [("SCIZOR_SOURCE", source), ("SCIZOR_REAL_UNTIL", f"{until:%Y%m%d}")]


def _primary(instrument: Instrument) -> str:
    return instrument.exchange if instrument.kind is Kind.STOCK else ""


def _month(expiry: date | None) -> str:
    return f"{expiry:%Y%m}" if expiry is not None else ""


def _hours(instrument: Instrument, calendar: Calendar, now: float) -> str:
    """The hours of a calendar from today on: 20130228:0930-20130228:1600;20130302:CLOSED."""
    venue = instrument.venue
    today = venue.local(now).date()
    told = []
    for ahead in range(HOURS_DAYS):
        day = today + timedelta(days=ahead)
        if calendar.is_open_on(day):
            session = calendar.session(day)
            told.append(f"{venue.local(session.open):%Y%m%d:%H%M}-{venue.local(session.close):%Y%m%d:%H%M}")
        else:
            told.append(f"{day:%Y%m%d}:CLOSED")
    return ";".join(told)
