"""Cassettes about orders and their fills, against risk, executor and portfolio: judged by ledger, topics and tables."""

from decimal import Decimal
from pathlib import Path

import pytest

from infra.settings import Settings
from schemas.account import TradingMode
from schemas.orders import OrderStatus, OrderType
from tests.builders import a_cancel
from tests.integration.a_judged_desk import Desk, a_judged_desk, impatient  # noqa: F401 # a fixture
from tests.integration.an_order_path import until

pytestmark = pytest.mark.usefixtures("impatient")

D = Decimal


@pytest.mark.parametrize(
    "name",
    [
        "closed-at-a-fill",
        "commission-late",
        "execution-price-corrected",
        "fill-before-acknowledgement",
        "fill-dropped",
        "fills-doubled",
        "fills-reordered",
        "halted-after-acknowledgement",
        "order-of-a-person",
        "permanent-id-comes-late",
        "status-dropped",
        "statuses-doubled",
        "statuses-reordered",
        "error-103-order-lives",
        "error-104-order-lives",
        "error-105-order-lives",
        "error-2102-order-lives",
        "error-321-order-lives",
        "error-329-order-lives",
        "error-399-order-lives",
        "error-404-order-lives",
    ],
)
async def test_an_order_is_filled_once_whatever_is_said_about_it(
    stack_settings: Settings, tmp_path: Path, name: str
) -> None:
    async with a_judged_desk(stack_settings, tmp_path, name) as desk:
        await desk.one_order_ends(OrderStatus.FILLED)
        assert desk.ledger().filled("first") == 10
        await desk.goes_on()


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [
        ("error-110-order-refused", OrderStatus.REJECTED, 110),
        ("error-201-order-refused", OrderStatus.REJECTED, 201),
        ("error-201-order-killed", OrderStatus.REJECTED, 201),
        ("error-202-order-killed", OrderStatus.CANCELED, 202),
    ],
)
async def test_an_order_that_is_refused_or_killed_ends_and_leaves_nothing_reserved(
    stack_settings: Settings, tmp_path: Path, name: str, status: OrderStatus, code: int
) -> None:
    async with a_judged_desk(stack_settings, tmp_path, name) as desk:
        await desk.one_order_ends(status)
        assert await desk.path.scalar("SELECT code FROM orders WHERE order_id = 'first'") == code
        await desk.goes_on()
        ids = [order.order_id for order in desk.ledger().orders.values()]
        assert len(ids) == len(set(ids))


@pytest.mark.parametrize(
    "name", ["error-10147-cancel-refused", "error-10148-cancel-refused", "error-161-cancel-refused"]
)
async def test_an_order_whose_cancel_was_refused_is_not_taken_for_cancelled_and_its_fill_counts(
    stack_settings: Settings, tmp_path: Path, name: str
) -> None:
    async with a_judged_desk(stack_settings, tmp_path, name) as desk:
        await _resting(desk)
        await desk.path.tell(a_cancel(order_id="first"))
        await desk.played.fired()
        desk.simulator.server.gateway.force_quote("AAPL", D(429))
        await desk.in_status("first", OrderStatus.FILLED)
        await desk.agrees()
        assert desk.ledger().filled("first") == 10


async def test_a_fill_after_the_cancel_was_confirmed_counts(stack_settings: Settings, tmp_path: Path) -> None:
    async with a_judged_desk(stack_settings, tmp_path, "fill-after-cancel") as desk:
        await _resting(desk, 100)
        await desk.path.tell(a_cancel(order_id="first"))
        await desk.played.fired()
        await desk.in_status("first", OrderStatus.FILLED)
        await desk.agrees()
        assert desk.ledger().filled("first") == 100
        told = [update for update in await desk.path.events("trading.orders.v1") if update.order_id == "first"]
        assert [update.status for update in told[-2:]] == [OrderStatus.CANCELED, OrderStatus.FILLED]
        assert "filled after it had been told as CANCELED" in told[-1].reason


@pytest.mark.parametrize("name", ["execution-busted", "execution-quantity-corrected"])
async def test_an_execution_that_shrinks_shrinks_the_position_and_nobody_trades_to_get_it_back(
    stack_settings: Settings, tmp_path: Path, name: str
) -> None:
    async with a_judged_desk(stack_settings, tmp_path, name) as desk:
        await desk.in_mode(TradingMode.ACTIVE)
        await desk.buy("first")
        await desk.played.fired()

        async def has_shrunk() -> bool:
            return any(desk.ledger().of("correction", "bust"))

        await until(has_shrunk)
        await desk.agrees()
        assert desk.ledger().filled("first") < 10
        await desk.goes_on()


async def test_an_overfill_counts_and_trading_halts(stack_settings: Settings, tmp_path: Path) -> None:
    async with a_judged_desk(stack_settings, tmp_path, "overfill") as desk:
        await desk.in_mode(TradingMode.ACTIVE)
        await desk.buy("first")
        await desk.played.fired()
        await desk.in_mode(TradingMode.HALTED)
        await desk.buy("next")
        await desk.agrees()
        assert desk.ledger().filled("first") == 60
        assert set(desk.ledger().orders_of_intents()) == {"first"}


async def _resting(desk: Desk, quantity: int = 10) -> None:
    await desk.in_mode(TradingMode.ACTIVE)
    await desk.buy("first", quantity, order_type=OrderType.LIMIT, limit_price=D("430.00"))
    await desk.in_status("first", OrderStatus.NEW)
