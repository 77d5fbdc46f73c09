"""An exchange with an account that carries everything, for tests of when and where orders fill."""

from engine.exchange import Exchange, Execution, Order, Rules, commission_model, order_of, slippage_model
from engine.facts import Bar
from engine.order_requests import OrderKind, OrderRequest, OrderState, TimeInForce
from tests.bars import APPLE


class Floor:
    """Broker and exchange in one: what was filled and told, and a session a day of bars."""

    def __init__(
        self, rules: Rules | None = None, *, commission: str = "none", slippage: str = "none", rate: float = 0
    ):
        self.exchange = Exchange(
            commission_model(commission, rate), slippage_model(slippage, rate), rules or Rules(), self
        )
        self.news: list[tuple[int, OrderState, str]] = []
        self.sessions: dict[int, tuple[bool, bool]] = {}
        self._last_id = 0

    def place(self, quantity: float, kind: str = "MKT", tif: str = "GTC", **terms: object) -> Order:
        """Let an order work from the beginning."""
        self._last_id += 1
        parent = terms.pop("parent", None)
        reduces, group = bool(terms.pop("reduces", False)), terms.get("oca", "")
        assert parent is None or isinstance(parent, Order)
        request = OrderRequest(
            contract_id=APPLE,
            quantity=quantity,
            kind=OrderKind(kind),
            tif=TimeInForce(tif),
            **terms,  # type: ignore[arg-type] # as the test says
        )
        order = order_of(request, self._last_id, 0, parent)
        order.reduces = reduces and bool(group)
        self.exchange.place(order)
        return order

    def meet(self, *bars: Bar) -> list[tuple[int, float, float]]:
        """Let the bars come; (row, quantity, price) of what filled."""
        for row, bar in enumerate(bars):
            if self.exchange.working:
                self.exchange.match(bar, row)
        return [(each.row, each.quantity, each.price) for each in self.exchange.executions]

    def filled(self, execution: Execution) -> None:
        pass

    def told(self, order: Order, reason: str) -> None:
        self.news.append((order.order_id, order.state, reason))

    def refuses(self, quantity: float, execution: Execution) -> str:
        return ""

    def edges(self, row: int) -> tuple[bool, bool]:
        return self.sessions.get(row, (True, True))

    def session_end(self, row: int) -> int:
        while not self.edges(row)[1]:
            row += 1
        return row

    def worth(self, contract_id: int, time_us: int) -> float:
        return 1.0
