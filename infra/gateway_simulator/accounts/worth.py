"""What an account is worth, by currency and in its base currency."""

from dataclasses import dataclass, field
from decimal import Decimal

from infra.gateway_simulator.accounts.account import ZERO, Account, Position
from infra.gateway_simulator.instruments.instrument import Kind


@dataclass(slots=True)
class Pot:
    """Everything in one currency; `rate` turns it into the base currency."""

    currency: str
    rate: Decimal
    cash: Decimal = ZERO
    stocks: Decimal = ZERO
    options: Decimal = ZERO
    crypto: Decimal = ZERO
    futures_profit: Decimal = ZERO  # since it was last paid out
    gross: Decimal = ZERO
    unrealized: Decimal = ZERO
    realized: Decimal = ZERO
    daily: Decimal = ZERO
    settled: Decimal = ZERO

    @property
    def net(self) -> Decimal:
        return self.cash + self.stocks + self.options + self.crypto + self.futures_profit

    def take(self, position: Position, mark: Decimal, previous_close: Decimal) -> None:
        kind, worth = position.instrument.kind, position.worth(mark)
        self.realized += position.realized
        if kind is Kind.FOREX:
            return  # what it brought is in the balances
        self.unrealized += position.unrealized(mark)
        self.daily += position.daily(mark, previous_close)
        if kind is Kind.FUTURE:
            paid_out = position.settled_worth(previous_close)
            self.cash += paid_out
            self.settled += paid_out
            self.futures_profit += worth - paid_out
            return
        self.gross += abs(worth)
        if kind is Kind.OPTION:
            self.options += worth
        elif kind is Kind.CRYPTO:
            self.crypto += worth
        else:
            self.stocks += worth


@dataclass(slots=True)
class Worth:
    """An account's pots, and their sums in the base currency."""

    base: str
    pots: dict[str, Pot] = field(default_factory=dict)

    def sum(self, name: str) -> Decimal:
        total = sum((getattr(pot, name) * pot.rate for pot in self.pots.values()), ZERO)
        assert isinstance(total, Decimal), f"{name} is an amount"
        return total

    @property
    def net_liquidation(self) -> Decimal:
        return self.sum("net")

    @property
    def equity_with_loan(self) -> Decimal:
        """What can be lent against: options and crypto cannot.

        Source: IB, "EquityWithLoanValue" of the account window: cash, stocks, bonds and funds, with futures' profit.
        """
        return self.sum("cash") + self.sum("stocks") + self.sum("futures_profit")


def worth_of(account: Account) -> Worth:
    market = account.market
    found = Worth(account.base)
    for currency in account.currencies():
        pot = found.pots[currency] = Pot(currency, market.rate(currency, account.base))
        pot.cash, pot.settled = account.balances.get(currency, ZERO), account.settled(currency)
    for position in account.touched():
        instrument = position.instrument
        found.pots[instrument.currency].take(position, market.mark(instrument), market.previous_close(instrument))
    return found
