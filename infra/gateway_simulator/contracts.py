"""Contracts as clients describe them, and the field groups that stand for a contract in each answer."""

from dataclasses import dataclass
from decimal import Decimal

from infra.gateway_simulator.catalogue import Catalogue
from infra.gateway_simulator.daily import DailySeries
from infra.gateway_simulator.instruments import Instrument, Source
from infra.gateway_simulator.wire import Fields, Value

NO_DEFINITION = (200, "No security definition has been found for the request")
CURRENCY, STOCK = "USD", "STK"
ORDER_TYPES = (
    "AON,COND,CONDORDER,DAY,FOK,GAT,GTC,GTD,HID,ICE,IOC,LIT,LMT,LOC,MIDPX,MIT,MKT,MOC,MTL,OCA,OPG,REL,RELPCTOFS,RTH,"
    "STP,STPLMT,TRAIL,TRAILLMT,WHATIF"
)
HOURS_DAYS = 6  # how far trading hours are told ahead


@dataclass(frozen=True, slots=True)
class Asked:
    """The twelve contract fields of a request."""

    contract_id: int
    symbol: str
    security_type: str
    exchange: str
    primary_exchange: str
    currency: str
    local_symbol: str

    @classmethod
    def taken_from(cls, fields: Fields) -> "Asked":
        contract_id, symbol, security_type = fields.whole(), fields.text(), fields.text()
        fields.skip(4)  # expiry, strike, right, multiplier: stocks have none
        exchange, primary, currency, local_symbol = (fields.text() for _ in range(4))
        fields.skip(1)  # trading class
        return cls(contract_id, symbol, security_type, exchange, primary, currency, local_symbol)

    def found_in(self, catalogue: Catalogue) -> Instrument | None:
        """The one instrument that is meant."""
        found = catalogue.by_id.get(self.contract_id) if self.contract_id else self._named_in(catalogue)
        if found is None or self.currency not in ("", found.currency):
            return None
        if self.contract_id and self.symbol not in ("", found.symbol):
            return None
        if self.exchange not in ("", *found.venue.routes) or self.primary_exchange not in ("", *_primaries(found)):
            return None
        return found

    def _named_in(self, catalogue: Catalogue) -> Instrument | None:
        if self.security_type != STOCK:
            return None
        return catalogue.by_symbol.get(self.symbol or self.local_symbol)

    @property
    def name(self) -> str:
        return f"{self.symbol or self.contract_id}@{self.exchange or 'SMART'}"


def order_fields(instrument: Instrument) -> tuple[Value, ...]:
    """Eleven fields, as in openOrder, execDetails and position: with the exchange after the multiplier."""
    symbol = instrument.symbol
    return (
        *(instrument.contract_id, symbol, STOCK, "", 0, "?", "", "SMART", instrument.currency),
        *(symbol, _trading_class(instrument)),
    )


def position_fields(instrument: Instrument, *, with_exchange: bool) -> tuple[Value, ...]:
    """As in position (no exchange) and portfolio (the primary one)."""
    exchange = instrument.exchange if with_exchange else ""
    return (
        *(
            instrument.contract_id,
            instrument.symbol,
            STOCK,
            "",
            0,
            "0" if with_exchange else "",
            "",
            exchange,
            instrument.currency,
        ),
        *(instrument.symbol, _trading_class(instrument)),
    )


def execution_fields(instrument: Instrument, exchange: str) -> tuple[Value, ...]:
    return (
        *(instrument.contract_id, instrument.symbol, STOCK, "", 0, "", "", exchange, instrument.currency),
        *(instrument.symbol, _trading_class(instrument)),
    )


def _primaries(instrument: Instrument) -> tuple[str, ...]:
    """Names of the primary exchange; NASDAQ is also known as ISLAND."""
    return ("NASDAQ", "ISLAND") if instrument.exchange == "NASDAQ" else (instrument.exchange,)


def _trading_class(instrument: Instrument) -> str:
    return "NMS" if instrument.exchange == "NASDAQ" else instrument.symbol


def details_fields(instrument: Instrument, series: DailySeries, *, version: int, now: float) -> tuple[Value, ...]:
    """What follows the request id in contractDetails."""
    venue = instrument.venue
    hours = _hours(instrument, now)
    is_sourced = instrument.source is not Source.SYNTHETIC
    continued = instrument.calendar.latest(now).day > series.last_sourced
    tags = [("SCIZOR_SOURCE", "real" if is_sourced and not continued else "synthetic")]
    if is_sourced:
        tags.append(("SCIZOR_REAL_UNTIL", f"{series.last_sourced:%Y%m%d}"))
    return (
        *(instrument.symbol, STOCK, "", 0, "", "SMART", instrument.currency, instrument.symbol),
        *(_trading_class(instrument), _trading_class(instrument), instrument.contract_id, instrument.rule.min_tick),
        *((100,) if version < 164 else ()),
        *("", ORDER_TYPES, ",".join(venue.routes), 1, 0, instrument.long_name, instrument.exchange),
        *("", "", "", "", venue.zone_name, hours, hours, "", 0),
        len(tags),
        *(part for tag in tags for part in tag),
        *(1, "", "", ",".join([str(instrument.rule.number)] * len(venue.routes)), "", instrument.stock_type),
        *((Decimal(1),) if version == 163 else ()),
        *((Decimal(1), Decimal(1), Decimal(100)) if version >= 164 else ()),
    )


def _hours(instrument: Instrument, now: float) -> str:
    """Trading hours from today on: 20130228:0930-20130228:1600;20130302:CLOSED."""
    told, venue, calendar = [], instrument.venue, instrument.calendar
    today = venue.local(now).date()
    for ahead in range(HOURS_DAYS):
        day = type(today).fromordinal(today.toordinal() + ahead)
        if calendar.is_open_on(day):
            session = calendar.session(day)
            told.append(f"{venue.local(session.open):%Y%m%d:%H%M}-{venue.local(session.close):%Y%m%d:%H%M}")
        else:
            told.append(f"{day:%Y%m%d}:CLOSED")
    return ";".join(told)
