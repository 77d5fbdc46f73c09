"""What the answers about accounts mean: reckoned by hand from the two fills, 200 bought and 50 of them sold."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from infra.gateway_simulator.market.prices import UNITS
from tests.contract.a_scene import ACCOUNT, FILLED, NEW_YORK, Case, Scene, case, contract

CASH = Decimal(1_000_000)
COMMISSION = Decimal(1)  # the least that IB takes for an order


@dataclass(frozen=True)
class Books:
    """What is held and made once 200 are bought, or once 50 of them are sold."""

    quantity: int
    cost: Decimal
    mark: Decimal
    realized: Decimal
    cash: Decimal

    @property
    def worth(self) -> Decimal:
        return self.quantity * self.mark

    @property
    def unrealized(self) -> Decimal:
        return self.worth - self.quantity * self.cost


def books(scene: Scene) -> tuple[Books, Books]:
    quote = scene.quote(FILLED)
    bought, sold, mark = (Decimal(each) / UNITS for each in (quote.ask, quote.bid, quote.last))
    cost = bought + COMMISSION / 200
    cash = CASH - 200 * cost
    realized = 50 * (sold - cost) - COMMISSION
    return Books(200, cost, mark, Decimal(0), cash), Books(150, cost, mark, realized, cash + 50 * sold - COMMISSION)


def amount(value: Decimal) -> str:
    """As texts say it: two decimals, or four where they are needed."""
    exact = value.quantize(Decimal("0.0001"))
    return f"{exact:.2f}" if exact == exact.quantize(Decimal("0.01")) else f"{exact:.4f}"


def worths(scene: Scene) -> list[str]:
    """Net liquidation at the start and after each fill."""
    return [f"{each:.2f}" for each in (CASH, *(each.cash + each.worth for each in books(scene)))]


@case(61)
def position(scene: Scene) -> Case:
    for message, each in zip(scene.heard(61), books(scene), strict=True):
        told = {"account": ACCOUNT, **contract(scene.apple, ""), "position": each.quantity, "averageCost": each.cost}
        yield message, [("position", told)]


@case(62)
def position_end(scene: Scene) -> Case:
    (message,) = scene.heard(62)
    yield message, [("positionEnd", {})]


@case(71)
def position_multi(scene: Scene) -> Case:
    for message, each in zip(scene.heard(71), books(scene), strict=True):
        held = {"position": each.quantity, "averageCost": each.cost}
        told = {"reqId": 1062, "account": ACCOUNT, **contract(scene.apple, ""), **held}
        yield message, [("positionMulti", told)]


@case(72)
def position_multi_end(scene: Scene) -> Case:
    (message,) = scene.heard(72)
    yield message, [("positionMultiEnd", {"reqId": 1062})]


@case(7)
def portfolio(scene: Scene) -> Case:
    for message, each in zip(scene.heard(7), books(scene), strict=True):
        told: dict[str, Any] = contract(scene.apple, "", primaryExchange="NASDAQ", right="0")
        told |= {"position": each.quantity, "price": each.mark, "worth": each.worth, "averageCost": each.cost}
        told |= {"unrealized": each.unrealized, "realized": each.realized, "account": ACCOUNT}
        yield message, [("updatePortfolio", told)]


@case(6)
def account_values(scene: Scene) -> Case:
    facts = {"AccountCode": ACCOUNT, "AccountReady": "true", "AccountType": "INDIVIDUAL", "DayTradesRemaining": "-1"}
    for key, value in facts.items():
        (message,) = scene.heard(6, at=2, text=key)
        yield message, [("updateAccountValue", {"key": key, "value": value, "account": ACCOUNT})]
    for message, value in zip(scene.heard(6, at=2, text="NetLiquidation"), worths(scene), strict=True):
        told = {"key": "NetLiquidation", "value": value, "currency": "USD", "account": ACCOUNT}
        yield message, [("updateAccountValue", told)]
    cash = [message for message in scene.heard(6, at=2, text="TotalCashBalance") if message[4] == "BASE"]
    for message, each in zip(cash, (CASH, *(each.cash for each in books(scene))), strict=True):
        told = {"key": "TotalCashBalance", "value": amount(each), "currency": "BASE", "account": ACCOUNT}
        yield message, [("updateAccountValue", told)]


@case(8)
def account_time(scene: Scene) -> Case:
    for message in scene.heard(8):
        told = f"{datetime.fromtimestamp(FILLED, NEW_YORK):%H:%M}"
        yield message, [("updateAccountTime", {"time": told})]


@case(54)
def account_download_end(scene: Scene) -> Case:
    (message,) = scene.heard(54)
    yield message, [("accountDownloadEnd", {"account": ACCOUNT})]


@case(73)
def account_update_multi(scene: Scene) -> Case:
    for message, value in zip(scene.heard(73, at=5, text="NetLiquidation"), worths(scene), strict=True):
        told = {"key": "NetLiquidation", "value": value, "currency": "USD"}
        yield message, [("accountUpdateMulti", {"reqId": 1061, "account": ACCOUNT, **told})]


@case(74)
def account_update_multi_end(scene: Scene) -> Case:
    (message,) = scene.heard(74)
    yield message, [("accountUpdateMultiEnd", {"reqId": 1061})]


@case(63)
def account_summary(scene: Scene) -> Case:
    for message, value in zip(scene.heard(63, at=4, text="NetLiquidation"), worths(scene), strict=True):
        told = {"tag": "NetLiquidation", "value": value, "currency": "USD"}
        yield message, [("accountSummary", {"reqId": 1060, "account": ACCOUNT, **told})]
    (message,) = scene.heard(63, at=4, text="AccountType")
    told = {"tag": "AccountType", "value": "INDIVIDUAL"}
    yield message, [("accountSummary", {"reqId": 1060, "account": ACCOUNT, **told})]


@case(64)
def account_summary_end(scene: Scene) -> Case:
    (message,) = scene.heard(64)
    yield message, [("accountSummaryEnd", {"reqId": 1060})]


@case(94)
def profit(scene: Scene) -> Case:
    messages = scene.heard(94)
    yield messages[0], [("pnl", {"reqId": 1063})]
    for message, each in zip(messages[1:3], books(scene), strict=True):
        made = {"dailyPnL": each.unrealized + each.realized, "unrealizedPnL": each.unrealized}
        yield message, [("pnl", {"reqId": 1063, **made, "realizedPnL": each.realized})]


@case(95)
def profit_of_one(scene: Scene) -> Case:
    messages = scene.heard(95)
    yield messages[0], [("pnlSingle", {"reqId": 1064})]
    for message, each in zip(messages[1:3], books(scene), strict=True):
        made = {"dailyPnL": each.unrealized + each.realized, "unrealizedPnL": each.unrealized}
        held = {"pos": each.quantity, "realizedPnL": each.realized, "value": each.worth}
        yield message, [("pnlSingle", {"reqId": 1064, **made, **held})]
