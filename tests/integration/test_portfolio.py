"""The portfolio on the real broker and database: a restart folds the ledger again and tells what was not told."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

from consumers import portfolio
from infra.settings import Settings
from schemas.orders import Commission, Fill, FillCorrected, Side
from tests.builders import NOON, SEEN, a_fill
from tests.integration.an_order_path import ACCOUNT, OrderPath, an_order_path, running, until

D = Decimal


def executed(number: int, quantity: int, price: str, **changes: Any) -> Fill:
    return a_fill(
        execution_id=f"exec.{number}",
        side=Side.BUY if quantity > 0 else Side.SELL,
        last_quantity=D(abs(quantity)),
        last_price=D(price),
        event_time=NOON + timedelta(minutes=number),
        **changes,
    )


def cost(number: int, amount: str) -> Commission:
    return Commission(
        execution_id=f"exec.{number}",
        account_id=ACCOUNT,
        amount=D(amount),
        currency="USD",
        event_time=NOON,
        ingest_time=SEEN,
    )


async def position(path: OrderPath) -> list[Decimal]:
    columns = "quantity, average_price, realised_pnl, commission, fills"
    return [D(value) for row in await path.rows(f"SELECT {columns} FROM positions") for value in row]


async def quantities_told(path: OrderPath, count: int) -> list[Decimal]:
    """Of the position, once there are so many: what is committed is told a moment later."""

    async def told() -> list[Decimal]:
        found = [each.quantity for each in await path.events("trading.positions.v1")]
        return found if len(found) >= count else []

    return await until(told)


async def trades(path: OrderPath) -> list[tuple[str, Decimal, Decimal]]:
    rows = await path.rows("SELECT side, quantity, net_pnl FROM trades ORDER BY closed_at")
    return [(row[0], row[1], row[2]) for row in rows]


async def test_fills_commissions_and_corrections_become_positions_and_round_trips(stack_settings: Settings) -> None:
    async with an_order_path(stack_settings) as path, running(portfolio.build(stack_settings)):
        await path.tell(cost(1, "1"), executed(1, 100, "10"), executed(2, -150, "12"), cost(2, "3"))
        await path.settled("portfolio")
        assert await position(path) == [-50, 12, 200, 4, 2]
        assert await trades(path) == [("BUY", D(100), D(197))]

        fields = executed(2, -90, "12").model_dump(exclude={"type"}) | {"revision": 2}
        await path.tell(FillCorrected(**fields))
        await path.settled("portfolio")
        assert await position(path) == [10, 10, 180, 4, 2]
        assert await trades(path) == []
        assert await quantities_told(path, 4) == [100, -50, -50, 10]


async def test_a_restart_tells_what_was_not_told_and_nothing_twice(stack_settings: Settings) -> None:
    async with an_order_path(stack_settings) as path:
        async with running(portfolio.build(stack_settings)):
            await path.tell(executed(1, 100, "10"))
            await path.settled("portfolio")
        await path.tell(executed(2, -40, "12"))
        async with running(portfolio.build(stack_settings)):
            await path.settled("portfolio")
            assert await position(path) == [60, 10, 80, 0, 2]
        before = await path.dump("positions", "trades", "position_history")
        async with running(portfolio.build(stack_settings)):
            await path.settled("portfolio")
        assert await path.dump("positions", "trades", "position_history") == before
        # the outbox may repeat a position, never make up another one
        assert list(dict.fromkeys(await quantities_told(path, 2))) == [100, 60]


async def test_a_table_that_was_lost_is_made_again_from_the_ledger(stack_settings: Settings) -> None:
    async with an_order_path(stack_settings) as path:
        async with running(portfolio.build(stack_settings)):
            await path.tell(executed(1, 100, "10"), executed(2, -100, "12"), cost(2, "1"))
            await path.settled("portfolio")
        before = await path.dump("position_history")
        for lost in ("positions, trades, position_history", "position_history"):
            await path.execute(f"TRUNCATE {lost}")
            async with running(portfolio.build(stack_settings)):
                assert await position(path) == [0, 0, 200, 1, 2]
                assert await trades(path) == [("BUY", D(100), D(199))]
                assert await path.dump("position_history") == before
                columns = "change, price, commission, quantity, realised_pnl"
                rows = await path.rows(f"SELECT {columns} FROM position_history ORDER BY event_time")
                assert [tuple(row) for row in rows] == [(100, 10, 0, 100, 0), (-100, 12, 1, 0, 200)]
