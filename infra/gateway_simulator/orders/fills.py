"""From a match to the books: the fill of an order reaches the account, the ledger and the clients."""

from infra.gateway_simulator.accounts.account import Account
from infra.gateway_simulator.accounts.account_desk import AccountDesk
from infra.gateway_simulator.accounts.commissions import Done, Trade
from infra.gateway_simulator.floor import Shared
from infra.gateway_simulator.orders.order import Execution, Match, Order
from infra.gateway_simulator.orders.order_messages import commission_report, execution_details
from infra.gateway_simulator.orders.order_news import OrderNews


class Fills:
    def __init__(self, shared: Shared, accounts: AccountDesk, news: OrderNews) -> None:
        self._shared = shared
        self._accounts = accounts
        self.news = news

    def account_of(self, order: Order) -> Account:
        account = self._shared.accounts.named(order.terms.account)
        assert account is not None, "an order of an unknown account is refused when it comes"
        return account

    def book(self, order: Order, found: Match) -> Execution:
        """Charge one fill, book it, and tell it; its commission is told later."""
        shared, instrument = self._shared, order.terms.instrument
        trade = Trade(instrument, order.sign * found.quantity, found.price, found.adds_liquidity)
        done = Done(order.filled, order.spent * instrument.multiplier)
        booked = shared.brokerage.fill(self.account_of(order), trade, done)
        execution = shared.book.execute(order, found, shared.now(), booked.charge, booked.realized)
        self.news.note_execution("fill", execution)
        self.note_position(order)
        self.tell(execution)
        return execution

    def note_position(self, order: Order) -> None:
        """A line of the ledger with what is held now."""
        account, instrument = self.account_of(order), order.terms.instrument
        position = account.position(instrument)
        self._shared.ledger.write(
            "position",
            self._shared.now(),
            client_id=order.client_id,
            order_id=None,
            account=account.code,
            contract_id=instrument.contract_id,
            symbol=instrument.symbol,
            quantity=position.quantity,
            average_cost=position.average_cost,
            cash=account.cash,
        )

    def tell(self, execution: Execution) -> None:
        order = execution.order
        owner = self.news.owner(order)
        if owner is not None:
            self.news.send(order, execution_details(execution, -1, owner.version), "fill sent")

    def tell_commission(self, execution: Execution) -> None:
        """And what the fill changed for those who follow accounts."""
        self.news.send(execution.order, commission_report(execution), "commission sent")
        self._accounts.on_fill(self.account_of(execution.order), execution.order.terms.instrument)
        self._shared.remember()
