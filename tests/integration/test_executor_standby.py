"""Two executors: one that was frozen and has lost its lease sends nothing, and the standby goes on."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from pathlib import Path

from infra.embedded.fostering import Foster, Nursery
from infra.settings import Settings
from schemas.account import TradingMode
from schemas.orders import OrderStatus
from tests.builders import a_trading_state
from tests.integration.a_forked_service import ended, forked, kill
from tests.integration.a_simulator import a_simulator, with_gateway
from tests.integration.an_approved_desk import Desk
from tests.integration.an_order_path import CLOCK, a_live_intent, an_order_path, until
from tests.integration.test_executor_crash import COMMITS_WAIT, LINGERS
from tests.integration.test_leases import CUT

HOLDS = " AND pid IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted)"


@contextlib.asynccontextmanager
async def two_executors(settings: Settings, nursery: Nursery, folder: Path) -> AsyncIterator[tuple[Desk, Foster]]:
    """The desk, and the process that leads; the other one waits for the lease."""
    async with a_simulator(folder) as simulator, an_order_path(settings) as path:
        path.settings = settings = with_gateway(settings, simulator.server.port)
        desk, children = Desk(path, simulator), []
        try:
            for instance in "12":
                own = settings.model_copy(update={"instance": instance, "metrics_port": 0})
                children.append(forked(nursery, "consumers.executor", own, folder / f"executor-{instance}.log"))
                if instance == "1":
                    await until(lambda: path.scalar("SELECT count(*) = 1 FROM leases"))
                    await until(lambda: asyncio.sleep(0, bool(simulator.lines("connected"))))
            yield desk, children[0]
        finally:
            for child in children:
                kill(child)


def is_frozen(child: Foster) -> bool:
    return Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


async def test_a_frozen_executor_that_lost_its_lease_sends_nothing_and_the_standby_goes_on(
    stack_settings: Settings, nursery: Nursery, tmp_path: Path
) -> None:
    async with two_executors(stack_settings, nursery, tmp_path) as (desk, leader):
        await desk.approve(a_live_intent("first", intent_id="first"))
        await desk.becomes("first", OrderStatus.FILLED)
        now = CLOCK.now()  # what the leader heard and committed, the standby has to know as well
        halt = a_trading_state(scope="strategy:wild", mode=TradingMode.HALTED, event_time=now, ingest_time=now)
        await desk.path.tell(halt)
        await desk.path.settled("executor", ["trading.state.v1"])
        for statement in COMMITS_WAIT:
            await desk.path.execute(statement)
        async with desk.path.locked("gate"):  # frozen between the commit that spends the approval and the socket
            await desk.approve(a_live_intent("unsent", intent_id="unsent-1"))
            await until(lambda: desk.path.scalar(LINGERS))
            leader.send(signal.SIGSTOP)
            await until(lambda: asyncio.sleep(0, is_frozen(leader)))
        epoch = await desk.path.scalar("SELECT epoch FROM leases WHERE name = 'executor'")
        await desk.path.rows(CUT + HOLDS)
        await until(lambda: desk.path.scalar(f"SELECT epoch > {epoch} FROM leases WHERE name = 'executor'"))
        leader.send(signal.SIGCONT)
        assert await ended(leader) != 0

        await desk.becomes("unsent-1", OrderStatus.EXPIRED)
        # the consumer group takes some seconds to see that its member has died
        await until(lambda: asyncio.sleep(0, "started" in (tmp_path / "executor-2.log").read_text()), seconds=30)
        await desk.approve(a_live_intent("wild", intent_id="wild", strategy_id="wild"))
        await desk.becomes("wild", OrderStatus.EXPIRED)
        await desk.approve(a_live_intent("next", intent_id="next"))
        await desk.becomes("next", OrderStatus.FILLED)
        assert set(desk.simulator.placed()) == {"first", "next"}
