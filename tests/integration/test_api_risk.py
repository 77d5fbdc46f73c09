"""The routes about risk on the real broker and database: figures by the book, dry runs, restrictions, roles."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from infra.api_keys import Role
from infra.clock import SystemClock
from infra.settings import Settings
from infra.store import book, book_rules
from infra.store.tables import bars, book_positions, marks, reservations, risk_events
from schemas.account import AccountState, RiskLimits, TradingMode, TradingState
from tests.builders import APPLE, NOON, a_historical_bar
from tests.integration.an_api import serving
from tests.integration.test_api_farmer import row_of
from tests.integration.test_api_trader import ACCOUNT, ORDER, know_account_and_apple, see_a_price

D = Decimal
DAY = timedelta(days=1)
ACCOUNT_SCOPE = f"account:{ACCOUNT}"
NOW = SystemClock().now()
TIMES = {"event_time": NOW, "ingest_time": NOW}


def limits(**changes: Any) -> RiskLimits:
    fields = {"scope": ACCOUNT_SCOPE, "version": 1, "price_age_max_seconds": 600.0, "account_age_max_seconds": 600.0}
    return RiskLimits(**(fields | TIMES | changes))


async def a_book(connection: AsyncConnection) -> None:
    """A hundred shares bought at 400 and now worth 440, forty more to be bought, and limits."""
    told = AccountState(
        account_id=ACCOUNT, currency="USD", net_liquidation=D(90_000), cash=D(46_000), buying_power=D(92_000), **TIMES
    )
    await book.open_book(connection, ACCOUNT, NOW)
    await book_rules.save_account(connection, told.revised(net_liquidation=D(100_000)))
    await book_rules.save_account(connection, told)
    await book_rules.save_limits(connection, limits())
    await book_rules.save_state(
        connection, TradingState(scope=ACCOUNT_SCOPE, mode=TradingMode.ACTIVE, reason="test", by="test", **TIMES)
    )
    own = {"account_id": ACCOUNT, "contract_id": APPLE, "symbol": "AAPL", "currency": "USD"}
    held = {"quantity": D(100), "average_price": D(400), "realised_pnl": D(0), "price": D(400)}
    await connection.execute(book_positions.insert().values(**own, **held))
    seen = {"contract_id": APPLE, "symbol": "AAPL", "price": D(440), "event_time": NOON, "received_at": NOW}
    await connection.execute(marks.insert().values(**seen))
    flight = {
        "order_id": "open-1", "strategy_id": "s", "side": "BUY", "quantity": D(40), "told": D(0), "filled": D(0),
        "remaining": D(40), "price": D(440), "sequence": 1, "state": "open", "opened_at": NOON,
    }  # fmt: skip
    await connection.execute(reservations.insert().values(**own, **flight))
    breach = {"breach_id": "b-1", "scope": ACCOUNT_SCOPE, "account_id": ACCOUNT, "strategy_id": "s"}
    said = {"rule": "notional_max", "detail": "worth 9, at most 8 an order"}
    await connection.execute(risk_events.insert().values(**breach, **said, **TIMES))


async def test_risk_is_told_by_the_book_that_orders_are_judged_on(stack_settings: Settings) -> None:
    async with serving("api_trader", stack_settings) as api:
        await api.store(a_book)
        status, exposure = await api.get("/risk/status"), await api.get("/risk/exposure")
        used = {each["limit"]: each["used"] for each in await api.get("/risk/utilisation")}
        no_var = await api.ask("GET", "/risk/var")
        report = await api.get("/risk/report")

    assert (status["mode"], status["limits_version"], status["open_orders"]) == ("ACTIVE", 1, 1)
    assert status["drawdown"] == 0.1
    assert status["pnl_today"] == status["unrealised_today"] == "4000"
    (apple,) = exposure["contracts"]
    assert (apple["value"], apple["worst"], apple["worst_quantity"]) == ("44000", "61600", "140")
    assert (exposure["gross"], exposure["largest_share"], exposure["herfindahl"]) == ("44000", 1.0, 1.0)
    assert used["position_max"] == "140"
    assert used["gross_exposure_max"] == "61600"
    assert no_var.status_code == 409
    assert "collect daily bars" in no_var.json()["detail"]
    assert report["status"]["account_id"] == ACCOUNT
    assert report["events_today"] == {"notional_max": 1}


async def test_value_at_risk_is_what_past_days_would_have_cost_what_is_held(stack_settings: Settings) -> None:
    days = [NOON - timedelta(days=number) for number in range(70, 0, -1)]
    closes = [500 * 0.99**number for number in range(len(days))]
    fallen = [
        row_of(a_historical_bar(start=day, bar_size=DAY, basis="split_adjusted", open=c, high=c, low=c, close=c))
        for day, c in zip(days, closes, strict=True)
    ]
    async with serving("api_trader", stack_settings) as api:
        await api.store(a_book)
        await api.store(lambda connection: connection.execute(insert(bars), fallen))
        found = await api.get("/risk/var?confidence=0.95&sessions=60")
        report = await api.get("/risk/report")

    assert found["sessions"] == 60
    assert found["value_at_risk"] == pytest.approx(440), "every day of the last sixty took one percent of 44,000"
    assert found["expected_shortfall"] == pytest.approx(440)
    assert report["var"]["sessions"] == 69


async def test_an_order_can_be_asked_about_without_being_placed(stack_settings: Settings) -> None:
    async with serving("api_trader", stack_settings) as api:
        await know_account_and_apple(api)
        await api.store(a_book)
        await see_a_price(api)
        small = await api.ask("POST", "/risk/check", Role.TRADER, json=ORDER | {"quantity": "50"})
        large = await api.ask("POST", "/risk/check", Role.TRADER, json=ORDER | {"quantity": "1001"})
        as_viewer = await api.ask("POST", "/risk/check", Role.VIEWER, json=ORDER)
        await api.store(lambda held: book_rules.save_limits(held, limits(scope="symbol:AAPL", position_max=D(150))))
        of_symbol = await api.ask("POST", "/risk/check", Role.TRADER, json=ORDER | {"quantity": "11"})

    assert as_viewer.status_code == 403
    (verdict,) = small.json()
    assert verdict["reason"] == "price_stale", "what the bar told is as old as its receipt"
    assert verdict["basis"]["position"] == "100"
    assert large.json()[0]["approved"] is False
    assert of_symbol.json()[0]["basis"]["scopes"][0]["scope"] == "symbol:AAPL"


async def test_events_are_taken_note_of_once(stack_settings: Settings) -> None:
    async with serving("api_trader", stack_settings) as api:
        await api.store(a_book)
        path = "/risk/events/b-1/acknowledge"
        by_viewer = await api.ask("POST", path, Role.VIEWER, json={})
        first = await api.ask("POST", path, Role.TRADER, json={"note": "seen"})
        second = await api.ask("POST", path, Role.ADMIN, json={"note": "too late"})
        unknown = await api.ask("POST", "/risk/events/none/acknowledge", Role.TRADER, json={})
        (event,) = (await api.get("/risk/events?acknowledged=true"))["items"]
        open_ones = (await api.get("/risk/events?acknowledged=false"))["items"]
        audited = [row.action for row in await api.audit() if row.outcome == "done"]

    assert (by_viewer.status_code, first.json()["new"], second.json()["new"]) == (403, True, False)
    assert unknown.status_code == 404
    assert (event["breach_id"], event["note"]) == ("b-1", "seen")
    assert open_ones == []
    assert audited == ["POST /risk/events/{breach_id}/acknowledge"]


async def test_traders_restrict_and_reduce_and_admins_free(stack_settings: Settings) -> None:
    async with serving("api_trader", stack_settings) as api:
        await api.store(a_book)
        body = {"symbols": ["GME"], "reason": "news"}
        restricted = await api.ask("PUT", "/risk/restricted", Role.TRADER, json=body)
        (told,) = await api.first_told("risk.restricted.v1")
        await api.store(lambda held: book_rules.save_restriction(held, told))  # type: ignore[arg-type] # a Restriction
        freed_by_trader = await api.ask("PUT", "/risk/restricted", Role.TRADER, json=body | {"symbols": []})
        freed = await api.ask("PUT", "/risk/restricted", Role.ADMIN, json=body | {"symbols": []})

        mode = {"scope": ACCOUNT_SCOPE, "mode": "REDUCING", "reason": "careful"}
        reduced = await api.ask("POST", "/risk/trading-state", Role.TRADER, json=mode)
        (state,) = await api.first_told("trading.state.v1")
        await api.store(lambda held: book_rules.save_state(held, state))  # type: ignore[arg-type] # a TradingState
        looser = await api.ask("POST", "/risk/trading-state", Role.TRADER, json=mode | {"mode": "ACTIVE"})
        disabled = TradingState(scope="strategy:s", mode=TradingMode.HALTED, reason="wild", by="risk", **TIMES)
        await api.store(lambda held: book_rules.save_state(held, disabled))
        enabled = await api.ask(
            "POST", "/risk/trading-state", Role.TRADER, json={"scope": "strategy:s", "mode": "ACTIVE", "reason": "ok"}
        )
        states = {each["scope"]: each["mode"] for each in await api.get("/risk/trading-state")}

    assert [each["symbol"] for each in restricted.json()] == ["GME"]
    assert (freed_by_trader.status_code, freed.status_code, freed.json()) == (403, 202, [])
    assert (reduced.status_code, looser.status_code) == (202, 403)
    assert enabled.status_code == 202, "a trader enables again what risk has disabled"
    assert states == {ACCOUNT_SCOPE: "REDUCING", "strategy:s": "HALTED"}


async def test_a_strategys_limits_hold_beside_its_accounts_and_none_goes_through_its_ceiling(
    stack_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consumers.api.limits._SEEN_SECONDS", 60.0)  # a busy machine may hear of itself late
    async with serving("api_trader", stack_settings) as api:
        await api.store(a_book)
        none_yet = await api.ask("GET", "/risk/limits/s")
        first = await api.ask("PUT", "/risk/limits/s", Role.TRADER, json={"position_max": "10", "reason": "new"})
        raised = await api.ask("PUT", "/risk/limits/s", Role.TRADER, json={"position_max": "11"})
        gone = await api.ask("PUT", "/risk/limits/s", Role.TRADER, json={"without": ["adv_share_max"]})
        over = await api.ask("PUT", "/risk/limits", Role.ADMIN, json={"account_id": ACCOUNT, "quantity_max": "1000000"})
        both = await api.ask(
            "PUT", "/risk/limits", Role.ADMIN, json={"account_id": ACCOUNT, "symbol": "AAPL", "quantity_max": "1"}
        )
        idle = await api.ask("PUT", "/risk/limits/s", Role.ADMIN, json={"price_collar": "0.01", "position_max": "5"})
        shown = await api.get("/risk/limits/s")
        rows = [(row.action, row.outcome, row.detail.get("reason")) for row in await api.audit()]

    assert none_yet.status_code == 404
    assert (first.status_code, first.json()["position_max"], first.json()["quantity_max"]) == (202, "10", "100000")
    assert (raised.status_code, over.status_code, both.status_code) == (403, 422, 422)
    assert gone.status_code == 202, "a limit that was not there is missed by nobody"
    assert "quantity_max: at most 100000" in over.text
    assert (idle.status_code, "price_collar: of strategy:s nothing" in idle.text) == (422, True)
    assert shown["position_max"] == "10"
    assert rows[0] == ("PUT /risk/limits/{strategy}", "done", "new")
