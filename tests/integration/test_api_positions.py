"""The routes about positions on the real broker and database: what was held, earned and risked, and closing it."""

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from engine import risk
from infra.api_keys import Role
from infra.clock import SystemClock
from infra.settings import Settings
from infra.store import orders, portfolio
from infra.store.tables import bars, marks, reservations
from schemas.account import Position
from schemas.orders import OrderIntent
from schemas.reconciliation import Reconciled, ReconciliationAsked
from tests.builders import APPLE, NOON, SEEN, a_bar, a_fill, a_historical_bar
from tests.integration.an_api import Api, serving
from tests.integration.test_api_farmer import row_of
from tests.integration.test_api_risk import DAY, NOW, a_book
from tests.integration.test_api_trader import ACCOUNT, a_key, know_account_and_apple, see_a_price, store_decision, tell

D = Decimal
IBM = 8314
TIMES = {"event_time": NOON, "ingest_time": SEEN}


def a_position(contract_id: int, symbol: str, **changes: Any) -> Position:
    fields: dict[str, Any] = {
        "account_id": ACCOUNT, "contract_id": contract_id, "symbol": symbol, "quantity": D(100),
        "average_price": D(400), "realised_pnl": D("12.50"), "commission": D("2.25"), "fills": 3,
    }  # fmt: skip
    return Position(**(fields | TIMES | changes))


async def some_history(connection: AsyncConnection) -> None:
    """What the portfolio has written: Apple is held, the shares of IBM were bought and sold again."""
    euros = a_position(IBM, "IBM", currency="EUR", quantity=D(0), average_price=D(0), realised_pnl=D(-50))
    for position in (a_position(APPLE, "AAPL"), euros):
        await portfolio.save_position(connection, position)
    own = {"account_id": ACCOUNT, "contract_id": APPLE, "symbol": "AAPL", "strategy_id": "s"}
    step = own | {"revision": 1, "currency": "USD", "commission": D("0.75"), "realised_pnl": D(0), "event_time": NOON}
    bought = step | {
        "execution_id": "e-1",
        "change": D(60),
        "price": D(399),
        "quantity": D(60),
        "average_price": D(399),
    }
    more = step | {"execution_id": "e-2", "change": D(40), "price": D("401.5"), "quantity": D(100)}
    steps = [bought, more | {"average_price": D(400)}]
    await portfolio.save_steps(connection, ACCOUNT, steps, ())
    trade = own | {
        "trade_id": "t-1", "side": "BUY", "quantity": D(10), "entry_price": D(390), "exit_price": D("391.25"),
        "gross_pnl": D("12.50"), "commission": D("0.75"), "net_pnl": D("11.75"), "opened_at": NOON, "closed_at": NOON,
    }  # fmt: skip
    await portfolio.save_trades(connection, [trade], ())


async def some_days_later(connection: AsyncConnection) -> None:
    """Bars of three days; by a price of another contract the market is at the Monday after them."""
    days = [row_of(a_historical_bar(start=NOON + n * DAY, close=441.0 + n, high=450.0)) for n in range(3)]
    await connection.execute(insert(bars), days)
    seen = {"contract_id": IBM, "symbol": "IBM", "price": D(200), "event_time": NOON + 4 * DAY}
    await connection.execute(insert(marks), [seen | {"received_at": NOW + timedelta(seconds=1)}])


async def closing(api: Api, key: str, symbol: str = "AAPL", role: Role = Role.TRADER, **body: Any) -> tuple[int, Any]:
    path = f"/positions/{symbol}/close" if symbol else "/positions/close-all"
    answer = await api.ask("POST", path, role, json=body or None, headers=a_key(key))
    return answer.status_code, answer.json()


PERFORMANCE = "/trading/performance"
NOTHING_YET = {"day": None, "to_know": ["Nothing has been traded in this account yet."]}


async def test_positions_are_told_with_what_they_earned_and_how_they_came_to_be(stack_settings: Settings) -> None:
    async with serving("api_trader", stack_settings) as api:
        nothing = await api.ask("GET", "/positions/summary")
        await know_account_and_apple(api)
        untraded, nobody = [await api.ask("GET", f"{PERFORMANCE}?strategy_id={name}") for name in ("manual", "s")]
        await api.store(a_book)
        await api.store(some_history)
        held, history = await api.get("/positions/AAPL"), await api.get("/positions/aapl/history?limit=1")
        older = await api.get(f"/positions/AAPL/history?limit=1&offset={history['next_offset']}")
        trades, closed = await api.get("/positions/AAPL/trades"), await api.get("/positions/IBM")
        pnl, summary = await api.get("/positions/pnl"), await api.get("/positions/summary")
        exposure = await api.get("/positions/exposure")
        same = await api.get("/risk/exposure")
        elsewhere = await api.ask("GET", "/positions/IBM:NYSE/trades")
        never = await api.ask("GET", "/positions/MSFT/history")
        no_symbol = await api.ask("GET", "/positions/!/history")
        await api.store(lambda connection: orders.save_fill(connection, a_fill(strategy_id="s")))
        await api.store(some_days_later)
        done = await api.get("/trading/performance?strategy_id=s&day=2013-03-03")
        first_day = await api.get("/trading/performance")
        never_lived = await api.ask("GET", "/trading/performance?day=0001-01-01")
        not_begun = await api.ask("GET", "/trading/performance?day=2090-02-27")

    assert nothing.status_code == 404
    assert (held["quantity"], held["average_price"], closed["quantity"]) == ("100", "400", "0")
    assert [(s["execution_id"], s["change"], s["quantity"]) for s in history["items"]] == [("e-2", "40", "100")]
    assert [(s["execution_id"], s["average_price"]) for s in older["items"]] == [("e-1", "399")]
    assert [(t["trade_id"], t["net_pnl"], t["strategy_id"]) for t in trades["items"]] == [("t-1", "11.75", "s")]
    apple, ibm = pnl["contracts"]
    assert (apple["unrealised_pnl"], apple["net_pnl"], apple["price"]) == ("4000", "4010.25", "440")
    assert (ibm["net_pnl"], ibm["rate"], ibm["priced_at"]) == ("-52.25", None, None)
    assert (pnl["realised_pnl"], pnl["net_pnl"], pnl["unvalued"]) == ("12.5", "4010.25", ["IBM"]), "no rate of the euro"
    assert (summary["positions"], summary["long"], summary["short"], summary["largest"]) == (1, 1, 0, "AAPL")
    assert (summary["net"], summary["net_pnl"]) == ("44000", "4010.25")
    assert exposure == same
    assert (nobody.status_code, "'s' is deployed or has ever traded" in nobody.text) == (404, True)
    assert untraded.json().items() >= NOTHING_YET.items()
    assert (first_day["day"], first_day["pnl"]["executions"], first_day["trades_today"]) == ("2013-02-28", 1, 1)
    assert (first_day["pnl"]["unrealised"], first_day["currency"]) == ("48", "USD"), "bought at 440.52, closed at 441"
    assert (done["strategy_id"], done["pnl"]["traded"]) == ("s", "0"), "nothing was traded on a Sunday"
    assert (done["metrics"]["sessions"], done["metrics"]["trades"], done["metrics"]["best_trade"]) == (3, 1, 11.75)
    assert done["metrics"]["total_return"] == pytest.approx(248 / (1_000_000.50 - 248)), "by the last of three closes"
    assert "a stale price" in done["to_know"][0]
    assert (elsewhere.status_code, never.status_code, no_symbol.status_code, never_lived.status_code) == (
        404,
        404,
        422,
        422,
    )
    assert "open_only=false" in never.json()["detail"]
    assert (not_begun.status_code, "has not begun" in not_begun.text) == (422, True)


async def at_the_weekend(api: Api) -> None:
    """Two hours after the last bar of a Friday no subscription brings a price."""
    friday = datetime(2013, 3, 1, 20, 59, 55, tzinfo=UTC)
    await tell(api, a_bar(start=friday, ingest_time=SystemClock().now() - timedelta(hours=2)))
    async with asyncio.timeout(30):
        while "closed until 2013-03-04 14:30Z; POST /subs" not in str(await closing(api, "close-all-1", "")):
            await asyncio.sleep(0.02)


async def test_a_position_is_closed_by_an_order_that_can_only_reduce_it(stack_settings: Settings) -> None:
    sold = {
        "order_id": "open-2", "strategy_id": "s", "side": "SELL", "quantity": D(30), "told": D(0), "filled": D(0),
        "remaining": D(30), "price": D(440), "sequence": 1, "state": "open", "opened_at": NOON, "account_id": ACCOUNT,
        "contract_id": APPLE, "symbol": "AAPL", "currency": "USD",
    }  # fmt: skip
    async with serving("api_trader", stack_settings) as api:
        await know_account_and_apple(api)
        await api.store(some_history)
        flat = await closing(api, "close-none")
        await api.store(a_book)
        no_price = await closing(api, "close-all-1", "")
        await see_a_price(api)
        no_key = await api.ask("POST", "/positions/close-all", Role.TRADER, json={})
        by_viewer = await closing(api, "close-apple", role=Role.VIEWER)
        old_price = await closing(api, "close-apple")
        await at_the_weekend(api)
        await tell(api, a_bar(close=441.5, ingest_time=SystemClock().now()))
        async with asyncio.timeout(30):
            while (part := await closing(api, "close-a-part", quantity="40", reason="too much"))[0] == 409:
                await asyncio.sleep(0.02)
        again = await closing(api, "close-a-part", quantity="40", reason="too much")
        others = [(await closing(api, "close-a-part", quantity=wanted))[0] for wanted in ("41", None)]
        await api.store(lambda connection: connection.execute(reservations.insert().values(**sold)))
        too_much = await closing(api, "close-too-much", quantity="71")
        rest = await closing(api, "close-apple")
        as_much = await closing(api, "close-apple", quantity="70")
        everything = await closing(api, "close-all-1", "", reason="going home")
        trail = await api.get(rest[1]["location"])
        ibm = await closing(api, "close-ibm", "IBM")
        told = [each for each in await api.first_told("trading.intents.v1", 4) if isinstance(each, OrderIntent)]
        audit = [row for row in await api.audit() if "/close" in row.action]
        for each in told[1:]:
            await api.store(lambda held, each=each: store_decision(held, risk.check(each, risk.Book(), SEEN)))  # type: ignore[misc] # bound
        keys = api.keys

    async with serving("api_trader", stack_settings) as api:
        api.keys[Role.TRADER] = keys[Role.TRADER]
        after_a_restart = [await closing(api, "close-apple"), await closing(api, "close-all-1", "")]

    assert (flat[0], no_price[0], no_key.status_code, by_viewer[0], ibm[0]) == (404, 409, 422, 403, 409)
    assert "/subscriptions/AAPL" in no_price[1]["detail"]
    assert (old_price[0], "risk takes none older than 600 s" in old_price[1]["detail"]) == (409, True)
    assert (part[0], again, *others, as_much[0]) == (202, part, 409, 409, 409)
    assert (too_much[0], too_much[1]["errors"][0]["where"]) == (422, "body.quantity")
    _, *closes = told  # the first was placed to see whether there is a price
    assert [each.intent_id for each in closes] == [part[1]["id"], rest[1]["id"], *everything[1]["order_ids"]]
    assert [each.quantity for each in closes] == [40, 70, 70], "what an order in flight sells already is not sold twice"
    assert {(each.side, each.order_type, each.strategy_id, each.reduces_only) for each in closes} == {
        ("SELL", "MKT", "manual", True)
    }
    assert (everything[0], everything[1]["left"]) == (202, [])
    assert (trail["intent"]["reduces_only"], trail["decision"]) == (True, None)
    assert [(row.outcome, row.target) for row in audit] == [
        ("refused", "/positions/AAPL/close"), ("done", "AAPL"), ("done", "AAPL"), ("done", ACCOUNT),
    ]  # fmt: skip
    assert after_a_restart == [rest, everything], "the same key gives the same orders, also after a restart"


async def test_a_comparison_that_is_asked_for_is_told_until_and_after_it_is_done(stack_settings: Settings) -> None:
    async with serving("api_trader", stack_settings) as api:
        early = await api.ask("POST", "/positions/reconcile", Role.TRADER)
        await know_account_and_apple(api)
        by_viewer = await api.ask("POST", "/positions/reconcile", Role.VIEWER, json={})
        asked = await api.ask("POST", "/positions/reconcile", Role.TRADER)
        place = asked.headers["Location"]
        waits = await api.get(place)
        (told,) = await api.first_told("trading.reconciliations.v1")
        assert isinstance(told, ReconciliationAsked)
        answer = {"request_id": told.request_id, "account_id": ACCOUNT, "troubles": ("contract 1: we count 2",)}
        await tell(api, Reconciled(**answer, **TIMES))
        async with asyncio.timeout(30):
            while (done := await api.get(place))["state"] == "waiting":
                await asyncio.sleep(0.02)
        audit = await api.audit()
        keys = api.keys

    async with serving("api_trader", stack_settings) as api:
        api.keys[Role.VIEWER] = keys[Role.VIEWER]
        after_a_restart = await api.get("/positions/reconciliations")
        unknown = await api.ask("GET", "/positions/reconciliations/nothing")

    assert (early.status_code, by_viewer.status_code, asked.status_code) == (404, 403, 202)
    assert (waits["state"], waits["agree"], waits["done_at"]) == ("waiting", None, None)
    assert (done["agree"], done["troubles"], done["by"]) == (False, ["contract 1: we count 2"], "key test trader")
    assert [(row.action, row.outcome) for row in audit][-1] == ("POST /positions/reconcile", "done")
    assert after_a_restart == [done]
    assert unknown.status_code == 404
