"""A database that is lost: orders, executions, positions and risk's books come back from the topics, row by row.

On the way the books are held against the broker's: over a day with partial fills, a correction and a bust.
"""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from consumers import portfolio
from consumers.executor import executor
from consumers.portfolio.reports import Reports
from consumers.risk import risk
from engine.daily_document import document
from infra import topic_admin
from infra.day_material import day_material
from infra.day_reports import NEVER, closed_at, place_of
from infra.embedded.postgres import PostgresServer
from infra.service import Service
from infra.settings import Settings
from infra.store.database import Store
from infra.topics import load_catalogue
from schemas.account import TradingMode
from schemas.market import Quote, Source
from schemas.orders import OrderStatus, OrderType, Side
from schemas.strategy import RunningState, StrategyState
from tests.a_ledger import Ledger
from tests.builders import APPLE, NOON, a_cancel, a_change
from tests.integration.a_judged_desk import agreed
from tests.integration.a_simulator import Simulator, a_simulator, with_gateway
from tests.integration.a_trading_floor import WHEN, a_deployment
from tests.integration.an_order_path import (
    ACCOUNT,
    CLOCK,
    OrderPath,
    a_live_intent,
    a_state,
    an_order_path,
    approvals_that_live,
    running,
    some_limits,
    until,
)
from tests.integration.conftest import TEMPLATE
from tests.integration.test_live_cli import Person

D = Decimal
LIMIT = {"order_type": OrderType.LIMIT, "limit_price": D("430.00")}

WHOLE = ("trades", "position_history", "fills", "commissions", "intents", "decisions")
"""Tables that come back with every row as it was; of others, what no topic knows may differ."""
UNKNOWN_TO_TOPICS = {
    # facts: the same is known of an order, though not from the same words; the time is that of the last such word
    "orders": ("facts", "updated_at", "lease_epoch"),
    "order_events": ("decision_id",),
    "positions": ("ingest_time",),
    "reservations": ("released_at",),
    "book_positions": ("price_time",),
    "book_executions": ("known_at",),
    "book_holdings": ("moved_at",),
    "book_trips": ("closed_at",),
    "books": ("version", "updated_at"),
    "trading_state": (),
    "risk_limits": (),
    "risk_events": (),
}


@pytest.fixture(autouse=True)
def _unhurried() -> Iterator[None]:
    """No approval of this day expires before it is acted on."""
    with approvals_that_live(timedelta(seconds=8)):
        yield


async def known(path: OrderPath) -> dict[str, list[str]]:
    """All that the tables say of orders, executions, positions and risk."""
    left_out: dict[str, tuple[str, ...]] = dict.fromkeys(WHOLE, ()) | UNKNOWN_TO_TOPICS
    found = {}
    for table, columns in left_out.items():
        rows = await path.rows(f"SELECT to_jsonb(t) FROM {table} t")
        plain = [row[0] if isinstance(row[0], dict) else json.loads(row[0]) for row in rows]
        found[table] = sorted(str({k: v for k, v in row.items() if k not in columns}) for row in plain)
    return found


async def status(path: OrderPath, number: int) -> str:
    return str(await path.scalar("SELECT status FROM orders WHERE order_id = :id", id=f"intent-{number}"))


async def has(path: OrderPath, number: int, wanted: OrderStatus) -> None:
    async def it_has() -> bool:
        return await status(path, number) == wanted

    await until(it_has, seconds=30)
    released = "r.state = 'released'" if wanted.final else "true"
    noted = f"r.sequence >= o.sequence AND {released}"  # the next order is decided with this one in the books
    question = f"SELECT {noted} FROM orders o JOIN reservations r USING (order_id) WHERE order_id = :id"
    await until(lambda: path.scalar(question, id=f"intent-{number}"), seconds=30)


def a_quote() -> Quote:
    """Just told, 20 cents wide."""
    return Quote(
        contract_id=APPLE, symbol="AAPL", bid=440.4, ask=440.6, bid_size=100, ask_size=100, source=Source.IB,
        event_time=NOON, ingest_time=CLOCK.now(),
    )  # fmt: skip


async def trade(path: OrderPath, simulator: Simulator) -> None:
    """Filled in parts, denied, cancelled, changed and working; an execution corrected, another taken back."""
    gateway = simulator.server.gateway
    await path.tell(a_live_intent(1))
    await has(path, 1, OrderStatus.FILLED)
    await path.tell(a_live_intent(2, side=Side.SELL, quantity=D(40), strategy_id="other"))
    await has(path, 2, OrderStatus.FILLED)
    await path.tell(a_live_intent(10, quantity=D(40), strategy_id="other"))
    await has(path, 10, OrderStatus.FILLED)
    await path.tell(a_live_intent(3, quantity=D(90_000)))  # denied
    await path.tell(a_state(TradingMode.HALTED, scope="symbol:IBM"))
    await path.tell(a_live_intent(4, quantity=D(1000), **LIMIT))
    await has(path, 4, OrderStatus.NEW)
    gateway.force_quote("AAPL", D("429.00"), 30)
    await has(path, 4, OrderStatus.PARTIALLY_FILLED)
    gateway.force_quote("AAPL", D("440.50"), 10_000)
    await path.tell(a_live_intent(5, **LIMIT), a_cancel(intent_id="cancel-5", order_id="intent-5"))
    await has(path, 5, OrderStatus.CANCELED)
    await path.tell(a_live_intent(6, quantity=D(20), **LIMIT))
    await has(path, 6, OrderStatus.NEW)
    await path.tell(a_change(a_live_intent(6, quantity=D(20), **(LIMIT | {"limit_price": D("429.50")}))))

    async def is_changed() -> bool:
        return bool(await path.scalar("SELECT limit_price = 429.5 FROM orders WHERE order_id = 'intent-6'"))

    await until(is_changed, seconds=30)
    await path.tell(a_live_intent(7, quantity=D(10)))
    await has(path, 7, OrderStatus.FILLED)
    gateway.director.do({"correct": {"price_by": 0.5}})
    await until(lambda: path.scalar("SELECT count(*) = 1 FROM fills WHERE type = 'FillCorrected'"), seconds=30)
    await path.tell(a_live_intent(8, quantity=D(11)))
    await has(path, 8, OrderStatus.FILLED)
    gateway.director.do({"bust": {}})
    await until(lambda: path.scalar("SELECT count(*) = 1 FROM fills WHERE type = 'FillBusted'"), seconds=30)


async def cash_of(path: OrderPath) -> Decimal:
    """What our books say the trading has brought in money: earned, spent on what is held, and charged."""
    rows = await path.rows("SELECT realised_pnl, quantity * average_price, commission FROM positions")
    return sum((row[0] - row[1] - row[2] for row in rows), D(0))


async def check_report(path: OrderPath, service: Service) -> None:
    """The day's report agrees with the books, and is made by itself once the exchange has closed."""
    store, home, day = Store(service.settings, "portfolio", pool_size=1), service.settings.home, date(2013, 2, 28)
    try:
        material = await day_material(service.settings, store, ACCOUNT, day, CLOCK.now())
        found = document(material)
        held = await path.scalar("SELECT quantity * 440.5 FROM positions")
        assert abs(D(found["pnl"]["net"]) - held - await cash_of(path)) < D("0.000001")
        assert found["denials"]["by_reason"] == {"quantity_max": 1}
        assert {each["kind"] for each in found["incidents"]["rows"]} >= {
            "execution corrected", "execution busted", "halted",
        }  # fmt: skip
        assert found["reconciliation"]["agrees"]
        costs = {each["order_id"]: each for each in found["slippage"]["orders"]}
        assert {"intent-1", "intent-2", "intent-4", "intent-7"} <= set(costs)
        assert (costs["intent-1"]["bid"], costs["intent-1"]["spread"]) == ("440.4", "10")
        assert found["trades"]["count"] == found["metrics"]["trades"] == 1
        other = document(await day_material(service.settings, store, ACCOUNT, day, CLOCK.now(), "other"))
        assert (other["pnl"]["executions"], other["denials"]["count"]) == (2, 0)

        person = Person(service.settings)
        told = await person.gets("report", "--day", "2013-02-28")
        assert (told["pnl"], told["trades"]) == (found["pnl"], found["trades"])
        topics = load_catalogue()
        states = {name: spec for name, spec in topics.topics.items() if spec == topics.topic_of(StrategyState)}
        await topic_admin.apply(service.settings, topics.model_copy(update={"topics": states, "services": {}}))
        code, _, why = await person.says("report", "--strategy", "nobody", "--out", str(home / "page.html"))
        assert (code, "no strategy 'nobody' has ever traded" in why) == (2, True)
        waits = a_deployment(strategy_id="waits", account_id=ACCOUNT)
        stands = StrategyState(strategy_id="waits", state=RunningState.RUNNING, deployment=waits, **WHEN)
        await path.tell(stands)
        code, _, why = await person.says("report", "--strategy", "waits", "--out", str(home / "page.html"))
        assert (code, "strategy 'waits' is deployed, but has sent no order yet" in why) == (2, True)

        reports = Reports(service, store)
        for market_time, made in (
            ("2013-02-28 21:04Z", False),
            ("2013-02-28 21:06Z", True),
            ("2013-03-01 15:00Z", True),
        ):
            await path.execute(f"UPDATE marks SET event_time = '{market_time}', received_at = now()")
            await reports.make_due()
            assert closed_at(home, ACCOUNT, day) == (datetime(2013, 2, 28, 21, tzinfo=UTC) if made else NEVER)
        assert sorted(each.name for each in place_of(home, ACCOUNT, day).parent.glob("*.html")) == [
            "2013-02-28.crossover.html", "2013-02-28.html", "2013-02-28.other.html",
        ]  # fmt: skip
    finally:
        await store.close()


async def test_a_lost_database_is_made_again_from_the_topics_and_trading_goes_on(
    stack_settings: Settings, postgres_server: PostgresServer, topic_prefix: str, tmp_path: Path
) -> None:
    async with a_simulator(tmp_path) as simulator, an_order_path(stack_settings) as path:
        path.settings = settings = with_gateway(stack_settings, simulator.server.port)
        await path.tell(some_limits())

        async def settled() -> None:
            await agreed(path, lambda: Ledger.read(simulator.ledger))
            for group in ("risk", "portfolio"):
                await path.settled(group)

        async with running(risk.build(settings), portfolio.build(settings), executor.build(settings)):
            await path.settled("risk")
            await path.tell(a_quote())
            cash = next(each.cash for each in await path.events("trading.accounts.v1"))
            await trade(path, simulator)
            await settled()

            async def is_the_brokers() -> bool:
                told = (await path.events("trading.accounts.v1"))[-1]
                return bool(abs(told.cash - cash - await cash_of(path)) < D("0.01"))  # it tells cents

            await until(is_the_brokers, seconds=30)
            await check_report(path, portfolio.build(settings))
        # one that may still be acted on would be void in a database that is made anew
        await until(lambda: path.scalar("SELECT count(*) = 0 FROM decisions WHERE expires_at > now()"))
        before = await known(path)
        assert [name for name, rows in before.items() if not rows] == [], "every table is part of this test"

        await path.forget_connections()
        name = topic_prefix.rstrip(".")
        postgres_server.execute(f"DROP DATABASE {name} WITH (FORCE)")
        postgres_server.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
        services = risk.build(settings), portfolio.build(settings), executor.build(settings)
        async with running(*services):
            await settled()
            assert await known(path) == before
            sent = len(simulator.lines("order_received"))

            await path.account()
            await path.price(APPLE)
            above = {"order_type": OrderType.LIMIT, "limit_price": D("435.00")}  # it must not meet our own bids
            await path.tell(a_live_intent(9, side=Side.SELL, quantity=D(160), **above), a_cancel(order_id="intent-6"))
            await has(path, 9, OrderStatus.FILLED)
            await has(path, 6, OrderStatus.CANCELED)
            await settled()
            assert len(simulator.lines("order_received")) == sent + 1
            placed = Ledger.read(simulator.ledger).orders_of_intents()
            assert [keys for keys in placed.values() if len(keys) > 1] == []
