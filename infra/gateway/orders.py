"""Orders at the broker: sent at once under ids that the caller gives, reported from the gateway's own messages.

Answers are complete or an exception, never half: GatewayUnavailableError (no connection, or it broke),
GatewayTimeoutError (no end marker), GatewayRequestError (the gateway said no).
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from infra.gateway import translate
from infra.gateway.connection import Connection
from infra.gateway.errors import GatewayUnavailableError
from infra.gateway.questions import REQUEST_ID_FIRST
from infra.gateway.reports import (
    BrokerCompletedOrder,
    BrokerConnection,
    BrokerError,
    BrokerExecution,
    BrokerOpenOrder,
    BrokerReport,
    GatewayState,
)
from infra.gateway.translate import Link
from schemas.account import AccountState
from schemas.orders import OrderIntent

_ALONE = Link()
_SUMMARY_TAGS = "NetLiquidation,TotalCashValue,BuyingPower,InitMarginReq,MaintMarginReq,$LEDGER:ALL"


class Orders:
    """One account's orders, through a connection that carries nothing else."""

    def __init__(self, connection: Connection, tell: Callable[[BrokerReport], None]) -> None:
        """`tell` is called on the loop with each report, in the order of the socket. It must not block or raise.

        After `BrokerConnection(resync=True)` reports may have been missed: ask for everything before acting.
        Executions that `executions()` returns are not told again; the commissions that follow them are.
        """
        self._connection = connection
        self._tell = tell
        for name, report in translate.REPORTS.items():
            connection.on_message(name, self._teller(report))
        connection.on_error(self._on_error)
        connection.on_state(self._on_state)

    def _teller(self, report: Callable[..., BrokerReport]) -> Callable[..., None]:
        def tell(*arguments: Any) -> None:
            try:
                told = report(*arguments)
            except (KeyError, ValueError, ArithmeticError) as error:
                self._connection.missed(report.__name__, repr(error))
                return
            self._tell(told)

        return tell

    def _on_error(self, order_id: int, code: int, text: str) -> None:
        if 0 < order_id < REQUEST_ID_FIRST:
            self._tell(BrokerError(order_id, code, text))

    def _on_state(self, state: GatewayState, resync: bool) -> None:
        self._tell(BrokerConnection(state, resync))

    # what changes the book: written to the socket before these return; what becomes of it comes as reports

    def place(self, order_id: int, intent: OrderIntent, link: Link = _ALONE) -> None:
        """Send the order of an approved intent. `orderRef` is the intent's id.

        Raises GatewayUnavailableError when nothing was written: no socket, or the gateway is cut off from IBKR.
        Sending the same id again while the order is live is a change of it: it can never make a second position. What
        is not to be transmitted waits in the gateway for the next order of its family that is.
        """
        assert 0 < order_id < REQUEST_ID_FIRST, f"{order_id} is not an order id"
        if not self._connection.state.usable:
            raise GatewayUnavailableError(self._connection.state.reason)
        library = self._connection.library
        order = translate.to_order(library, intent, self._connection.account_id, link)
        self._connection.urgent.placeOrder(order_id, translate.to_contract(library, intent), order)

    def cancel(self, order_id: int) -> None:
        """Ask to cancel an order of ours: only the client that placed it can. Also tried while degraded."""
        self._connection.urgent.cancelOrder(order_id)

    def global_cancel(self) -> None:
        """Ask to cancel every order of the account, those of other clients and placed by hand included."""
        self._connection.urgent.reqGlobalCancel()

    # what is asked

    @property
    def account_id(self) -> str:
        """The account these orders trade; RefusedError for a live one that the settings do not permit."""
        return self._connection.account_id

    async def next_order_id(self) -> int:
        """The lowest order id that the gateway would accept from this client id."""
        rows = await self._connection.ask_all(lambda e: e.reqIds(1), rows="nextValidId", end="nextValidId")
        return int(rows[-1][0])

    async def open_orders(self) -> list[BrokerOpenOrder]:
        """The open orders of all clients of the gateway, placed by hand included."""
        rows = await self._connection.ask_all(lambda e: e.reqAllOpenOrders(), rows="openOrder", end="openOrderEnd")
        found = [translate.open_order(*row) for row in rows]
        return list({(o.client_id, o.order_id, o.permanent_id): o for o in found}.values())

    async def completed_orders(self) -> list[BrokerCompletedOrder]:
        """Today's orders that are done, of all clients. They carry `orderRef`, but no order id."""
        rows = await self._connection.ask_all(
            lambda e: e.reqCompletedOrders(False), rows="completedOrder", end="completedOrdersEnd"
        )
        return [translate.completed_order(*row) for row in rows]

    async def executions(self) -> list[BrokerExecution]:
        """Today's executions of all clients, corrections as further revisions of their root."""
        wanted = self._connection.library.execution_filter()
        rows = await self._connection.ask(
            lambda e, number: e.reqExecutions(number, wanted), rows="execDetails", end="execDetailsEnd"
        )
        return [translate.execution(-1, *row) for row in rows]

    async def positions(self) -> dict[int, Decimal]:
        """Signed quantity by contract id, of our account, as the broker counts; flat ones are left out."""
        # the gateway goes on to tell changes: ending that could end the answer to somebody who asks at the same time
        rows = await self._connection.ask_all(lambda e: e.reqPositions(), rows="position", end="positionEnd")
        found = {
            contract.conId: translate.decimal(size) for account, contract, size, _ in rows if account == self.account_id
        }
        return {contract_id: size for contract_id, size in found.items() if size}

    async def account_state(self) -> AccountState:
        """Balances and positions of our account."""
        account = self.account_id
        summary_of: list[int] = []

        def send(encoder: Any, number: int) -> None:
            summary_of.append(number)
            encoder.reqAccountSummary(number, "All", _SUMMARY_TAGS)

        rows = await self._connection.ask(send, rows="accountSummary", end="accountSummaryEnd")
        self._connection.urgent.cancelAccountSummary(summary_of[0])
        told = [(tag, value, currency) for name, tag, value, currency in rows if name == account]
        return translate.account_state(account, told, await self.positions(), self._connection.clock.now())
