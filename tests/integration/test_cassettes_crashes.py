"""Cassettes that kill or stop the executor's process at a moment of the protocol: the ledger is the judge."""

from decimal import Decimal
from pathlib import Path

from engine.risk import APPROVAL_LIFE
from infra.embedded.fostering import Nursery
from infra.gateway_simulator.faults import cassette
from infra.settings import Settings
from schemas.orders import OrderStatus, OrderType
from tests.builders import a_cancel
from tests.integration.a_cassette import Played
from tests.integration.a_judged_desk import Desk
from tests.integration.test_executor_crash import ExecutorProcess, a_crashing_desk

KILLED = (
    "executor-killed-at-its-order",
    "executor-killed-at-a-lost-order",
    "executor-killed-at-the-acknowledgement",
    "executor-killed-before-the-acknowledgement",
    "executor-killed-at-a-fill",
    "executor-killed-at-a-commission",
    "executor-killed-while-it-reconciles",
    "executor-killed-at-its-cancel",
    "ghost-client",
)
ENDS = (OrderStatus.FILLED, OrderStatus.EXPIRED, OrderStatus.CANCELED)


async def test_an_executor_that_is_killed_sends_nothing_blindly_again(
    stack_settings: Settings, nursery: Nursery, tmp_path: Path
) -> None:
    """One stack for all: each death leaves behind what the next one finds."""
    async with a_crashing_desk(stack_settings, nursery, tmp_path) as (path, simulator, executor):
        for number, name in enumerate(KILLED):
            desk = Desk(path, Played(simulator, cassette.load(name)))
            await desk.trades(f"before-{number}")
            await _die(desk, executor, f"crash-{number}", 10 + number)
            await executor.start()
            await desk.played.fired()
            await desk.in_status(f"crash-{number}", *ENDS)
            await desk.agrees()
            arrived = f"crash-{number}" in desk.ledger().orders_of_intents()
            assert arrived is (name != "executor-killed-at-a-lost-order"), name


async def _die(desk: Desk, executor: ExecutorProcess, order_id: str, quantity: int) -> None:
    cancels = desk.played.cassette.name == "executor-killed-at-its-cancel"
    resting = {"order_type": OrderType.LIMIT, "limit_price": Decimal(430)} if cancels else {}
    desk.simulator.server.gateway.director.load(desk.played.cassette)
    await desk.buy(order_id, quantity, **resting)
    if cancels:
        await desk.in_status(order_id, OrderStatus.NEW)
        await desk.path.tell(a_cancel(order_id=order_id))
    await executor.died()


async def test_an_executor_that_was_stopped_sends_nothing_that_has_expired(
    stack_settings: Settings, nursery: Nursery, tmp_path: Path
) -> None:
    name = "executor-paused-at-its-order"
    async with a_crashing_desk(stack_settings, nursery, tmp_path, APPROVAL_LIFE) as (path, simulator, _):
        desk = Desk(path, Played(simulator, cassette.load(name)))
        await desk.trades("before")
        simulator.server.gateway.director.load(desk.played.cassette)
        await desk.buy("first")
        await desk.played.fired()
        await desk.buy("expired", 11)
        await desk.in_status("first", OrderStatus.FILLED)
        await desk.in_status("expired", OrderStatus.EXPIRED)
        await desk.agrees()
        assert "expired" not in desk.ledger().orders_of_intents()
