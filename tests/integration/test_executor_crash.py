"""The executor is killed at chosen moments of the real protocol: never a second order, never a lost fill.

The judge is the simulator's ledger, not our own word.
"""

import contextlib
import signal
from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from consumers import portfolio
from consumers.risk import risk
from infra.embedded.fostering import Foster, Nursery
from infra.embedded.ports import free_port
from infra.gateway import ClientSlot, Connection, Orders
from infra.settings import Settings
from schemas.account import TradingMode
from schemas.orders import Side
from tests.integration.a_forked_service import ended, forked, kill
from tests.integration.a_simulator import Simulator, a_simulator, with_gateway
from tests.integration.an_order_path import (
    LONG_LIFE,
    OrderPath,
    a_live_intent,
    an_order_path,
    approvals_that_live,
    running,
    some_limits,
    until,
)

D = Decimal
QUANTITY = D(10)

# where the process dies, how often, and whether the order may come to life
PLANS: list[tuple[str, int, dict[str, Any], dict[str, Any]]] = [
    ("the gateway has the order", 20, {"event": "placeOrder received"}, {}),
    ("the order is lost on its way", 2, {"event": "placeOrder received"}, {"drop": True}),
    ("the acknowledgement leaves", 2, {"event": "ack sent"}, {}),
    ("the acknowledgement is held back", 1, {"event": "ack sent"}, {"before": True}),
    ("the fill leaves", 2, {"event": "fill sent"}, {}),
    ("the fill is held back", 1, {"event": "fill sent"}, {"before": True}),
    ("the commission leaves", 1, {"event": "commission sent"}, {}),
]
KILLS_BEFORE_SEND = 2

# PostgreSQL finishes a commit whose client has died: the order is written, and was never sent
_LINGER = """
CREATE FUNCTION linger() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN LOCK TABLE gate IN ACCESS SHARE MODE; RETURN NULL; END $$"""
_LINGERING = """
CREATE CONSTRAINT TRIGGER linger AFTER INSERT ON orders DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW WHEN (NEW.order_id LIKE 'unsent-%') EXECUTE FUNCTION linger()"""
COMMITS_WAIT = ("CREATE TABLE gate (number int)", _LINGER, _LINGERING)
"""Commits of such orders, while `gate` is locked."""
LINGERS = (
    "SELECT count(*) > 0 FROM pg_locks JOIN pg_database d ON d.oid = database"
    " WHERE datname = current_database() AND relation = 'gate'::regclass AND NOT granted"
)


class ExecutorProcess:
    """The real process, started again and again."""

    def __init__(self, settings: Settings, simulator: Simulator, nursery: Nursery, log: Path) -> None:
        self._settings = settings.model_copy(update={"metrics_port": free_port()})
        self._simulator = simulator
        self._nursery = nursery
        self._log = log
        self._process: Foster | None = None

    async def start(self) -> None:
        """Start, and wait until it says that it is ready to trade."""
        self._process = forked(self._nursery, "consumers.executor", self._settings, self._log)
        self._simulator.server.gateway.faults.register("executor", self._process.pid)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{self._settings.metrics_port}") as client:

            async def ready() -> bool:
                assert self._process is not None
                assert self._process.exit_code is None, self._log.read_text()[-3000:]
                try:
                    return (await client.get("/ready")).status_code == 200
                except httpx.TransportError:
                    return False

            await until(ready, seconds=30)

    async def died(self) -> None:
        """Wait for the end that a fault brought."""
        assert self._process is not None
        assert await ended(self._process) == -signal.SIGKILL

    def kill(self) -> None:
        if self._process is not None:
            kill(self._process)


@contextlib.asynccontextmanager
async def a_crashing_desk(
    settings: Settings, nursery: Nursery, folder: Path, approvals_live: timedelta = LONG_LIFE
) -> AsyncIterator[tuple[OrderPath, Simulator, ExecutorProcess]]:
    async with a_simulator(folder) as simulator, an_order_path(settings) as path:
        settings = with_gateway(settings, simulator.server.port, reconcile_patience_seconds=0.3)
        path.settings = settings
        await path.tell(some_limits())
        executor = ExecutorProcess(settings, simulator, nursery, folder / "executor.log")
        with approvals_that_live(approvals_live):
            async with running(risk.build(settings), portfolio.build(settings)):
                try:
                    await executor.start()
                    yield path, simulator, executor
                finally:
                    executor.kill()


async def trading(path: OrderPath) -> None:
    """Wait until risk, too, takes the account for active."""
    scope = f"SELECT mode = '{TradingMode.ACTIVE}' FROM trading_state"
    await path.settled("risk")
    await until(lambda: path.scalar(scope))


async def crash(path: OrderPath, executor: ExecutorProcess, name: str, number: int) -> None:
    """One intent, one death, one recovery."""
    await trading(path)
    side = Side.BUY if number % 3 else Side.SELL
    await path.tell(a_live_intent(name, intent_id=name, side=side, quantity=QUANTITY + number))
    await executor.died()
    await executor.start()


@pytest.mark.timeout(400)  # twenty kills and recoveries, on a machine that may be busy
async def test_an_executor_killed_at_any_moment_sends_no_order_twice_and_loses_no_fill(
    stack_settings: Settings, nursery: Nursery, tmp_path: Path
) -> None:
    async with a_crashing_desk(stack_settings, nursery, tmp_path) as (path, simulator, executor):
        faults = simulator.server.gateway.faults
        number = 0
        for plan, (_, times, on, do) in enumerate(PLANS):
            for _ in range(times):
                number += 1
                faults.arm(on, {"signal": "KILL", "target": "executor", **do})
                await crash(path, executor, f"crash-{plan}-{number}", number)
        lost = {name for name in await sent(path) if PLANS[int(name.split("-")[1])][3].get("drop")}
        await settle(path, number)

        judge(simulator, await orders(path))
        await compare(path, simulator)
        assert number == len(await orders(path)) >= 25
        assert {name for name, status in (await orders(path)).items() if status == "EXPIRED"} == lost


async def test_an_executor_killed_between_its_commit_and_the_socket_never_sends_that_order(
    stack_settings: Settings, nursery: Nursery, tmp_path: Path
) -> None:
    async with a_crashing_desk(stack_settings, nursery, tmp_path) as (path, simulator, executor):
        for statement in COMMITS_WAIT:
            await path.execute(statement)
        for number in range(KILLS_BEFORE_SEND):
            await trading(path)
            async with path.locked("gate"):
                await path.tell(a_live_intent(number, intent_id=f"unsent-{number}", quantity=QUANTITY + number))
                await until(lambda: path.scalar(LINGERS))
                executor.kill()
            committed = "SELECT count(*) = :count FROM orders"
            await until(partial(path.scalar, committed, count=number + 1))
            await executor.start()
        await settle(path, KILLS_BEFORE_SEND)

        assert simulator.placed() == {}
        assert set((await orders(path)).values()) == {"EXPIRED"}
        await compare(path, simulator)


async def test_an_order_of_which_nobody_can_tell_keeps_its_reservation_and_blocks_its_instrument(
    stack_settings: Settings, nursery: Nursery, tmp_path: Path
) -> None:
    async with a_crashing_desk(stack_settings, nursery, tmp_path) as (path, simulator, executor):
        await trading(path)
        simulator.server.gateway.faults.arm(
            {"event": "placeOrder received"}, {"signal": "KILL", "target": "executor", "drop": True}
        )
        await path.tell(a_live_intent("lost", intent_id="lost"))
        await executor.died()
        await use_a_later_order_id(path)
        await executor.start()
        unknown = "SELECT status = 'UNKNOWN' FROM orders WHERE order_id = 'lost'"
        await until(lambda: path.scalar(unknown))
        await until(lambda: path.scalar("SELECT state = 'unknown' FROM reservations WHERE order_id = 'lost'"))
        await trading(path)
        await path.tell(a_live_intent("next", intent_id="next", quantity=D(7)))
        await path.tell(a_live_intent("other", intent_id="other", contract_id=8314, symbol="IBM", quantity=D(7)))
        await until(lambda: path.scalar("SELECT status = 'FILLED' FROM orders WHERE order_id = 'other'"))

        assert await path.scalar("SELECT reason FROM decisions WHERE intent_id = 'next'") == "instrument_blocked"
        assert await path.scalar("SELECT remaining FROM reservations WHERE order_id = 'lost'") == 100
        assert "lost" not in simulator.placed()


async def use_a_later_order_id(path: OrderPath) -> None:
    """What the order id of a lost order looks like when a later one has come through."""
    connection = Connection(path.settings, ClientSlot.EXECUTOR)
    orders = Orders(connection, lambda report: None)
    await connection.start()
    await connection.usable(30)
    orders.place(10_000, a_live_intent("later", intent_id="later", quantity=D(1)))

    async def moved_on() -> bool:
        return await orders.next_order_id() > 10_000

    await until(moved_on)
    await connection.stop()


async def sent(path: OrderPath) -> list[str]:
    return list(await orders(path))


async def orders(path: OrderPath) -> dict[str, str]:
    return {row[0]: row[1] for row in await path.rows("SELECT order_id, status FROM orders")}


async def settle(path: OrderPath, count: int) -> None:
    """Wait until every order has ended and every service has caught up."""
    ended = "SELECT count(*) = :count FROM orders WHERE status IN ('FILLED', 'EXPIRED', 'CANCELED', 'REJECTED')"
    await until(lambda: path.scalar(ended, count=count))
    fills = "SELECT (SELECT count(*) FROM fills) = (SELECT count(*) FROM commissions)"
    await until(lambda: path.scalar(fills))
    for group in ("executor", "portfolio", "risk"):
        await path.settled(group)


def judge(simulator: Simulator, known: dict[str, str]) -> None:
    """By the gateway's ledger: at most one broker order per intent, and none that we do not know."""
    placed = simulator.placed()
    assert {ref: ids for ref, ids in placed.items() if len(ids) > 1} == {}
    assert len(simulator.lines("order_accepted")) == len(
        {line["order_id"] for line in simulator.lines("order_accepted")}
    )
    assert set(placed) <= set(known)


async def compare(path: OrderPath, simulator: Simulator) -> None:
    """Every fill is in the database, once; the position is the gateway's; nothing stays reserved."""
    theirs: dict[str, Decimal] = {}
    for line in simulator.lines("fill"):
        theirs[line["order_ref"]] = theirs.get(line["order_ref"], D(0)) + D(line["quantity"])
    rows = await path.rows("SELECT order_id, sum(last_quantity) FROM fills GROUP BY order_id")
    assert {row[0]: row[1] for row in rows} == theirs
    held = {row[0]: row[1] for row in await path.rows("SELECT contract_id, quantity FROM positions") if row[1]}
    assert held == simulator.positions()
    assert await path.scalar("SELECT coalesce(sum(remaining), 0) FROM reservations") == 0
    book = {row[0]: row[1] for row in await path.rows("SELECT contract_id, quantity FROM book_positions") if row[1]}
    assert book == held
