"""Targets as a strategy names them, and the orders that bring what is held to them."""

from collections.abc import Mapping

from engine.live.outputs import Output, Price, intent, output_id, signal
from engine.live.own_orders import OwnOrders
from engine.sizing import sizing, to_decimal
from engine.strategy import StrategySignal
from schemas.orders import OrderIntent
from schemas.place import At
from schemas.strategy import Allocate, Deploy
from schemas.validation import Contract


class Targets:
    """By contract: the target that holds until the strategy names another, the last price, a full position's size."""

    def __init__(self, deployment: Deploy, contracts: Mapping[int, Contract]) -> None:
        self.prices: dict[int, Price] = {}
        self.full = dict.fromkeys(contracts, deployment.quantity)
        self._contracts = contracts
        self._wish: dict[int, StrategySignal] = {}

    def allocate(self, command: Allocate) -> None:
        """New sizes, by symbol where the command says so."""
        for contract_id, contract in self._contracts.items():
            self.full[contract_id] = command.quantities.get(contract.symbol, command.quantity)

    def liquidate(self) -> None:
        """Hold nothing of anything."""
        self._wish = {contract_id: StrategySignal.flat(contract_id, "liquidated") for contract_id in self._contracts}

    def name(self, wish: StrategySignal, deployment: Deploy, at: At, number: int) -> Output | None:
        """A new target, told; None as long as no price of the contract was seen: its first bar brings it up."""
        self._wish[wish.contract_id] = wish
        price = self.prices.get(wish.contract_id)
        if price is None:
            return None
        signal_id = output_id(deployment.strategy_id, at, number, "signal")
        return signal(signal_id, deployment, wish, self._contracts[wish.contract_id], price)

    def order(self, contract_id: int, orders: OwnOrders, deployment: Deploy, intent_id: str) -> OrderIntent | None:
        """The order that brings the position to the wish, unless it is there, on its way, or was refused.

        What was denied in passing or canceled is asked for again.
        """
        wish, price = self._wish.get(contract_id), self.prices.get(contract_id)
        if wish is None or price is None or orders.refused(contract_id, wish.value, price.event_time):
            return None
        held = orders.quantity(contract_id) + orders.pending(contract_id)
        quantity = sizing(wish, held, to_decimal(self.full[contract_id]), price.value)
        if not quantity:
            return None
        order = intent(intent_id, deployment, quantity, self._contracts[contract_id], price)
        orders.expect(order, wish.value)
        return order
