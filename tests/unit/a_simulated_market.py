"""A market that stands still, for accounts of the gateway simulator: prices, days and rates are what a test says."""

from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal

from infra.gateway_simulator.accounts.account import Account
from infra.gateway_simulator.accounts.currencies import RateUnknownError
from infra.gateway_simulator.instruments.catalogue import Catalogue
from infra.gateway_simulator.instruments.instrument import Instrument, Kind, Option

D = Decimal
CATALOGUE = Catalogue()
APPLE, IBM = CATALOGUE.by_symbol["AAPL"], CATALOGUE.by_symbol["IBM"]
TODAY = date(2013, 2, 28)


@dataclass
class Still:
    """Prices by symbol; `ratio` is that of a split between two days."""

    prices: dict[str, Decimal] = field(default_factory=dict)
    closes: dict[str, Decimal] = field(default_factory=dict)
    rates: dict[tuple[str, str], Decimal] = field(default_factory=dict)
    now: date = TODAY
    pays: date = TODAY
    ratio: int = 1

    def mark(self, instrument: Instrument) -> Decimal:
        return self.prices[instrument.symbol]

    def previous_close(self, instrument: Instrument) -> Decimal:
        return self.closes.get(instrument.symbol, self.mark(instrument))

    def day(self, instrument: Instrument) -> date:
        return self.now

    def split(self, instrument: Instrument, since: date, until: date) -> int:
        return self.ratio

    def settles(self, instrument: Instrument) -> date:
        return max(self.pays, self.now)

    def today(self) -> date:
        return self.now

    def rate(self, currency: str, into: str) -> Decimal:
        if currency == into:
            return D(1)
        if (currency, into) in self.rates:
            return self.rates[(currency, into)]
        if (into, currency) not in self.rates:
            raise RateUnknownError(currency, into)
        return 1 / self.rates[(into, currency)]


def an_instrument(kind: str, symbol: str, currency: str = "USD", multiplier: int = 1) -> Instrument:
    """One of a security type that is not among the stocks."""
    number = 1_000 + sum(map(ord, kind + symbol))
    return replace(
        APPLE, contract_id=number, symbol=symbol, currency=currency, kind=Kind(kind), multiplier=D(multiplier)
    )


def an_option(right: str, strike: str) -> Instrument:
    option = Option(APPLE, date(2013, 3, 15), D(strike), right)
    return replace(an_instrument("OPT", "AAPL", multiplier=100), option=option)


def an_account(market: Still, *, is_cash_account: bool = False, base: str = "USD", **cash: int | str) -> Account:
    balances = {currency: D(amount) for currency, amount in cash.items()} or {base: D(1_000_000)}
    return Account("DU1", balances, market, base, is_cash_account)
