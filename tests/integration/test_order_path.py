"""From an intent to a position, through risk, the executor and a gateway that speaks the real protocol."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from consumers import portfolio
from consumers.executor import executor
from consumers.risk import risk
from engine.risk import APPROVAL_LIFE, Book, check
from infra.errors import RefusedError
from infra.gateway import ClientSlot, Connection, Orders
from infra.settings import Settings
from schemas.account import TradingMode
from schemas.orders import Commission, Fill, OrderStatus, OrderType, Side
from schemas.reconciliation import Reconciled, ReconciliationAsked
from tests.builders import APPLE, a_cancel, a_change, as_seen
from tests.integration.a_simulator import Simulator, a_simulator, with_gateway
from tests.integration.an_order_path import (
    ACCOUNT,
    CLOCK,
    TOPICS,
    OrderPath,
    a_live_intent,
    a_state,
    an_order_path,
    approvals_that_live,
    running,
    some_limits,
    until,
)

D = Decimal


async def statuses(path: OrderPath, order_id: str) -> list[OrderStatus]:
    return [told.status for told in await path.events("trading.orders.v1") if told.order_id == order_id]


async def filled(path: OrderPath, order_id: str = "intent-1") -> bool:
    return OrderStatus.FILLED in await statuses(path, order_id)


@contextlib.asynccontextmanager
async def a_desk(settings: Settings, folder: Path, **changes: Any) -> AsyncIterator[tuple[OrderPath, Simulator]]:
    """The whole path, active, with limits."""
    async with a_simulator(folder) as simulator, an_order_path(settings) as path:
        settings = with_gateway(settings, simulator.server.port, **changes)
        path.settings = settings
        await path.tell(some_limits())
        services = risk.build(settings), portfolio.build(settings), executor.build(settings)
        with approvals_that_live():
            async with running(*services):
                await path.settled("risk")
                yield path, simulator


async def positions(path: OrderPath) -> dict[int, Decimal]:
    return {row[0]: row[1] for row in await path.rows("SELECT contract_id, quantity FROM positions") if row[1]}


async def everything_charged(path: OrderPath, simulator: Simulator) -> bool:
    """The topic has the commission of every fill that the broker made: tables have it before."""
    events = await path.events("trading.fills.v1")
    charged = {each.execution_id for each in events if isinstance(each, Commission)}
    return len(charged) == len(simulator.lines("fill"))


async def nothing_reserved(path: OrderPath) -> bool:
    return bool(await path.scalar("SELECT sum(remaining) = 0 FROM reservations"))


async def test_an_intent_becomes_an_order_a_fill_and_a_position(stack_settings: Settings, tmp_path: Path) -> None:
    async with a_desk(stack_settings, tmp_path) as (path, simulator):
        await path.tell(a_live_intent(1))
        await until(lambda: filled(path))
        await path.tell(a_live_intent(2, side=Side.SELL, quantity=D(40)))
        await until(lambda: filled(path, "intent-2"))
        await until(lambda: everything_charged(path, simulator))
        await path.settled("portfolio")
        await path.settled("risk")

        assert await positions(path) == simulator.positions() == {APPLE: D(60)}
        (known,) = await path.rows("SELECT quantity, commission FROM positions")
        assert known.commission == sum(D(line["commission"]) for line in simulator.lines("fill"))
        assert await nothing_reserved(path)
        assert await path.scalar("SELECT quantity FROM book_positions") == 60
        fills = [event for event in await path.events("trading.fills.v1") if isinstance(event, Fill)]
        assert {fill.order_id for fill in fills} == {"intent-1", "intent-2"}

        async def told_of_sixty() -> bool:
            return [event.quantity for event in await path.events("trading.positions.v1")][-1:] == [D(60)]

        await until(told_of_sixty)
        told = await statuses(path, "intent-1")
        assert (told[0], told[-1]) == (OrderStatus.SENDING, OrderStatus.FILLED)

        async def accounted() -> bool:
            states = await path.events("trading.accounts.v1")
            return bool(states) and states[-1].positions == {str(APPLE): D(60)}

        await until(accounted)
        closes = [a_live_intent(name, side=Side.SELL, quantity=D(60), reduces_only=True) for name in ("3", "4")]
        await path.tell(*closes)  # two people close the same position at once
        await until(lambda: filled(path, "intent-3"))
        await until(lambda: path.scalar("SELECT count(*) = 1 FROM decisions WHERE reason = 'reducing_only'"))
        await until(lambda: everything_charged(path, simulator))
        await path.settled("portfolio")
        assert await positions(path) == simulator.positions() == {}


async def test_a_denied_intent_never_reaches_the_gateway(stack_settings: Settings, tmp_path: Path) -> None:
    async with a_desk(stack_settings, tmp_path) as (path, simulator):
        await path.tell(a_live_intent(1, quantity=D(5000)), a_live_intent(2))
        await until(lambda: filled(path, "intent-2"))

        assert set(simulator.placed()) == {"intent-2"}
        (breach,) = await path.events("risk.events.v1")
        assert breach.rule == "quantity_max"
        assert await statuses(path, "intent-1") == []


async def test_every_record_of_every_topic_delivered_twice_changes_nothing(
    stack_settings: Settings, tmp_path: Path
) -> None:
    async with a_desk(stack_settings, tmp_path) as (path, simulator):
        await path.tell(a_live_intent(1))
        await until(lambda: filled(path))
        await path.tell(a_live_intent(2, side=Side.SELL, quantity=D(30)))
        await until(lambda: filled(path, "intent-2"))
        await until(lambda: everything_charged(path, simulator))
        for group in ("risk", "portfolio", "executor"):
            await path.settled(group)
        before = await everything(path)
        for topic in TOPICS:
            for record in await path.records(topic):
                await path.raw(topic, record.key, record.value, record.headers)
        for group in ("risk", "portfolio", "executor"):
            await path.settled(group)

        assert await everything(path) == before
        assert {len(found) for found in simulator.placed().values()} == {1}
        assert len(simulator.lines("order_received")) == 2


async def everything(path: OrderPath) -> dict[str, list[str]]:
    """All that the order path knows, but for when it last looked."""
    names = [
        "book_positions", "book_executions", "reservations", "decisions", "intents", "orders", "order_events",
        "fills", "commissions", "trades", "order_ids", "risk_events",
    ]  # fmt: skip
    positions = [str(row) for row in await path.rows("SELECT contract_id, quantity, fills, commission FROM positions")]
    states = [str(row) for row in await path.rows("SELECT scope, mode, by FROM trading_state ORDER BY scope")]
    return await path.dump(*names) | {"positions": positions, "states": states}


async def test_a_forged_approval_does_nothing(stack_settings: Settings, tmp_path: Path) -> None:
    async with a_desk(stack_settings, tmp_path) as (path, simulator):
        wish = a_live_intent("forged")
        book = Book(trading_mode=TradingMode.ACTIVE, limits=some_limits(), **as_seen(wish))
        await path.tell(check(wish, book, CLOCK.now()))
        # a real approval, changed on its way
        await path.tell(a_live_intent(1, order_type=OrderType.LIMIT, limit_price=D("430.00")))
        await until(lambda: path.scalar("SELECT count(*) = 1 FROM orders"))
        (real,) = [each for each in await path.events("trading.decisions.v1") if each.intent_id == "intent-1"]
        more = real.intent.revised(quantity=D(999))
        await path.tell(real.revised(intent=more.model_dump()))
        await path.tell(a_live_intent(2))
        await until(lambda: filled(path, "intent-2"))

        assert set(simulator.placed()) == {"intent-1", "intent-2"}
        assert [line["quantity"] for line in simulator.lines("order_received")] == ["100", "100"]
        assert await path.scalar("SELECT count(*) FROM orders") == 2


async def test_a_working_order_can_be_cancelled(stack_settings: Settings, tmp_path: Path) -> None:
    async with a_desk(stack_settings, tmp_path) as (path, _):
        await path.tell(a_live_intent(1, order_type=OrderType.LIMIT, limit_price=D("430.00")))

        async def told(status: OrderStatus) -> bool:
            return status in await statuses(path, "intent-1")

        await until(lambda: told(OrderStatus.NEW))
        assert await path.scalar("SELECT sum(remaining) FROM reservations") == 100
        await path.tell(a_cancel(order_id="intent-1"))
        await until(lambda: told(OrderStatus.CANCELED))
        await until(lambda: nothing_reserved(path))
        assert await path.scalar("SELECT code FROM orders") == 202


async def test_a_bracket_and_a_change_pass_risk_and_leave_nothing_reserved(
    stack_settings: Settings, tmp_path: Path
) -> None:
    legs = ("b-entry", "b-stop", "b-profit")
    exits: dict[str, Any] = {
        "side": Side.SELL, "legs": legs, "parent_id": "b-entry", "oca_group": "b-exits", "oca_reduces": True,
    }  # fmt: skip
    async with a_desk(stack_settings, tmp_path) as (path, simulator):
        await path.tell(
            a_live_intent("b", intent_id="b-entry", legs=legs),
            a_live_intent("b", intent_id="b-stop", order_type=OrderType.STOP, stop_price=D("430.00"), **exits),
            a_live_intent("b", intent_id="b-profit", order_type=OrderType.LIMIT, limit_price=D("450.00"), **exits),
        )
        await until(lambda: filled(path, "b-entry"))
        working = "SELECT count(*) = 2 FROM orders WHERE status = 'NEW'"
        await until(lambda: path.scalar(working))
        await path.settled("risk")
        assert [line["order_ref"] for line in simulator.lines("order_received")] == list(legs)

        (profit,) = [each for each in await path.events("trading.intents.v1") if each.intent_id == "b-profit"]
        now = CLOCK.now()
        await path.tell(a_change(profit.revised(limit_price=D("435.00"), reference_time=now, ingest_time=now)))
        await until(lambda: filled(path, "b-profit"))
        await until(lambda: path.scalar("SELECT status = 'CANCELED' FROM orders WHERE order_id = 'b-stop'"))
        await until(lambda: nothing_reserved(path))
        assert simulator.positions() == {}


async def test_an_approval_that_is_too_old_is_not_acted_on_and_its_reservation_ends(
    stack_settings: Settings, tmp_path: Path
) -> None:
    async with a_simulator(tmp_path) as simulator, an_order_path(stack_settings) as path:
        settings = with_gateway(stack_settings, simulator.server.port)
        await path.tell(some_limits(), a_state(TradingMode.ACTIVE, by="executor"))
        async with running(risk.build(settings)):
            await path.settled("risk")
            await path.tell(a_live_intent(1))
            await until(lambda: path.scalar("SELECT count(*) = 1 FROM decisions"))
            await asyncio.sleep(APPROVAL_LIFE.total_seconds())
            async with running(executor.build(settings)):
                await until(lambda: path.scalar("SELECT count(*) = 1 FROM orders WHERE status = 'EXPIRED'"))
                await path.settled("executor")
            await until(lambda: nothing_reserved(path))
            assert simulator.placed() == {}


async def test_a_halt_of_a_person_survives_a_restart_and_only_a_person_lifts_it(
    stack_settings: Settings, tmp_path: Path
) -> None:
    async with a_desk(stack_settings, tmp_path) as (path, simulator):
        await path.tell(a_state(TradingMode.HALTED))
        await path.settled("risk")
        await path.settled("executor")
    async with a_simulator(tmp_path) as simulator, an_order_path(stack_settings) as path:
        settings = with_gateway(stack_settings, simulator.server.port)
        async with running(risk.build(settings), executor.build(settings)):
            await path.settled("risk")
            await path.tell(a_live_intent(1))
            await until(lambda: path.scalar("SELECT count(*) = 1 FROM decisions WHERE reason = 'trading_halted'"))
            await path.tell(a_state(TradingMode.ACTIVE))
            await path.settled("risk")
            await path.settled("executor")
            await path.tell(a_live_intent(2))
            await until(lambda: filled(path, "intent-2"))
            assert set(simulator.placed()) == {"intent-2"}


async def test_orders_and_fills_of_others_are_counted_and_left_alone(stack_settings: Settings, tmp_path: Path) -> None:
    async with a_desk(stack_settings, tmp_path) as (path, simulator):
        stranger = Connection(path.settings, ClientSlot.KILL_SWITCH)
        orders = Orders(stranger, lambda report: None)
        await stranger.start()
        await stranger.usable(30)
        orders.place(1, a_live_intent("by-hand", quantity=D(70)))
        resting = a_live_intent("resting", quantity=D(30), order_type=OrderType.LIMIT, limit_price=D("420.00"))
        orders.place(2, resting)

        async def agreed() -> bool:
            rows = await path.rows("SELECT remaining FROM reservations WHERE strategy_id = 'external'")
            return await positions(path) == {APPLE: D(70)} and [row[0] for row in rows if row[0]] == [D(30)]

        await until(agreed)
        assert simulator.positions() == {APPLE: D(70)}
        await stranger.stop()


async def test_positions_that_differ_halt_the_account_until_a_person_accepts_the_brokers(
    stack_settings: Settings, tmp_path: Path
) -> None:
    async with a_desk(stack_settings, tmp_path) as (path, _):
        await path.tell(a_live_intent(1))
        await until(lambda: filled(path))
        await path.execute("UPDATE fills SET last_quantity = 90")

        async def mode_is(mode: TradingMode) -> bool:
            return [s.mode for s in await path.events("trading.state.v1")][-1] is mode

        await until(lambda: mode_is(TradingMode.HALTED))
        await path.settled("risk")
        await path.tell(a_live_intent(2))
        await until(lambda: path.scalar("SELECT count(*) = 1 FROM decisions WHERE reason = 'trading_halted'"))
        reasons = [state.reason for state in await path.events("trading.state.v1")]
        assert f"contract {APPLE}: we count 90, the broker 100" in reasons[-1]
        (found,) = await asked_to_compare(path, "first")
        assert f"contract {APPLE}: we count 90, the broker 100" in found.troubles

        await path.tell(a_state(TradingMode.ACTIVE, accept_positions=True))
        await until(lambda: path.scalar("SELECT count(*) = 1 FROM fills WHERE execution_id LIKE 'adjustment%'"))
        await path.settled("risk")
        await path.settled("executor")
        await path.tell(a_live_intent(3))
        await until(lambda: filled(path, "intent-3"))

        async def they_agree() -> bool:
            return not (await asked_to_compare(path, f"{CLOCK.now():%H%M%S.%f}"))[0].troubles

        await until(they_agree)


async def asked_to_compare(path: OrderPath, request_id: str) -> list[Reconciled]:
    """Somebody asks for a comparison of the books: what it has found, told once."""
    now = CLOCK.now()
    fields = {"by": "ann", "event_time": now, "ingest_time": now}
    await path.tell(
        ReconciliationAsked(request_id=f"of-nobody-{request_id}", account_id="DU999", **fields),
        ReconciliationAsked(request_id=request_id, account_id=ACCOUNT, **fields),
    )

    async def answers() -> list[Reconciled]:
        told = await path.events("trading.reconciliations.v1")
        return [each for each in told if isinstance(each, Reconciled) and each.request_id == request_id]

    return await until(answers)


async def test_a_gateway_that_goes_away_stops_the_flow_and_comes_back_reconciled(
    stack_settings: Settings, tmp_path: Path
) -> None:
    async with a_desk(stack_settings, tmp_path) as (path, simulator):
        await path.tell(a_live_intent(1))
        await until(lambda: filled(path))
        await path.settled("risk")
        for session in tuple(simulator.server.gateway.shared.sessions.values()):
            session.close()  # the gateway drops everybody

        async def resumed() -> bool:
            told = [s.mode for s in await path.events("trading.state.v1")]
            return told[-1] is TradingMode.ACTIVE and told.count(TradingMode.ACTIVE) > 1

        await until(resumed)
        await path.settled("risk")
        await path.settled("executor")
        await path.tell(a_live_intent(2))
        await until(lambda: filled(path, "intent-2"))
        assert {len(found) for found in simulator.placed().values()} == {1}


async def test_a_live_account_is_refused_without_a_permit(stack_settings: Settings, tmp_path: Path) -> None:
    async with a_simulator(tmp_path, account="U7654321") as simulator, an_order_path(stack_settings):
        settings = with_gateway(stack_settings, simulator.server.port)
        with pytest.raises(RefusedError, match="SCIZOR_TRADING_MODE is simulated"):
            async with running(executor.build(settings)):
                pass


async def test_a_real_gateway_is_refused_over_a_kafka_that_anybody_may_write_to(stack_settings: Settings) -> None:
    settings = stack_settings.model_copy(update={"ib_host": "127.0.0.1", "trading_mode": "paper"})
    with pytest.raises(RefusedError, match="SCIZOR_ALLOW_OPEN_KAFKA"):
        executor.build(settings)
    executor.guard(settings.model_copy(update={"allow_open_kafka": True}))
    executor.guard(settings.model_copy(update={"kafka_security": "SASL_SSL"}))
