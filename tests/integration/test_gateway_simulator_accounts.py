"""Accounts over the socket: several of them, the slot for updates, summaries, margins, profit, splits."""

from datetime import date, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
from ib_insync import IB, Crypto, Forex, Future, LimitOrder, MarketOrder, Option, Stock

from infra.gateway_simulator.accounts.brokerage import Brokerage
from infra.gateway_simulator.accounts.commissions import Schedule, Tariff
from infra.gateway_simulator.accounts.currencies import RateUnknownError
from infra.gateway_simulator.accounts.opened import Opening
from infra.gateway_simulator.instruments.catalogue import Catalogue
from infra.gateway_simulator.protocol.pacing import Pacing
from infra.gateway_simulator.server import SimulatorServer
from tests.integration.a_gateway_simulator import OfficialClient, a_gateway, an_ib_insync, apple, until

D = Decimal
ONE, TWO = Opening("DU1", {"USD": D(1_000_000)}), Opening("DU2", {"USD": D(50_000)})
BOTH = (ONE, TWO)
CASH = Opening("DU3", {"USD": D(100_000)}, is_cash_account=True)


async def traded(ib: Any, server: SimulatorServer, contract: Any, order: Any) -> Any:
    trade = ib.placeOrder(contract, order)
    await until(lambda: trade.orderStatus.status not in ("PendingSubmit", "ApiPending"))
    while not trade.isDone():
        await server.gateway.tape.advance(5)
        await ib.reqCurrentTimeAsync()
    await until(lambda: all(each.commissionReport.execId for each in trade.fills))
    return trade


def codes(ib: Any) -> list[int]:
    return [code for _, code, _ in ib.told]


def amounts(ib: Any) -> dict[tuple[str, str], float]:
    texts = ("AccountOrGroup", "Currency", "RealCurrency")
    rows = [each for each in ib.accountValues() if each.currency and each.tag not in texts]
    return {(each.tag, each.currency): float(each.value) for each in rows}


def refused(ib: Any, order_id: int) -> bool:
    return any(each[0] == order_id for each in ib.told)


def told(ib: Any, code: int) -> str:
    return str(next(text for _, number, text in reversed(ib.told) if number == code))


async def test_orders_positions_and_values_belong_to_one_of_several_accounts() -> None:
    async with a_gateway(accounts=BOTH) as server, an_ib_insync(server) as ib:
        assert ib.managedAccounts() == ["DU1", "DU2"]
        contract = await apple(ib)
        await traded(ib, server, contract, MarketOrder("BUY", 100, account="DU2"))
        await traded(ib, server, contract, MarketOrder("SELL", 10, account="DU1"))

        await until(lambda: {(each.account, each.position) for each in ib.positions()} == {("DU1", -10), ("DU2", 100)})
        assert {each.execution.acctNumber for each in ib.fills()} == {"DU1", "DU2"}
        summary = await ib.accountSummaryAsync()
        worth = {each.account: float(each.value) for each in summary if each.tag == "NetLiquidation"}
        assert worth["DU1"] == pytest.approx(1_000_000, abs=100)
        assert worth["DU2"] == pytest.approx(50_000, abs=1000)
        assert {each.account for each in ib.accountValues()} == {"DU1", "DU2"}


async def test_with_several_accounts_an_order_must_name_one() -> None:
    async with a_gateway(accounts=BOTH) as server, an_ib_insync(server) as ib:
        contract = await apple(ib)
        for account in ("", "DU9"):
            trade = ib.placeOrder(contract, MarketOrder("BUY", 1, account=account))
            await until(partial(refused, ib, trade.order.orderId))

        assert told(ib, 435) == "You must specify an account."
        assert "Invalid account code 'DU9'." in told(ib, 321)
        assert server.gateway.shared.book.live == {}
        assert not ib.fills()


async def test_all_clients_share_one_slot_for_account_updates() -> None:
    async with a_gateway(accounts=BOTH) as server, an_ib_insync(server, 1) as one, an_ib_insync(server, 2) as two:
        await one.reqAccountUpdatesAsync("DU1")
        await two.reqAccountUpdatesAsync("DU1")
        two.client.reqAccountUpdates(True, "DU2")
        await until(lambda: 2101 in codes(two))
        assert told(two, 2101).startswith("Unable to subscribe to account as the following clients are subscribed")
        two.client.reqAccountUpdates(False, "DU1")
        await until(lambda: 2100 in codes(two))
        one.client.reqAccountUpdates(True, "DU2")
        await until(lambda: 2100 in codes(one))
        assert told(one, 2100).startswith("New account data requested from TWS.")
        one.client.reqAccountUpdates(True, "DU9")
        await until(lambda: 321 in codes(one))

        assert {each.account for each in one.accountValues() if each.tag == "AccountCode"} == {"DU1", "DU2"}


async def test_a_summary_tells_what_its_tags_ask_for() -> None:
    async with a_gateway(accounts=BOTH) as server, an_ib_insync(server) as ib:
        rows: list[tuple[int, str, str, str, str]] = []
        ends: list[int] = []
        ib.wrapper.accountSummary = lambda *row: rows.append(row)
        ib.wrapper.accountSummaryEnd = ends.append
        ib.client.reqAccountSummary(101, "All", "NetLiquidation,AccountType")
        ib.client.reqAccountSummary(102, "DU2", "$LEDGER:ALL")
        await until(lambda: ends == [101, 102])
        assert {(row[1], row[2]) for row in rows if row[0] == 101} == {
            (code, tag) for code in ("DU1", "DU2") for tag in ("NetLiquidation", "AccountType")
        }
        ledger = {row[4]: row[3] for row in rows if row[0] == 102 and row[2] == "CashBalance"}
        assert ledger == {"BASE": "50000.00", "USD": "50000.00"}
        ib.client.reqAccountSummary(103, "All", "$LEDGER")
        await until(lambda: 322 in codes(ib))
        ib.client.cancelAccountSummary(101)
        ib.client.reqAccountSummary(104, "All", "$LEDGER")
        await until(lambda: 104 in ends)
        assert {row[4] for row in rows if row[0] == 104} == {"BASE"}
        ib.client.reqAccountSummary(105, "Mine", "$LEDGER")
        await until(lambda: 321 in codes(ib))


async def test_what_changes_is_told_to_those_who_stay_and_to_nobody_else() -> None:
    async with a_gateway(accounts=BOTH) as server, an_ib_insync(server) as ib:
        rows: list[tuple[Any, ...]] = []
        ib.wrapper.accountUpdateMulti = lambda *row: rows.append(row)
        ib.wrapper.positionMulti = lambda *row: rows.append(row)
        ib.wrapper.accountUpdateMultiEnd = ib.wrapper.positionMultiEnd = lambda number: rows.append((number, "end"))
        ib.client.reqAccountUpdatesMulti(201, "DU1", "", True)
        ib.client.reqPositionsMulti(202, "DU1", "")
        ib.client.reqPositionsMulti(203, "DU2", "")
        await until(lambda: rows.count((202, "end")) == rows.count((203, "end")) == 1)
        assert {row[3] for row in rows if row[0] == 201 and len(row) > 2} >= {"NetLiquidation", "CashBalance"}
        assert "BuyingPower" not in {row[3] for row in rows if row[0] == 201 and len(row) > 2}
        before = len(rows)
        contract = await apple(ib)
        await traded(ib, server, contract, MarketOrder("BUY", 10, account="DU1"))
        await until(lambda: any(row[0] == 202 for row in rows[before:]))
        assert not any(row[0] == 203 for row in rows[before:])
        await until(lambda: {row[3] for row in rows[before:] if row[0] == 201} >= {"NetLiquidation", "CashBalance"})
        assert "AccountOrGroup" not in {row[3] for row in rows[before:] if row[0] == 201}
        for number in (202, 203):
            ib.client.cancelPositionsMulti(number)
        ib.client.cancelAccountUpdatesMulti(201)
        ib.client.reqPositionsMulti(204, "DU1", "Growth")
        await until(lambda: 321 in codes(ib))
        before = len(rows)
        await traded(ib, server, contract, MarketOrder("BUY", 10, account="DU1"))

        assert [row for row in rows[before:] if row[0] in (201, 202, 203)] == []


async def test_values_are_told_again_every_three_minutes() -> None:
    async with a_gateway() as server, an_ib_insync(server) as ib:
        contract = await apple(ib)
        await traded(ib, server, contract, MarketOrder("BUY", 100))
        ib.reqMktData(contract)
        await ib.reqCurrentTimeAsync()
        before = [each.unrealizedPNL for each in ib.portfolio()]
        await server.gateway.tape.advance(185)

        await until(lambda: [each.unrealizedPNL for each in ib.portfolio()] != before)


async def test_an_order_beyond_the_margin_is_refused_in_the_words_of_the_broker() -> None:
    async with a_gateway(accounts=(TWO,)) as server, an_ib_insync(server) as ib:
        contract = await apple(ib)
        trade = ib.placeOrder(contract, LimitOrder("BUY", 300, 400.0))
        await until(lambda: 201 in codes(ib))

        assert told(ib, 201) == (
            "Order rejected - reason:YOUR ORDER IS NOT ACCEPTED. IN ORDER TO OBTAIN THE DESIRED POSITION YOUR EQUITY "
            "WITH LOAN VALUE [49998.50 USD] MUST EXCEED THE INITIAL MARGIN [60000.00 USD]"
        )
        assert trade.orderStatus.status in ("Inactive", "Cancelled")
        accepted = ib.placeOrder(contract, LimitOrder("BUY", 200, 400.0))
        await until(lambda: accepted.orderStatus.status == "Submitted")
        second = ib.placeOrder(contract, LimitOrder("BUY", 100, 400.0))
        await until(lambda: second.orderStatus.status in ("Inactive", "Cancelled"))


async def test_a_cash_account_spends_what_is_settled_and_sells_nothing_short() -> None:
    async with a_gateway(accounts=(CASH,)) as server, an_ib_insync(server) as ib:
        contract = await apple(ib)
        bought = await traded(ib, server, contract, MarketOrder("BUY", 200))
        assert bought.orderStatus.status == "Filled"
        await traded(ib, server, contract, MarketOrder("SELL", 200))
        ib.placeOrder(contract, LimitOrder("BUY", 200, 440.0))
        await until(lambda: 201 in codes(ib))
        assert "Available settled cash converted to base: " in told(ib, 201)
        short = ib.placeOrder(contract, LimitOrder("SELL", 1, 440.0))
        await until(lambda: [each for each in ib.told if each[0] == short.order.orderId])
        assert "Short positions" in told(ib, 201)
        await server.gateway.tape.advance(5 * 86_400)  # a sale of a Thursday of 2013 is paid on Tuesday
        again = ib.placeOrder(contract, LimitOrder("BUY", 200, 300.0))

        await until(lambda: again.orderStatus.status in ("Submitted", "PreSubmitted"))


async def test_a_what_if_order_tells_margins_before_and_after_once_and_leaves_no_trace() -> None:
    async with a_gateway(commissions=Schedule.TIERED) as server, an_ib_insync(server) as ib:
        contract = await apple(ib)
        await traded(ib, server, contract, MarketOrder("BUY", 100))
        opened: list[Any] = []
        ib.openOrderEvent += opened.append
        state = await ib.whatIfOrderAsync(contract, LimitOrder("SELL", 100, 400.0))

        before, change, after = (
            float(state.initMarginBefore),
            float(state.initMarginChange),
            float(state.initMarginAfter),
        )
        assert before > 20_000
        assert before + change == pytest.approx(0)
        assert after == 0
        assert float(state.equityWithLoanChange) == pytest.approx(-state.commission, abs=0.01)
        assert state.minCommission < state.maxCommission
        assert state.commissionCurrency == "USD"
        assert server.gateway.shared.book.live == {}
        assert await ib.reqOpenOrdersAsync() == []


async def test_a_commission_tells_the_profit_of_closing_fills_alone() -> None:
    async with a_gateway() as server, an_ib_insync(server) as ib:
        contract = await apple(ib)
        bought = await traded(ib, server, contract, MarketOrder("BUY", 100))
        sold = await traded(ib, server, contract, MarketOrder("SELL", 100))

        assert all(each.commissionReport.realizedPNL == 0.0 for each in bought.fills)  # how ib_insync shows unset
        assert sum(each.commissionReport.realizedPNL for each in sold.fills) != 0
        assert {each.commissionReport.currency for each in sold.fills} == {"USD"}


async def test_daily_profit_counts_from_the_last_close() -> None:
    async with a_gateway() as server, an_ib_insync(server) as ib:
        contract = await apple(ib)
        bought = await traded(ib, server, contract, MarketOrder("BUY", 100))
        whole, single = ib.reqPnL("DU1234567"), ib.reqPnLSingle("DU1234567", "", contract.conId)
        await until(lambda: single.position == 100)
        paid = sum(each.commissionReport.commission for each in bought.fills)
        assert whole.dailyPnL == pytest.approx(whole.unrealizedPnL, abs=0.02)
        assert single.value - bought.orderStatus.avgFillPrice * 100 - paid == pytest.approx(single.dailyPnL, abs=0.02)
        await server.gateway.tape.advance(86_400)
        close = server.gateway.shared.valuation.previous_close(server.gateway.shared.catalogue.by_symbol["AAPL"])
        await until(lambda: single.dailyPnL == pytest.approx(single.value - float(close) * 100, abs=0.02))
        assert whole.dailyPnL != pytest.approx(whole.unrealizedPnL, abs=0.02)
        before = whole.dailyPnL
        ib.cancelPnL("DU1234567")
        ib.cancelPnLSingle("DU1234567", "", contract.conId)
        await ib.reqCurrentTimeAsync()
        await server.gateway.tape.advance(600)
        await ib.reqCurrentTimeAsync()

        assert whole.dailyPnL == before
        assert server.gateway.shared.valued == set()


async def test_a_split_doubles_a_position_at_the_open_of_its_day() -> None:
    async with a_gateway(now="2005-02-25T15:00:00-05:00") as server, an_ib_insync(server) as ib:
        contract = await apple(ib)
        await traded(ib, server, contract, MarketOrder("BUY", 100))
        await ib.reqAccountUpdatesAsync("")
        (held,) = ib.positions()
        worth = next(float(each.value) for each in ib.accountValues() if each.tag == "NetLiquidation")
        ib.reqPnL("DU1234567")
        await ib.reqCurrentTimeAsync()
        await server.gateway.tape.advance(3 * 86_400 - 5.5 * 3600 + 60)  # Monday, a minute after the open
        await until(lambda: ib.positions()[0].position == 200)

        assert ib.positions()[0].avgCost == pytest.approx(held.avgCost / 2)
        await until(lambda: ib.portfolio()[0].position == 200)
        after = next(float(each.value) for each in ib.accountValues() if each.tag == "NetLiquidation")
        assert after == pytest.approx(worth, rel=0.01)


async def test_a_split_ends_the_orders_that_were_good_till_cancelled() -> None:
    async with a_gateway(now="2005-02-25T15:00:00-05:00") as server, an_ib_insync(server) as ib:
        contract = await apple(ib)
        lasting = ib.placeOrder(contract, LimitOrder("BUY", 100, 20.0, tif="GTC"))
        other = ib.placeOrder(Stock("IBM", "SMART", "USD"), LimitOrder("BUY", 100, 20.0, tif="GTC"))
        await until(lambda: lasting.orderStatus.status == other.orderStatus.status == "Submitted")
        await server.gateway.tape.advance(3 * 86_400 - 5.5 * 3600 + 60)
        await until(lambda: lasting.orderStatus.status == "Cancelled")

        assert told(ib, 202) == "Order Canceled - reason:Stock split 2 for 1"
        assert other.orderStatus.status == "Submitted"


def a_scarce_stock() -> tuple[str, date]:
    """A symbol that nobody lends on a Tuesday, but on the Wednesday after it."""
    lends = Brokerage(Tariff(Schedule.FIXED, lambda *_: D(1)), seed=7).lends
    tuesdays = [date(2013, 3, 5) + timedelta(weeks=each) for each in range(20)]
    return next(
        (each.symbol, day)
        for each in Catalogue().by_symbol.values()
        for day in tuesdays
        if each.currency == "USD" and not lends(each, day) and lends(each, day + timedelta(days=1))
    )


async def test_a_short_sale_of_what_nobody_lends_is_held_until_somebody_does() -> None:
    symbol, day = a_scarce_stock()
    async with a_gateway(now=f"{day}T10:00:00") as server, an_ib_insync(server) as ib:
        trade = ib.placeOrder(Stock(symbol, "SMART", "USD"), LimitOrder("SELL", 10, 10_000.0, tif="GTC"))
        await until(lambda: 404 in codes(ib))
        await until(lambda: trade.orderStatus.whyHeld == "locate")
        assert trade.orderStatus.status == "PreSubmitted"
        await server.gateway.tape.advance(86_400)

        await until(lambda: trade.orderStatus.status == "Submitted")


async def test_accounts_are_remembered_over_a_restart(tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    async with a_gateway(accounts=BOTH, state=state) as server, an_ib_insync(server) as ib:
        contract = await apple(ib)
        await traded(ib, server, contract, MarketOrder("BUY", 10, account="DU2"))
        await traded(ib, server, contract, MarketOrder("SELL", 5, account="DU2"))
        told_before = server.gateway.state()
    async with a_gateway(accounts=BOTH, state=state) as server, an_ib_insync(server) as ib:
        account = server.gateway.shared.accounts.by_code["DU2"]

        assert server.gateway.state()["accounts"] == told_before["accounts"]
        assert account.volume("STK.USD") == 15
        assert account.settled("USD") < account.cash
        assert account.position(server.gateway.shared.catalogue.by_symbol["AAPL"]).opening == 0


async def test_every_version_reads_account_messages() -> None:
    async with a_gateway(pacing=Pacing.OFF) as server, an_ib_insync(server) as first:
        await traded(first, server, await apple(first), MarketOrder("BUY", 10))
        for version in range(157, 177):
            ib = cast(Any, IB)()
            ib.client.MaxClientVersion = version
            await ib.connectAsync("127.0.0.1", server.port, clientId=version, timeout=30)
            state = await ib.whatIfOrderAsync(Stock("AAPL", "SMART", "USD"), MarketOrder("SELL", 10))
            figures = [ib.positions()[0].position, ib.portfolio()[0].position, float(state.initMarginAfter)]
            spoken = ib.client.serverVersion()
            ib.disconnect()

            assert (spoken, figures) == (version, [10, 10, 0])


async def test_the_official_client_reads_every_account_message() -> None:
    async with a_gateway(accounts=(ONE,)) as server, an_ib_insync(server) as ib:
        await traded(ib, server, await apple(ib), MarketOrder("BUY", 10))
        client = OfficialClient()
        await client.start(server.port, 9)
        client.reqAccountUpdates(True, "DU1")
        key, value, *_ = await client.next("updateAccountValue")
        _, size, *_ = await client.next("updatePortfolio")
        ended = await client.next("accountDownloadEnd")
        client.reqAccountSummary(1, "All", "NetLiquidation,$LEDGER:ALL")
        summary = await client.next("accountSummary")
        await client.next("accountSummaryEnd")
        client.reqAccountUpdatesMulti(2, "DU1", "", False)
        multi = await client.next("accountUpdateMulti")
        await client.next("accountUpdateMultiEnd")
        client.reqPositionsMulti(3, "DU1", "")
        position = await client.next("positionMulti")
        await client.next("positionMultiEnd")
        client.reqPnL(4, "DU1", "")
        whole = await client.next("pnl")
        client.reqPnLSingle(5, "DU1", "", 265598)
        single = await client.next("pnlSingle")
        await client.stop()

    assert (key, value, size, ended) == ("AccountCode", "DU1", 10, ("DU1",))
    assert summary[:3] == (1, "DU1", "NetLiquidation")
    assert multi == (2, "DU1", "", "AccountCode", "DU1", "")
    assert (position[1], position[4]) == ("DU1", 10)
    assert whole[1] == pytest.approx(single[2], abs=0.02)
    assert (single[1], single[5]) == (10, pytest.approx(4_400, rel=0.05))


async def test_each_kind_of_contract_is_charged_and_counted_in_its_way() -> None:
    rich = Opening("DU1", {"USD": D(1_000_000), "AUD": D(100_000)})
    async with a_gateway(accounts=(rich,)) as server, an_ib_insync(server) as ib:
        euro, coin = Forex("EURUSD"), Crypto("BTC", "PAXOS", "USD")
        future, call = Future("ES", "201303", "CME"), Option("AAPL", "20130315", 450, "C", "SMART", currency="USD")
        await ib.qualifyContractsAsync(euro, coin, future, call)
        bought = [
            await traded(ib, server, contract, MarketOrder("BUY", quantity))
            for contract, quantity in ((euro, 50_000), (future, 1), (call, 2), (coin, 10))
        ]
        reports = [sum(each.commissionReport.commission for each in trade.fills) for trade in bought]
        spent = [sum(each.execution.shares * each.execution.price for each in trade.fills) for trade in bought]
        assert reports == [pytest.approx(each, abs=0.01) for each in (2.0, 2.25, 1.3, spent[3] * 0.0018)]
        account = server.gateway.shared.accounts.first
        assert account.balances["EUR"] == 50_000
        ledger = amounts(ib)
        assert ledger[("CashBalance", "USD")] == pytest.approx(
            1_000_000 - spent[0] - spent[2] * 100 - spent[3] - sum(reports), abs=0.1
        )
        assert ledger[("CashBalance", "EUR")] == 50_000
        assert ledger[("OptionMarketValue", "BASE")] > 0
        assert ledger[("Cryptocurrency", "BASE")] > 0
        assert ledger[("ExchangeRate", "AUD")] != 1
        total = sum(
            ledger[("NetLiquidationByCurrency", each)] * ledger[("ExchangeRate", each)]
            for each in ("USD", "EUR", "AUD")
        )
        assert ledger[("NetLiquidation", "USD")] == pytest.approx(total, abs=1)
        assert {each.contract.secType for each in ib.positions()} == {"CASH", "FUT", "OPT", "CRYPTO"}


async def test_an_order_in_another_currency_is_paid_in_it_and_valued_in_the_base() -> None:
    rich = Opening("DU1", {"USD": D(100_000)})
    async with a_gateway(now="2013-02-28T20:00:00-05:00", accounts=(rich,)) as server, an_ib_insync(server) as ib:
        contract = Stock("BHP", "ASX", "AUD")
        await ib.qualifyContractsAsync(contract)
        trade = await traded(ib, server, contract, MarketOrder("BUY", 100))
        spent = sum(each.execution.shares * each.execution.price for each in trade.fills)
        paid = sum(each.commissionReport.commission for each in trade.fills)

        assert {each.commissionReport.currency for each in trade.fills} == {"AUD"}
        assert paid == pytest.approx(max(6, spent * 0.0008), abs=0.001)
        account = server.gateway.shared.accounts.first
        assert account.balances == {"USD": D(100_000), "AUD": D(str(round(-spent - paid, 4)))}
        rate = float(account.market.rate("AUD", "USD"))
        await until(lambda: [each for each in ib.accountValues() if each.currency == "AUD"])
        ledger = amounts(ib)
        assert ledger[("CashBalance", "BASE")] == pytest.approx(100_000 - (spent + paid) * rate, abs=0.01)
        assert ledger[("StockMarketValue", "BASE")] == pytest.approx(spent * rate, rel=0.01)
        state = await ib.whatIfOrderAsync(contract, MarketOrder("BUY", 100))
        assert state.commissionCurrency == "AUD"
        assert float(state.initMarginChange) == pytest.approx(spent * rate / 2, rel=0.01)


async def test_an_account_whose_cash_nobody_quotes_is_not_opened() -> None:
    with pytest.raises(RateUnknownError, match="RUB into USD"):
        async with a_gateway(accounts=(Opening("DU1", {"USD": D(1), "RUB": D(1)}),)):
            pass
