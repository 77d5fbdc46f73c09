"""What has become of orders, on request: open and completed ones, and executions."""

from infra.gateway_simulator.floor import Shared
from infra.gateway_simulator.history.past_request import RequestError, moment_of
from infra.gateway_simulator.instruments.calendar import local
from infra.gateway_simulator.orders.book import MANUAL_CLIENT
from infra.gateway_simulator.orders.order import Execution, Order
from infra.gateway_simulator.orders.order_messages import (
    commission_report,
    completed_order,
    execution_details,
    open_order,
)
from infra.gateway_simulator.orders.order_news import OrderNews
from infra.gateway_simulator.protocol.session import Session
from infra.gateway_simulator.protocol.wire import Fields


class OrderReports:
    def __init__(self, shared: Shared, news: OrderNews) -> None:
        self._shared = shared
        self._news = news

    async def open_orders(self, session: Session, fields: Fields) -> None:
        """The client's own; asked by client 0 those of TWS itself, too, which are bound to it thereby."""
        own = [each for each in self._shared.book.live.values() if each.client_id == session.client_id]
        if session.client_id == MANUAL_CLIENT:
            for each in own:
                if not each.is_bound:
                    each.is_bound = True
                    self._news.note("order_bound", each)
            self._shared.remember()
        self._list(session, own)

    async def all_open_orders(self, session: Session, fields: Fields) -> None:
        self._list(session, list(self._shared.book.live.values()))

    async def completed_orders(self, session: Session, fields: Fields) -> None:
        """Those of today; only those of API clients where that is asked for."""
        api_only = fields.flag()
        today = local(self._shared.now()).date()
        for order in self._shared.book.finished:
            is_of_api = order.order_id > 0
            if local(order.finished_at).date() == today and (is_of_api or not api_only):
                session.send(*completed_order(order, session.version))
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
            if local(each.moment).date() == today and wanted.passes(each):
                session.send(*execution_details(each, request_id, session.version))
                session.send(*commission_report(each))
        session.send(55, 1, request_id, event="executions end")

    def _list(self, session: Session, orders: list[Order]) -> None:
        for order in orders:
            if order.is_transmitted:
                session.send(*open_order(order, session.version))
                session.send(*self._news.status(order))
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

    def passes(self, execution: Execution) -> bool:
        order = execution.order
        instrument = order.terms.instrument
        return (
            self._client_id in (0, order.client_id)
            and self._account in ("", order.terms.account)
            and self._symbol in ("", instrument.symbol)
            and self._security_type in ("", instrument.kind)
            and self._exchange in ("", "SMART", instrument.exchange)
            and self._side in ("", order.terms.action, "BOT" if order.sign > 0 else "SLD")
            and execution.moment >= self._since
        )
