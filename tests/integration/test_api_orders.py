"""Orders of every kind over HTTP: brackets, changes, cancels of many, and a person's finding about an unknown one."""

import json
from decimal import Decimal
from typing import Any

from infra.api_keys import Role
from infra.settings import Settings
from infra.store import orders
from schemas.orders import CancelIntent, ModifyIntent, OrderIntent, OrderStatus, OrderType, Side
from schemas.resolution import Finding, OrderResolved
from tests.builders import an_intent
from tests.integration.an_api import Api, serving
from tests.integration.test_api_trader import (
    ACCOUNT,
    ORDER,
    a_key,
    a_working_order,
    know_account_and_apple,
    see_a_price,
)

BRACKET = ORDER | {"exits": {"stop_price": "430.00", "take_profit": "450.00"}}


async def a_stored_order(api: Api, order_id: str, **changes: Any) -> None:
    """An order of ours that works, as the executor has written it."""
    update, row = a_working_order()
    limited = an_intent(intent_id=order_id, order_type="LMT", limit_price=Decimal("430.00"), strategy_id="manual")
    more = {"order_id": order_id, "decision_id": f"d-{order_id}", "order_type": "LMT", "limit_price": Decimal(430)}
    numbers = {"broker_order_id": len(order_id) + ord(order_id[-1]), "intent": json.loads(limited.to_json())}
    await api.store(lambda connection: orders.add(connection, {**row, **more, **numbers, **changes}))
    await api.store(lambda connection: orders.save_update(connection, update.revised(order_id=order_id)))


async def test_a_bracket_is_three_intents_however_often_it_is_asked_for(stack_settings: Settings) -> None:
    async with serving("api_trader", stack_settings) as api:
        await know_account_and_apple(api)
        await see_a_price(api)
        first = await api.ask("POST", "/orders", Role.TRADER, json=BRACKET, headers=a_key("a-bracket"))
        again = await api.ask("POST", "/orders", Role.TRADER, json=BRACKET, headers=a_key("a-bracket"))
        closer = BRACKET | {"exits": {"stop_price": "431.00", "take_profit": "450.00"}}
        other = await api.ask("POST", "/orders", Role.TRADER, json=closer, headers=a_key("a-bracket"))
        told = await api.first_told("trading.intents.v1", 4)

    assert (first.status_code, again.json(), other.status_code) == (202, first.json(), 409)
    legs = tuple(first.json()["order_ids"])
    entry, stop, profit = (each for each in told[1:] if isinstance(each, OrderIntent))
    assert {(leg.legs, leg.quantity) for leg in (entry, stop, profit)} == {(legs, Decimal(100))}
    assert (entry.parent_id, stop.parent_id, profit.parent_id) == (None, legs[0], legs[0])
    assert (stop.order_type, stop.side, stop.stop_price) == (OrderType.STOP, Side.SELL, Decimal("430.00"))
    assert (profit.order_type, profit.limit_price) == (OrderType.LIMIT, Decimal("450.00"))
    assert stop.oca_group == profit.oca_group != entry.oca_group


async def test_an_order_that_cannot_be_is_refused_with_its_field(stack_settings: Settings) -> None:
    cases: list[tuple[dict[str, Any], str, str]] = [
        ({"order_type": "STP"}, "body.stop_price", "a STP order needs stop_price"),
        ({"order_type": "TRAIL"}, "body.trail_amount", "trail_amount or trail_percent"),
        ({"stop_price": "430"}, "body.stop_price", "a MKT order has no stop_price"),
        ({"time_in_force": "GTD"}, "body.good_till", "needs good_till"),
        ({"outside_hours": True}, "body.outside_hours", "outside of regular hours"),
        ({"order_type": "NONSENSE"}, "body.order_type", "Input should be 'MKT'"),
        ({"exits": {}}, "body.exits", "name stop_price, trail_amount or take_profit"),
        ({"exits": {"take_profit": "450"}, "parent_id": "x"}, "body.parent_id", "has no parent"),
    ]
    async with serving("api_trader", stack_settings) as api:
        for change, where, said in cases:
            answer = await api.ask("POST", "/orders", Role.TRADER, json=ORDER | change, headers=a_key())
            (error,) = answer.json()["errors"]
            assert (answer.status_code, error["where"]) == (422, where)
            assert said in error["message"]


async def test_a_working_order_is_changed_listed_and_cancelled_with_others(stack_settings: Settings) -> None:
    async with serving("api_trader", stack_settings) as api:
        await know_account_and_apple(api)
        await see_a_price(api)
        await a_stored_order(api, "mine")
        await a_stored_order(api, "theirs", decision_id=None, intent=None)

        async def change(body: dict[str, Any], order_id: str = "mine", key: str = "change-1") -> Any:
            return await api.ask("PATCH", f"/orders/{order_id}", Role.TRADER, json=body, headers=a_key(key))

        taken = await change({"quantity": "70", "limit_price": "431.00"})
        again = await change({"quantity": "70", "limit_price": "431.00"})
        other = await change({"quantity": "71"})
        nothing = await change({}, key="change-2")
        wrong = await change({"stop_price": "400"}, key="change-3")
        foreign = await change({"quantity": "70"}, "theirs", "change-4")
        buys = await api.get("/orders?side=BUY&status=NEW")
        sells = await api.get("/orders?side=SELL")
        events = await api.get("/orders/mine/events?limit=5")
        fills = await api.get("/orders/mine/fills")
        all_of_it = await api.ask(
            "POST", "/orders/cancel-all", Role.TRADER, json={"symbol": "AAPL", "reason": "enough"}
        )
        _, wish, cancel = await api.first_told("trading.intents.v1", 3)

    assert (taken.status_code, again.json(), other.status_code) == (202, taken.json(), 409)
    assert (nothing.status_code, foreign.status_code) == (422, 409)
    assert (wrong.status_code, wrong.json()["errors"][0]["where"]) == (422, "body.stop_price")
    assert isinstance(wish, ModifyIntent)
    assert (wish.order_id, wish.wanted.quantity, wish.wanted.limit_price) == ("mine", Decimal(70), Decimal("431.00"))
    assert wish.wanted.reference_price == Decimal("441.25")
    assert ({each["order_id"] for each in buys["items"]}, sells["items"]) == ({"mine", "theirs"}, [])
    assert [each["sequence"] for each in events["items"]] == [1]
    assert fills["items"] == []
    assert all_of_it.json()["order_ids"] == ["mine"], "others' orders are theirs"
    assert isinstance(cancel, CancelIntent)
    assert (cancel.order_id, cancel.reason) == ("mine", "key test trader: enough")


async def test_only_an_administrator_says_how_an_unknown_order_stands(stack_settings: Settings) -> None:
    finding = {"finding": "never_arrived", "reason": "not in TWS"}
    async with serving("api_trader", stack_settings) as api:
        await a_stored_order(api, "lost", status=OrderStatus.UNKNOWN.value)
        await a_stored_order(api, "known", permanent_id=7)
        trader = await api.ask("POST", "/orders/lost/resolve", Role.TRADER, json=finding)
        needless = await api.ask("POST", "/orders/known/resolve", Role.ADMIN, json=finding)
        taken = await api.ask("POST", "/orders/lost/resolve", Role.ADMIN, json=finding)
        (told,) = await api.first_told("trading.resolutions.v1")

    assert (trader.status_code, needless.status_code, taken.status_code) == (403, 409, 202)
    assert isinstance(told, OrderResolved)
    assert (told.order_id, told.account_id, told.finding) == ("lost", ACCOUNT, Finding.NEVER_ARRIVED)
    assert (told.reason, told.by) == ("not in TWS", "key test admin")
