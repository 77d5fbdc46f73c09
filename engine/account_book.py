"""An account as risk holds it: what is held, what is in flight, who may do how much. From any intent, a `Book`."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from engine.in_flight import Flight, InFlight, flight_of
from engine.portfolio import exactly
from engine.risk_book import Book, Scope, gross_worth, net_worth
from engine.trading_state import account_scope, mode_of, scopes_of
from schemas.account import RiskLimits, TradingMode
from schemas.order_words import TRIGGERED, Side
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


@dataclass(frozen=True, slots=True)
class _AtStake:
    """What one contract may come to, in the base currency."""

    flight: Flight
    gross: Decimal = _ZERO
    low: Decimal = _ZERO
    high: Decimal = _ZERO
    unknown: str = ""
    """Its symbol, when it cannot be valued."""
    need: Decimal = _ZERO
    """What orders in flight may take of the buying power."""


@dataclass
class AccountBook:
    """Everything of one account at one moment; an approval is counted in at once by `reserve`."""

    account_id: str
    modes: dict[str, TradingMode] = field(default_factory=dict)
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
    _by_contract: dict[int, "_AtStake"] | None = None
    _around: dict[int, dict[str, Any]] = field(default_factory=dict)
    """Both were found at the last look; `changed` forgets them."""

    def changed(self) -> None:
        """Somebody has touched positions, marks or what is in flight."""
        self._by_contract = None
        self._around.clear()

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
        order = intent if isinstance(intent, OrderIntent) else intent.wanted
        mine = self.in_flight.get(order.intent_id) if isinstance(intent, ModifyIntent) else None
        mark = self.marks.get(order.contract_id)
        stakes = self._at_stake()
        strategy = intent.strategy_id
        return Book(
            trading_mode=mode_of(self.modes, intent.account_id, strategy, order.symbol),
            limits=self.limits.get(account_scope(self.account_id)),
            **self._seen_around(order.contract_id),
            orders_last_minute=self.last_minute.total(),
            realised_pnl_today=self.realised_today,
            unrealised_pnl_today=self.unrealised_now - self.unrealised_before,
            loss_unknown=self.loss_unknown,
            scopes=tuple(self._scopes(intent, order)),
            price=mark.price if mark else None,
            price_time=mark.received_at if mark else None,
            currency=self.account.currency,
            fx_rate=self.account.rate(order.currency),
            account_time=self.account.told_at,
            buying_power=self.buying_power,
            average_volume=self.volumes.get(order.contract_id),
            restricted=self.restricted.get(order.symbol, ""),
            in_session=self.in_session.get(order.contract_id),
            **self._family(intent, order, mine),
            duplicate_of=self._duplicate_of(order, now) if mine is None else "",
            blocked_by=stakes[order.contract_id].flight.unknown if order.contract_id in stakes else "",
            crossing=self._crossing(order, mark),
            messages_lately=self.messages[strategy],
            fills_lately=self.fills[strategy],
            same_side_orders=self.same_side[strategy, order.contract_id, order.side],
            strategy_orders_last_minute=sum(n for (of, _), n in self.last_minute.items() if of == strategy),
        )

    def _seen_around(self, contract_id: int) -> dict[str, Any]:
        """What every intent about a contract sees alike until the book has changed: here and elsewhere."""
        found = self._around.get(contract_id)
        if found is None:
            stakes = self._at_stake()
            found = _here(contract_id, self.positions, stakes) | _elsewhere(contract_id, stakes)
            self._around[contract_id] = found
        return found

    def _of_contract(self, contract_id: int) -> list[InFlight]:
        return [each for each in self.in_flight.values() if each.contract_id == contract_id]

    def _at_stake(self) -> dict[int, _AtStake]:
        """Of every contract that is held or in flight."""
        if self._by_contract is None:
            self._by_contract = {c: self._stake_of(c, self.positions, o) for c, o in self._orders(self.positions)}
        return self._by_contract

    def _orders(self, held: Mapping[int, Held]) -> Iterable[tuple[int, list[InFlight]]]:
        return _grouped(held, self.in_flight.values()).items()

    def _stake_of(self, contract: int, held: Mapping[int, Held], orders: list[InFlight]) -> _AtStake:
        position = held[contract].quantity if contract in held else _ZERO
        flight = flight_of(orders)
        if not (position or flight.buys or flight.sells):
            return _AtStake(flight)
        known = held[contract] if contract in held else orders[0]
        price, rate = self.price_of(contract), self.account.rate(known.currency)
        seen, buy, sell = (each * (rate or _ZERO) for each in prices_of(flight, price))
        return _AtStake(
            flight,
            max(gross_worth(position, flight.buys, seen, buy), gross_worth(-position, flight.sells, seen, sell)),
            -net_worth(-position, flight.sells, seen, sell),
            net_worth(position, flight.buys, seen, buy),
            "" if seen else known.symbol,
            # what closes a position needs nothing
            max(
                max(_ZERO, flight.buys - max(_ZERO, -position)) * buy,
                max(_ZERO, flight.sells - max(_ZERO, position)) * sell,
            ),
        )

    def _scopes(self, intent: OrderIntent | ModifyIntent, order: OrderIntent) -> Iterable[Scope]:
        *_, strategy, symbol = scopes_of(self.account_id, intent.strategy_id, order.symbol)
        for scope in (strategy, symbol):
            if scope in self.limits:
                yield self._scope(scope, intent.strategy_id if scope == strategy else None, order.contract_id)

    def _scope(self, scope: str, strategy: str | None, contract: int) -> Scope:
        """The figures of a strategy over all contracts, or of one contract over all strategies."""
        if strategy is None:
            held = {contract: self.positions[contract]} if contract in self.positions else {}
            orders = self._of_contract(contract)
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
            **_here(contract, held, stakes),
            **_elsewhere(contract, stakes),
            orders_last_minute=minute,
            realised_pnl_today=realised,
            loss_unknown=self.loss_unknown_of_strategy.get(strategy or "", ""),
            # of a strategy what its positions have earned since they were opened counts: nobody marks its mornings
            unrealised_pnl_today=min(_ZERO, sum(map(self.unrealised, held.values()), _ZERO)) if strategy else _ZERO,
        )

    def _family(self, intent: OrderIntent | ModifyIntent, order: OrderIntent, mine: InFlight | None) -> dict[str, Any]:
        """What the order takes the place of, and what it waits for."""
        same = (order.contract_id, order.side)
        if isinstance(intent, ModifyIntent):
            known = mine is not None and mine.works and (mine.contract_id, mine.side) == same
            exits = [each.most for each in self._exits_of(order.intent_id)]
            return {
                "covered": mine.most if mine else _ZERO,
                "covered_price": mine.price if mine else None,
                "working": known,
                "entered": mine.parent_least if mine is not None and mine.waits_for_parent else None,
                "left": max(exits, default=_ZERO),
            }
        parent = self.in_flight.get(order.parent_id) if order.parent_id else None
        known = order.parent_id is None or parent is not None
        group = order.oca_group
        beside = [
            each.at_worst
            for each in self.in_flight.values()
            if group and each.group == group and (each.contract_id, each.side) == same
        ]
        family = {"covered": max(beside, default=_ZERO), "working": known}
        if parent is None or parent.contract_id != order.contract_id or parent.side is order.side:
            return family
        apart = (each.order_id for each in self._exits_of(parent.order_id) if not group or each.group != group)
        return family | {"quota": parent.filled, "entered": parent.least, "apart": min(apart, default="")}

    def _exits_of(self, parent_id: str) -> list[InFlight]:
        return [each for each in self.in_flight.values() if each.parent_id == parent_id and each.waits_for_parent]

    def _duplicate_of(self, order: OrderIntent, now: datetime) -> str:
        asked = _what(order, order.strategy_id)
        for each in self._of_contract(order.contract_id):
            if each.opened_at > now - self.duplicate_window and _what(each, each.strategy_id) == asked:
                return each.order_id
        return ""

    def _crossing(self, order: OrderIntent, mark: Mark | None) -> str:
        """An own working order on the other side at a price at which the two would trade."""
        if order.order_type in TRIGGERED:
            return ""
        family = {order.intent_id, order.parent_id, *order.legs}
        for each in self._of_contract(order.contract_id):
            if each.side is order.side or not each.works or not each.remaining or each.order_type in TRIGGERED:
                continue
            related = each.order_id in family or each.parent_id in family or each.group == order.oca_group
            if not related and _crosses(order.side, order.limit_price, each.limit_price):
                return each.order_id
        return ""

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
                changes=(*mine.changes, intent.wanted.quantity),
            )
            self.in_flight[mine.order_id] = after
            for each in self._exits_of(mine.order_id):
                self.in_flight[each.order_id] = replace(each, parent_least=after.least)
            self.changed()
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
        self.changed()
        self.last_minute[intent.strategy_id, intent.contract_id] += 1
        if intent.parent_id is None:
            self.same_side[intent.strategy_id, intent.contract_id, intent.side] += 1


def prices_of(flight: Flight, price: Decimal | None) -> tuple[Decimal, Decimal, Decimal]:
    """What a share counts that is held, bought and sold; what was never seen, at the highest price of an order."""
    seen = flight.price if price is None else abs(price)
    return seen, max(seen, flight.buy_price), max(seen, flight.sell_price)


def _grouped(held: Iterable[int], orders: Iterable[InFlight]) -> dict[int, list[InFlight]]:
    """Orders by contract; a contract that is only held has none."""
    found: dict[int, list[InFlight]] = {each: [] for each in held}
    for order in orders:
        found.setdefault(order.contract_id, []).append(order)
    return found


def _here(contract: int, held: Mapping[int, Held], stakes: Mapping[int, _AtStake]) -> dict[str, Any]:
    flight = stakes[contract].flight if contract in stakes else Flight()
    return {
        "position": held[contract].quantity if contract in held else _ZERO,
        "open_buys": flight.buys,
        "open_sells": flight.sells,
        "open_price": flight.price,
        "open_orders": sum(each.flight.orders for each in stakes.values()),
        "open_orders_of_contract": flight.orders,
    }


def _elsewhere(contract: int, stakes: Mapping[int, _AtStake]) -> dict[str, Any]:
    others = [each for of, each in stakes.items() if of != contract]
    return {
        "exposure_elsewhere": exactly(sum((each.gross for each in others), _ZERO)),
        "net_high_elsewhere": exactly(sum((each.high for each in others), _ZERO)),
        "net_low_elsewhere": exactly(sum((each.low for each in others), _ZERO)),
        "exposure_unknown": next((each.unknown for each in others if each.unknown), ""),
    }


def _what(asked: Any, strategy_id: str) -> tuple[Any, ...]:
    return (
        strategy_id,
        asked.side,
        asked.quantity,
        asked.order_type,
        asked.limit_price,
        asked.stop_price,
        asked.parent_id or "",
    )


def _crosses(side: Side, own: Decimal | None, other: Decimal | None) -> bool:
    """An order without a limit trades at any price."""
    if own is None or other is None:
        return True
    return own >= other if side is Side.BUY else own <= other
