"""What ib_insync gets from the simulator: contracts, history, live bars and ticks."""

import asyncio
from datetime import date
from itertools import pairwise
from pathlib import Path

import pytest
from ib_insync import Client, Contract, Forex, LimitOrder, MarketOrder, Stock

from tests.integration.a_gateway_simulator import a_gateway, an_ib_insync, apple, ledger_lines, until


async def test_connecting_takes_all_start_up_answers() -> None:
    async with a_gateway() as server, an_ib_insync(server) as ib:
        assert ib.client.serverVersion() == 176
        assert ib.managedAccounts() == ["DU1234567"]
        assert {each.tag: each.value for each in ib.accountValues()}["TotalCashValue"] == "1000000.00"
        assert [code for _, code, _ in ib.told] == [2104, 2106, 2158]
        assert (await ib.reqCurrentTimeAsync()).isoformat() == "2013-02-28T15:00:00+00:00"


async def test_contracts_say_where_their_prices_come_from() -> None:
    async with a_gateway() as server, an_ib_insync(server) as ib:
        real = (await ib.reqContractDetailsAsync(Stock("AAPL", "SMART", "USD")))[0]
        invented = (await ib.reqContractDetailsAsync(Contract(conId=756733)))[0]
        unknown = await ib.reqContractDetailsAsync(Stock("NOSUCH", "SMART", "USD"))
        foreign = (await ib.reqContractDetailsAsync(Forex("EURUSD")))[0]
        samples = await ib.reqMatchingSymbolsAsync("goog")

        assert (real.contract.conId, real.contract.primaryExchange, real.minTick) == (265598, "NASDAQ", 0.01)
        assert real.liquidHours.startswith("20130228:0930-20130228:1600;20130301:0930-20130301:1600;20130302:CLOSED")
        assert {each.tag: each.value for each in real.secIdList}["SCIZOR_SOURCE"] == "real"
        assert {each.tag: each.value for each in invented.secIdList}["SCIZOR_SOURCE"] == "synthetic"
        assert (invented.contract.symbol, invented.stockType) == ("SPY", "ETF")
        assert (unknown, [code for _, code, _ in ib.told if code < 2000]) == ([], [200])
        assert (foreign.contract.localSymbol, foreign.minTick) == ("EUR.USD", 0.00005)
        assert [each.contract.symbol for each in samples] == ["GOOG", "GOOGL"]


async def test_past_the_real_days_the_label_turns_synthetic() -> None:
    async with a_gateway(now="2013-03-11T12:00:00-04:00") as server, an_ib_insync(server) as ib:
        found = (await ib.reqContractDetailsAsync(Stock("IBM", "SMART", "USD")))[0]

        tags = {each.tag: each.value for each in found.secIdList}
        assert tags == {"SCIZOR_SOURCE": "synthetic", "SCIZOR_REAL_UNTIL": "20130301"}


async def test_daily_history_is_the_real_one_adjusted_for_splits() -> None:
    async with a_gateway(now="2013-03-01T17:00:00-05:00") as server, an_ib_insync(server) as ib:
        contract = await apple(ib)
        bars = await ib.reqHistoricalDataAsync(contract, "", "14 Y", "1 day", "TRADES", True, 1)

        assert len(bars) == 3270
        by_day = {each.date: each for each in bars}
        before = by_day[date(2000, 6, 20)]  # 98.50 103.94 98.37 101.25 4476700, two splits ago
        assert (before.open, before.high, before.low, before.close) == (24.625, 25.985, 24.5925, 25.3125)
        assert before.volume == 4 * 4476700
        last = by_day[date(2013, 3, 1)]
        assert (last.open, last.high, last.low, last.close) == (438.0, 438.1799, 429.98, 430.47)
        assert last.volume == 19730300


async def test_minutes_of_a_day_add_up_to_the_day() -> None:
    async with a_gateway(now="2013-03-01T17:00:00-05:00") as server, an_ib_insync(server) as ib:
        contract = await apple(ib)
        for size, count in {
            "1 hour": 7,
            "30 mins": 13,
            "5 mins": 78,
            "1 min": 390,
            "30 secs": 780,
            "5 secs": 4680,
        }.items():
            bars = await ib.reqHistoricalDataAsync(
                contract, "20130228 16:00:00 US/Eastern", "1 D", size, "TRADES", True, 2
            )
            assert len(bars) == count
            assert (bars[0].open, bars[-1].close) == (444.05, 441.4)
            assert (max(each.high for each in bars), min(each.low for each in bars)) == (447.87, 441.4)
            assert sum(each.volume for each in bars) == 11518400
            assert bars[0].date.isoformat() == "2013-02-28T14:30:00+00:00"


@pytest.mark.parametrize("what", ["MIDPOINT", "BID", "ASK", "BID_ASK"])
async def test_quote_bars_have_no_volume(what: str) -> None:
    async with a_gateway() as server, an_ib_insync(server) as ib:
        bars = await ib.reqHistoricalDataAsync(await apple(ib), "", "1800 S", "1 min", what, True, 1)

        assert len(bars) == 30
        assert {(each.volume, each.average, each.barCount) for each in bars} == {(-1, -1, -1)}
        assert all(each.low <= each.open <= each.high for each in bars)


async def test_history_errors_carry_the_codes_of_the_gateway() -> None:
    async with a_gateway() as server, an_ib_insync(server) as ib:
        contract = await apple(ib)
        for duration, size, what, end in (
            ("400 D", "1 day", "TRADES", ""),
            ("1 D", "7 secs", "TRADES", ""),
            ("1 D", "1 min", "FEE_RATE", ""),
            ("20 Y", "1 min", "TRADES", ""),
            ("1 D", "1 min", "TRADES", "yesterday"),
            ("1 D", "1 min", "TRADES", "19990101-20:00:00"),
            ("1 D", "1 min", "TRADES", "00010101-00:00:00"),
        ):
            assert len(await ib.reqHistoricalDataAsync(contract, end, duration, size, what, True)) == 0
        for end, size, what in (
            ("20130227 16:00:00", "1 min", "TRADES"),
            ("", "1 secs", "TRADES"),
            ("", "1 min", "BID_ASK"),
        ):
            kept = await ib.reqHistoricalDataAsync(contract, end, "1800 S", size, what, True, keepUpToDate=True)
            assert len(kept) == 0
        ib.client.cancelHistoricalData(4711)
        await until(lambda: [each for each in ib.told if each[0] == 4711])

        assert [code for _, code, _ in ib.told if code < 2000 or code > 3000] == [
            321,
            321,
            321,
            162,
            10314,
            162,
            162,
            *(321, 321, 321),
            366,
        ]


async def test_the_same_small_bars_within_15_seconds_violate_pacing() -> None:
    async with a_gateway() as server, an_ib_insync(server) as ib:
        contract = await apple(ib)
        first = await ib.reqHistoricalDataAsync(contract, "", "60 S", "5 secs", "TRADES", True)
        second = await ib.reqHistoricalDataAsync(contract, "", "60 S", "5 secs", "TRADES", True)

        assert (len(first), len(second)) == (12, 0)
        assert ib.told[-1][1:] == (
            162,
            "Historical Market Data Service error message:Historical data request pacing violation",
        )


async def test_bars_are_kept_up_to_date_for_ib_insync() -> None:
    async with a_gateway() as server, an_ib_insync(server) as ib:
        bars = await ib.reqHistoricalDataAsync(
            await apple(ib), "", "600 S", "1 min", "TRADES", True, 2, keepUpToDate=True
        )
        news = []
        bars.updateEvent += lambda _, is_new: news.append(is_new)
        await server.gateway.advance(125)
        await until(lambda: len(news) == 25)
        ib.cancelHistoricalData(bars)

        assert len(bars) == 13
        assert news.count(True) == 3
        assert bars[-2].volume > bars[-1].volume > 0


async def test_every_live_bar_of_a_day_comes_once_and_in_order(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.jsonl"
    async with (
        a_gateway(now="2013-02-28T09:25:00-05:00", ledger=ledger) as server,
        an_ib_insync(server) as ib,
    ):
        bars = ib.reqRealTimeBars(await apple(ib), 5, "TRADES", True)
        await until(lambda: len(server.gateway.shared.feed))
        await server.gateway.tape.advance(7 * 3600)
        await until(lambda: len(bars) == 4680)

        assert [int(each.time.timestamp()) for each in bars] == list(range(1362061800, 1362061800 + 23400, 5))
        assert (bars[0].open_, max(each.high for each in bars), bars[-1].close) == (444.05, 447.87, 441.4)
        assert sum(each.volume for each in bars) == 11518400
        written = ledger_lines(ledger, "bar")
        assert [(each["open"], each["volume"]) for each in written] == [(each.open_, each.volume) for each in bars]


async def test_a_day_at_600_times_the_speed_leaves_no_bar_out() -> None:
    async with a_gateway(now="2013-02-28T15:50:00-05:00", speed=600) as server, an_ib_insync(server) as ib:
        bars = ib.reqRealTimeBars(await apple(ib), 5, "MIDPOINT", True)
        await until(lambda: bars and f"{bars[-1].time:%H:%M:%S}" == "20:59:55")

        assert {(after.time - before.time).seconds for before, after in pairwise(bars)} == {5}
        assert {each.volume for each in bars} == {-1}


async def test_ticks_are_the_trades_that_bars_are_made_of() -> None:
    async with a_gateway() as server, an_ib_insync(server) as ib:
        contract = await apple(ib)
        ticker = ib.reqTickByTickData(contract, "AllLast")
        bars = ib.reqRealTimeBars(contract, 5, "TRADES", True)
        trades = []
        ib.pendingTickersEvent += lambda _: trades.extend(ticker.tickByTicks)
        await until(lambda: len(server.gateway.shared.feed) == 2)
        for _ in range(12):
            await server.gateway.tape.advance(5)
            await asyncio.sleep(0.02)
        await until(lambda: len(bars) == 12 and sum(each.size for each in trades) == sum(each.volume for each in bars))

        assert max(each.price for each in trades) == max(each.high for each in bars)
        assert trades[-1].price == bars[-1].close


async def test_market_data_tells_quote_trade_and_the_day_so_far() -> None:
    async with a_gateway() as server, an_ib_insync(server) as ib:
        contract = await apple(ib)
        ticker = ib.reqMktData(contract)
        quotes = ib.reqTickByTickData(contract, "BidAsk")
        await until(lambda: ticker.volume > 0 and len(server.gateway.shared.feed) == 2)
        await server.gateway.tape.advance(5)
        await until(lambda: quotes.tickByTicks)

        assert ticker.bid < ticker.last < ticker.ask
        assert (ticker.open, ticker.close, ticker.marketDataType) == (444.05, 444.57, 1)
        assert ticker.low <= ticker.last <= ticker.high
        (snapshot,) = await ib.reqTickersAsync(Stock("IBM", "SMART", "USD", conId=8314))
        assert snapshot.last > 0


async def test_a_second_client_with_the_same_id_is_turned_away() -> None:
    async with a_gateway() as server, an_ib_insync(server, 5):
        with pytest.raises(TimeoutError):
            async with an_ib_insync(server, 5, seconds=1):
                pass
        async with an_ib_insync(server, 6) as other:
            assert other.isConnected()


async def test_own_files_are_served_and_wrong_ones_are_named(tmp_path: Path) -> None:
    (tmp_path / "ACME.csv").write_text(
        "time,open,high,low,close,volume\n2013-02-26,10,11,9.5,10.5,40000\n2013-02-27,10.5,12,10,11.25,50\n"
    )
    async with a_gateway(data=tmp_path) as server, an_ib_insync(server) as ib:
        (found,) = await ib.reqContractDetailsAsync(Stock("ACME", "SMART", "USD"))
        bars = await ib.reqHistoricalDataAsync(
            found.contract, "20130227 16:00:00 US/Eastern", "1 W", "1 day", "TRADES", True
        )

        assert found.contract.conId >= 900_000_000
        assert [(each.open, each.high, each.low, each.close, each.volume) for each in bars] == [
            (10.0, 11.0, 9.5, 10.5, 40000),
            (10.5, 12.0, 10.0, 11.25, 50),
        ]


@pytest.mark.parametrize("version", [157, 159, 162, 163, 165, 169, 173])
async def test_older_versions_are_spoken_too(version: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Client, "MaxClientVersion", version)
    async with a_gateway() as server, an_ib_insync(server) as ib:
        contract = await apple(ib)
        (details,) = await ib.reqContractDetailsAsync(contract)
        samples = await ib.reqMatchingSymbolsAsync("IBM")
        resting = ib.placeOrder(contract, LimitOrder("BUY", 1, 400.0))
        bought = ib.placeOrder(contract, MarketOrder("BUY", 1))
        await until(lambda: bought.isDone() and resting.orderStatus.status == "Submitted")
        completed = await ib.reqCompletedOrdersAsync(False)

        assert ib.client.serverVersion() == version
        assert (details.contract.conId, details.stockType, samples[0].contract.conId) == (265598, "COMMON", 8314)
        assert [each.order.lmtPrice for each in await ib.reqOpenOrdersAsync()] == [400.0]
        assert completed[0].order.filledQuantity == 1
