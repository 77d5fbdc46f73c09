"""An account: money by currency, positions with their cost, and what the day has brought."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Protocol

from infra.gateway_simulator.instruments.instrument import Instrument, Kind

CENT = Decimal("0.01")
ZERO = Decimal(0)


class Market(Protocol):
    """What an account must know of the world to book what happens to it."""

    def mark(self, instrument: Instrument) -> Decimal:
        """The last price."""
        ...

    def previous_close(self, instrument: Instrument) -> Decimal:
        """Of the session before the one that has opened last, in today's shares."""
        ...

    def day(self, instrument: Instrument) -> date:
        """Of the session at the instrument's venue that has opened last."""
        ...

    def split(self, instrument: Instrument, since: date, until: date) -> int:
        """Shares of `until` for one of `since`."""
        ...

    def settles(self, instrument: Instrument) -> date:
        """When a trade of now is paid."""
        ...

    def today(self) -> date: ...

    def rate(self, currency: str, into: str) -> Decimal: ...


@dataclass(slots=True)
class Position:
    """`quantity` is negative when short; `average_cost` is per unit, with multiplier and commissions, as IB counts.

    `opening`, `opening_cost`, `flow`, `fees` and `realized` are of `day`: what it began with, the money its fills
    brought, what they cost, and the profit that they realised; all in the instrument's currency.
    """

    instrument: Instrument
    quantity: Decimal = ZERO
    average_cost: Decimal = ZERO
    realized: Decimal = ZERO
    day: date = date.min
    opening: Decimal = ZERO
    flow: Decimal = ZERO
    fees: Decimal = ZERO
    opening_cost: Decimal = ZERO

    def apply(self, signed: Decimal, price: Decimal, paid: Decimal) -> Decimal | None:
        """Take one fill in; the profit that it realised, None when it only opened."""
        unit = price * self.instrument.multiplier
        self.flow -= signed * unit
        self.fees += paid
        cost = unit + paid / signed  # a seller gets less than the price
        if self.quantity * signed >= 0:
            held = self.quantity + signed
            self.average_cost = (self.average_cost * self.quantity + cost * signed) / held
            self.quantity = held
            return None
        closed = min(abs(signed), abs(self.quantity))
        side = 1 if self.quantity > 0 else -1
        profit = (cost - self.average_cost) * closed * side
        self.quantity += signed
        if self.quantity * side < 0:
            self.average_cost = cost
        if self.quantity == 0:
            self.average_cost = ZERO
        self.realized += profit
        return profit

    def roll(self, day: date, ratio: int) -> None:
        """A new session has opened: the day's sums begin anew, with `ratio` shares for each one of the last day."""
        self.quantity *= ratio
        self.average_cost /= ratio
        self.day, self.opening, self.opening_cost = day, self.quantity, self.average_cost
        self.flow = self.fees = self.realized = ZERO

    def begin_anew(self) -> None:
        """Back to the beginning of the day, whose fills are to be taken in once more."""
        self.quantity, self.average_cost = self.opening, self.opening_cost
        self.flow = self.fees = self.realized = ZERO

    def expire(self, mark: Decimal) -> None:
        """Paid out in cash at the last price."""
        self.realized += self.unrealized(mark)
        self.flow += self.worth(mark)
        self.quantity = self.average_cost = ZERO

    def worth(self, mark: Decimal) -> Decimal:
        return self.quantity * mark * self.instrument.multiplier

    def unrealized(self, mark: Decimal) -> Decimal:
        return self.worth(mark) - self.average_cost * self.quantity

    def daily(self, mark: Decimal, previous_close: Decimal) -> Decimal:
        """Profit since the close of the session before."""
        began = self.opening * previous_close * self.instrument.multiplier
        return self.worth(mark) - began + self.flow - self.fees

    def settled_worth(self, previous_close: Decimal) -> Decimal:
        """Of a future: what it was worth when its profit was last paid out, which is at the close or at the trade."""
        return self.opening * previous_close * self.instrument.multiplier - self.flow


@dataclass(frozen=True, slots=True)
class Booking:
    """One fill as it was booked: signed quantity, price, and what it cost."""

    signed: Decimal
    price: Decimal
    paid: Decimal


@dataclass(frozen=True, slots=True)
class Owed:
    """Proceeds of a sale that are still to be paid."""

    day: date
    currency: str
    amount: Decimal


@dataclass
class Account:
    """What is owned. `balances` count futures at their full worth, as if paid: see Pot for what is told as cash."""

    code: str
    balances: dict[str, Decimal]
    market: Market
    base: str = "USD"
    is_cash_account: bool = False
    positions: dict[int, Position] = field(default_factory=dict)
    owed: list[Owed] = field(default_factory=list)
    month: str = ""
    volumes: dict[str, Decimal] = field(default_factory=dict)

    @property
    def cash(self) -> Decimal:
        """Of the base currency."""
        return self.balances.get(self.base, ZERO)

    def position(self, instrument: Instrument) -> Position:
        """The position as of now, whole days and splits behind it."""
        known = self.positions.get(instrument.contract_id)
        day = self.market.day(instrument)
        if known is None:
            known = self.positions[instrument.contract_id] = Position(instrument, day=day)
        elif known.day < day:
            known.roll(day, self.market.split(instrument, known.day, day))
            if instrument.expiry is not None and day > instrument.expiry and known.quantity:
                mark = self.market.mark(instrument)
                self._move(instrument.currency, known.worth(mark))
                known.expire(mark)
        return known

    def touched(self) -> list[Position]:
        """All that have been held, with what the day has realised."""
        return [self.position(each.instrument) for each in tuple(self.positions.values())]

    def held(self) -> list[Position]:
        return [each for each in self.touched() if each.quantity]

    def fill(self, instrument: Instrument, signed: Decimal, price: Decimal, paid: Decimal) -> Decimal | None:
        """Book one fill; the profit that it realised, None when it only opened.

        `paid` is in the instrument's currency; that of forex in the account's base currency.
        """
        self.pay(instrument, Booking(signed, price, paid))
        is_forex = instrument.kind is Kind.FOREX
        return self.position(instrument).apply(signed, price, ZERO if is_forex else paid)

    def take_back(self, instrument: Instrument, old: Booking) -> None:
        """Undo the money of a fill that was corrected or busted; `rebuild` follows with those that stand."""
        worth = old.signed * old.price * instrument.multiplier
        self._move(instrument.currency, worth)
        if instrument.kind is Kind.FOREX:
            self._move(instrument.symbol, -old.signed)
            self._move(self.base, old.paid)
            return
        self._move(instrument.currency, old.paid)
        due = [each for each in self.owed if (each.currency, each.amount) == (instrument.currency, -worth)]
        if due:
            self.owed.remove(due[-1])

    def pay(self, instrument: Instrument, new: Booking) -> None:
        """The money of a fill."""
        worth = new.signed * new.price * instrument.multiplier
        self._move(instrument.currency, -worth)
        if instrument.kind is Kind.FOREX:
            self._move(instrument.symbol, new.signed)
            self._move(self.base, -new.paid)
            return
        self._move(instrument.currency, -new.paid)
        self._owe(instrument, -worth)

    def rebuild(self, instrument: Instrument, fills: Iterable[Booking]) -> list[Decimal | None]:
        """The position from the fills of its day; gives what each has realised."""
        position = self.position(instrument)
        position.begin_anew()
        is_forex = instrument.kind is Kind.FOREX
        return [
            position.apply(each.signed, each.price, ZERO if is_forex else each.paid) if each.signed else None
            for each in fills
        ]

    def settled(self, currency: str) -> Decimal:
        """The balance without proceeds that are still to be paid."""
        today = self.market.today()
        self.owed = [each for each in self.owed if each.day > today]
        return self.balances.get(currency, ZERO) - sum(each.amount for each in self.owed if each.currency == currency)

    def currencies(self) -> list[str]:
        """The base first, then whatever else there is."""
        known = {*self.balances, *(each.instrument.currency for each in self.positions.values())} - {self.base}
        return [self.base, *sorted(known)]

    def check(self) -> None:
        """Every balance can be told in the base currency; raises RateUnknownError."""
        for currency in self.currencies():
            self.market.rate(currency, self.base)

    def told(self) -> dict[str, object]:
        """Balances and positions, for those who compare."""
        return {
            "balances": {currency: f"{amount:f}" for currency, amount in self.balances.items()},
            "positions": {str(each.instrument.contract_id): f"{each.quantity:f}" for each in self.held()},
        }

    def volume(self, key: str) -> Decimal:
        """What has been traded this month under one line of the commission schedule."""
        return self.volumes.get(key, ZERO) if self.month == f"{self.market.today():%Y-%m}" else ZERO

    def add_volume(self, key: str, more: Decimal) -> None:
        month = f"{self.market.today():%Y-%m}"
        if month != self.month:
            self.month, self.volumes = month, {}
        self.volumes[key] = self.volumes.get(key, ZERO) + more

    def _move(self, currency: str, amount: Decimal) -> None:
        self.balances[currency] = self.balances.get(currency, ZERO) + amount

    def _owe(self, instrument: Instrument, proceeds: Decimal) -> None:
        day = self.market.settles(instrument)
        if proceeds > 0 and instrument.kind != Kind.FUTURE and day > self.market.today():
            self.owed.append(Owed(day, instrument.currency, proceeds))
