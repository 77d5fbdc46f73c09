"""Contracts of every kind as clients ask for them, at every version."""

from dataclasses import replace
from typing import Any, cast

import pytest
from ib_insync import CFD, Contract, Crypto, Forex, Future, Index, LimitOrder, Option, Stock
from ibapi.decoder import Decoder as OfficialDecoder

from infra.gateway_simulator.protocol.wire import VERSION_MAX, VERSION_MIN
from infra.gateway_simulator.server import SimulatorServer
from tests.integration.a_data_client import Heard, a_data_client, decoded
from tests.integration.a_gateway_simulator import a_gateway, an_ib_insync, until

REFERENCE_MESSAGES = {10, 52, 75, 76, 77, 78, 79, 82, 93, 107}


async def described(ib: Any, contract: Contract) -> list[Any]:
    return cast(list[Any], await ib.reqContractDetailsAsync(contract))


async def test_a_share_of_sydney_says_where_and_when_it_trades() -> None:
    async with a_gateway() as server, an_ib_insync(server) as ib:
        (found,) = await described(ib, Stock("CBA", "SMART", "AUD"))

        assert (found.contract.primaryExchange, found.contract.currency, found.minTick) == ("ASX", "AUD", 0.001)
        assert (found.validExchanges, found.timeZoneId) == ("SMART,ASX", "Australia/NSW")
        assert found.liquidHours.startswith("20130301:1000-20130301:1600;20130302:CLOSED")  # it is Friday there
        (rule,) = set(found.marketRuleIds.split(","))
        steps = await ib.reqMarketRuleAsync(int(rule))
        assert [(each.lowEdge, each.increment) for each in steps] == [(0, 0.001), (0.1, 0.005), (2, 0.01)]


@pytest.mark.parametrize(
    ("contract", "expected"),
    [
        (Forex("EURUSD"), ("EUR.USD", 0.00005, "20130227:1715-20130228:1700", "US/Eastern", "")),
        (Forex("USDJPY"), ("USD.JPY", 0.005, "20130227:1715-20130228:1700", "US/Eastern", "")),
        (Future("ES", "201303", "CME"), ("ESH3", 0.25, "20130227:1700-20130228:1600", "US/Central", "50")),
        (Future("SPI", "20130321", "SNFE"), ("APH3", 1.0, "20130301:0950-20130301:1630", "Australia/NSW", "25")),
        (Index("SPX", "CBOE"), ("SPX", 0.01, "20130228:0830-20130228:1500", "US/Central", "")),
        (Crypto("BTC", "PAXOS", "USD"), ("BTC.USD", 0.25, "20130228:0000-20130301:0000", "UTC", "")),
        (
            Option("AAPL", "20130315", 440, "C", "SMART"),
            ("AAPL  130315C00440000", 0.01, "20130228:0930-20130228:1600", "US/Eastern", "100"),
        ),
    ],
    ids=lambda each: each.secType if isinstance(each, Contract) else "",
)
async def test_every_kind_has_its_hours_increments_and_multiplier(
    contract: Contract, expected: tuple[Any, ...]
) -> None:
    async with a_gateway() as server, an_ib_insync(server) as ib:
        (found,) = await described(ib, contract)

        first = found.liquidHours.split(";")[0]
        told = found.contract.localSymbol, found.minTick, first, found.timeZoneId, found.contract.multiplier
        assert told == expected
        assert len(found.marketRuleIds.split(",")) == len(found.validExchanges.split(","))
        assert {each.tag: each.value for each in found.secIdList}["SCIZOR_SOURCE"] == "synthetic"
        assert await described(ib, Contract(conId=found.contract.conId)) == [found]


async def test_derivatives_name_what_they_stand_for() -> None:
    async with a_gateway() as server, an_ib_insync(server) as ib:
        (option,) = await described(ib, Option("AAPL", "20130315", 440, "P", "SMART"))
        (future,) = await described(ib, Future("ES", "201306", "CME"))

        assert (option.underConId, option.underSymbol, option.underSecType) == (265598, "AAPL", "STK")
        assert (option.contractMonth, option.realExpirationDate) == ("201303", "20130315")
        assert (future.underSymbol, future.underSecType, future.contractMonth) == ("SPX", "IND", "201306")


@pytest.mark.parametrize("symbol", ["BHP", "RIO", "RMD", "WDS", "IVV", "GDX"])
async def test_a_second_listing_makes_a_symbol_ambiguous_until_a_currency_is_named(symbol: str) -> None:
    async with a_gateway() as server, an_ib_insync(server) as ib:
        both = await described(ib, Stock(symbol, "SMART"))
        (american,), (australian,) = [await described(ib, Stock(symbol, "SMART", each)) for each in ("USD", "AUD")]
        (listed,) = await described(ib, Stock(symbol, "ASX"))
        bars = await ib.reqHistoricalDataAsync(Stock(symbol, "SMART"), "", "1 D", "1 hour", "TRADES", True)

        assert {each.contract.currency for each in both} == {"USD", "AUD"}
        assert american.contract.conId != australian.contract.conId == listed.contract.conId
        assert not bars
        assert ib.told[-1][1:] == (200, f"The contract description specified for {symbol} is ambiguous.")


async def test_what_nobody_knows_is_told_by_200() -> None:
    async with a_gateway() as server, an_ib_insync(server) as ib:
        unknown = (
            Stock("NOSUCH", "SMART", "USD"),
            Stock("AAPL", "SMART", "AUD"),
            Stock("AAPL", "ASX", "USD"),
            Stock("CBA", "NASDAQ", "AUD"),
            Forex("EURAUD"),
            Future("ES", "201304", "CME"),
            Future("ES", "201303", "SNFE"),
            Option("AAPL", "20130315", 441, "C", "SMART"),
            Option("AAPL", "20130314", 440, "C", "SMART"),
            Option("KO", "20130315", 40, "C", "SMART"),
            Contract(conId=5),
            Contract(conId=265598, symbol="MSFT", secType="STK"),
            Contract(secType="STK", secIdType="ISIN", secId="US0378331005", exchange="SMART"),
            CFD("AAPL", "SMART", "USD"),
        )
        found = [await described(ib, each) for each in unknown]

        assert found == [[]] * len(unknown)
        assert [code for _, code, _ in ib.told if code < 2000] == [200] * len(unknown)


async def test_a_future_without_a_month_means_all_that_are_listed() -> None:
    async with a_gateway() as server, an_ib_insync(server) as ib:
        listed = await described(ib, Future("ES", exchange="CME"))
        ended = await described(ib, Future("ES", exchange="CME", includeExpired=True))
        past = await described(ib, Future("ES", "201212", "CME"))
        known = await described(ib, Future("ES", "201212", "CME", includeExpired=True))

        assert [each.contract.lastTradeDateOrContractMonth for each in listed][:3] == [
            "20130315",
            "20130621",
            "20130920",
        ]
        assert len(listed) == 8
        assert {each.contract.conId for each in listed} < {each.contract.conId for each in ended}
        assert (past, [each.contract.localSymbol for each in known]) == ([], ["ESZ2"])


async def test_an_option_chain_can_be_asked_for_and_followed() -> None:
    async with a_gateway() as server, an_ib_insync(server) as ib:
        chains = await ib.reqSecDefOptParamsAsync("AAPL", "", "STK", 265598)
        smart = next(each for each in chains if each.exchange == "SMART")
        calls = await described(ib, Option("AAPL", "201303", exchange="SMART", right="C"))
        pair = await described(ib, Option("AAPL", "20130315", 440, exchange="SMART"))

        assert (int(smart.underlyingConId), smart.tradingClass, smart.multiplier) == (265598, "AAPL", "100")
        assert smart.expirations[:3] == ["20130315", "20130419", "20130517"]
        assert smart.strikes[0] < 444 * 0.7 < 444 * 1.3 < smart.strikes[-1]
        assert [each.contract.strike for each in calls] == smart.strikes
        assert {each.contract.right for each in pair} == {"C", "P"}
        assert await ib.reqSecDefOptParamsAsync("QQQ", "", "STK", 320227571) == []


async def test_searching_tells_listings_and_what_is_derived_from_them() -> None:
    async with a_gateway() as server, an_ib_insync(server) as ib:
        bhp = await ib.reqMatchingSymbolsAsync("BHP")
        apple = await ib.reqMatchingSymbolsAsync("AAPL")
        index = await ib.reqMatchingSymbolsAsync("SPX")

        assert [(each.contract.primaryExchange, each.contract.currency) for each in bhp] == [
            ("ASX", "AUD"),
            ("NYSE", "USD"),
        ]
        assert (apple[0].derivativeSecTypes, index[0].derivativeSecTypes) == (["OPT"], ["FUT"])


async def test_an_order_for_an_australian_share_fills_in_sydneys_hours() -> None:
    async with a_gateway(now="2013-02-28T15:59:00-05:00") as server, an_ib_insync(server) as ib:
        (share,) = await ib.qualifyContractsAsync(Stock("CBA", "SMART", "AUD"))
        (apple,) = await ib.qualifyContractsAsync(Stock("AAPL", "SMART", "USD"))
        waiting = ib.placeOrder(share, LimitOrder("BUY", 10, 1000))
        at_once = ib.placeOrder(apple, LimitOrder("BUY", 1, 1000))
        await until(lambda: at_once.isDone() and waiting.orderStatus.status == "PreSubmitted")
        await server.gateway.tape.advance(2 * 3600)
        assert waiting.orderStatus.status == "PreSubmitted"  # New York has closed, Sydney not yet opened
        await server.gateway.tape.advance(3600 + 600)
        await until(waiting.isDone)

        assert (waiting.orderStatus.status, waiting.orderStatus.filled) == ("Filled", 10)
        assert waiting.fills[0].execution.time.isoformat() >= "2013-02-28T23:00:00+00:00"
        assert waiting.fills[0].contract.currency == "AUD"


async def test_the_other_questions_have_small_answers() -> None:
    async with a_gateway() as server, an_ib_insync(server) as ib:
        parts = await ib.reqSmartComponentsAsync("9c0001")

        assert [(each.bitNumber, each.exchange, each.exchangeLetter) for each in parts][:2] == [
            (0, "NYSE", "A"),
            (1, "NASDAQ", "B"),
        ]
        assert not await ib.reqUserInfoAsync()
        for rule in (26, 9008, 9009):
            assert (await ib.reqMarketRuleAsync(rule))[0].lowEdge == 0


async def asked(server: SimulatorServer, version: int) -> list[list[str]]:
    """Every message about contracts."""
    async with a_data_client(server, 1, version) as client:
        issuer = ("",) if version >= VERSION_MAX else ()
        for number, contract in enumerate(
            (
                (0, "AAPL", "STK", "", 0.0, "", "", "SMART", "", "USD", "", ""),
                (0, "EUR", "CASH", "", 0.0, "", "", "IDEALPRO", "", "USD", "", ""),
                (0, "ES", "FUT", "201303", 0.0, "", "", "CME", "", "USD", "", ""),
                (0, "AAPL", "OPT", "20130315", 440.0, "C", "", "SMART", "", "USD", "", ""),
                (0, "BTC", "CRYPTO", "", 0.0, "", "", "PAXOS", "", "USD", "", ""),
                (0, "NDX", "IND", "", 0.0, "", "", "NASDAQ", "", "USD", "", ""),
            )
        ):
            client.ask(9, 8, number, *contract, False, "", "", *issuer)
        client.ask(78, 20, "AAPL", "", "STK", 265598)
        client.ask(79, 21)
        client.ask(80)
        client.ask(81, 22, "BHP")
        client.ask(83, 23, "9c0001")
        client.ask(91, 9001)
        client.ask(104, 24)
        await client.caught_up()
        return [each for each in client.messages if int(each[0]) in REFERENCE_MESSAGES]


def comparable(calls: list[tuple[Any, ...]]) -> list[Any]:
    """What every version can tell: sizes came with 164, descriptions of search results with 176."""
    found: list[Any] = []
    for name, *told in calls:
        if name == "contractDetails":
            found.append(replace(told[1], minSize=0.0, sizeIncrement=0.0, suggestedSizeIncrement=0.0))
        elif name == "symbolSamples":
            found.append([(each.contract.conId, each.derivativeSecTypes) for each in told[1]])
        else:
            found.append((name, told))
    return found


@pytest.mark.parametrize("version", range(VERSION_MIN, VERSION_MAX + 1))
async def test_every_message_about_contracts_is_understood(version: int) -> None:
    async with a_gateway() as server:
        spoken, newest = await asked(server, version), await asked(server, VERSION_MAX)

    assert {int(each[0]) for each in spoken} == REFERENCE_MESSAGES
    for each, other in zip(spoken, newest, strict=True):
        heard = decoded(list(each), version)
        assert heard
        assert comparable(heard) == comparable(decoded(list(other), VERSION_MAX))
        assert official(each, version)


def official(message: list[str], version: int) -> list[tuple[Any, ...]]:
    """The callbacks that IB's own client makes of a message."""
    heard = Heard()
    fields = [field.encode() for field in message[1:]]
    cast(Any, OfficialDecoder)(heard, version).interpret(fields, int(message[0]))
    return heard.calls


async def test_both_clients_understand_the_same() -> None:
    async with a_gateway() as server:
        newest = await asked(server, VERSION_MAX)
    told = [each for each in newest if each[0] == "10"]

    assert len(told) == 6
    for each in told:
        ((_, _, one),), ((_, _, other),) = decoded(list(each), VERSION_MAX), official(each, VERSION_MAX)
        contracts = one.contract, other.contract
        for name in ("conId", "symbol", "secType", "exchange", "currency", "localSymbol", "tradingClass", "multiplier"):
            assert getattr(contracts[0], name) == getattr(contracts[1], name)
        for name in ("minTick", "validExchanges", "marketRuleIds", "tradingHours", "underConId", "longName"):
            assert getattr(one, name) == getattr(other, name)
        assert contracts[0].strike == contracts[1].strike
        assert contracts[0].right == contracts[1].right
        assert contracts[0].lastTradeDateOrContractMonth == contracts[1].lastTradeDateOrContractMonth


async def test_a_local_symbol_means_the_future_of_this_decade() -> None:
    async with a_gateway() as server, an_ib_insync(server) as ib:
        (found,) = await described(ib, Contract(secType="FUT", localSymbol="ESH3", exchange="CME"))
        bars = await ib.reqHistoricalDataAsync(
            Contract(secType="FUT", localSymbol="ESH3", exchange="CME"), "", "1 D", "1 hour", "TRADES", True
        )

        assert found.contract.lastTradeDateOrContractMonth == "20130315"
        assert f"{bars[0].date:%Y%m%d %H:%M}" == "20130227 17:00"
