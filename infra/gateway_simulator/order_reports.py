"""What has become of orders, on request: open and completed ones, and executions."""

from infra.gateway_simulator.book import Execution, Order
from infra.gateway_simulator.calendar import local
from infra.gateway_simulator.floor import Shared
from infra.gateway_simulator.history_desk import RequestError, moment_of
from infra.gateway_simulator.order_messages import (
    commission_report,
    completed_order,
    execution_details,
    open_order,
    order_status,
)
from infra.gateway_simulator.session import Session
from infra.gateway_simulator.wire import Fields


class OrderReports:
    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    async def open_orders(self, session: Session, fields: Fields) -> None:
        self._list(session, [each for each in self._shared.book.live.values() if each.client_id == session.client_id])

    async def all_open_orders(self, session: Session, fields: Fields) -> None:
        self._list(session, list(self._shared.book.live.values()))

    async def completed_orders(self, session: Session, fields: Fields) -> None:
        today = local(self._shared.now()).date()
        for order in self._shared.book.finished:
            if local(order.finished_at).date() == today:
                session.send(*completed_order(order, self._shared.account.code, session.version))
        session.send(102)

    async def executions(self, session: Session, fields: Fields) -> None:
        """Those since midnight that pass the filter, each followed by its commission."""
        fields.skip(1)
        request_id = fields.whole()
        try:
            wanted = _Filter(fields)
        except RequestError as error:
            session.error(request_id, error.code, error.text)
            return
        today = local(self._shared.now()).date()
        for each in self._shared.book.executions:
            if local(each.moment).date() == today and wanted.passes(each, self._shared.account.code):
                session.send(*execution_details(each, request_id, self._shared.account.code))
                session.send(*commission_report(each))
        session.send(55, 1, request_id, event="executions end")

    def _list(self, session: Session, orders: list[Order]) -> None:
        for order in orders:
            session.send(*open_order(order, self._shared.account.code, session.version))
            session.send(*order_status(order))
        session.send(53, 1)


class _Filter:
    """The filter of reqExecutions; empty fields let everything pass."""

    def __init__(self, fields: Fields) -> None:
        self._client_id = fields.whole()
        self._account = fields.text()
        self._since = moment_of(fields.text(), 0.0)
        self._symbol = fields.text()
        self._security_type = fields.text()
        self._exchange = fields.text()
        self._side = fields.text().upper()

    def passes(self, execution: Execution, account: str) -> bool:
        order = execution.order
        instrument = order.terms.instrument
        return (
            self._client_id in (0, order.client_id)
            and self._account in ("", account)
            and self._symbol in ("", instrument.symbol)
            and self._security_type in ("", "STK")
            and self._exchange in ("", "SMART", instrument.exchange)
            and self._side in ("", order.terms.action, "BOT" if order.sign > 0 else "SLD")
            and execution.moment >= self._since
        )
