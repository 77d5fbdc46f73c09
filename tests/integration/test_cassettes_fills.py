"""Cassettes against risk, executor and portfolio as they run, judged by the ledger and the database."""

from decimal import Decimal
from pathlib import Path

import pytest

from consumers import portfolio, risk
from consumers.executor import executor
from infra.settings import Settings
from schemas.account import TradingMode
from tests.integration.a_cassette import Played, a_cassette
from tests.integration.a_simulator import with_gateway
from tests.integration.an_order_path import OrderPath, a_live_intent, an_order_path, running, some_limits, until

D = Decimal


@pytest.mark.parametrize(
    "name", ["fills-doubled", "fill-dropped", "outage-data-lost", "execution-quantity-corrected", "closed-at-a-fill"]
)
async def test_every_fill_is_stored_once_and_positions_are_the_gateways(
    stack_settings: Settings, tmp_path: Path, name: str
) -> None:
    async with a_cassette(name, tmp_path) as played, an_order_path(stack_settings) as path:
        settings = with_gateway(stack_settings, played.simulator.server.port)
        path.settings = settings
        await path.tell(some_limits())
        async with running(risk.build(settings), executor.build(settings), portfolio.build(settings)):
            await active(path)
            await path.tell(a_live_intent(1, quantity=D(10)))
            await played.fired()
            await until(lambda: agree(path, played), seconds=40)

        assert played.ledger().twice() == {}


async def active(path: OrderPath) -> None:
    await path.settled("risk")
    await until(lambda: path.scalar(f"SELECT mode = '{TradingMode.ACTIVE}' FROM trading_state"), seconds=30)


async def agree(path: OrderPath, played: Played) -> bool:
    """Two ways, one answer: the newest revision of each fill, and what is held."""
    ledger = played.ledger()
    rows = await path.rows("SELECT contract_id, quantity FROM positions")
    held = {row[0]: row[1] for row in rows if row[1]}
    return bool(ledger.fills) and held == ledger.positions() == ledger.held()
