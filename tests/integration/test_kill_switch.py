"""Killing, as the gateway's ledger tells it: with everything up, with Kafka and PostgreSQL away, and after restarts."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from consumers import portfolio
from consumers.executor import executor
from consumers.risk import risk
from engine.trading_state import KILL_SWITCH
from infra.clock import SystemClock
from infra.gateway import ClientSlot, Connection, Orders
from infra.settings import Settings
from producers.kill_switch import switch
from schemas.account import TradingMode
from schemas.orders import OrderStatus, OrderType
from tests.a_ledger import Ledger
from tests.builders import a_trading_state
from tests.integration.a_kill_switch import a_kill_switch, arm, kill, state_of
from tests.integration.a_simulator import Simulator, a_simulator, with_gateway
from tests.integration.an_order_path import (
    CLOCK,
    OrderPath,
    a_live_intent,
    an_order_path,
    approvals_that_live,
    running,
    some_limits,
    until,
)

D = Decimal
ALL_DEALT_WITH = (
    "SELECT count(*) = 0 FROM decisions LEFT JOIN orders USING (decision_id) WHERE approved AND order_id IS NULL"
)
RESTING: dict[str, Any] = {"order_type": OrderType.LIMIT, "limit_price": D("430.00")}


@contextlib.asynccontextmanager
async def a_desk(settings: Settings, folder: Path) -> AsyncIterator[tuple[OrderPath, Simulator]]:
    async with a_simulator(folder) as simulator, an_order_path(settings) as path:
        path.settings = with_gateway(settings, simulator.server.port)
        await path.tell(some_limits())
        with approvals_that_live():
            async with services(path):
                await path.settled("risk")
                yield path, simulator


@contextlib.asynccontextmanager
async def services(path: OrderPath, *, ready: bool = True) -> AsyncIterator[None]:
    settings = path.settings
    order_path = (risk.build(settings), portfolio.build(settings), executor.build(settings))
    async with running(*order_path, ready=ready):
        yield


async def rests(path: OrderPath, *names: str, **changes: Any) -> None:
    """Orders that stay in the gateway's book."""
    for number, name in enumerate(names):
        price = {"limit_price": RESTING["limit_price"] - number} | changes
        await path.tell(a_live_intent(name, intent_id=name, **{**RESTING, **price}))
    for name in names:
        await until(lambda name=name: in_status(path, name, OrderStatus.NEW))  # type: ignore[misc] # bound at once


async def in_status(path: OrderPath, order_id: str, *wanted: OrderStatus) -> bool:
    found = await path.scalar("SELECT status FROM orders WHERE order_id = :id", id=order_id)
    return found in {each.value for each in wanted}


async def intents_stream(path: OrderPath) -> None:
    """Small resting orders, as fast as they are taken."""
    for number in itertools.count():
        price = D("430.00") - D(number % 500) / 100
        await path.tell(a_live_intent(f"s-{number}", intent_id=f"s-{number}", **{**RESTING, "limit_price": price}))
        await asyncio.sleep(0.005)


async def test_after_a_kill_no_order_reaches_the_gateway_and_every_open_one_is_cancelled_until_somebody_arms(
    stack_settings: Settings, tmp_path: Path
) -> None:
    async with a_simulator(tmp_path) as simulator, an_order_path(stack_settings) as path:
        path.settings = settings = with_gateway(stack_settings, simulator.server.port)
        await path.tell(some_limits())
        async with services(path), a_kill_switch(settings):
            await path.settled("risk")
            await rests(path, "one", "two")
            streaming = asyncio.create_task(intents_stream(path))
            await until(lambda: in_status(path, "s-5", OrderStatus.NEW))

            answer = await kill(settings)

            await until(lambda: nothing_open(simulator))
            state = await until(lambda: swept(settings))
            await path.settled("risk", ["trading.state.v1"])
            await until(lambda: path.scalar("SELECT count(*) > 0 FROM audit_log WHERE action = 'kill'"))
            streaming.cancel()
        lines = Ledger.read(simulator.ledger).lines
        kinds = [line["kind"] for line in lines]
        first = kinds.index("global_cancel_received")
        assert "order_received" not in kinds[first:], "nothing was sent after it was acknowledged"
        assert (answer["fenced"], answer["asked_gateway"]) == (True, True)  # how quick the disk is, is the disk's
        assert (state["open_orders"], [each["scope"] for each in state["kills"]]) == (0, ["global"])
        (told,) = [each for each in await path.events("trading.state.v1") if each.by == "kill switch"]
        assert (told.scope, told.mode, told.reason) == ("global", TradingMode.HALTED, "a drill (ann)")

        sent = set(simulator.placed())
        async with services(path, ready=False), a_kill_switch(settings):
            await path.tell(a_live_intent("late", intent_id="late"))
            await path.settled("risk", ["trading.intents.v1"])
            assert (await state_of(settings))["killed"], "restarting everything arms nothing"
            await until(lambda: path.scalar(ALL_DEALT_WITH))  # an approval lives for two seconds, also over an arming
            assert set(simulator.placed()) == sent

            assert await arm(settings) == {"armed": ["global"], "still_killed": []}
            names = itertools.count()
            after = await until(lambda: traded(path, names), seconds=40)
            assert set(simulator.placed()) == sent | {after}
            told = [each.mode for each in await path.events("trading.state.v1") if each.by == "kill switch"]
            assert told == [TradingMode.HALTED, TradingMode.HALTED, TradingMode.ACTIVE], "by itself, and by no echo"


async def test_an_executor_that_starts_says_no_kill_again_that_others_follow_already(
    stack_settings: Settings, tmp_path: Path
) -> None:
    async with a_simulator(tmp_path) as simulator, an_order_path(stack_settings) as path:
        path.settings = settings = with_gateway(stack_settings, simulator.server.port)
        for _ in range(2):
            now = CLOCK.now()
            halt = a_trading_state(scope="global", mode=TradingMode.HALTED, by=KILL_SWITCH)
            await path.tell(halt.model_copy(update={"event_time": now, "ingest_time": now}))
        async with running(executor.build(settings), ready=False):
            await path.settled("executor")
        assert len([each for each in await path.events("trading.state.v1") if each.by == KILL_SWITCH]) == 2


async def traded(path: OrderPath, names: Iterator[int]) -> str:
    """The order that came through: risk and the executor each hear of the arming in their own time."""
    name = f"after-{next(names)}"
    await path.tell(a_live_intent(name, intent_id=name))
    await until(lambda: ended(path, name))
    return name if await in_status(path, name, OrderStatus.FILLED) else ""


async def ended(path: OrderPath, name: str) -> bool:
    denied = await path.scalar("SELECT NOT approved FROM decisions WHERE intent_id = :id", id=name)
    return bool(denied) or await in_status(path, name, *(each for each in OrderStatus if each.final))


async def nothing_open(simulator: Simulator) -> bool:
    ledger = Ledger.read(simulator.ledger)
    return bool(list(ledger.of("global_cancel_received"))) and not ledger.live()


async def swept(settings: Settings) -> dict[str, Any]:
    state = await state_of(settings)
    return state if state["open_orders"] == 0 else {}


async def test_a_scoped_kill_is_the_executors_to_carry_out_and_leaves_the_others_alone(
    stack_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(switch, "CONFIRM_SECONDS", 30.0)  # whoever is only held up does confirm
    async with a_desk(stack_settings, tmp_path) as (path, simulator), a_kill_switch(path.settings):
        await rests(path, "theirs", strategy_id="other")
        await rests(path, "one", "two")

        await kill(path.settings, "strategy:crossover")

        await until(lambda: in_status(path, "one", OrderStatus.CANCELED))
        await until(lambda: in_status(path, "two", OrderStatus.CANCELED))
        await until(lambda: confirmed(path.settings))
        assert [each["scope"] for each in (await state_of(path.settings))["kills"]] == ["strategy:crossover"]
        assert not simulator.lines("global_cancel_received")
        assert await in_status(path, "theirs", OrderStatus.NEW)


async def confirmed(settings: Settings) -> bool:
    return not (await state_of(settings))["unconfirmed"]


async def test_a_scoped_kill_that_no_executor_confirms_becomes_one_of_everything(
    stack_settings: Settings, tmp_path: Path
) -> None:
    async with a_simulator(tmp_path) as simulator:
        settings = with_gateway(stack_settings, simulator.server.port)
        async with a_kill_switch(settings), an_order_at_the_gateway(settings, simulator):
            begun = SystemClock().monotonic()
            answer = await kill(settings, "account:")
            await until(lambda: nothing_open(simulator))

        assert answer["kill"]["scope"] == "account:DU1234567"
        (line,) = simulator.lines("global_cancel_received")[:1]
        assert line["monotonic_ns"] / 1e9 - begun >= 1.0


@contextlib.asynccontextmanager
async def an_order_at_the_gateway(settings: Settings, simulator: Simulator) -> AsyncIterator[None]:
    """Of a client that does nothing more."""
    connection = Connection(settings, ClientSlot.EXECUTOR)
    orders = Orders(connection, lambda _: None)
    await connection.start()
    try:
        await connection.usable(30)
        orders.place(1, a_live_intent("one", **RESTING))
        await until(lambda: there(simulator))
        yield
    finally:
        await connection.stop()


async def there(simulator: Simulator) -> bool:
    return bool(simulator.lines("order_accepted"))


async def test_it_works_while_kafka_and_the_database_are_away_and_tells_them_afterwards(
    stack_settings: Settings, tmp_path: Path
) -> None:
    async with a_simulator(tmp_path) as simulator, an_order_path(stack_settings) as path:
        settings = with_gateway(stack_settings, simulator.server.port)
        nowhere = SecretStr("postgresql://scizor:x@127.0.0.1:9/scizor")
        alone = settings.model_copy(update={"kafka": "127.0.0.1:9", "database_url": nowhere})
        async with an_order_at_the_gateway(settings, simulator):
            async with a_kill_switch(alone):
                await kill(alone)
                await until(lambda: nothing_open(simulator))
                assert (await state_of(alone))["untold"] == 2

            async with a_kill_switch(settings):
                await until(lambda: told_all(settings))

        first, *_ = await path.events("trading.state.v1")
        assert (first.scope, first.mode) == ("global", TradingMode.HALTED)
        (row,) = await path.rows("SELECT actor, action, target, detail FROM audit_log")
        assert (row.actor, row.action, row.target, row.detail["reason"]) == ("ann", "kill", "global", "a drill")


async def told_all(settings: Settings) -> bool:
    return bool((await state_of(settings))["untold"] == 0)
