"""An account as risk holds it: what is held, what is in flight, who may do how much. From any intent, a `Book`."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from engine.at_stake import AtStake, around, prices_of, stake_of
from engine.in_flight import InFlight, flight_of
from engine.order_company import crossing_of, duplicate_of, exits_of, family_of, family_of_changed, nearer
from engine.portfolio import exactly
from engine.risk_book import Book, Scope, book_seen
from engine.trading_state import account_scope, mode_of, scopes_of
from schemas.account import RiskLimits, TradingMode
from schemas.order_words import Side
from schemas.orders import CancelIntent, ModifyIntent, OrderIntent

_ZERO = Decimal(0)
_ONE = Decimal(1)


@dataclass(frozen=True, slots=True)
class Mark:
    """The newest price of a contract that risk has seen."""

    price: Decimal
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Held:
    """A position, with the last price that an execution has told."""

    contract_id: int
    symbol: str
    currency: str
    quantity: Decimal
    average_price: Decimal
    price: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Account:
    """What the broker has told."""

    currency: str = ""
    told_at: datetime | None = None
    buying_power: Decimal | None = None
    """Less what has filled since."""
    rates: Mapping[str, Decimal] = field(default_factory=dict)

    def rate(self, currency: str) -> Decimal | None:
        return _ONE if currency == self.currency or not self.currency else self.rates.get(currency)


@dataclass
class AccountBook:
    """Everything of one account at one moment; an approval is counted in at once by `reserve`."""

    account_id: str
    modes: dict[str, TradingMode] = field(default_factory=dict)
    stops: dict[str, str] = field(default_factory=dict)
    """In words, who has stopped a scope, and what lifts that."""
    limits: dict[str, RiskLimits | None] = field(default_factory=dict)
    """By scope; None where something is stored that does not load."""
    account: Account = field(default_factory=Account)
    positions: dict[int, Held] = field(default_factory=dict)
    of_strategy: dict[tuple[str, int], Held] = field(default_factory=dict)
    in_flight: dict[str, InFlight] = field(default_factory=dict)
    marks: dict[int, Mark] = field(default_factory=dict)
    volumes: dict[int, Decimal] = field(default_factory=dict)
    restricted: dict[str, str] = field(default_factory=dict)
    realised_today: Decimal = _ZERO
    realised_of_strategy: dict[str, Decimal] = field(default_factory=dict)
    loss_unknown: str = ""
    """Currencies without a rate in which the day has earned something."""
    loss_unknown_of_strategy: dict[str, str] = field(default_factory=dict)
    unrealised_before: Decimal = _ZERO
    """Unrealised profit when the day began."""
    last_minute: Counter[tuple[str, int]] = field(default_factory=Counter)
    """Orders by strategy and contract."""
    same_side: Counter[tuple[str, int, Side]] = field(default_factory=Counter)
    messages: Counter[str] = field(default_factory=Counter)
    fills: Counter[str] = field(default_factory=Counter)
    duplicate_window: timedelta = timedelta(seconds=1)
    in_session: dict[int, bool | None] = field(default_factory=dict)
    _orders: dict[int, list[InFlight]] | None = None
    _stakes: dict[int, AtStake] = field(default_factory=dict)
    _alike: dict[int, dict[str, Any]] = field(default_factory=dict)
    """All three were found at the last look; `changed` forgets them."""

    def changed(self) -> None:
        """Somebody has touched what the book holds."""
        self._orders = None
        self._alike.clear()

    def _changed_in(self, contract: int) -> None:
        """The same of the orders of one contract: of all others what was found still holds."""
        self._alike.clear()
        if self._orders is not None:
            orders = [each for each in self.in_flight.values() if each.contract_id == contract]
            self._orders[contract] = orders
            self._stakes[contract] = self._stake_of(contract, self.positions, orders)

    # valuation

    def price_of(self, contract_id: int) -> Decimal | None:
        """By risk's own view; of what was never seen, by the last execution."""
        if (mark := self.marks.get(contract_id)) is not None:
            return mark.price
        held = self.positions.get(contract_id)
        return held.price if held else None

    def unrealised(self, held: Held) -> Decimal:
        """In the base currency; what cannot be valued has earned nothing yet."""
        price, rate = self.price_of(held.contract_id), self.account.rate(held.currency)
        if price is None or rate is None or not held.quantity:
            return _ZERO
        return exactly(held.quantity * (price - held.average_price) * rate)

    @property
    def unrealised_now(self) -> Decimal:
        return sum(map(self.unrealised, self.positions.values()), _ZERO)

    @property
    def buying_power(self) -> Decimal | None:
        """As the broker has told, less what has filled since and what orders in flight may need at their worst."""
        if self.account.buying_power is None:
            return None
        return exactly(self.account.buying_power - sum((each.need for each in self._at_stake().values()), _ZERO))

    # the view of one intent

    def seen_from(self, intent: OrderIntent | CancelIntent | ModifyIntent, now: datetime) -> Book:
        """All that `check` needs to judge `intent`."""
        if isinstance(intent, CancelIntent):
            mode = mode_of(self.modes, intent.account_id, intent.strategy_id)
            return Book(trading_mode=mode, limits=self.limits.get(account_scope(self.account_id)))
        if isinstance(intent, OrderIntent):
            order, mine, family = intent, None, family_of(intent, self.in_flight)
        else:
            order, mine = intent.wanted, self.in_flight.get(intent.wanted.intent_id)
            family = family_of_changed(intent, mine, self.in_flight)
        strategy, contract = intent.strategy_id, order.contract_id
        beside = self._orders_of(contract)
        mode = mode_of(self.modes, intent.account_id, strategy, order.symbol)
        own = {
            **family,
            **crossing_of(order, beside),
            "trading_mode": mode,
            "stopped_by": "" if mode is TradingMode.ACTIVE else self._stopped_by(mode, strategy, order.symbol),
            "limits": self.limits.get(account_scope(self.account_id)),
            "scopes": tuple(self._scopes(intent, order)),
            "fx_rate": self.account.rate(order.currency),
            "restricted": self.restricted.get(order.symbol, ""),
            "duplicate_of": duplicate_of(order, beside, now - self.duplicate_window) if mine is None else "",
            "messages_lately": self.messages[strategy],
            "fills_lately": self.fills[strategy],
            "same_side_orders": self.same_side[strategy, contract, order.side],
            "strategy_orders_last_minute": sum(n for (of, _), n in self.last_minute.items() if of == strategy),
        }
        return book_seen(self._seen_alike(contract), own)

    def _stopped_by(self, mode: TradingMode, strategy: str, symbol: str) -> str:
        scopes = scopes_of(self.account_id, strategy, symbol)
        told = (self.stops[scope] for scope in scopes if scope in self.stops and self.modes[scope] is mode)
        return next(told, f"nobody has told yet that {self.account_id} may trade: `scizor status` shows why")

    def _seen_alike(self, contract: int) -> dict[str, Any]:
        """What every intent about a contract sees alike until the book has changed."""
        found = self._alike.get(contract)
        if found is None:
            stakes, mark = self._at_stake(), self.marks.get(contract)
            found = self._alike[contract] = around(contract, _quantity(self.positions, contract), stakes) | {
                "orders_last_minute": self.last_minute.total(),
                "realised_pnl_today": self.realised_today,
                "unrealised_pnl_today": self.unrealised_now - self.unrealised_before,
                "loss_unknown": self.loss_unknown,
                "price": mark.price if mark else None,
                "price_time": mark.received_at if mark else None,
                "currency": self.account.currency,
                "account_time": self.account.told_at,
                "buying_power": self.buying_power,
                "average_volume": self.volumes.get(contract),
                "in_session": self.in_session.get(contract),
                "blocked_by": stakes[contract].flight.unknown if contract in stakes else "",
            }
        return found

    def _orders_of(self, contract: int) -> Sequence[InFlight]:
        self._at_stake()
        return (self._orders or {}).get(contract, ())

    def _at_stake(self) -> Mapping[int, AtStake]:
        """Of every contract that is held or in flight."""
        if self._orders is None:
            self._orders = _grouped(self.positions, self.in_flight.values())
            self._stakes = {c: self._stake_of(c, self.positions, o) for c, o in self._orders.items()}
        return self._stakes

    def _stake_of(self, contract: int, held: Mapping[int, Held], orders: list[InFlight]) -> AtStake:
        position, flight = _quantity(held, contract), flight_of(orders)
        if not (position or flight.buys or flight.sells):
            return AtStake(flight)
        known = held[contract] if contract in held else orders[0]
        rate = self.account.rate(known.currency) or _ZERO
        seen, buy, sell = prices_of(flight, self.price_of(contract))
        return stake_of(position, flight, known.symbol, (seen * rate, buy * rate, sell * rate))

    def _scopes(self, intent: OrderIntent | ModifyIntent, order: OrderIntent) -> Iterable[Scope]:
        *_, strategy, symbol = scopes_of(self.account_id, intent.strategy_id, order.symbol)
        for scope in (strategy, symbol):
            if scope in self.limits:
                yield self._scope(scope, intent.strategy_id if scope == strategy else None, order.contract_id)

    def _scope(self, scope: str, strategy: str | None, contract: int) -> Scope:
        """The figures of a strategy over all contracts, or of one contract over all strategies."""
        if strategy is None:
            held = {contract: self.positions[contract]} if contract in self.positions else {}
            orders = list(self._orders_of(contract))
            minute = sum(n for (_, of), n in self.last_minute.items() if of == contract)
            realised = _ZERO
        else:
            held = {of: each for (name, of), each in self.of_strategy.items() if name == strategy}
            orders = [each for each in self.in_flight.values() if each.strategy_id == strategy]
            minute = sum(n for (of, _), n in self.last_minute.items() if of == strategy)
            realised = self.realised_of_strategy.get(strategy, _ZERO)
        stakes = {c: self._stake_of(c, held, mine) for c, mine in _grouped(held, orders).items()}
        return Scope(
            scope=scope,
            limits=self.limits[scope],
            **around(contract, _quantity(held, contract), stakes),
            orders_last_minute=minute,
            realised_pnl_today=realised,
            loss_unknown=self.loss_unknown_of_strategy.get(strategy or "", ""),
            # of a strategy what its positions have earned since they were opened counts: nobody marks its mornings
            unrealised_pnl_today=min(_ZERO, sum(map(self.unrealised, held.values()), _ZERO)) if strategy else _ZERO,
        )

    # what changes it

    def reserve(self, intent: OrderIntent | ModifyIntent, price: Decimal, now: datetime) -> None:
        """Count an approved intent in."""
        if isinstance(intent, ModifyIntent):
            mine = self.in_flight[intent.order_id]
            remaining = max(mine.remaining, intent.wanted.quantity - mine.filled)
            after = replace(
                mine,
                remaining=remaining,
                price=max(mine.price, price),
                limit_price=nearer(mine.side, mine.limit_price, intent.wanted.limit_price),
                changes=(*mine.changes, intent.wanted.quantity),
            )
            self.in_flight[mine.order_id] = after
            for each in exits_of(mine.order_id, self.in_flight):
                self.in_flight[each.order_id] = replace(each, parent_least=after.least)
            self._changed_in(mine.contract_id)
            return
        parent = self.in_flight.get(intent.parent_id or "")
        self.in_flight[intent.intent_id] = InFlight(
            order_id=intent.intent_id,
            strategy_id=intent.strategy_id,
            contract_id=intent.contract_id,
            symbol=intent.symbol,
            currency=intent.currency,
            side=intent.side,
            quantity=intent.quantity,
            remaining=intent.quantity,
            filled=_ZERO,
            state="open",
            price=price,
            order_type=intent.order_type,
            limit_price=intent.limit_price,
            stop_price=intent.stop_price,
            opened_at=now,
            parent_id=intent.parent_id or "",
            oca_group=intent.oca_group,
            parent_side=parent.side if parent and parent.contract_id == intent.contract_id else None,
            parent_filled=parent.filled if parent else _ZERO,
            parent_least=parent.least if parent else _ZERO,
        )
        self._changed_in(intent.contract_id)
        self.last_minute[intent.strategy_id, intent.contract_id] += 1
        if intent.parent_id is None:
            self.same_side[intent.strategy_id, intent.contract_id, intent.side] += 1


def _quantity(held: Mapping[int, Held], contract: int) -> Decimal:
    return held[contract].quantity if contract in held else _ZERO


def _grouped(held: Iterable[int], orders: Iterable[InFlight]) -> dict[int, list[InFlight]]:
    """Orders by contract; a contract that is only held has none."""
    found: dict[int, list[InFlight]] = {each: [] for each in held}
    for order in orders:
        found.setdefault(order.contract_id, []).append(order)
    return found
