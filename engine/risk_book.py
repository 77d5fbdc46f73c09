"""What risk knows when it decides: an account's figures, seen from one contract, and what one order adds to them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal
from operator import attrgetter
from typing import Any

from engine.portfolio import exactly
from schemas.account import RiskLimits, TradingMode
from schemas.orders import ModifyIntent, OrderIntent, RiskBasis, Side
from schemas.risk import ScopeBasis

_ZERO = Decimal(0)


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What limits are held against. Orders in flight count at their worst: all buys filled and no sell, or the reverse.

    Quantities are those of the order's contract; money is in the account's base currency.
    """

    limits: RiskLimits | None = None
    position: Decimal = _ZERO
    open_buys: Decimal = _ZERO
    open_sells: Decimal = _ZERO
    open_orders: int = 0
    open_orders_of_contract: int = 0
    orders_last_minute: int = 0
    open_price: Decimal = _ZERO
    """The highest price at which an order in flight counts, in the contract's currency."""
    exposure_elsewhere: Decimal = _ZERO
    """Sum over the other contracts of the worst-case absolute position times price."""
    net_low_elsewhere: Decimal = _ZERO
    net_high_elsewhere: Decimal = _ZERO
    realised_pnl_today: Decimal = _ZERO
    unrealised_pnl_today: Decimal = _ZERO
    exposure_unknown: str = ""
    loss_unknown: str = ""

    @property
    def pnl_today(self) -> Decimal:
        return self.realised_pnl_today + self.unrealised_pnl_today

    @property
    def worst(self) -> Decimal:
        return worst_case(self.position, self.open_buys, self.open_sells)


@dataclass(frozen=True, kw_only=True)
class Scope(Figures):
    """The same figures of one strategy or one symbol, with limits of its own."""

    scope: str


@dataclass(frozen=True, kw_only=True)
class Book(Figures):
    """All that risk knows about an account, seen from one contract, at one moment. `RiskBasis` explains the fields."""

    trading_mode: TradingMode = TradingMode.HALTED
    stopped_by: str = ""
    scopes: tuple[Scope, ...] = ()
    price: Decimal | None = None
    price_time: datetime | None = None
    currency: str = ""
    fx_rate: Decimal | None = None
    account_time: datetime | None = None
    buying_power: Decimal | None = None
    average_volume: Decimal | None = None
    restricted: str = ""
    in_session: bool | None = None
    covered: Decimal = _ZERO
    covered_price: Decimal | None = None
    quota: Decimal | None = None
    working: bool = True
    entered: Decimal | None = None
    left: Decimal = _ZERO
    apart: str = ""
    duplicate_of: str = ""
    blocked_by: str = ""
    crossing: str = ""
    crossing_terms: str = ""
    messages_lately: int = 0
    fills_lately: int = 0
    same_side_orders: int = 0
    strategy_orders_last_minute: int = 0

    def each(self) -> Iterator[tuple[str, Figures]]:
        """The figures of every scope that has limits: the account's, then those of strategy and symbol."""
        yield "", self
        for scope in self.scopes:
            yield scope.scope, scope


_UNSEEN = {each.name: each.default for each in fields(Book)}


def book_seen(alike: Mapping[str, Any], own: Mapping[str, Any]) -> Book:
    """`Book(**alike, **own)` at a fifth of its cost: one is made for every intent."""
    made = Book.__new__(Book)
    vars(made).update({**_UNSEEN, **alike, **own})
    return made


@dataclass(frozen=True)
class Wish:
    """An order as it shall be, and what it adds to what is in flight already."""

    order: OrderIntent
    is_new: bool
    added: Decimal
    """Quantity."""
    price: Decimal
    """What a share counts in limits, in the order's currency."""
    rate: Decimal
    seen: Decimal = _ZERO
    """The price that risk has seen."""
    dearer: bool = False
    """It counts at a price at which nothing of it has counted before."""

    @property
    def may_cost_more(self) -> bool:
        """Whether the account may come to be worth more by it than it could without it."""
        return bool(self.added) or self.dearer

    @property
    def signed(self) -> Decimal:
        return self.added * self.order.side.sign

    @property
    def notional(self) -> Decimal:
        return exactly(self.order.quantity * self.value)

    @property
    def value(self) -> Decimal:
        """Of a share, in the base currency."""
        return abs(self.price) * self.rate


def worst_case(position: Decimal, open_buys: Decimal, open_sells: Decimal) -> Decimal:
    """The largest absolute position that orders in flight can lead to."""
    return max(abs(position + open_buys), abs(position - open_sells))


def net_worth(position: Decimal, orders: Decimal, seen: Decimal, price: Decimal) -> Decimal:
    """When `orders` of one side have all filled: what is held is worth what is `seen`, what they add their own price.

    `position` is positive where it is on the side of the orders.
    """
    return position * seen + orders * price


def gross_worth(position: Decimal, orders: Decimal, seen: Decimal, price: Decimal) -> Decimal:
    """The same without sign; orders that do not even bring the position to the other side make nothing larger."""
    after = position + orders
    return _ZERO if after <= 0 else min(after * price, net_worth(position, orders, seen, price))


def added_by(order: OrderIntent, covered: Decimal, quota: Decimal | None) -> Decimal:
    """The quantity by which an order makes the worst case worse, beside what it takes the place of."""
    most = order.quantity if quota is None else min(order.quantity, max(_ZERO, quota))
    return max(_ZERO, most - covered)


def wish_of(intent: OrderIntent | ModifyIntent, book: Book) -> Wish:
    order = intent if isinstance(intent, OrderIntent) else intent.wanted
    price = order.worst_price(book.price) if book.price is not None else _ZERO
    rate = book.fx_rate if book.fx_rate is not None else Decimal(1)
    added = added_by(order, book.covered, book.quota)
    is_new, seen = isinstance(intent, OrderIntent), book.price if book.price is not None else _ZERO
    before = book.open_price if book.covered_price is None else book.covered_price
    # an exit takes back what its parent enters, at whatever price
    dearer = book.entered is None and (is_new or price > max(before, seen))
    return Wish(order, is_new, added, price, rate, abs(seen), dearer)


def reduces(order: OrderIntent, book: Figures, added: Decimal | None = None) -> bool:
    """Whether the order can only bring the position nearer to zero, even when all others in flight fill first."""
    more = order.quantity if added is None else added
    if order.side is Side.SELL:
        return book.position - book.open_sells - more >= 0
    return book.position + book.open_buys + more <= 0


_BASIS, _SCOPE_BASIS = tuple(RiskBasis.model_fields), tuple(ScopeBasis.model_fields)
_SAME = tuple(f.name for f in fields(Book) if f.name in _BASIS and f.name != "scopes")
_SAME_SCOPE = tuple(f.name for f in fields(Scope) if f.name in _SCOPE_BASIS)
_same, _same_of_scope = attrgetter(*_SAME), attrgetter(*_SAME_SCOPE)


def basis_of(book: Book, now: datetime, worth: Decimal, event_time: datetime) -> RiskBasis:
    """What is told of the book that a decision was made on; `worth`: of a share, as the decision counted it."""
    here = exactly(book.worst * worth)
    # of values that were judged when they came in: to judge them again would cost a third of the decision
    values: dict[str, Any] = dict.fromkeys(_BASIS)
    values.update(zip(_SAME, _same(book), strict=True))
    values |= {
        "event_time": event_time,
        "ingest_time": now,
        "type": "RiskBasis",
        "decided_at": now,
        "gross_exposure": exactly(book.exposure_elsewhere + here),
        "scopes": tuple(_scope_basis(scope, now, event_time) for scope in book.scopes),
    }
    return RiskBasis.of_judged(values)


def _scope_basis(scope: Scope, now: datetime, event_time: datetime) -> ScopeBasis:
    values: dict[str, Any] = dict.fromkeys(_SCOPE_BASIS)
    values.update(zip(_SAME_SCOPE, _same_of_scope(scope), strict=True))
    return ScopeBasis.of_judged(values | {"type": "ScopeBasis", "event_time": event_time, "ingest_time": now})


def book_of(basis: RiskBasis) -> Book:
    """The book that a decision was based on, so that the decision can be made again."""
    same = dict(zip(_SAME, _same(basis), strict=True))
    if basis.exposure_elsewhere is None:
        here = worst_case(basis.position, basis.open_buys, basis.open_sells) * (basis.price or _ZERO)
        same["exposure_elsewhere"] = exactly(basis.gross_exposure - here)
    scopes = tuple(Scope(**{name: getattr(each, name) for name in _SAME_SCOPE}) for each in basis.scopes)
    return Book(scopes=scopes, **same)
