"""What the answers about orders mean: the terms of the script, told back, and what has become of them."""

from decimal import Decimal
from typing import Any

from infra.gateway_simulator.accounts.commissions import Trade
from infra.gateway_simulator.instruments.instrument import Instrument
from infra.gateway_simulator.market.prices import UNITS
from tests.contract.a_conversation import (
    COIN,
    CONDITIONS,
    LAST,
    PLAIN,
    RICH_ID,
    RIGHT,
    SOLD,
    TRAIL_ID,
    WHAT_IF,
    rich,
)
from tests.contract.a_scene import ACCOUNT, FILLED, Case, Scene, case, contract, listed
from tests.contract.client_libraries import UNSET
from tests.contract.meant_accounts import COMMISSION, books
from tests.rich_orders import TRAIL

NEUTRAL = {
    "ocaType": 3,
    "exemptCode": -1,
    "transmit": True,
    "clearingIntent": "IB",
    "account": ACCOUNT,
    "tif": "DAY",
    "deltaNeutralOrderType": "None",
    "dontUseAutoPriceForHedge": True,
}
ONLY_OPEN = {"deltaNeutralOpenClose": "?", "adjustedOrderType": "None"}
TERMS: dict[int, dict[str, Any]] = {
    PLAIN: {"action": "BUY", "totalQuantity": 200, "orderType": "MKT"},
    TRAIL_ID: TRAIL,
    SOLD: {"action": "SELL", "totalQuantity": 50, "orderType": "MKT"},
    COIN: {"action": "BUY", "totalQuantity": 0.25, "orderType": "LMT", "lmtPrice": 100.0, "tif": "GTC"},
    RIGHT: {"action": "BUY", "totalQuantity": 2, "orderType": "LMT", "lmtPrice": 1.05, "orderRef": "right"},
}
MARGINS = [
    f"{kind}{when}"
    for when in ("Before", "Change", "After")
    for kind in ("initMargin", "maintMargin", "equityWithLoan")
]
NO_NUMBER = "1.7976931348623157E308"  # which these fields hold as text


def conditions() -> dict[str, Any]:
    told = []
    for each in CONDITIONS:
        known = {"condType": each["number"], "conjunction": each.get("conjunction", "a")} | each
        known["exchange"] = known.pop("exch", "")
        del known["number"]
        told.append(known)
    return listed("order.conditions", told)


def terms(scene: Scene, number: int, *, is_open: bool) -> dict[str, Any]:
    wanted = rich(scene.version) if number == RICH_ID else TERMS[number]
    told = NEUTRAL | (ONLY_OPEN if is_open else {}) | wanted
    if not is_open:
        for name in ("blockOrder", "duration", "postToAts"):
            told.pop(name, None)  # which the layout of completedOrder does not have
    found = {f"order.{name}": value for name, value in told.items()}
    return found | (conditions() if number == RICH_ID else {})


def instrument(scene: Scene, number: int) -> Instrument:
    found = {COIN: scene.market.catalogue.named("CRYPTO", "BTC")[0], RIGHT: scene.right}.get(number, scene.apple)
    assert isinstance(found, Instrument)
    return found


def ordered(scene: Scene, number: int) -> dict[str, Any]:
    of = instrument(scene, number)
    return contract(of, of.route, **({} if of.option else {"right": "?"}))


@case(5)
def open_order(scene: Scene) -> Case:
    first = {PLAIN: "Submitted", RICH_ID: "PreSubmitted", TRAIL_ID: "PreSubmitted", COIN: "Submitted"}
    for number, status in (first | {RIGHT: "Submitted", SOLD: "Submitted"}).items():
        told: dict[str, Any] = {"orderId": number, "order.orderId": number, "order.clientId": 1}
        told |= ordered(scene, number) | terms(scene, number, is_open=True)
        told |= {"order.permId": scene.order(number).permanent_id, "state.status": status}
        told |= dict.fromkeys((f"state.{name}" for name in MARGINS), NO_NUMBER)
        told |= dict.fromkeys((f"state.{name}" for name in ("commission", "minCommission", "maxCommission")), UNSET)
        told["order.triggerPrice"] = UNSET
        if number != TRAIL_ID:
            told |= {"order.trailStopPrice": UNSET, "order.lmtPriceOffset": UNSET}
        yield scene.heard(5, number)[0], [("openOrder", told)]
    yield what_if(scene)


def what_if(scene: Scene) -> tuple[list[str], list[tuple[str, dict[str, Any]]]]:
    """A thousand more at 400, asked after two hundred were bought."""
    (message,) = scene.heard(5, WHAT_IF)
    account = scene.filled.accounts.first
    account.fill(scene.apple, Decimal(200), Decimal(scene.quote(FILLED).ask) / UNITS, COMMISSION)
    found = scene.filled.brokerage.impact(
        account, Trade(scene.apple, Decimal(1000), Decimal(400), adds_liquidity=False)
    )
    before, after = found.before.told(), found.after.told()
    changes = tuple(now - was for was, now in zip(before, after, strict=True))
    assert changes[2] == -5  # the commission: half a cent a share
    told: dict[str, Any] = {"orderId": WHAT_IF, "order.orderId": WHAT_IF, "order.clientId": 1, "order.whatIf": True}
    asked = {"action": "BUY", "totalQuantity": 1000, "orderType": "LMT", "lmtPrice": 400.0}
    told |= ordered(scene, WHAT_IF) | {f"order.{name}": value for name, value in (NEUTRAL | ONLY_OPEN | asked).items()}
    told |= {f"state.{name}": value for name, value in zip(MARGINS, (*before, *changes, *after), strict=True)}
    told |= {f"state.{name}": f"{told[f'state.{name}'].normalize():f}" for name in MARGINS}
    told |= {"state.status": "PreSubmitted", "state.commission": 5, "state.commissionCurrency": "USD"}
    told |= {"state.minCommission": UNSET, "state.maxCommission": UNSET}
    return message, [("openOrder", told)]


@case(53)
def open_order_end(scene: Scene) -> Case:
    for message in scene.heard(53):
        yield message, [("openOrderEnd", {})]


@case(101)
def completed_order(scene: Scene) -> Case:
    places = (PLAIN, SOLD, RICH_ID, TRAIL_ID, COIN, RIGHT)
    for message, number in zip(scene.heard(101), places, strict=True):
        done = number in (PLAIN, SOLD)
        told = ordered(scene, number) | terms(scene, number, is_open=False)
        told |= {"order.permId": scene.order(number).permanent_id, "order.parentPermId": UNSET}
        told |= {"order.filledQuantity": TERMS[number]["totalQuantity"]} if done else {}
        told |= {"state.status": "Filled" if done else "Cancelled"}
        ended = instrument(scene, number).venue.ib_text(FILLED if done else FILLED + 5)
        told["state.completedTime"] = ended
        quantity = int(TERMS[number]["totalQuantity"]) if done else 0
        told |= {"state.completedStatus": f"Filled Size: {quantity}" if done else "Cancelled by Trader"}
        yield message, [("completedOrder", told)]


@case(102)
def completed_orders_end(scene: Scene) -> Case:
    (message,) = scene.heard(102)
    yield message, [("completedOrdersEnd", {})]


def fill_price(scene: Scene, number: int) -> Decimal:
    quote = scene.quote(FILLED)
    return Decimal(quote.ask if number == PLAIN else quote.bid) / UNITS


@case(3)
def order_status(scene: Scene) -> Case:
    for number, wanted in TERMS.items():
        messages, quantity = scene.heard(3, number), wanted["totalQuantity"]
        known = {"orderId": number, "permId": scene.order(number).permanent_id, "clientId": 1}
        waits = {"status": "PreSubmitted", "whyHeld": "trigger"} if number == TRAIL_ID else {"status": "Submitted"}
        yield messages[0], [("orderStatus", known | waits | {"remaining": quantity})]
        if number in (PLAIN, SOLD):
            price = fill_price(scene, number)
            done = {"status": "Filled", "filled": quantity, "avgFillPrice": price, "lastFillPrice": price}
        else:
            done = {"status": "Cancelled", "remaining": quantity}
        yield messages[-1], [("orderStatus", known | done)]
    assert not scene.heard(3, WHAT_IF)
    assert not scene.heard(3, LAST)


@case(11)
def execution(scene: Scene) -> Case:
    found = {each.order.order_id: each for each in scene.book.executions}
    for request, number in ((-1, PLAIN), (-1, SOLD), (1070, PLAIN), (1070, SOLD), (1071, SOLD)):
        (message,) = (each for each in scene.heard(11, request) if each[2] == str(number))
        quantity, price = TERMS[number]["totalQuantity"], fill_price(scene, number)
        told: dict[str, Any] = {
            "execId": found[number].execution_id,
            "time": FILLED,
            "acctNumber": ACCOUNT,
            "exchange": "NASDAQ",
            "side": "BOT" if number == PLAIN else "SLD",
            "shares": quantity,
            "price": price,
            "cumQty": quantity,
            "permId": scene.order(number).permanent_id,
            "clientId": 1,
            "orderId": number,
            "avgPrice": price,
            "lastLiquidity": 2,
        }
        told = {f"execution.{name}": value for name, value in told.items()}
        yield message, [("execDetails", {"reqId": request, **contract(scene.apple, "NASDAQ"), **told})]


@case(55)
def execution_end(scene: Scene) -> Case:
    for number in (1070, 1071):
        (message,) = scene.heard(55, number, 2)
        yield message, [("execDetailsEnd", {"reqId": number})]


@case(59)
def commission_report(scene: Scene) -> Case:
    found = {each.order.order_id: each.execution_id for each in scene.book.executions}
    realized = books(scene)[1].realized
    for message, number in zip(scene.heard(59), (PLAIN, SOLD, PLAIN, SOLD, SOLD), strict=True):
        told = {"execId": found[number], "commission": COMMISSION, "currency": "USD", "yield": UNSET}
        told["realizedPNL"] = UNSET if number == PLAIN else realized
        yield message, [("commissionReport", {f"report.{name}": value for name, value in told.items()})]
