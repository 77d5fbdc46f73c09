"""Contracts as clients describe them, and the field groups that stand for a contract in each answer."""

from dataclasses import dataclass
from decimal import Decimal

from infra.gateway_simulator.instruments.catalogue import Catalogue
from infra.gateway_simulator.instruments.instrument import Instrument, Kind
from infra.gateway_simulator.instruments.products import LISTED
from infra.gateway_simulator.protocol.wire import Fields, Value

NO_DEFINITION = (200, "No security definition has been found for the request")
CURRENCY, STOCK = "USD", "STK"
_RIGHTS = {"C": "C", "CALL": "C", "P": "P", "PUT": "P"}
_NO_RIGHT = "?"  # how openOrder says that there is none


@dataclass(frozen=True, slots=True)
class Asked:
    """The twelve contract fields of a request."""

    contract_id: int
    symbol: str
    security_type: str
    expiry: str
    strike: Decimal
    right: str
    multiplier: Decimal | None
    exchange: str
    primary_exchange: str
    currency: str
    local_symbol: str
    trading_class: str

    @classmethod
    def taken_from(cls, fields: Fields) -> "Asked":
        contract_id, symbol, security_type, expiry = fields.whole(), fields.text(), fields.text(), fields.text()
        strike, right, multiplier = fields.number() or Decimal(0), fields.text(), fields.number()
        rest = (fields.text() for _ in range(5))
        return cls(contract_id, symbol, security_type, expiry, strike, right, multiplier, *rest)

    def found_in(self, catalogue: Catalogue, now: float | None = None) -> Instrument | None:
        """The one instrument that is meant; None when there is none or several. With `now`, one that still trades."""
        if self.contract_id:
            found = catalogue.by_id.get(self.contract_id)
            matches = [found] if found is not None and self.fits(found) else []
        elif self.security_type == Kind.OPTION:
            found = self._option_in(catalogue)
            matches = [found] if found is not None else []
        else:
            matches = self.listed_in(catalogue)
        if now is not None:
            matches = [each for each in matches if is_listed(each, now)]
        return matches[0] if len(matches) == 1 else None

    def listed_in(self, catalogue: Catalogue) -> list[Instrument]:
        """All that fit the description, options excepted, past ones included."""
        named = catalogue.named(self.security_type, self.symbol or self.local_symbol)
        return [each for each in named if self.fits(each)]

    def refusal(self, catalogue: Catalogue) -> tuple[int, str]:
        """Code and text of the error when `found_in` finds none."""
        if not self.contract_id and len(self.listed_in(catalogue)) > 1:
            return 200, f"The contract description specified for {self.symbol or self.local_symbol} is ambiguous."
        return NO_DEFINITION

    def fits(self, instrument: Instrument) -> bool:
        """Whether nothing in the description speaks against the instrument."""
        expiry = f"{instrument.expiry:%Y%m%d}" if instrument.expiry is not None else ""
        option = instrument.option
        return (
            self.security_type in ("", instrument.kind)
            and self.symbol in ("", instrument.symbol)
            and self.local_symbol in ("", instrument.local_symbol)
            and self.currency in ("", instrument.currency)
            and self.exchange in ("", instrument.exchange, *instrument.venue.routes)
            and self.primary_exchange in ("", *_primaries(instrument))
            and self.trading_class in ("", instrument.trading_class)
            and expiry.startswith(self.expiry[:8])
            and self.multiplier in (None, 0, instrument.multiplier)
            and (not self.strike or (option is not None and option.strike == self.strike))
            and self.wanted_right in ("", option.right if option is not None else "")
        )

    @property
    def wanted_right(self) -> str:
        return _RIGHTS.get(self.right.upper(), "")

    def _option_in(self, catalogue: Catalogue) -> Instrument | None:
        """An option that is described in full: by its local symbol, or by underlying, day, strike and right."""
        asked = self._spelled_out() if self.local_symbol else self
        underlying = catalogue.chains.underlying(asked.symbol)
        if underlying is None or len(asked.expiry) < 6:
            return None
        for expiry in catalogue.chains.ending_in(underlying, asked.expiry):
            found = catalogue.chains.contract(underlying, expiry, asked.strike, asked.wanted_right)
            if found is not None and self.fits(found):
                return found
        return None

    def _spelled_out(self) -> "Asked":
        """The fields that a local symbol stands for: AAPL  130315C00440000."""
        symbol, rest = self.local_symbol[:6].strip(), self.local_symbol[6:]
        if len(rest) != 15 or not (rest[:6] + rest[7:]).isdigit():
            return self
        strike = Decimal(int(rest[7:])) / 1000
        blank = ("", "", "", "", "")
        return Asked(0, symbol, self.security_type, f"20{rest[:6]}", strike, rest[6], None, *blank)

    @property
    def name(self) -> str:
        return f"{self.symbol or self.contract_id}@{self.exchange or 'SMART'}"


def has_expired(instrument: Instrument, now: float) -> bool:
    """Whether its last session is over."""
    expiry = instrument.expiry
    return expiry is not None and instrument.calendar.session(expiry).close <= now


def is_listed(instrument: Instrument, now: float) -> bool:
    """Whether it trades now: a local symbol means another future in every decade."""
    expiry = instrument.expiry
    if expiry is None:
        return True
    return not has_expired(instrument, now) and expiry - instrument.venue.local(now).date() <= LISTED


def order_fields(instrument: Instrument) -> tuple[Value, ...]:
    """Eleven fields, as in openOrder: with the exchange after the multiplier."""
    return _fields(instrument, instrument.route, right=_NO_RIGHT)


def position_fields(instrument: Instrument, *, with_exchange: bool) -> tuple[Value, ...]:
    """As in position (no exchange) and portfolio (the primary one)."""
    return _fields(instrument, instrument.exchange if with_exchange else "", right="0" if with_exchange else "")


def execution_fields(instrument: Instrument, exchange: str) -> tuple[Value, ...]:
    return _fields(instrument, exchange, right="")


def _fields(instrument: Instrument, exchange: str, *, right: str) -> tuple[Value, ...]:
    """`right` stands where there is none."""
    option = instrument.option
    return (
        *(instrument.contract_id, instrument.symbol, instrument.kind.value),
        *(expiry_text(instrument), option.strike if option is not None else 0),
        *(option.right if option is not None else right, multiplier_text(instrument)),
        *(exchange, instrument.currency, instrument.local_symbol, instrument.trading_class),
    )


def expiry_text(instrument: Instrument) -> str:
    return f"{instrument.expiry:%Y%m%d}" if instrument.expiry is not None else ""


def multiplier_text(instrument: Instrument) -> str:
    return f"{instrument.multiplier:f}" if instrument.expiry is not None else ""


def _primaries(instrument: Instrument) -> tuple[str, ...]:
    """Names of the primary exchange; NASDAQ is also known as ISLAND."""
    return ("NASDAQ", "ISLAND") if instrument.exchange == "NASDAQ" else (instrument.exchange,)
