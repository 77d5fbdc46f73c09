"""Margin: what positions tie up, what an order would change, and whether the account may have it.

Stocks: Regulation T, 12 CFR 220.12: initial 50 % of a long position, 150 % of a short one, which is its proceeds and
half as much; maintenance by FINRA rule 4210(c): long 25 %, short 30 % and 5.00 a share at least, below a price of 5.00
all of it and 2.50 a share at least. Options: long ones are paid in full and lend nothing; short ones by IB's formula
for Reg T accounts (see `short_option`). Futures: an amount for each contract. Forex: 2 % of major pairs and 5 % of
others (CFTC regulation 5.9). Crypto is paid in full.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from infra.gateway_simulator.accounts.account import CENT, ZERO, Account, Market
from infra.gateway_simulator.accounts.commissions import Charge, Trade
from infra.gateway_simulator.accounts.currencies import RateUnknownError
from infra.gateway_simulator.accounts.worth import Worth, worth_of
from infra.gateway_simulator.instruments.instrument import Instrument, Kind

_D = Decimal
LONG_INITIAL, LONG_MAINTENANCE = _D("0.50"), _D("0.25")
SHORT_INITIAL, SHORT_MAINTENANCE = _D("0.50"), _D("0.30")
SHORT_SHARE_LEAST, SHORT_PENNY_LEAST, PENNY = _D("5.00"), _D("2.50"), _D("5.00")
OPTION_SHARE, OPTION_LEAST_SHARE, OPTION_LEAST = _D("0.20"), _D("0.10"), _D("2.50")
MAJOR, MINOR = _D("0.02"), _D("0.05")
MAJORS = frozenset({"USD", "CAD", "EUR", "JPY", "GBP", "CHF", "AUD", "NZD", "SEK", "NOK", "DKK"})
UNLENT = frozenset({Kind.OPTION, Kind.CRYPTO})  # paid in full, and no part of the equity that can be lent against

# Initial margin of one contract as in 2013, when ES stood at 1,500; maintenance is IB's usual ten elevenths of it.
PER_CONTRACT = {"ES": _D("4813"), "NQ": _D("3300"), "YM": _D("4125"), "RTY": _D("5225"), "SPI": _D("8250")}
CONTRACT_SHARE = _D("0.10")  # of the worth of contracts that have no amount
_MAINTAINED = _D(10) / _D(11)


@dataclass(frozen=True, slots=True)
class Margin:
    initial: Decimal = ZERO
    maintenance: Decimal = ZERO

    def __add__(self, other: "Margin") -> "Margin":
        return Margin(self.initial + other.initial, self.maintenance + other.maintenance)

    def times(self, factor: Decimal) -> "Margin":
        return Margin(self.initial * factor, self.maintenance * factor)


def required(instrument: Instrument, quantity: Decimal, price: Decimal, market: Market) -> Margin:
    """What a position of `quantity` at `price` ties up, in the instrument's currency."""
    worth = abs(quantity) * price * instrument.multiplier
    match instrument.kind:
        case Kind.FUTURE:
            each = PER_CONTRACT.get(instrument.symbol, price * instrument.multiplier * CONTRACT_SHARE)
            return Margin(each, each * _MAINTAINED).times(abs(quantity))
        case Kind.OPTION:
            return Margin() if quantity >= 0 else _naked(instrument, price, market).times(-quantity)
        case Kind.FOREX:
            is_major = {instrument.symbol, instrument.currency} <= MAJORS
            return Margin(worth, worth).times(MAJOR if is_major else MINOR)
        case Kind.CRYPTO:
            return Margin()
        case _:
            return _stock(quantity, price)


def _stock(quantity: Decimal, price: Decimal) -> Margin:
    if quantity >= 0:
        return Margin(LONG_INITIAL, LONG_MAINTENANCE).times(quantity * price)
    each = max(SHORT_MAINTENANCE * price, SHORT_SHARE_LEAST) if price >= PENNY else max(price, SHORT_PENNY_LEAST)
    return Margin(max(SHORT_INITIAL * price, each), each).times(-quantity)


def _naked(instrument: Instrument, price: Decimal, market: Market) -> Margin:
    """Of one contract that was sold."""
    option = instrument.option
    assert option is not None, f"{instrument.symbol} says that it is an option"
    under = market.mark(option.underlying)
    return short_option(price, under, option.strike, is_call=option.right == "C").times(instrument.multiplier)


def short_option(price: Decimal, under: Decimal, strike: Decimal, *, is_call: bool) -> Margin:
    """For one share of a short option: its value, and the larger of 20 % of the underlying less what it is out of the
    money, 10 % of the underlying (calls) or of the strike (puts), and 2.50."""
    out = max(strike - under if is_call else under - strike, ZERO)
    floor = under if is_call else strike
    each = price + max(OPTION_SHARE * under - out, OPTION_LEAST_SHARE * floor, OPTION_LEAST)
    return Margin(each, each)


@dataclass(frozen=True, slots=True)
class Standing:
    """Initial and maintenance margin and the equity that can be lent against, in the base currency."""

    initial: Decimal
    maintenance: Decimal
    equity: Decimal

    def told(self) -> tuple[Decimal, Decimal, Decimal]:
        return self.initial.quantize(CENT), self.maintenance.quantize(CENT), self.equity.quantize(CENT)


def margin_of(account: Account, trade: Trade | None = None, pending: Sequence[Trade] = ()) -> Margin:
    """In the base currency: what is held, once `trade` has filled, and the worst that `pending` could make of it."""
    market, found = account.market, Margin()
    coming: dict[int, list[Trade]] = {}
    for each in (*pending, *((trade,) if trade is not None else ())):
        coming.setdefault(each.instrument.contract_id, []).append(each)
    for position in account.held():
        instrument = position.instrument
        if instrument.contract_id not in coming:
            found += _based(account, instrument, position.quantity, market.mark(instrument))
    for trades in coming.values():
        instrument, price = trades[0].instrument, max(each.price for each in trades)
        has = account.position(instrument).quantity
        held = has + sum((each.signed for each in trades if each is trade), ZERO)
        waiting = [each.signed for each in trades if each is not trade]
        most = held + sum((each for each in waiting if each > 0), ZERO)
        least = held + sum((each for each in waiting if each < 0), ZERO)
        found += max((_become(account, instrument, (has, each), price) for each in (most, least)), key=_initial)
    return found


def _initial(margin: Margin) -> Decimal:
    return margin.initial


def _become(account: Account, instrument: Instrument, change: tuple[Decimal, Decimal], price: Decimal) -> Margin:
    """Of a quantity that has become another one: what was held at the market's price, what is added at the order's."""
    before, after = change
    if before * after <= 0:
        return _based(account, instrument, after, price)
    kept = min(before, after, key=abs)
    found = _based(account, instrument, kept, account.market.mark(instrument))
    return found + _based(account, instrument, after - kept, price) if after != kept else found


def _based(account: Account, instrument: Instrument, quantity: Decimal, price: Decimal) -> Margin:
    rate = account.market.rate(instrument.currency, account.base)
    return required(instrument, quantity, price, account.market).times(rate)


def standing_at(account: Account, worth: Worth) -> Standing:
    """As it is, by a worth that is known."""
    margin = margin_of(account)
    return Standing(margin.initial, margin.maintenance, worth.equity_with_loan)


def standing_of(
    account: Account, trade: Trade | None = None, pending: Sequence[Trade] = (), charge: Charge | None = None
) -> Standing:
    """As it is, or as it would be after `trade` at the cost of `charge`, with what `pending` could make of it."""
    now = standing_at(account, worth_of(account))
    if trade is None and not pending:
        return now
    margin, equity, rate = margin_of(account, trade, pending), now.equity, account.market.rate
    for each in pending:
        equity -= max(_taken_from_equity(account, each), ZERO)
    if trade is not None:
        equity -= _taken_from_equity(account, trade)
    if charge is not None:
        equity -= charge.amount * rate(charge.currency, account.base)
    return Standing(margin.initial, margin.maintenance, equity)


def _taken_from_equity(account: Account, trade: Trade) -> Decimal:
    """What is paid for something that cannot be lent against."""
    instrument = trade.instrument
    return trade.worth * account.market.rate(instrument.currency, account.base) if instrument.kind in UNLENT else ZERO


def refusal(account: Account, trade: Trade, charge: Charge, pending: Sequence[Trade] = ()) -> str:
    """Why the account may not have the order, in IB's words; empty when it may.

    `pending` are its other live orders with what remains of them. An order that only closes is always taken.
    """
    try:
        if account.is_cash_account:
            return _cash_refusal(account, trade, charge, pending)
        held = account.position(trade.instrument).quantity
        if abs(held + trade.signed) <= abs(held):
            return ""
        after = standing_of(account, trade, pending, charge)
    except RateUnknownError as error:
        return str(error)
    if after.equity >= after.initial:
        return ""
    return (
        "YOUR ORDER IS NOT ACCEPTED. IN ORDER TO OBTAIN THE DESIRED POSITION YOUR EQUITY WITH LOAN VALUE "
        f"[{after.equity:.2f} {account.base}] MUST EXCEED THE INITIAL MARGIN [{after.initial:.2f} {account.base}]"
    )


def _cash_refusal(account: Account, trade: Trade, charge: Charge, pending: Sequence[Trade]) -> str:
    """A cash account sells what it has and pays from settled cash; only a future ties up no more than its margin."""
    instrument = trade.instrument
    if trade.signed < 0 and instrument.kind not in (Kind.FUTURE, Kind.FOREX):
        selling = sum((-each.signed for each in pending if each.instrument == instrument and each.signed < 0), ZERO)
        if account.position(instrument).quantity < trade.quantity + selling:
            return "Short positions can not be held in a cash account"
        return ""
    rate = account.market.rate
    settled = sum((account.settled(each) * rate(each, account.base) for each in account.currencies()), ZERO)
    needed = charge.amount * rate(charge.currency, account.base)
    for each in (*pending, trade):
        needed += _paid_in_full(account, each)
    if needed <= settled:
        return ""
    return (
        f"Available settled cash converted to base: {settled:.2f} {account.base} "
        f"Cash needed for this order and other pending orders: <br>{needed:.2f} {account.base}"
    )


def _paid_in_full(account: Account, trade: Trade) -> Decimal:
    """The cash that a trade takes, in the base currency."""
    instrument = trade.instrument
    if instrument.kind is Kind.FUTURE:
        held = account.position(instrument).quantity
        more = max(abs(held + trade.signed) - abs(held), ZERO)
        return _based(account, instrument, more, trade.price).initial
    return max(trade.worth, ZERO) * account.market.rate(instrument.currency, account.base)
