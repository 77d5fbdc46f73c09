"""What an account can carry, and what holding costs it: cash, margin, interest, borrowed shares."""

import math
from collections.abc import Callable, Mapping

import msgspec

from engine.exchange.rules import Rules
from engine.strategy import Position

_INTEREST_DAYS = 360.0
"""IB counts a year of 360 days: https://www.interactivebrokers.com/en/trading/margin-rates.php"""


class CashFlow(msgspec.Struct, frozen=True, gc=False):
    """Money that came (positive) or went beside executions: a dividend, interest, a fee for borrowed shares, the cash
    for a fraction of a share. `contract_id` is 0 for interest."""

    contract_id: int
    time_us: int
    amount: float
    kind: str


class Account:
    """Cash and positions; `mark` tells a contract's last price in the account's currency."""

    def __init__(
        self, cash: float, rules: Rules, positions: Mapping[int, Position], mark: Callable[[int], float]
    ) -> None:
        self.cash = cash
        self.rules = rules
        self.positions = positions
        self._mark = mark

    @property
    def values(self) -> list[float]:
        """The positions at their last prices, in the order of the contracts' ids."""
        held = ((number, self.positions[number].quantity) for number in sorted(self.positions))
        return [quantity * self._mark(number) for number, quantity in held if quantity]

    @property
    def equity(self) -> float:
        """Cash and positions, summed one after the other."""
        equity = self.cash
        for value in self.values:
            equity += value
        return equity

    @property
    def gross(self) -> float:
        """The positions' absolute values."""
        return math.fsum(map(abs, self.values))

    def refusal(self, contract_id: int, quantity: float, price: float, commission: float) -> str:
        """Why an execution (price and commission in the account's currency) cannot be; empty when it can."""
        held = self.positions[contract_id].quantity
        after = held + quantity
        if self.rules.account == "cash":
            if after < min(held, 0.0):
                return f"a cash account cannot be short: it holds {held:g}, the sale is of {-quantity:g}"
            if quantity > 0 and self.cash < quantity * price + commission:
                return f"cash of {self.cash:,.2f} does not pay for {quantity:g} at {price:,.4f}"
        elif self.rules.account == "margin" and (abs(after) > abs(held) or held * after < 0):
            mark = self._mark(contract_id) if held else price
            equity = self.equity + held * (price - mark) - commission
            needed = (self.gross - abs(held * mark) + abs(after * price)) * self.rules.initial_margin
            if equity < needed:
                return f"equity of {equity:,.2f} is less than the initial margin of {needed:,.2f} it would take"
        return ""

    @property
    def called(self) -> bool:
        """Whether the equity is less than the margin that the positions must keep."""
        return self.rules.account == "margin" and self.equity < self.gross * self.rules.maintenance_margin

    def nightly(self, days: int, time_us: int) -> list[CashFlow]:
        """What `days` of holding cost: interest on borrowed cash, then the fee on each short position's value."""
        flows = []
        part = days / _INTEREST_DAYS
        if self.cash < 0 and self.rules.financing_percent:
            flows.append(CashFlow(0, time_us, self.cash * (self.rules.financing_percent / 100.0) * part, "interest"))
        if self.rules.borrow_percent:
            for number in sorted(self.positions):
                quantity = self.positions[number].quantity
                if quantity < 0:
                    fee = -quantity * self._mark(number) * (self.rules.borrow_percent / 100.0) * part
                    flows.append(CashFlow(number, time_us, -fee, "borrowing"))
        return flows
