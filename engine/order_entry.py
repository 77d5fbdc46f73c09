"""How a strategy trades by orders instead of targets, and what it may know of its account."""

from datetime import datetime, timedelta
from typing import Any, Protocol

from engine.aims import Aim
from engine.order_requests import BracketIds, OrderKind, OrderNews, OrderRequest, TimeInForce
from schemas.moments import to_microseconds


class DeskClosedError(RuntimeError):
    """Orders were given before there was anybody to take them."""


class Desk(Protocol):
    """Whoever takes the strategy's orders: the backtest's exchange, or the live host."""

    @property
    def cash(self) -> float:
        """Money, in the account's currency."""

    @property
    def equity(self) -> float:
        """Cash and positions at their last prices."""

    def contract_in_hand(self) -> int:
        """The contract of the bar in hand."""

    def place(self, request: OrderRequest) -> int:
        """Let an order work; its id."""

    def place_bracket(self, entry: OrderRequest, stop: OrderRequest, target: OrderRequest) -> BracketIds:
        """Three orders of which the last two wait for the first and reduce each other."""

    def aim(self, aim: Aim) -> None:
        """Let all that works for the contract make way for what brings it to the target."""

    def cancel(self, order_id: int) -> bool:
        """Ask for an order's end; False when it does not work any more."""

    def modify(self, order_id: int, quantity: float | None, limit: float | None, stop: float | None) -> bool:
        """Ask for other terms; False when it does not work any more."""

    def working(self) -> tuple[OrderNews, ...]:
        """The strategy's orders that work, targets left out."""

    def timer(self, name: str, at_us: int, every_us: int) -> None:
        """Call `on_timer` at a moment, or again and again from there."""


class _NoDesk:
    def __getattr__(self, name: str) -> Any:
        raise DeskClosedError(f"{name}: a strategy trades from `on_start` on, not before")


class OrderEntry:
    """Methods of a strategy. Prices are those of the contract, quantities unsigned where the method names the side."""

    _desk: Desk = _NoDesk()

    def attach(self, desk: Desk) -> None:
        """For whoever drives the strategy: orders go to `desk` from now on."""
        self._desk = desk

    @property
    def cash(self) -> float:
        """Money in the account, in its currency."""
        return self._desk.cash

    @property
    def equity(self) -> float:
        """Cash and all positions at their last closes, in the account's currency."""
        return self._desk.equity

    def order(
        self,
        quantity: float,
        *,
        contract_id: int | None = None,
        kind: str = "MKT",
        tif: str = "DAY",
        good_till: datetime | None = None,
        parent: int = 0,
        **terms: Any,
    ) -> int:
        """Place an order for a signed quantity of the contract in hand, or of another; its id.

        `kind` and `tif` are IB's names (`OrderKind`, `TimeInForce`), `terms` those of `OrderRequest`: limit, stop,
        trail, trail_percent, limit_offset, oca, reason. It works from the next bar that opens no earlier than now.
        Raises OrderRequestError for terms that cannot be.
        """
        request = OrderRequest(
            contract_id=self._desk.contract_in_hand() if contract_id is None else contract_id,
            quantity=float(quantity),
            kind=OrderKind(kind),
            tif=TimeInForce(tif),
            good_till_us=None if good_till is None else to_microseconds(good_till),
            parent=parent,
            **terms,
        )
        return self._desk.place(request)

    def buy(self, quantity: float, **terms: Any) -> int:
        """`order` for a purchase."""
        return self.order(abs(quantity), **terms)

    def sell(self, quantity: float, **terms: Any) -> int:
        """`order` for a sale, of what is held or short."""
        return self.order(-abs(quantity), **terms)

    def bracket(
        self, quantity: float, *, stop: float, target: float, contract_id: int | None = None, **entry: Any
    ) -> BracketIds:
        """An entry for a signed quantity (terms as for `order`), with a stop and a target that work, GTC, once it fills
        and take each other's place."""
        number = self._desk.contract_in_hand() if contract_id is None else contract_id
        kind, tif = OrderKind(entry.pop("kind", "MKT")), TimeInForce(entry.pop("tif", "DAY"))
        first = OrderRequest(contract_id=number, quantity=float(quantity), kind=kind, tif=tif, **entry)
        away, kept = -float(quantity), TimeInForce.GTC
        protective = OrderRequest(
            contract_id=number, quantity=away, kind=OrderKind.STOP, tif=kept, stop=stop, reason="stop"
        )
        taking = OrderRequest(
            contract_id=number, quantity=away, kind=OrderKind.LIMIT, tif=kept, limit=target, reason="target"
        )
        return self._desk.place_bracket(first, protective, taking)

    def aim(self, target: float, *, contract_id: int | None = None, kind: str | None = None, **levels: Any) -> None:
        """Hold `target` (-1 to 1) of the full position, by a market order or, with a `price`, by an order that stands
        there until the next aim (`kind` LMT or STP); `stop`, `take_profit` and `trail` protect what it enters.

        Whatever works for the contract is canceled first. While a position of the target's side is held, an aim with
        protection changes nothing. Raises OrderRequestError for terms that cannot be.
        """
        number = self._desk.contract_in_hand() if contract_id is None else contract_id
        implied = OrderKind.MARKET if levels.get("price") is None else OrderKind.LIMIT
        self._desk.aim(
            Aim(contract_id=number, value=target, kind=implied if kind is None else OrderKind(kind), **levels)
        )

    def cancel(self, order_id: int) -> bool:
        """Ask for an order's end; False when it does not work any more."""
        return self._desk.cancel(order_id)

    def modify(
        self, order_id: int, *, quantity: float | None = None, limit: float | None = None, stop: float | None = None
    ) -> bool:
        """Ask for another unsigned quantity, limit or stop; False when the order does not work any more."""
        return self._desk.modify(order_id, quantity, limit, stop)

    def working(self) -> tuple[OrderNews, ...]:
        """The strategy's orders that work, in the order of their placing."""
        return self._desk.working()

    def timer(self, name: str, at: datetime, every: timedelta | None = None) -> None:
        """Have `on_timer(name, time)` called once all bars that end by `at` are done, then `every` so long."""
        self._desk.timer(name, to_microseconds(at), 0 if every is None else every // timedelta(microseconds=1))
