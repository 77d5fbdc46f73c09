"""Splits and dividends: what they do to a position, to cash, and to orders that work.

A split changes quantity and prices of every working order in proportion; a part of a share that cannot be held is paid
out at the first open after it. A dividend comes in cash on its ex-date (short positions pay it) and lowers limits of
buys and stops of sales, as FINRA Rule 5330 has members adjust open orders:
https://www.finra.org/rules-guidance/rulebooks/finra-rules/5330
"""

from typing import TYPE_CHECKING

from engine.exchange.account import CashFlow
from engine.exchange.orders import Order
from engine.facts import CorporateAction, Dividend, Split
from engine.ledger import SplitDone
from engine.sizing import whole_lots

if TYPE_CHECKING:
    from engine.replay import Replay


def apply_action(replay: "Replay", row: int, action: CorporateAction) -> None:
    """Before the open of `row`, the contract's first bar after the action."""
    if isinstance(action, Split):
        _split(replay, row, action)
    else:
        _pay(replay, row, action)
    replay.at(int(replay.columns.start_us[row]), lambda: replay.strategy.on_corporate_action(action))


def _split(replay: "Replay", row: int, split: Split) -> None:
    position = replay.strategy.positions[split.contract_id]
    replay.exchange.disturb(split.contract_id)
    for order in replay.exchange.working.get(split.contract_id, ()):
        split_order(order, split.ratio, replay.options.lot)
    if not position.quantity:
        return
    exact = position.quantity * split.ratio
    kept = whole_lots(1.0, exact, replay.options.lot) * replay.options.lot
    position.quantity, position.average_price = kept, position.average_price / split.ratio if kept else 0.0
    price = float(replay.columns.open[row])
    replay.splits.append(SplitDone(row, split.contract_id, split.ratio, kept, exact - kept, price))
    if exact != kept:
        start_us = int(replay.columns.start_us[row])
        amount = (exact - kept) * price * replay.worth(split.contract_id, start_us)
        replay.pay(CashFlow(split.contract_id, start_us, amount, "fraction of a share"))


def split_order(order: Order, ratio: float, lot: float) -> None:
    """Change a working order in proportion; what is less than a lot of it is lost."""
    order.quantity = whole_lots(1.0, order.quantity * ratio, lot) * lot
    order.filled *= ratio
    order.limit, order.stop = order.limit / ratio, order.stop / ratio
    order.trail, order.limit_offset = order.trail / ratio, order.limit_offset / ratio
    order.queue *= ratio


def _pay(replay: "Replay", row: int, dividend: Dividend) -> None:
    held = replay.strategy.positions[dividend.contract_id].quantity
    replay.exchange.disturb(dividend.contract_id)
    for order in replay.exchange.working.get(dividend.contract_id, ()):
        lower_order(order, dividend.amount)
    if held:
        start_us = int(replay.columns.start_us[row])
        amount = held * dividend.amount * replay.worth(dividend.contract_id, start_us)
        replay.pay(CashFlow(dividend.contract_id, start_us, amount, "dividend"))


def lower_order(order: Order, amount: float) -> None:
    """Lower a buy's limit and a sale's stop by a dividend."""
    if order.buys and order.limit and not order.is_stop:
        order.limit -= amount
    if not order.buys and order.stop and order.is_stop:
        order.stop -= amount
        order.limit -= amount if order.limit else 0.0
