"""What the report of a day lists, from the tables: whose days do not end when its report is made, and all of it."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from consumers.risk import risk
from consumers.risk.stopping import Stopper
from engine.trading_state import KILL_SWITCH
from infra.day_material import NotBegunError, day_asked, figures_material
from infra.publish import Origin
from infra.settings import Settings
from infra.store import daily, order_tables, orders, portfolio, risk_tables, tables
from infra.store.daily_lists import happened
from infra.store.database import Store
from schemas.account import Position, TradingMode, TradingState
from schemas.orders import FillBusted
from tests.builders import APPLE, SEEN, a_fill, a_trading_state

D = Decimal
ACCOUNT = "DU1234567"
DAY = date(2013, 2, 28)
MIDNIGHT = datetime(2013, 2, 28, 5, tzinfo=UTC)
YEARS = timedelta(days=5000)
"""The market of the tests is so long ago."""
HERE = Origin("trading.state.v1", 0, 0, b"", 0, SEEN)


def at(hour: float, day: int = 0) -> datetime:
    """A time of the market in New York, so many days after the day."""
    return MIDNIGHT + timedelta(days=day, hours=hour)


@pytest.fixture
def few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """That a report lists."""
    monkeypatch.setattr(daily, "ROWS_MAX", 3)


async def proposed(connection: AsyncConnection, name: str, when: datetime, *, denied: str = "") -> None:
    own = {"intent_id": name, "account_id": ACCOUNT, "strategy_id": "crossover"}
    intent: dict[str, Any] = own | {"type": "OrderIntent", "body": {}, "event_time": when, "received_at": when + YEARS}
    made: dict[str, Any] = own | {
        "decision_id": f"d-{name}", "approved": not denied, "reason": denied or None, "detail": "", "body": {},
        "approved_fields": None if denied else "", "decided_at": when + YEARS, "expires_at": when + YEARS,
    }  # fmt: skip
    await connection.execute(insert(risk_tables.intents).values(intent))
    await connection.execute(insert(risk_tables.decisions).values(made))


async def filled(
    connection: AsyncConnection, name: str, quantity: int, price: str, when: datetime, **more: Any
) -> None:
    fields = {"last_quantity": D(quantity), "last_price": D(price), "order_id": "order", "event_time": when}
    told = a_fill(**({"execution_id": name, "ingest_time": when + YEARS} | fields | more))
    await orders.save_fill(connection, told)


async def an_order(connection: AsyncConnection, order_id: str, when: datetime) -> None:
    fields = {
        "order_id": order_id, "decision_id": f"d-{order_id}", "client_id": 1, "permanent_id": 0, "account_id": ACCOUNT,
        "strategy_id": "crossover", "contract_id": APPLE, "symbol": "AAPL", "side": "BUY", "quantity": D(200),
        "order_type": "LIMIT", "time_in_force": "GTC", "oca_group": "", "status": "PARTIALLY_FILLED",
        "cumulative_quantity": D(110), "average_price": D(11), "sequence": 1, "reason": "", "code": 0, "lease_epoch": 1,
        "intent": {"currency": "USD", "reference_price": "9.5"}, "facts": {}, "created_at": when + YEARS,
        "updated_at": when + YEARS,
    }  # fmt: skip
    await connection.execute(insert(order_tables.orders).values(fields))


async def lost_the_gateway(connection: AsyncConnection, when: datetime) -> None:
    said = {"code": 1100, "text": f"lost at {when:%d %H}"}
    row = {"account_id": ACCOUNT, "kind": "BrokerError", "body": said, "received_at": when + YEARS}
    await connection.execute(insert(order_tables.broker_events).values(row))


def a_bar_row(end: datetime, size: timedelta, close: float, **changes: Any) -> dict[str, Any]:
    fields = {
        "contract_id": APPLE, "bar_size_seconds": size.total_seconds(), "start": end - size, "end_time": end,
        "source": "ib", "revision": 0, "volume": 1.0, "price_kind": "trades", "basis": "split_adjusted", "late": False,
        "ingest_time": SEEN,
    }  # fmt: skip
    return fields | dict.fromkeys(("open", "high", "low", "close"), float(close)) | changes


async def lists(store: Store, day: date = DAY) -> dict[str, Any]:
    async with store.reading() as connection:
        wanted = daily.day_of(ACCOUNT, day)
        wall = await daily.wall(connection, wanted)
        return dict(await happened(connection, wanted, (wall.begun, wall.over or at(48) + YEARS)))


async def test_what_happens_between_two_days_is_told(store: Store) -> None:
    """A day's report is made a little after its close: what comes over night is in the next one."""
    async with store.transaction() as tx:
        connection = tx.connection
        await proposed(connection, "before", at(10, -1))
        await filled(connection, "e-0", 10, "10", at(15.5, -1))
        await proposed(connection, "last", at(15.6, -1))
        await filled(connection, "late", 10, "10", at(15.9, -1), ingest_time=at(8) + YEARS)  # the gateway came back
        for when in (at(12, -1), at(20, -1), at(3), at(12), at(20)):
            await lost_the_gateway(connection, when)
        await proposed(connection, "of the day", at(9.6))
    on_the_day = [row["text"] for row in (await lists(store))["links"]]
    assert on_the_day == ["lost at 28 01", "lost at 28 08", "lost at 28 17", "lost at 01 01"]

    async with store.transaction() as tx:
        await proposed(tx.connection, "of the next", at(9.6, 1))
    assert [row["text"] for row in (await lists(store))["links"]] == on_the_day, "told twice is better than never"
    the_next = await lists(store, date(2013, 3, 1))
    assert [row["text"] for row in the_next["links"]] == ["lost at 28 17", "lost at 01 01"]


async def test_a_kill_or_a_halt_is_an_incident_also_when_trading_goes_on(store: Store, settings: Settings) -> None:
    stopper = Stopper(risk.build(settings), store)

    async def told(scope: str, mode: TradingMode, by: str, hour: float) -> None:
        moment = at(hour) + YEARS
        state: TradingState = a_trading_state(
            scope=scope, mode=mode, by=by, reason="told", event_time=moment, ingest_time=moment
        )
        for _ in range(2):  # everything is delivered twice
            await stopper.on_trading_state(state, HERE)

    async with store.transaction() as tx:
        await proposed(tx.connection, "before", at(10, -1))
        await proposed(tx.connection, "of the day", at(9.6))
    await told("global", TradingMode.HALTED, KILL_SWITCH, 11)
    await told("global", TradingMode.ACTIVE, "ann", 12)
    await told(f"account:{ACCOUNT}", TradingMode.REDUCING, "ann", 13)
    await told(f"account:{ACCOUNT}", TradingMode.HALTED, "risk", 13.5)  # kept by risk where it stops
    await told("account:DU9", TradingMode.HALTED, "ann", 14)
    await told("strategy:of another account", TradingMode.HALTED, "ann", 14)
    await told("strategy:crossover", TradingMode.HALTED, "ann", 15)
    stops = [(row["scope"], row["rule"], row["detail"]) for row in (await lists(store))["stops"]]
    assert stops == [
        ("global", "halted", "told (kill switch)"),
        (f"account:{ACCOUNT}", "reducing", "told (ann)"),
        ("strategy:crossover", "halted", "told (ann)"),
    ]


async def test_a_day_has_the_slippage_of_its_own_executions_and_all_of_them(store: Store, few_rows: None) -> None:
    busted = FillBusted(
        execution_id="e-3", revision=2, account_id=ACCOUNT, contract_id=APPLE, event_time=at(12), ingest_time=SEEN
    )
    async with store.transaction() as tx:
        connection = tx.connection
        await proposed(connection, "order", at(10, -1))
        await an_order(connection, "order", at(10, -1))
        await filled(connection, "e-1", 40, "10", at(15, -1))
        await filled(connection, "e-2", 60, "12", at(11))
        await filled(connection, "e-3", 10, "12", at(12))
        await orders.save_fill(connection, busted)
        await filled(connection, "e-4", 20, "15", at(12.5))
        await filled(connection, "e-5", 30, "15", at(10, 1))
        await filled(connection, "by hand", 30, "15", at(10), order_id="")
        for number in range(daily.ROWS_MAX + 3):
            name = f"order-{number}"
            await proposed(connection, name, at(14))
            await an_order(connection, name, at(14))
            await filled(connection, f"execution-{number}", 1, "12", at(14), order_id=name)
    filled_orders = (await lists(store))["orders"]
    assert len(filled_orders) == daily.ROWS_MAX + 4
    first = filled_orders[0]
    assert (first["order_id"], first["filled"], first["average_price"]) == ("order", 80, D("12.75"))
    ((_, quantity),) = [(row["order_id"], row["filled"]) for row in (await lists(store, date(2013, 2, 27)))["orders"]]
    assert quantity == 40


async def test_reasons_are_counted_also_where_none_of_their_denials_is_listed(store: Store, few_rows: None) -> None:
    async with store.transaction() as tx:
        await proposed(tx.connection, "the first", at(9.5), denied="too_late")
        for number in range(daily.ROWS_MAX + 1):
            await proposed(tx.connection, f"{number}", at(10), denied="quantity_max")
    found = await lists(store)
    assert {row["reason"] for row in found["denials"]} == {"quantity_max"}
    assert (len(found["denials"]), found["denials"][0]["of"]) == (daily.ROWS_MAX, daily.ROWS_MAX + 2)
    assert [(row["reason"], row["denials"]) for row in found["reasons"]] == [
        ("quantity_max", daily.ROWS_MAX + 1),
        ("too_late", 1),
    ]
    async with store.transaction() as tx:
        fields = {"account_id": ACCOUNT, "contract_id": APPLE, "symbol": "AAPL", "quantity": D(0), "fills": 0}
        money = dict.fromkeys(("average_price", "realised_pnl", "commission"), D(0))
        held = Position(**fields, **money, event_time=at(10), ingest_time=at(10) + YEARS)
        await portfolio.save_position(tx.connection, held)
    material = await figures_material(store, daily.day_of(ACCOUNT, DAY), at(20) + YEARS)
    assert (material["trades_today"], material["denials_today"]) == (0, daily.ROWS_MAX + 2)


async def test_the_price_of_a_day_is_its_last_bar_of_whatever_size_and_newest_revision(store: Store) -> None:
    minute, half_past_nine = timedelta(minutes=1), timedelta(hours=6.5)
    kept = [
        a_bar_row(at(16.5, -1), minute, 11),
        a_bar_row(at(16, -1), minute, 10),  # not the last
        a_bar_row(at(16, -1), half_past_nine, 9),
        a_bar_row(at(16), minute, 20),
        a_bar_row(at(16), half_past_nine, 21),  # ends with it: the shorter one counts
        a_bar_row(at(16), minute, 22, revision=1),
        a_bar_row(at(17), minute, 23, basis="raw"),
        a_bar_row(at(17), minute, 24, price_kind="midpoint"),
        a_bar_row(at(0, 4), timedelta(days=1), 40),  # ends as its day does
        a_bar_row(at(16, -40), timedelta(days=1), 1),
    ]
    async with store.transaction() as tx:
        await tx.connection.execute(insert(tables.bars), kept)
    async with store.reading() as connection:
        found = await daily.closes(connection, [APPLE, 1], at(10))
    assert [(row["contract_id"], row["day"], row["close"]) for row in found] == [
        (APPLE, date(2013, 2, 27), 11),
        (APPLE, date(2013, 2, 28), 22),
        (APPLE, date(2013, 3, 4), 40),
    ]


async def test_no_day_is_reported_that_has_begun_neither_here_nor_at_the_market(store: Store) -> None:
    own = {"contract_id": APPLE, "symbol": "AAPL", "price": D(10), "received_at": SEEN}
    today, tomorrow, ahead = date(2026, 11, 21), date(2026, 11, 22), date(2030, 2, 27)
    assert await day_asked(store, ACCOUNT, None, SEEN) is None, "nobody has told which day it is at the market"
    assert await day_asked(store, ACCOUNT, today, SEEN) == today
    with pytest.raises(NotBegunError, match="the day 2026-11-22 has not begun: in New York it is 2026-11-21"):
        await day_asked(store, ACCOUNT, tomorrow, SEEN)
    async with store.transaction() as tx:
        await tx.connection.execute(insert(risk_tables.marks).values(own | {"event_time": at(12) + (ahead - DAY)}))
    assert await day_asked(store, ACCOUNT, None, SEEN) == ahead, "nothing has happened: the market's day"
    async with store.transaction() as tx:
        await filled(tx.connection, "e-1", 10, "10", at(12))
    assert await day_asked(store, ACCOUNT, None, SEEN) == DAY
    assert await day_asked(store, ACCOUNT, ahead, SEEN) == ahead, "a simulated market is ahead of us"
    with pytest.raises(NotBegunError):
        await day_asked(store, ACCOUNT, ahead + timedelta(days=1), SEEN)
