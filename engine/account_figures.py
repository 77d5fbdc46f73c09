"""An account's book as people ask about it: exposure by contract, how far limits are used, what the day has earned."""

from dataclasses import dataclass
from decimal import Decimal

from engine.account_book import AccountBook
from engine.at_stake import prices_of
from engine.in_flight import InFlight, flight_of
from engine.portfolio import exactly
from engine.risk_book import gross_worth, worst_case
from engine.risk_ceilings import capped
from engine.trading_state import account_scope

_ZERO = Decimal(0)


@dataclass(frozen=True)
class Exposure:
    """One contract; money in the base currency. `value` is signed and without orders, `worst` with all in flight."""

    contract_id: int
    symbol: str
    currency: str
    position: Decimal
    open_buys: Decimal
    open_sells: Decimal
    open_orders: int
    price: Decimal | None
    rate: Decimal | None
    value: Decimal
    worst_quantity: Decimal
    worst: Decimal
    unrealised: Decimal

    @property
    def reducible(self) -> Decimal:
        """How much of the position no order in flight takes already, without sign: the most that still only reduces."""
        taken = self.open_sells if self.position > 0 else self.open_buys
        return max(_ZERO, abs(self.position) - taken)


@dataclass(frozen=True)
class Use:
    """How much of a limit is used."""

    limit: str
    used: Decimal
    most: Decimal

    @property
    def share(self) -> float | None:
        """None where nothing at all is permitted."""
        return float(self.used / self.most) if self.most else None


def exposures(book: AccountBook) -> list[Exposure]:
    """Every contract that is held or in flight, the largest first."""
    of_contract: dict[int, list[InFlight]] = {contract: [] for contract in book.positions}
    for each in book.in_flight.values():
        of_contract.setdefault(each.contract_id, []).append(each)
    found = [_exposure(book, contract, orders) for contract, orders in of_contract.items()]
    return sorted(found, key=lambda each: (-each.worst, each.contract_id))


def _exposure(book: AccountBook, contract: int, orders: list[InFlight]) -> Exposure:
    held, flight = book.positions.get(contract), flight_of(orders)
    known = held or orders[0]
    position = held.quantity if held else _ZERO
    price, rate = book.price_of(contract), book.account.rate(known.currency)
    worst = worst_case(position, flight.buys, flight.sells)
    seen, buy, sell = prices_of(flight, price)
    worth = max(gross_worth(position, flight.buys, seen, buy), gross_worth(-position, flight.sells, seen, sell))
    return Exposure(
        contract_id=contract,
        symbol=known.symbol,
        currency=known.currency,
        position=position,
        open_buys=flight.buys,
        open_sells=flight.sells,
        open_orders=flight.orders,
        price=price,
        rate=rate,
        value=exactly(position * (price or _ZERO) * (rate or _ZERO)),
        worst_quantity=worst,
        worst=exactly(worth * (rate or _ZERO)),
        unrealised=book.unrealised(held) if held else _ZERO,
    )


def pnl_today(book: AccountBook) -> Decimal:
    return book.realised_today + book.unrealised_now - book.unrealised_before


def uses(book: AccountBook) -> list[Use]:
    """Of the account's limits, the most used first; nothing when it has none."""
    limits = book.limits.get(account_scope(book.account_id))
    if limits is None:
        return []
    limits = capped(limits)
    found = exposures(book)
    gross = sum((each.worst for each in found), _ZERO)
    net = abs(sum((each.value for each in found), _ZERO))
    amounts: list[tuple[str, Decimal | int, Decimal | int | None]] = [
        ("position_max", max((each.worst_quantity for each in found), default=_ZERO), limits.position_max),
        ("gross_exposure_max", gross, limits.gross_exposure_max),
        ("net_exposure_max", net, limits.net_exposure_max),
        ("open_orders_max", sum(each.open_orders for each in found), limits.open_orders_max),
        (
            "open_orders_per_contract_max",
            max((each.open_orders for each in found), default=0),
            limits.open_orders_per_contract_max,
        ),
        ("orders_per_minute_max", book.last_minute.total(), limits.orders_per_minute_max),
        ("daily_loss_max", max(_ZERO, -pnl_today(book)), limits.daily_loss_max),
    ]
    known = [Use(name, Decimal(used), Decimal(most)) for name, used, most in amounts if most is not None]
    return sorted(known, key=lambda each: -(each.share or 0.0))
