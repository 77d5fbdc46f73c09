"""The gateway package against the gateway simulator, over the real wire protocol."""

import asyncio
import csv
import gzip
import itertools
import os
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from importlib.resources import files

import pytest

from infra.gateway import (
    BrokerCommission,
    BrokerError,
    BrokerExecution,
    BrokerOpenOrder,
    BrokerOrderStatus,
    BrokerReport,
    ClientSlot,
    ErrorMeaning,
    Feed,
    GatewayRequestError,
    Live,
    Market,
    MarketEvent,
    Orders,
)
from infra.settings import Settings
from schemas.market import Bar, HistoricalBar, Quote, Source, Tick
from schemas.orders import OrderType, Side
from schemas.validation import Contract
from tests.builders import an_intent
from tests.integration.a_gateway import connected, gateway_settings, simulator, until

LIBRARY = os.environ.get("GATEWAY_LIBRARY", "ib_insync")
DAY = timedelta(days=1)


def settings_of(port: int) -> Settings:
    return gateway_settings(port, ib_library=LIBRARY)


async def the_contract(market: Market, symbol: str) -> Contract:
    (found,) = await market.contract_details(symbol)
    return found


async def test_a_contract_is_told_with_where_its_prices_come_from() -> None:
    async with simulator() as server, connected(settings_of(server.port)) as connection:
        market = Market(connection)
        apple = await the_contract(market, "AAPL")
        assert (apple.contract_id, apple.primary_exchange, apple.currency) == (265598, "NASDAQ", "USD")
        assert (apple.daily_source, apple.intraday_source) == (Source.REAL, Source.DERIVED)
        assert apple.minimum_tick == 0.01
        assert apple.liquid_hours
        (again,) = await market.contract_details(contract_id=265598)
        assert (again.symbol, again.exchange) == (apple.symbol, apple.exchange)
        invented = await the_contract(market, "NVDA")
        assert (invented.daily_source, invented.intraday_source) == (Source.SYNTHETIC, Source.SYNTHETIC)
        for symbol, exchange in (("NOSUCH", ""), ("AAPL", "NYSE")):
            with pytest.raises(GatewayRequestError, match="No security definition") as unknown:
                await market.contract_details(symbol, primary_exchange=exchange)
            assert unknown.value.unknown_contract


async def test_daily_history_is_every_recorded_bar_at_its_session() -> None:
    async with simulator() as server, connected(settings_of(server.port)) as connection:
        market = Market(connection)
        ibm = await the_contract(market, "IBM")
        start = await market.head_timestamp(ibm)
        bars = await market.historical_bars(ibm, DAY, start, await market.now())

    recorded = [row for row in recorded_days("IBM") if row["Date"] < "2013-02-28"]
    found = [bar for bar in bars if isinstance(bar, HistoricalBar)]
    wanted = [tuple(float(row[name]) for name in ("Open", "High", "Low", "Close", "Volume")) for row in recorded]
    assert [(bar.open, bar.high, bar.low, bar.close, bar.volume) for bar in found] == wanted
    assert {bar.source for bar in found} == {Source.REAL}
    assert start == found[0].start
    assert (found[-1].start, found[-1].event_time) == (
        datetime(2013, 2, 27, 14, 30, tzinfo=UTC),
        datetime(2013, 2, 27, 21, 0, tzinfo=UTC),
    )


async def test_five_second_bars_add_up_to_the_day_and_the_bar_in_progress_is_left_out() -> None:
    async with simulator(now="2013-02-28T12:00:03-05:00") as server, connected(settings_of(server.port)) as connection:
        market = Market(connection)
        ibm = await the_contract(market, "IBM")
        begin, now = datetime(2013, 2, 27, 5, tzinfo=UTC), await market.now()
        bars = await market.historical_bars(ibm, timedelta(seconds=5), begin, now)
        (day,) = await market.historical_bars(ibm, DAY, begin, now)

    assert isinstance(day, HistoricalBar)
    fives = [bar for bar in bars if isinstance(bar, HistoricalBar) and bar.event_time <= day.event_time]
    assert len(fives) == 4680
    assert (fives[0].open, fives[-1].close) == (day.open, day.close)
    assert (max(bar.high for bar in fives), min(bar.low for bar in fives)) == (day.high, day.low)
    assert sum(bar.volume for bar in fives) == day.volume
    assert all(first.event_time == second.start for first, second in itertools.pairwise(fives))
    assert now - timedelta(seconds=5) < bars[-1].event_time <= now


async def test_live_data_comes_fast_complete_and_in_order() -> None:
    delivered: list[MarketEvent] = []
    made: list[Live] = []
    async with (
        simulator(speed=900) as server,
        connected(
            settings_of(server.port),
            slot=ClientSlot.MARKET_DATA,
            prepare=lambda c: made.append(Live(c, delivered.append)),
        ) as connection,
    ):
        running = asyncio.create_task(made[0].run())
        for symbol in ("AAPL", "IBM", "MSFT"):
            contract = await the_contract(Market(connection), symbol)
            made[0].subscribe(
                contract, frozenset({Feed.BARS, Feed.TICKS, Feed.QUOTES} if symbol == "IBM" else {Feed.BARS})
            )
        await until(lambda: len([e for e in delivered if isinstance(e, Bar)]) >= 900)
        made[0].unsubscribe(265598)
        running.cancel()

    bars = defaultdict(list)
    for event in delivered:
        if isinstance(event, Bar):
            bars[event.symbol].append(event)
    for series in bars.values():
        assert all(first.event_time == second.start for first, second in itertools.pairwise(series))
    assert any(isinstance(event, Quote) for event in delivered)
    ticks = [event for event in delivered if isinstance(event, Tick)]
    assert [tick.event_time for tick in ticks] == sorted(tick.event_time for tick in ticks)


async def test_the_life_of_an_order() -> None:
    reports: list[BrokerReport] = []
    made: list[Orders] = []
    async with (
        simulator(speed=20) as server,
        connected(
            settings_of(server.port), slot=ClientSlot.EXECUTOR, prepare=lambda c: made.append(Orders(c, reports.append))
        ) as connection,
    ):
        (orders,) = made
        assert await orders.open_orders() == []
        assert await orders.executions() == []
        assert await orders.positions() == {}
        number = await orders.next_order_id()
        account = await orders.account_state()
        assert account.exchange_rates[account.currency] == 1
        assert account.initial_margin is not None
        cash = account.cash

        orders.place(number, an_intent(intent_id="buy-1"))
        orders.place(
            number + 1,
            an_intent(intent_id="low-1", order_type=OrderType.LIMIT, limit_price=Decimal("300.10"), symbol="AAPL"),
        )
        await until(lambda: sum(r.quantity for r in executions(reports)) == 100)
        await until(lambda: len(commissions(reports)) == len(executions(reports)))
        assert await orders.next_order_id() == number + 2

        (resting,) = [order for order in await orders.open_orders() if order.order_ref == "low-1"]
        assert (resting.order_id, resting.client_id, resting.account_id) == (
            number + 1,
            connection.client_id,
            orders.account_id,
        )
        assert (resting.side, resting.quantity, resting.limit_price) == (Side.BUY, Decimal(100), Decimal("300.1"))
        assert resting.permanent_id
        orders.cancel(number + 1)
        await until(lambda: any(isinstance(r, BrokerError) and r.meaning is ErrorMeaning.CANCELED for r in reports))
        await until(lambda: any(isinstance(r, BrokerOrderStatus) and r.status == "Cancelled" for r in reports))

        assert await orders.open_orders() == []
        done = {order.order_ref: order for order in await orders.completed_orders()}
        assert done["buy-1"].filled_quantity == 100
        assert done["low-1"].status == "Cancelled"
        assert await orders.positions() == {265598: Decimal(100)}
        told, *_ = await asyncio.gather(orders.account_state(), orders.positions(), orders.account_state())
        assert told.positions == {"265598": Decimal(100)}
        assert told.cash < cash

        asked = await orders.executions()
        assert {(e.root, e.revision, e.quantity, e.price) for e in asked} == {
            (e.root, e.revision, e.quantity, e.price) for e in executions(reports)
        }
        assert {e.order_ref for e in asked} == {"buy-1"}
        assert {c.root for c in commissions(reports)} == {e.root for e in asked}
        assert any(isinstance(r, BrokerOpenOrder) and r.order_ref == "buy-1" for r in reports)

        orders.place(number, an_intent(intent_id="buy-1"))
        await until(lambda: any(isinstance(r, BrokerError) and r.code in (103, 104) for r in reports))
        assert await orders.positions() == {265598: Decimal(100)}, "the same id again never makes a second position"


async def test_two_sessions_cannot_share_a_client_id() -> None:
    async with (
        simulator() as server,
        connected(settings_of(server.port)),
        connected(settings_of(server.port), wait=False) as second,
    ):
        await until(lambda: "in use" in second.state.reason)


def executions(reports: list[BrokerReport]) -> list[BrokerExecution]:
    return [report for report in reports if isinstance(report, BrokerExecution)]


def commissions(reports: list[BrokerReport]) -> list[BrokerCommission]:
    return [report for report in reports if isinstance(report, BrokerCommission)]


def recorded_days(symbol: str) -> list[dict[str, str]]:
    source = files("bokeh_sampledata") / "_data" / "stocks.csv.gz"
    with source.open("rb") as packed, gzip.open(packed, "rt") as text:
        return [row for row in csv.DictReader(text) if row["Ticker"] == symbol]
