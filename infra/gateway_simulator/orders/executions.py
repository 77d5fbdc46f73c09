"""What can go wrong with orders and fills after the fact: corrections, busts, overfills, late news, refusals.

This is what faults and the control port act through; all of it keeps the account and the ledger in step.
"""

from dataclasses import replace
from decimal import Decimal

from infra.errors import UsageError
from infra.gateway_simulator.accounts.account import Booking
from infra.gateway_simulator.floor import Shared
from infra.gateway_simulator.orders.exchange import Exchange
from infra.gateway_simulator.orders.fills import Fills
from infra.gateway_simulator.orders.lives import CANCELLED, Lives
from infra.gateway_simulator.orders.matching import money
from infra.gateway_simulator.orders.order import ZERO, Execution, Match, Order, Status


class Executions:
    def __init__(self, shared: Shared, exchange: Exchange, lives: Lives, fills: Fills) -> None:
        self._shared = shared
        self._exchange = exchange
        self._lives = lives
        self._fills = fills
        self._news = fills.news

    def newest(self, *, symbol: str = "", client_id: int | None = None, order_id: int | None = None) -> Execution:
        """The last execution that fits; UsageError when there is none."""
        for each in reversed(self._shared.book.executions):
            order = each.order
            fits = symbol in ("", order.terms.instrument.symbol) and client_id in (None, order.client_id)
            if fits and order_id in (None, order.order_id):
                return each
        raise UsageError(f"no execution of {symbol or 'any symbol'} by client {client_id}, order {order_id} yet")

    def correct(self, execution_id: str, *, quantity: Decimal | None = None, price: Decimal | None = None) -> Execution:
        """Replace an execution by its next revision: the old fill is taken out of the account, the new one put in."""
        old = self._find(execution_id)
        quantity, price = old.quantity if quantity is None else quantity, old.price if price is None else price
        if quantity < 0 or price <= 0:
            raise UsageError(f"cannot correct {execution_id} to {quantity} at {price}")
        return self._replace(old, quantity, price, "correction")

    def bust(self, execution_id: str) -> Execution:
        """Take an execution back: its next revision has no quantity."""
        old = self._find(execution_id)
        return self._replace(old, ZERO, old.price, "bust")

    def overfill(self, client_id: int, order_id: int, quantity: Decimal, price: Decimal | None = None) -> Execution:
        """Fill an order whatever its size and its status: beyond its quantity, after its cancel, after its end."""
        order = self._order(client_id, order_id)
        if price is None:
            quote = self._shared.world.quote(order.terms.instrument, self._shared.now())
            if quote is None:
                raise UsageError(f"{order.terms.instrument.symbol} has no price yet: name one")
            price = money(quote.last)
        if quantity <= 0 or price <= 0:
            raise UsageError(f"cannot fill {quantity} at {price}")
        execution = self._fills.book(order, Match(quantity, price, adds_liquidity=False))
        if order.is_live and not order.remaining:
            self._lives.complete(order)
        elif order.is_live:
            self._news.tell(order)
        else:
            self._news.tell_status(order)
        self._fills.tell_commission(execution)
        return execution

    def reject(self, client_id: int, order_id: int, code: int = 201, text: str = "") -> None:
        """The exchange or the broker throws a live order out, with an error of that code."""
        order = self._live(client_id, order_id)
        cancels = code == CANCELLED
        told = text or ("Order Canceled - reason:" if cancels else "Order rejected - reason:Refused by the exchange")
        self._lives.end(order, Status.CANCELLED if cancels else Status.INACTIVE, told, code, told)

    def warn(self, client_id: int, order_id: int, code: int, text: str) -> None:
        """An error on a live order that keeps working all the same."""
        self._news.warn(self._live(client_id, order_id), code, text)

    def tell_status(self, client_id: int, order_id: int, status: str = "") -> None:
        """Tell a status once more, also one that is not true (any longer)."""
        self._news.tell_status(self._order(client_id, order_id), Status(status) if status else None)

    def withhold(self, symbol: str) -> None:
        """Nobody lends shares of the symbol: orders that sell it short are held with error 404 until `lend`."""
        self._shared.book.withheld.add(self._contract_id(symbol))

    def lend(self, symbol: str) -> None:
        """Shares have been located."""
        contract_id = self._contract_id(symbol)
        self._shared.book.withheld.discard(contract_id)
        self._exchange.located(self._shared.catalogue.by_id[contract_id])

    def roll_back(self, client_id: int, by: int) -> int:
        """The next valid id falls back, as after a reset in the gateway's settings; gives the new one."""
        highest = self._shared.book.highest
        highest[client_id] = max(highest.get(client_id, 0) - by, 0)
        self._shared.remember()
        return self._shared.book.next_id(client_id)

    def _replace(self, old: Execution, quantity: Decimal, price: Decimal, kind: str) -> Execution:
        order, shared = old.order, self._shared
        account, instrument = self._fills.account_of(order), order.terms.instrument
        self._check_day(old)
        root, _, revision = old.execution_id.rpartition(".")
        paid = old.commission if quantity else ZERO
        account.take_back(instrument, _booking(old))
        if quantity:
            account.pay(instrument, Booking(order.sign * quantity, price, paid))
        order.filled += quantity - old.quantity
        order.spent += quantity * price - old.quantity * old.price
        order.paid += paid - old.commission
        new = replace(
            old,
            execution_id=f"{root}.{int(revision) + 1:02d}",
            quantity=quantity,
            price=price,
            cumulative=order.filled,
            average_price=order.average_price,
            commission=paid,
            realized=None,
        )
        shared.book.executions[shared.book.executions.index(old)] = new
        new = self._rebuild(new)
        self._news.note_execution(kind, new, replaces=old.execution_id)
        self._fills.note_position(order)
        self._fills.tell(new)
        self._news.tell_status(order)
        self._fills.tell_commission(new)
        return new

    def _rebuild(self, corrected: Execution) -> Execution:
        """The position from the executions of its day as they are now, with what the corrected one has realised."""
        executions = self._shared.book.executions
        account, instrument = self._fills.account_of(corrected.order), corrected.order.terms.instrument
        todays = self._todays(corrected)
        realized = account.rebuild(instrument, [_booking(each) for each in todays])
        told = replace(corrected, realized=realized[todays.index(corrected)])
        executions[executions.index(corrected)] = told
        return told

    def _todays(self, execution: Execution) -> list[Execution]:
        """All of the same position and day, busted ones without quantity among them."""
        order, instrument = execution.order, execution.order.terms.instrument
        day = self._fills.account_of(order).position(instrument).day
        return [
            each
            for each in self._shared.book.executions
            if each.order.terms.instrument == instrument
            and each.order.terms.account == order.terms.account
            and instrument.hours.latest(each.moment).day == day
        ]

    def _check_day(self, execution: Execution) -> None:
        """A position is built anew from its day: it must be nothing but what that day's fills have made of it."""
        order = execution.order
        position, todays = self._fills.account_of(order).position(order.terms.instrument), self._todays(execution)
        made = position.opening + sum((each.order.sign * each.quantity for each in todays), ZERO)
        if execution not in todays or made != position.quantity:
            raise UsageError(f"{execution.execution_id} is not of the running session: it can no longer be corrected")

    def _find(self, execution_id: str) -> Execution:
        for each in reversed(self._shared.book.executions):
            if each.execution_id == execution_id:
                return each
        raise UsageError(f"no execution {execution_id!r}, or it has been corrected: name its latest revision")

    def _order(self, client_id: int, order_id: int) -> Order:
        found = self._shared.book.find(client_id, order_id)
        if found is None:
            raise UsageError(f"client {client_id} has no order {order_id}")
        return found

    def _live(self, client_id: int, order_id: int) -> Order:
        found = self._order(client_id, order_id)
        if not found.is_live:
            raise UsageError(f"order {order_id} of client {client_id} has ended: {found.status}")
        return found

    def _contract_id(self, symbol: str) -> int:
        found = self._shared.catalogue.by_symbol.get(symbol)
        if found is None:
            raise UsageError(f"no symbol {symbol!r}")
        return found.contract_id


def _booking(execution: Execution) -> Booking:
    return Booking(execution.order.sign * execution.quantity, execution.price, execution.commission)
