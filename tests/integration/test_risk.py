"""Risk on the real broker and database: decisions count what is in flight, and nothing counts twice."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from consumers.risk import risk
from infra import broker
from infra.publish import Origin
from infra.service import Service
from infra.settings import Settings
from infra.store.database import Store
from schemas.account import TradingMode
from schemas.orders import (
    Commission,
    DenialReason,
    FillBusted,
    FillCorrected,
    OrderStatus,
    OrderType,
    OrderUpdate,
    RiskDecision,
    Side,
)
from tests.builders import APPLE, NOON, SEEN, a_cancel, a_change, a_fill, a_tick
from tests.integration.an_order_path import (
    ACCOUNT,
    CLOCK,
    OrderPath,
    a_live_intent,
    a_state,
    an_order_path,
    running,
    some_limits,
    until,
)

D = Decimal
BOOKS = ("books", "book_positions", "book_executions", "reservations", "decisions", "intents", "risk_limits")


def an_update(number: int, status: OrderStatus, filled: int, sequence: int, **changes: Any) -> OrderUpdate:
    fields = {
        "order_id": f"intent-{number}",
        "broker_order_id": number,
        "account_id": ACCOUNT,
        "strategy_id": "crossover",
        "contract_id": APPLE,
        "symbol": "AAPL",
        "side": Side.BUY,
        "quantity": D(100),
        "order_type": OrderType.MARKET,
        "status": status,
        "cumulative_quantity": D(filled),
        "sequence": sequence,
        "event_time": NOON,
        "ingest_time": SEEN,
    }
    return OrderUpdate(**(fields | changes))


async def decisions(path: OrderPath, count: int) -> list[RiskDecision]:
    async def enough() -> list[RiskDecision]:
        found = await path.events("trading.decisions.v1")
        return found if len(found) >= count else []

    return await until(enough)


async def reserved(path: OrderPath) -> Decimal:
    return D(await path.scalar("SELECT coalesce(sum(remaining), 0) FROM reservations"))


async def held(path: OrderPath) -> Decimal:
    return D(await path.scalar("SELECT coalesce(sum(quantity), 0) FROM book_positions"))


@contextlib.asynccontextmanager
async def four_producers(settings: Settings) -> AsyncIterator[list[AIOKafkaProducer]]:
    producers = [broker.producer(settings) for _ in range(4)]
    try:
        for each in producers:
            await each.start()
        yield producers
    finally:
        for each in producers:
            await each.stop()


async def test_a_hundred_intents_at_once_cannot_jointly_break_a_limit(stack_settings: Settings) -> None:
    async with an_order_path(stack_settings) as path:
        await path.tell(some_limits(position_max=D(1000)), a_state(TradingMode.ACTIVE))
        async with running(risk.build(stack_settings)):
            await path.settled("risk")
            wishes = [a_live_intent(n, quantity=D(20), strategy_id=f"s-{n}") for n in range(100)]
            async with four_producers(stack_settings) as producers:
                await asyncio.gather(*(path.send(producers[n % 4], wish) for n, wish in enumerate(wishes)))
            found = await decisions(path, 100)

        approved = [decision for decision in found if decision.approved]
        assert len(found) == 100
        assert len(approved) == 50
        assert {d.reason for d in found if not d.approved} == {DenialReason.POSITION_MAX}
        assert await reserved(path) == 1000

        async def breaches() -> list[Any]:
            found = await path.events("risk.events.v1")
            return found if len(found) >= 50 else []

        assert len(await until(breaches)) == 50
        assert approved[-1].basis.open_buys == 980


async def test_two_judges_at_once_cannot_jointly_break_a_limit(stack_settings: Settings) -> None:
    """While a group is rebalanced two processes may decide about one account: the book's version keeps them apart."""
    async with an_order_path(stack_settings) as path:
        stores = [Store(stack_settings, "risk") for _ in range(2)]
        judges = [risk.Risk(Service("risk", stack_settings), store) for store in stores]
        place = Origin("trading.intents.v1", 0, 0, b"", 0, SEEN)
        await judges[0].stopper.on_limits(some_limits(position_max=D(1000)), place)
        await judges[0].stopper.on_trading_state(a_state(TradingMode.ACTIVE), place)

        async def decide(number: int, judge: risk.Risk) -> None:
            for wish in range(60):
                intent = a_live_intent(f"{number}-{wish}", quantity=D(20), strategy_id=f"s-{wish}")
                await judge.decider.decide(ACCOUNT, [(intent, place)])

        await asyncio.gather(*(decide(number, judge) for number, judge in enumerate(judges)))
        assert await path.scalar("SELECT count(*) FROM decisions") == 120
        assert await path.scalar("SELECT count(*) FROM decisions WHERE approved") == 50
        assert await reserved(path) == 1000
        for store in stores:
            await store.close()


async def test_nothing_passes_before_limits_and_a_state_are_there(stack_settings: Settings) -> None:
    async with an_order_path(stack_settings) as path, running(risk.build(stack_settings)):
        await path.tell(a_live_intent(1))
        (first,) = await decisions(path, 1)
        await path.tell(some_limits())
        await path.settled("risk")
        await path.tell(a_live_intent(2), a_cancel(order_id="intent-1"))
        found = await decisions(path, 3)

    assert first.reason is DenialReason.LIMITS_MISSING
    assert found[1].reason is DenialReason.TRADING_HALTED
    assert found[2].approved


async def test_what_was_filled_moves_from_the_reservation_to_the_position(stack_settings: Settings) -> None:
    async with an_order_path(stack_settings) as path, running(risk.build(stack_settings)):
        await path.tell(some_limits(), a_state(TradingMode.ACTIVE))
        await path.settled("risk")
        await path.tell(a_live_intent(1))
        await decisions(path, 1)
        assert [await reserved(path), await held(path)] == [100, 0]

        # the end of the order comes before the fills that it counts
        await path.tell(an_update(1, OrderStatus.CANCELED, 60, 4))
        await path.settled("risk")
        assert [await reserved(path), await held(path)] == [60, 0]
        await path.tell(a_fill(last_quantity=D(60), last_price=D(400)))
        await path.settled("risk")
        assert [await reserved(path), await held(path)] == [0, 60]

        # a correction replaces, a bust takes back; the day's profit follows
        fields = a_fill(last_quantity=D(50), last_price=D(400), revision=2).model_dump(exclude={"type"})
        await path.tell(FillCorrected(**fields))
        await path.tell(
            a_fill(execution_id="sold", side=Side.SELL, last_quantity=D(50), last_price=D(390), order_id="")
        )
        commission = Commission(
            execution_id="sold", account_id=ACCOUNT, amount=D("1.5"), currency="USD", event_time=NOON, ingest_time=SEEN
        )
        await path.tell(commission)
        await path.settled("risk")
        assert await held(path) == 0
        assert await path.scalar("SELECT realised_pnl_today FROM books") == D("-501.5")

        bust = FillBusted(
            execution_id="sold", revision=2, account_id=ACCOUNT, contract_id=APPLE, event_time=NOON, ingest_time=SEEN
        )
        await path.tell(bust)
        await path.settled("risk")
        assert await held(path) == 50
        assert await path.scalar("SELECT realised_pnl_today FROM books") == 0


@pytest.mark.parametrize("limits_first", [True, False], ids=["limits first", "limits last"])
async def test_a_day_that_lost_too_much_halts_the_account(stack_settings: Settings, limits_first: bool) -> None:
    async with an_order_path(stack_settings) as path, running(risk.build(stack_settings)):
        limits = (some_limits(daily_loss_max=D(500)), a_state(TradingMode.ACTIVE))
        if limits_first:
            await path.tell(*limits)
            await path.settled("risk")
        await path.tell(a_fill(last_quantity=D(100), last_price=D(400)))
        await path.tell(a_fill(execution_id="sold", side=Side.SELL, last_quantity=D(100), last_price=D(390)))
        if not limits_first:
            await path.settled("risk")
            await path.tell(*limits)

        async def halted() -> bool:
            return any(s.mode is TradingMode.HALTED and s.by == "risk" for s in await path.events("trading.state.v1"))

        await until(halted)
        await path.settled("risk")
        await path.tell(a_live_intent(1))
        (decision,) = await decisions(path, 1)
        assert decision.reason is DenialReason.TRADING_HALTED
        assert await path.scalar("SELECT mode FROM trading_state") == "HALTED"


async def test_a_change_is_reserved_at_the_more_of_before_and_after_until_it_is_answered(
    stack_settings: Settings,
) -> None:
    async with an_order_path(stack_settings) as path, running(risk.build(stack_settings)):
        await path.tell(some_limits(position_max=D(300)), a_state(TradingMode.ACTIVE))
        await path.settled("risk")
        order = a_live_intent(1)
        larger = a_change(order.revised(quantity=D(250)))
        await path.tell(order, larger, a_change(order.revised(quantity=D(301)), intent_id="change-2"))
        first, second, third = await decisions(path, 3)
        assert (first.approved, second.approved, third.reason) == (True, True, DenialReason.POSITION_MAX)
        assert await reserved(path) == 250
        await path.tell(an_update(1, OrderStatus.NEW, 0, 2))
        await path.settled("risk")
        assert await reserved(path) == 250
        await path.tell(an_update(1, OrderStatus.NEW, 0, 3, last_change="change-1"))
        await path.settled("risk")
        assert await reserved(path) == 100, "the broker has refused the change"


async def test_a_limit_that_is_being_changed_stands_in_the_way_until_the_change_is_answered(
    stack_settings: Settings,
) -> None:
    async with an_order_path(stack_settings) as path, running(risk.build(stack_settings)):
        await path.tell(some_limits(), a_state(TradingMode.ACTIVE))
        await path.settled("risk")
        terms = {"order_type": OrderType.LIMIT, "limit_price": D(430)}
        order = a_live_intent(1, **terms)
        await path.tell(order, a_change(order.revised(limit_price=D(440))))
        await path.tell(an_update(1, OrderStatus.NEW, 0, 2, limit_price=D(430)))
        await path.settled("risk")
        opposite = {"side": Side.SELL, "order_type": OrderType.LIMIT, "limit_price": D(439)}
        await path.tell(a_live_intent(2, **opposite))
        assert [each.reason for each in await decisions(path, 3)] == [None, None, DenialReason.SELF_MATCH]
        await path.tell(an_update(1, OrderStatus.NEW, 0, 3, limit_price=D(430), last_change="change-1"))
        await path.settled("risk")
        await path.tell(a_live_intent(3, **opposite))
        *_, last = await decisions(path, 4)
        assert last.approved, "the broker has refused the change"


async def test_a_strategy_that_runs_wild_is_disabled_until_somebody_enables_it(stack_settings: Settings) -> None:
    async with an_order_path(stack_settings) as path, running(risk.build(stack_settings)):
        await path.tell(some_limits(same_side_orders_max=2, rejects_in_a_row_max=2), a_state(TradingMode.ACTIVE))
        await path.settled("risk")
        await path.tell(*(a_live_intent(n, quantity=D(n)) for n in (1, 2, 3)))
        *_, third = await decisions(path, 3)
        assert third.reason is DenialReason.SAME_SIDE_ORDERS_MAX
        await until(lambda: path.scalar("SELECT mode = 'HALTED' FROM trading_state WHERE scope = 'strategy:crossover'"))
        await until(lambda: path.scalar("SELECT count(*) = 0 FROM outbox"))  # it is told before somebody lifts it

        await path.tell(a_state(TradingMode.ACTIVE, scope="strategy:crossover"))
        await path.settled("risk")
        await path.tell(*(a_live_intent(n, quantity=D(n)) for n in (4, 5)))
        *_, fourth, fifth = await decisions(path, 5)
        assert (fourth.approved, fifth.approved) == (True, True), "what was before is forgiven"
        await path.tell(*(an_update(n, OrderStatus.REJECTED, 0, 2, quantity=D(n)) for n in (4, 5)))
        await path.settled("risk")
        state = await path.scalar("SELECT reason FROM trading_state WHERE scope = 'strategy:crossover'")
        assert state == "disabled: 2 orders one after another were rejected"


async def test_risk_values_by_what_it_has_seen_and_stops_a_day_whose_losses_nobody_has_realised(
    stack_settings: Settings,
) -> None:
    async with an_order_path(stack_settings) as path, running(risk.build(stack_settings)):
        await path.tell(some_limits(daily_loss_max=D(900), price_collar=D("0.2")), a_state(TradingMode.ACTIVE))
        await path.tell(a_fill(last_quantity=D(100), last_price=D("440.50")))
        await path.settled("risk")
        await until(lambda: path.scalar("SELECT trading_day IS NOT NULL FROM book_accounts"))
        await path.tell(a_tick(price=433.5, ingest_time=CLOCK.now()))
        await until(lambda: path.scalar("SELECT mode = 'REDUCING' FROM trading_state WHERE by = 'risk'"))
        await path.tell(a_live_intent(1), a_live_intent(2, side=Side.SELL))
        bought, sold = await decisions(path, 2)
        assert (bought.reason, sold.approved) == (DenialReason.REDUCING_ONLY, True)
        assert (bought.basis.price, bought.basis.unrealised_pnl_today) == (D("433.5"), D(-700))

        await path.tell(a_tick(price=431.0, ingest_time=CLOCK.now()))
        await until(lambda: path.scalar("SELECT mode = 'HALTED' FROM trading_state WHERE by = 'risk'"))


async def test_an_order_in_doubt_blocks_its_instrument_alone(stack_settings: Settings) -> None:
    async with an_order_path(stack_settings) as path, running(risk.build(stack_settings)):
        await path.tell(some_limits(), a_state(TradingMode.ACTIVE))
        await path.settled("risk")
        await path.tell(a_live_intent(1), an_update(1, OrderStatus.UNKNOWN, 0, 2))
        await decisions(path, 1)
        await path.settled("risk")
        await path.tell(a_live_intent(2, quantity=D(7)), a_live_intent(3, contract_id=APPLE + 1, symbol="IBM"))
        _, blocked, other = await decisions(path, 3)

    assert blocked.reason is DenialReason.INSTRUMENT_BLOCKED
    assert blocked.basis.blocked_by == "intent-1"
    assert other.approved


async def test_orders_that_were_not_placed_by_us_count_in_limits(stack_settings: Settings) -> None:
    async with an_order_path(stack_settings) as path, running(risk.build(stack_settings)):
        await path.tell(some_limits(position_max=D(150)), a_state(TradingMode.ACTIVE))
        await path.tell(an_update(9, OrderStatus.NEW, 0, 1, order_id="external-77", strategy_id="external"))
        await path.settled("risk")
        await path.tell(a_live_intent(1))
        (decision,) = await decisions(path, 1)

    assert decision.reason is DenialReason.POSITION_MAX
    assert decision.basis.open_buys == 100


async def test_every_record_delivered_twice_changes_nothing(stack_settings: Settings) -> None:
    async with an_order_path(stack_settings) as path, running(risk.build(stack_settings)):
        await path.tell(some_limits(), a_state(TradingMode.ACTIVE))
        await path.settled("risk")
        for number in (1, 2):
            await path.tell(a_live_intent(number, quantity=D(100 + number)))
        await path.tell(a_cancel(order_id="intent-2"))
        await decisions(path, 3)
        await path.tell(
            an_update(1, OrderStatus.NEW, 0, 2),
            a_fill(last_quantity=D(101)),
            an_update(1, OrderStatus.FILLED, 101, 3),
            a_fill(execution_id="e-2", order_id="intent-2", last_quantity=D(40), side=Side.SELL, last_price=D(410)),
            FillCorrected(**a_fill(last_quantity=D(101), last_price=D(441), revision=2).model_dump(exclude={"type"})),
        )
        await path.settled("risk")
        before = await path.dump(*BOOKS)
        for topic in ("trading.intents.v1", "trading.orders.v1", "trading.fills.v1", "risk.limits.v1"):
            for record in await path.records(topic):
                await path.raw(topic, record.key, record.value, record.headers)
        await path.settled("risk")

        def plain(dump: dict[str, list[str]]) -> dict[str, list[str]]:
            return {name: rows for name, rows in dump.items() if name != "books"}  # its version counts transactions

        assert plain(await path.dump(*BOOKS)) == plain(before)
        assert await path.scalar("SELECT realised_pnl_today FROM books") is not None
        assert len(await path.events("trading.decisions.v1")) == 3
