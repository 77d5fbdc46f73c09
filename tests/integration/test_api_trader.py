"""The algo trader's HTTP service on the real broker and database: orders by hand, limits, halting, what is held."""

import asyncio
import json
from decimal import Decimal
from hashlib import sha256
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from engine import risk
from infra.api_keys import Role
from infra.clock import SystemClock
from infra.settings import Settings
from infra.store import book_rules, orders, portfolio, symbols, uploads
from infra.store.tables import decisions, intents
from infra.store.uploads import NewVersion
from schemas.account import AccountState, Position, RiskLimits, TradingMode, TradingState
from schemas.event import Event
from schemas.orders import Commission, FillBusted, FillCorrected, OrderIntent, OrderStatus, OrderUpdate, RiskDecision
from schemas.strategy import AllocationPlan, Deploy, Pause, RunningState, Start, StrategyState
from tests.builders import APPLE, NOON, SEEN, a_bar, a_fill, a_trading_state, an_intent
from tests.integration.an_api import Api, serving
from tests.integration.test_api_farmer import a_symbol

ACCOUNT = "DU1234567"
ORDER = {"symbol": "AAPL", "side": "BUY", "quantity": "100"}


def a_key(text: str = "first-order") -> dict[str, str]:
    return {"Idempotency-Key": text}


async def tell(api: Api, *events: Event) -> None:
    """Publish in another service's name."""
    publisher = api.front.service.publisher
    for event in events:
        publisher._writes = publisher._writes | {api.front.service.catalogue.topic_of(type(event)).name}
        await api.front.service.publish(event)


async def know_account_and_apple(api: Api) -> None:
    account = AccountState(
        event_time=NOON,
        ingest_time=SEEN,
        account_id=ACCOUNT,
        currency="USD",
        net_liquidation=Decimal("1000000.50"),
        cash=Decimal(1_000_000),
        buying_power=Decimal(4_000_000),
        positions={str(APPLE): Decimal(100)},
    )
    await api.store(lambda connection: orders.save_account(connection, account))
    await api.store(lambda connection: symbols.put_symbols(connection, [a_symbol()]))


async def see_a_price(api: Api) -> None:
    """Until a bar has come through the topic, an order by hand is refused."""
    await tell(api, a_bar(close=441.25))
    async with asyncio.timeout(30):
        while (await api.ask("POST", "/orders", Role.TRADER, json=ORDER, headers=a_key())).status_code == 409:
            await asyncio.sleep(0.02)


async def store_decision(connection: AsyncConnection, decision: RiskDecision) -> None:
    """What risk writes about an intent of an order."""
    intent = decision.intent
    assert isinstance(intent, OrderIntent)
    common = {"intent_id": intent.intent_id, "account_id": intent.account_id, "strategy_id": intent.strategy_id}
    proposed = common | {
        "type": intent.type,
        "contract_id": intent.contract_id,
        "order_id": None,
        "side": intent.side.value,
        "quantity": intent.quantity,
        "limit_price": intent.limit_price,
        "body": json.loads(intent.to_json()),
        "event_time": intent.event_time,
        "received_at": SEEN,
    }
    decided = common | {
        "decision_id": decision.decision_id,
        "approved": decision.approved,
        "reason": decision.reason.value if decision.reason else None,
        "detail": decision.detail,
        "approved_fields": "" if decision.approved else None,
        "body": json.loads(decision.to_json()),
        "decided_at": SEEN,
        "expires_at": SEEN + decision.expires_after,
    }
    await connection.execute(intents.insert().values(**proposed))
    await connection.execute(decisions.insert().values(**decided))


async def test_an_order_by_hand_is_an_intent_once_however_often_it_is_asked_for(stack_settings: Settings) -> None:
    async with serving("api_trader", stack_settings) as api:
        await know_account_and_apple(api)
        no_price = await api.ask("POST", "/orders", Role.TRADER, json=ORDER, headers=a_key())
        await see_a_price(api)
        again = await api.ask("POST", "/orders", Role.TRADER, json=ORDER, headers=a_key())
        other = await api.ask("POST", "/orders", Role.TRADER, json=ORDER | {"quantity": "101"}, headers=a_key())
        second = await api.ask("POST", "/orders", Role.TRADER, json=ORDER, headers=a_key("second-order"))
        (first_told, second_told) = await api.first_told("trading.intents.v1", 2)
        trail = await api.get(again.headers["Location"])

    assert (no_price.status_code, "/subscriptions/AAPL" in no_price.json()["detail"]) == (409, True)
    assert (again.status_code, other.status_code, second.status_code) == (202, 409, 202)
    assert isinstance(first_told, OrderIntent)
    assert isinstance(second_told, OrderIntent)
    assert (first_told.intent_id, second_told.intent_id) == (again.json()["id"], second.json()["id"])
    assert (first_told.strategy_id, first_told.account_id, first_told.contract_id) == ("manual", ACCOUNT, APPLE)
    assert first_told.reference_price == Decimal("441.25")
    assert first_told.reference_time == SEEN, "the price is as old as its receipt, not as our reading of it"
    assert trail["intent"]["quantity"] == "100"
    assert trail["decision"] is None


async def test_a_restarted_service_still_knows_an_order_that_risk_has_stored(stack_settings: Settings) -> None:
    async with serving("api_trader", stack_settings) as api:
        await know_account_and_apple(api)
        await see_a_price(api)
        (intent,) = await api.first_told("trading.intents.v1")
        key = api.keys[Role.TRADER]
        assert isinstance(intent, OrderIntent)
        decision = risk.check(intent, risk.Book(), SEEN)
        await api.store(lambda connection: store_decision(connection, decision))

    async with serving("api_trader", stack_settings) as api:
        api.keys[Role.TRADER] = key
        same = await api.ask("POST", "/orders", Role.TRADER, json=ORDER, headers=a_key())
        other = await api.ask("POST", "/orders", Role.TRADER, json=ORDER | {"side": "SELL"}, headers=a_key())
        trail = await api.get(f"/orders/{intent.intent_id}")
        denied = await api.get("/decisions?approved=false")

    assert (same.status_code, same.json()["id"], other.status_code) == (202, intent.intent_id, 409)
    assert trail["decision"]["reason"] == "limits_missing"
    assert [each["intent"]["symbol"] for each in denied["items"]] == ["AAPL"]


async def test_wrong_orders_are_refused_with_a_hint(stack_settings: Settings) -> None:
    async with serving("api_trader", stack_settings) as api:
        await know_account_and_apple(api)

        async def refusal(body: dict[str, Any], headers: dict[str, str] | None = None) -> tuple[int, str]:
            answer = await api.ask("POST", "/orders", Role.TRADER, json=body, headers=headers or a_key())
            return answer.status_code, answer.json()["detail"]

        no_key = await api.ask("POST", "/orders", Role.TRADER, json=ORDER)
        misspelt = await refusal({**ORDER, "quantitiy": 1})
        fraction = await refusal({**ORDER, "quantity": "-5"})
        unpriced = await refusal({**ORDER, "order_type": "LIMIT"})
        elsewhere = await refusal({**ORDER, "account_id": "DU999"})
        unknown = await refusal({**ORDER, "symbol": "TSLA"})

    assert (no_key.status_code, "idempotency" in no_key.json()["detail"].lower()) == (422, True)
    assert misspelt[0] == 422
    assert misspelt[1].startswith("body: unknown field 'quantitiy' (did you mean quantity?): known are account_id, ")
    assert fraction == (422, "body.quantity: Input should be greater than 0")
    assert unpriced == (422, "body.limit_price: a LMT order needs limit_price")
    assert elsewhere == (404, f"no account 'DU999': there is {ACCOUNT}")
    assert unknown[0] == 404


async def test_limits_are_lowered_by_traders_and_raised_by_admins_alone(
    stack_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consumers.api.limits._SEEN_SECONDS", 60.0)  # a busy machine may hear of itself late
    first = RiskLimits(event_time=SEEN, ingest_time=SEEN, scope=f"account:{ACCOUNT}", version=3)
    async with serving("api_trader", stack_settings) as api:
        no_limits = await api.ask(
            "PUT", "/risk/limits", Role.TRADER, json={"account_id": ACCOUNT, "quantity_max": "10"}
        )
        of_nobody = {"account_id": "DU777", "quantity_max": "10"}
        too_early = await api.ask("PUT", "/risk/limits", Role.ADMIN, json=of_nobody)
        await know_account_and_apple(api)
        of_none = await api.ask("PUT", "/risk/limits", Role.ADMIN, json=of_nobody)
        await api.store(lambda connection: book_rules.save_limits(connection, first))
        lower = {"account_id": ACCOUNT, "quantity_max": "500", "price_collar": "0.02"}
        lowered = await api.ask("PUT", "/risk/limits", Role.TRADER, json=lower)
        mixed = {"account_id": ACCOUNT, "quantity_max": "400", "notional_max": "1000000"}
        raised = await api.ask("PUT", "/risk/limits", Role.TRADER, json=mixed)
        by_admin = await api.ask("PUT", "/risk/limits", Role.ADMIN, json=mixed)
        told = await api.first_told("risk.limits.v1", 2)
        in_force = await api.get("/risk/limits")
        audit = await api.audit()

    assert no_limits.status_code == 403
    assert (too_early.status_code, "no account is known yet" in too_early.text) == (404, True)
    assert (of_none.status_code, of_none.json()["detail"]) == (404, f"no account 'DU777': there is {ACCOUNT}")
    assert (lowered.status_code, lowered.json()["version"], lowered.json()["quantity_max"]) == (202, 4, "500")
    assert (raised.status_code, "notional_max" in raised.json()["detail"]) == (403, True)
    assert (by_admin.status_code, by_admin.json()["version"]) == (202, 5), "counted from the topic, ahead of the table"
    assert [each.version for each in told if isinstance(each, RiskLimits)] == [4, 5]
    assert [each["version"] for each in in_force] == [3], "risk has not stored the new ones in this test"
    assert [row.outcome for row in audit] == ["refused", "done", "refused", "done"]
    assert (audit[3].detail["before"]["version"], audit[3].detail["after"]["version"]) == (4, 5)


async def test_a_trader_halts_and_only_an_admin_arms(stack_settings: Settings) -> None:
    scope = f"account:{ACCOUNT}"
    reconciling = a_trading_state(mode=TradingMode.HALTED, by="executor", reason="positions differ")
    async with serving("api_trader", stack_settings) as api:
        halted = await api.ask("POST", "/trading/halt", Role.TRADER, json={"reason": "news"})
        not_by_viewer = await api.ask("POST", "/trading/halt", Role.VIEWER, json={"reason": "fun"})
        not_by_trader = await api.ask("POST", "/trading/arm", Role.TRADER, json={"scope": scope, "reason": "go"})
        await api.store(lambda connection: book_rules.save_state(connection, reconciling))
        arm = {"scope": scope, "reason": "looked at it"}
        too_early = await api.ask("POST", "/trading/arm", Role.ADMIN, json=arm)
        armed = await api.ask("POST", "/trading/arm", Role.ADMIN, json=arm | {"override": True})
        accepted = await api.ask("POST", "/trading/arm", Role.ADMIN, json=arm | {"accept_order_ids": True})
        of_nobody = arm | {"scope": "global", "accept_order_ids": True}
        not_of_all = await api.ask("POST", "/trading/arm", Role.ADMIN, json=of_nobody)
        audit = await api.audit()
        bad_scope = await api.ask("POST", "/trading/arm", Role.ADMIN, json=arm | {"scope": "everything"})
        states = await api.first_told("trading.state.v1", 3)
        seen = await api.get("/trading/state")

    assert (halted.status_code, halted.json()["mode"], halted.json()["scope"]) == (202, "HALTED", "global")
    assert (not_by_viewer.status_code, not_by_trader.status_code, bad_scope.status_code) == (403, 403, 422)
    assert (too_early.status_code, "positions differ" in too_early.json()["detail"]) == (409, True)
    assert (armed.status_code, accepted.status_code, not_of_all.status_code) == (202, 202, 422)
    told = [each for each in states if isinstance(each, TradingState)]
    by_admin = ("ACTIVE", "key test admin")
    assert [(each.mode, each.by) for each in told] == [("HALTED", "key test trader"), by_admin, by_admin]
    assert [each.accept_order_ids for each in told] == [False, False, True]
    assert audit[-1].detail["after"]["accept_order_ids"] is True, "who accepted what is on record"
    assert [(each["scope"], each["by"]) for each in seen] == [(scope, "executor")]


async def test_what_is_held_is_read_with_exact_amounts(stack_settings: Settings) -> None:
    position = Position(
        event_time=NOON,
        ingest_time=SEEN,
        account_id=ACCOUNT,
        contract_id=APPLE,
        symbol="AAPL",
        quantity=Decimal(-100),
        average_price=Decimal("440.12345678"),
        realised_pnl=Decimal("0.00000001"),
        commission=Decimal("1.25"),
        fills=2,
    )
    fill = a_fill()
    fields = fill.model_dump(exclude={"type", "revision", "last_price"})
    corrected = FillCorrected(**fields, revision=2, last_price=Decimal("440.60"))
    busted = FillBusted(
        event_time=NOON, ingest_time=SEEN, execution_id="b", revision=2, account_id=ACCOUNT, contract_id=APPLE
    )
    cost = Commission(
        event_time=NOON,
        ingest_time=SEEN,
        execution_id=fill.execution_id,
        account_id=ACCOUNT,
        amount=Decimal("1.00"),
        currency="USD",
    )
    async with serving("api_trader", stack_settings) as api:
        await know_account_and_apple(api)
        await api.store(lambda connection: portfolio.save_position(connection, position))
        for each in (fill, corrected, a_fill(execution_id="b"), busted):
            await api.store(lambda connection, each=each: orders.save_fill(connection, each))  # type: ignore[misc] # bound
        await api.store(lambda connection: orders.save_commission(connection, cost))
        positions = await api.get("/positions")
        fills = await api.get(f"/fills?account_id={ACCOUNT}")
        account = await api.get("/account")
        nobody = await api.ask("GET", "/account?account_id=DU9")

    (held,) = positions["items"]
    assert (held["quantity"], held["average_price"], held["realised_pnl"]) == ("-100", "440.12345678", "0.00000001")
    (executed,) = fills["items"]
    assert (executed["revision"], executed["last_price"], executed["commission"]) == (2, "440.6", "1")
    assert (account["net_liquidation"], account["positions"]) == ("1000000.5", {str(APPLE): "100"})
    assert nobody.status_code == 404


def a_working_order() -> tuple[OrderUpdate, dict[str, Any]]:
    """What the executor was told of the order of `an_intent`, and its row in the table."""
    intent = an_intent()
    update = OrderUpdate(
        event_time=NOON,
        ingest_time=SEEN,
        order_id=intent.intent_id,
        broker_order_id=7,
        sequence=1,
        status=OrderStatus.NEW,
        **intent.model_dump(
            include={"account_id", "strategy_id", "contract_id", "symbol", "side", "quantity", "order_type"}
        ),
    )
    row = {
        **update.model_dump(exclude={"type", "event_time", "ingest_time", "leaves_quantity", "last_change"}),
        "status": "NEW",
        "side": "BUY",
        "order_type": "MARKET",
        "client_id": 10,
        "time_in_force": "DAY",
        "lease_epoch": 1,
        "facts": {},
        "created_at": SEEN,
        "updated_at": SEEN,
    }
    return update, row


async def test_an_order_shows_its_trail_and_can_be_cancelled_while_it_works(stack_settings: Settings) -> None:
    decision = risk.check(an_intent(), risk.Book(), SEEN)
    update, row = a_working_order()
    async with serving("api_trader", stack_settings) as api:
        await api.store(lambda connection: store_decision(connection, decision))
        await api.store(lambda connection: orders.add(connection, row))
        await api.store(lambda connection: orders.save_update(connection, update))
        await api.store(lambda connection: orders.save_fill(connection, a_fill()))
        trail = await api.get("/orders/intent-1")
        working = await api.get("/orders?working=true&symbol=AAPL")
        done = await api.get("/orders?working=false")
        cancelled = await api.ask("DELETE", "/orders/intent-1?reason=changed my mind", Role.TRADER)
        (wish,) = await api.first_told("trading.intents.v1")
        await api.store(lambda connection: orders.save(connection, "intent-1", {"status": "CANCELED", "sequence": 10}))
        too_late = await api.ask("DELETE", "/orders/intent-1", Role.TRADER)

    assert (trail["order"]["status"], trail["decision"]["approved"]) == ("NEW", False)
    assert [(each["sequence"], each["status"]) for each in trail["updates"]] == [(1, "NEW")]
    assert [each["last_quantity"] for each in trail["fills"]] == ["100"]
    assert ([(each["order_id"], each["order_type"]) for each in working["items"]], done["items"]) == (
        [("intent-1", "MKT")],
        [],
    )
    assert (cancelled.status_code, too_late.status_code) == (202, 409)
    assert wish.model_dump(include={"type", "order_id", "account_id", "reason"}) == {
        "type": "CancelIntent",
        "order_id": "intent-1",
        "account_id": ACCOUNT,
        "reason": "key test trader: changed my mind",
    }


async def test_live_strategies_are_seen_and_commanded(stack_settings: Settings) -> None:
    times = {"event_time": SEEN, "ingest_time": SEEN}
    deployment = Deploy(
        **times,
        command_id="c1",
        strategy_id="crossover",
        by="test",
        strategy="moving_average_crossover",
        symbols=("AAPL",),
        account_id=ACCOUNT,
    )
    state = StrategyState(**times, strategy_id="crossover", state=RunningState.RUNNING, deployment=deployment)
    async with serving("api_trader", stack_settings) as api:
        await tell(api, state)
        async with asyncio.timeout(30):
            while not (listed := await api.get("/strategies")):
                await asyncio.sleep(0.02)

    async with serving("api_trader", stack_settings) as api:
        folded = await api.get("/trading/strategies/crossover/status")
        paused = await api.ask("POST", "/trading/strategies/crossover/pause", Role.TRADER)
        unknown = await api.ask("POST", "/trading/strategies/nothing/start", Role.TRADER)
        (command,) = await api.first_told("strategy.commands.v1")
        deployments = await deployments_over_http(api)
        told = await api.first_told("strategy.commands.v1", 4)

    assert listed[0]["strategy_id"] == "crossover"
    assert folded["state"] == "running", "a restarted service folds the topic before it is ready"
    assert (paused.status_code, unknown.status_code) == (202, 404)
    assert isinstance(command, Pause)
    assert (command.strategy_id, command.by) == ("crossover", "key test trader")
    assert command.event_time <= SystemClock().now()
    expected = {
        "shipped": (202, "/trading/strategies/buy_and_hold"),
        "uploaded": (202, "/trading/strategies/mine-1"),
        "by a viewer": (403, ""),
        "deployed already": (409, "crossover is running already"),
        "unknown": (422, "body.strategy: no strategy buy_and_hald (did you mean buy_and_hold?)"),
        "wrong parameter": (422, "body.parameters: "),
        "unknown symbol": (404, ""),
        "wrong size": (422, "body.bar_size: "),
    }
    assert {what: status for what, (status, _) in deployments.items()} == {w: s for w, (s, _) in expected.items()}
    assert all(said.startswith(expected[what][1]) for what, (_, said) in deployments.items()), deployments
    _, shipped, started, uploaded = told
    assert isinstance(shipped, Deploy)
    assert isinstance(started, Start)
    assert isinstance(uploaded, Deploy)
    assert (shipped.strategy_id, started.strategy_id) == ("buy_and_hold", "buy_and_hold")
    assert (shipped.account_id, shipped.symbols, shipped.bar_size_seconds) == (ACCOUNT, ("AAPL",), 300)
    assert (uploaded.source, uploaded.code_sha256, uploaded.shadow) == ("x = 1\n", sha256(b"x = 1\n").hexdigest(), True)
    assert uploaded.parameters == {"window": 3}


async def deployments_over_http(api: Api) -> dict[str, tuple[int, str]]:
    """Status, and where it shows or the beginning of why it was refused, of deployments good and bad."""
    await know_account_and_apple(api)
    await api.store(lambda connection: keep_upload(connection, "mine", "not looked at"))
    held = {"strategy": "buy_and_hold", "symbols": ["aapl"], "bar_size": "5m"}
    mine = {"strategy": "mine", "strategy_id": "mine-1", "parameters": {"window": 3}, "shadow": True, "start": False}
    asked: dict[str, tuple[dict[str, Any], Role]] = {
        "shipped": (held, Role.TRADER),
        "uploaded": (held | mine, Role.TRADER),
        "by a viewer": (held, Role.VIEWER),
        "deployed already": (held | {"strategy_id": "crossover"}, Role.TRADER),
        "unknown": (held | {"strategy": "buy_and_hald"}, Role.TRADER),
        "wrong parameter": (held | {"parameters": {"speed": 3}}, Role.TRADER),
        "unknown symbol": (held | {"symbols": ["TSLA"]}, Role.TRADER),
        "wrong size": (held | {"bar_size": "7m"}, Role.TRADER),
    }
    found = {}
    for what, (body, role) in asked.items():
        answer = await api.ask("POST", "/trading/strategies", role, json=body)
        found[what] = answer.status_code, answer.headers.get("Location") or answer.json()["detail"]
    return found


async def keep_upload(connection: AsyncConnection, name: str, unread: str = "") -> None:
    """What the backtester's service writes when somebody uploads a text."""
    text = b"x = 1\n"
    await uploads.hold(connection, name, "test", SEEN)
    version = NewVersion(name, sha256(text).hexdigest(), text, "test", SEEN, "", {}, {}, unread)
    await uploads.add_version(connection, version)


async def test_capital_is_shared_out_over_strategies_of_the_account_alone(stack_settings: Settings) -> None:
    times = {"event_time": SEEN, "ingest_time": SEEN}
    deployed: dict[str, Any] = {"command_id": "c1", "by": "test", "strategy": "buy_and_hold", "symbols": ("AAPL",)}
    deployment = Deploy(**times, strategy_id="crossover", account_id=ACCOUNT, **deployed)
    state = StrategyState(**times, strategy_id="crossover", state=RunningState.RUNNING, deployment=deployment)
    path = f"/trading/allocation/{ACCOUNT}"
    async with serving("api_trader", stack_settings) as api:
        await tell(api, state)
        async with asyncio.timeout(30):
            while not await api.get("/trading/strategies"):
                await asyncio.sleep(0.02)

        async def put(weights: dict[str, float], role: Role = Role.TRADER) -> Any:
            return await api.ask("PUT", path, role, json={"capital": "50000", "weights": weights})

        by_viewer, stranger = await put({"crossover": 0.5}, Role.VIEWER), await put({"momentum": 0.5})
        made = await put({"crossover": 0.5})
        too_much = await api.ask("PUT", path, Role.TRADER, json={"capital": "-1", "weights": {"crossover": 1}})
        (plan,) = await api.first_told("strategy.allocations.v1")
        async with asyncio.timeout(30):
            while not (listed := await api.get("/trading/allocation")):
                await asyncio.sleep(0.02)

    assert (by_viewer.status_code, stranger.status_code, too_much.status_code) == (403, 404, 422)
    assert "momentum" in stranger.json()["detail"]
    assert made.status_code == 202
    assert isinstance(plan, AllocationPlan)
    assert (plan.account_id, plan.capital, plan.weights) == (ACCOUNT, Decimal(50_000), {"crossover": 0.5})
    assert (listed[0]["capital"], listed[0]["by"]) == ("50000", "key test trader")
