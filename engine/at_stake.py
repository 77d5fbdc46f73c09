"""What contracts of an account may come to: what is held with all that is in flight, at its worst, in base currency."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from engine.in_flight import Flight
from engine.portfolio import exactly
from engine.risk_book import gross_worth, net_worth

_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class AtStake:
    """What one contract may come to, in the base currency."""

    flight: Flight
    gross: Decimal = _ZERO
    low: Decimal = _ZERO
    high: Decimal = _ZERO
    unknown: str = ""
    """Its symbol, when it cannot be valued."""
    need: Decimal = _ZERO
    """What orders in flight may take of the buying power."""


def prices_of(flight: Flight, price: Decimal | None) -> tuple[Decimal, Decimal, Decimal]:
    """What a share counts that is held, bought and sold; what was never seen, at the highest price of an order."""
    seen = flight.price if price is None else abs(price)
    return seen, max(seen, flight.buy_price), max(seen, flight.sell_price)


def stake_of(position: Decimal, flight: Flight, symbol: str, prices: tuple[Decimal, Decimal, Decimal]) -> AtStake:
    """`prices` as `prices_of` gives them, in the base currency."""
    seen, buy, sell = prices
    return AtStake(
        flight,
        max(gross_worth(position, flight.buys, seen, buy), gross_worth(-position, flight.sells, seen, sell)),
        -net_worth(-position, flight.sells, seen, sell),
        net_worth(position, flight.buys, seen, buy),
        "" if seen else symbol,
        # what closes a position needs nothing
        max(
            max(_ZERO, flight.buys - max(_ZERO, -position)) * buy,
            max(_ZERO, flight.sells - max(_ZERO, position)) * sell,
        ),
    )


def around(contract: int, position: Decimal, stakes: Mapping[int, AtStake]) -> dict[str, Any]:
    """What every intent about a contract sees alike, as fields of `Figures`: here, and elsewhere."""
    flight = stakes[contract].flight if contract in stakes else Flight()
    others = [each for of, each in stakes.items() if of != contract]
    return {
        "position": position,
        "open_buys": flight.buys,
        "open_sells": flight.sells,
        "open_price": flight.price,
        "open_orders": sum(each.flight.orders for each in stakes.values()),
        "open_orders_of_contract": flight.orders,
        "exposure_elsewhere": exactly(sum((each.gross for each in others), _ZERO)),
        "net_high_elsewhere": exactly(sum((each.high for each in others), _ZERO)),
        "net_low_elsewhere": exactly(sum((each.low for each in others), _ZERO)),
        "exposure_unknown": next((each.unknown for each in others if each.unknown), ""),
    }
