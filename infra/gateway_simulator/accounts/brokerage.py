"""What an order means to its account: whether it may be placed, what it would change, what each of its fills books."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from infra.gateway_simulator.accounts.account import ZERO, Account
from infra.gateway_simulator.accounts.commissions import Charge, Done, ScheduleMissingError, Tariff, Trade
from infra.gateway_simulator.accounts.currencies import RateUnknownError
from infra.gateway_simulator.accounts.margin import Standing, refusal, standing_of
from infra.gateway_simulator.instruments.instrument import Instrument, Kind, Source
from infra.gateway_simulator.market.noise import pick

NO_SHARES = (
    404,
    (
        "Shares for this order are not immediately available for short sale. "
        "The order will be held while we attempt to locate the shares."
    ),
)
_SCARCE_PERCENT = 5  # of the synthetic stocks are hard to borrow,
_FOUND_PERCENT = 50  # and can be had on so many of their days


@dataclass(frozen=True, slots=True)
class Impact:
    """What an order would change; `least` and `most` bound the commission where the route decides, else equal it."""

    before: Standing
    after: Standing
    commission: Decimal
    least: Decimal
    most: Decimal
    currency: str


@dataclass(frozen=True, slots=True)
class Booked:
    """What a fill cost and realised; `realized` is None when it only opened."""

    charge: Charge
    realized: Decimal | None


class Brokerage:
    def __init__(self, tariff: Tariff, seed: int) -> None:
        self._tariff = tariff
        self._seed = seed

    def refusal(self, account: Account, trade: Trade, pending: Sequence[Trade] = ()) -> str:
        """Why the account may not have the order, as the reason of an error 201; empty when it may."""
        try:
            charge = self._charge(account, trade, Done())
        except (RateUnknownError, ScheduleMissingError) as error:
            return str(error)
        return refusal(account, trade, charge, pending)

    def impact(self, account: Account, trade: Trade) -> Impact:
        """What a what-if order tells; `refusal` comes first."""
        charge = self._charge(account, trade, Done())
        adding = Trade(trade.instrument, trade.signed, trade.price, adds_liquidity=True)
        bounds = charge.amount, self._charge(account, adding, Done()).amount
        before, after = standing_of(account), standing_of(account, trade, charge=charge)
        return Impact(before, after, charge.amount, min(bounds), max(bounds), charge.currency)

    def fill(self, account: Account, trade: Trade, before: Done) -> Booked:
        """Charge and book one fill of an order that has traded `before`."""
        charge = self._charge(account, trade, before)
        account.add_volume(_line(trade.instrument), self._tariff.counted(trade))
        realized = account.fill(trade.instrument, trade.signed, trade.price, charge.amount)
        return Booked(charge, realized)

    def must_locate(self, account: Account, trade: Trade, pending: Sequence[Trade] = ()) -> bool:
        """Whether an order sells short what nobody lends today: it is held with error 404 until somebody does."""
        instrument = trade.instrument
        if trade.signed > 0 or instrument.kind != Kind.STOCK:
            return False
        selling = sum((-each.signed for each in pending if each.instrument == instrument and each.signed < 0), ZERO)
        held = account.position(instrument).quantity
        return held < trade.quantity + selling and not self.lends(instrument, account.market.day(instrument))

    def lends(self, instrument: Instrument, day: date) -> bool:
        """Whether shares can be borrowed on a day; those with real prices and funds always can."""
        if instrument.source is not Source.SYNTHETIC or instrument.is_fund:
            return True
        scarce = pick(100, self._seed, "scarce", instrument.symbol) < _SCARCE_PERCENT
        return not scarce or pick(100, self._seed, "lent", instrument.symbol, day.toordinal()) < _FOUND_PERCENT

    def _charge(self, account: Account, trade: Trade, before: Done) -> Charge:
        volume = account.volume(_line(trade.instrument))
        return self._tariff.charge(trade, before, base=account.base, volume=volume)


def _line(instrument: Instrument) -> str:
    """Volumes are counted by product, forex in dollars whatever the pair."""
    return instrument.kind if instrument.kind is Kind.FOREX else f"{instrument.kind}.{instrument.currency}"
