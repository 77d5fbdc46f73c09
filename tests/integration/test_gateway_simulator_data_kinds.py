"""Data of what is no stock: forex without trades, an index without quotes, crypto, futures, options with greeks."""

import math

import pytest

from infra.gateway_simulator.protocol.wire import Value
from tests.integration.a_data_client import a_data_client
from tests.integration.a_gateway_simulator import a_gateway, until

EURO = (0, "EUR", "CASH", "", 0.0, "", "", "IDEALPRO", "", "USD", "", "")
INDEX = (0, "SPX", "IND", "", 0.0, "", "", "CBOE", "", "USD", "", "")
BITCOIN = (0, "BTC", "CRYPTO", "", 0.0, "", "", "PAXOS", "", "USD", "", "")
FUTURE = (0, "ES", "FUT", "201303", 0.0, "", "50", "CME", "", "USD", "", "")
OPTION = (0, "AAPL", "OPT", "20130315", 440.0, "C", "100", "SMART", "", "USD", "", "")


@pytest.mark.parametrize(
    ("contract", "what", "code"),
    [
        (EURO, "TRADES", 162),
        (EURO, "MIDPOINT", 0),
        (INDEX, "TRADES", 0),
        (INDEX, "BID", 162),
        (BITCOIN, "TRADES", 10299),
        (BITCOIN, "AGGTRADES", 0),
        (FUTURE, "TRADES", 0),
        (FUTURE, "AGGTRADES", 162),
        (OPTION, "TRADES", 0),
        (OPTION, "BID_ASK", 0),
    ],
)
async def test_each_kind_has_its_bars(contract: tuple[Value, ...], what: str, code: int) -> None:
    async with a_gateway() as server, a_data_client(server) as client:
        client.ask(20, 1, *contract, False, "", "1 min", "1800 S", 1, what, 2, False, "")
        await until(lambda: client.told(17, 1) or client.errors(1))

        assert [each[0] for each in client.errors(1)] == ([code] if code else [])
        assert code or int(client.told(17, 1)[0][4]) == 30


async def test_forex_has_a_bid_and_an_ask_and_no_trades() -> None:
    async with a_gateway() as server, a_data_client(server) as client:
        client.ask(1, 11, 1, *EURO, False, "", False, False, "")
        client.ask(97, 2, *EURO, "BidAsk", 0, False)
        client.ask(97, 3, *EURO, "Last", 0, False)
        client.ask(50, 3, 4, *EURO, 5, "TRADES", 1, "")
        client.ask(50, 3, 5, *EURO, 5, "MIDPOINT", 1, "")
        client.ask(96, 6, *EURO, False, "", "20130228 10:00:00", 5, "TRADES", 1, False, "")
        client.ask(10, 5, 7, *EURO, 3, False, "")
        client.ask(87, 8, *EURO, False, 1, "TRADES", 1)
        await until(lambda: client.errors(8) and client.errors(6))
        await server.gateway.advance(5)
        await until(lambda: client.told(50, 5))
        await client.caught_up()

        assert {int(each[3]) for each in client.told(1, 1)} <= {1, 2, 6, 7, 9}
        assert 0 < float(client.told(1, 1)[1][4]) - float(client.told(1, 1)[0][4]) < 0.001
        assert client.told(99, 2)
        assert [client.errors(number)[0][0] for number in (3, 4, 6, 8)] == [10189, 420, 10187, 162]
        assert len(client.told(12, 7)) >= 6


async def test_an_index_has_a_price_and_no_quotes() -> None:
    async with a_gateway() as server, a_data_client(server) as client:
        client.ask(1, 11, 1, *INDEX, False, "", False, False, "")
        client.ask(97, 2, *INDEX, "BidAsk", 0, False)
        client.ask(10, 5, 3, *INDEX, 3, False, "")
        await until(lambda: client.errors(3))
        await server.gateway.advance(5)
        await client.caught_up()

        assert {int(each[3]) for each in client.told(1, 1)} == {4, 6, 7, 9, 14}
        assert [client.errors(number)[0][0] for number in (2, 3)] == [10189, 10092]


async def test_an_option_comes_with_the_greeks_of_the_model() -> None:
    async with a_gateway() as server, a_data_client(server) as client:
        client.ask(1, 11, 1, *OPTION, False, "", False, False, "")
        await until(lambda: client.told(21, 1))
        await server.gateway.advance(60)
        await client.caught_up()

        known = [[float(part) for part in each[2:]] for each in client.told(21, 1)]
        assert len(known) > 1
        for kind, base, volatility, delta, price, dividends, gamma, vega, theta, underlying in known:
            assert (kind, base, dividends) == (13, 1, 0)
            assert 0 < delta < 1
            assert min(volatility, price, gamma, vega) > 0 > theta
            assert math.isclose(underlying, 445, rel_tol=0.02)
        last = [float(each[4]) for each in client.told(1, 1) if each[3] == "4"][-1]
        assert math.isclose(last, known[-1][4], rel_tol=0.05)


async def test_an_expired_contract_loses_its_history() -> None:
    async with a_gateway(now="2013-03-20T10:00:00-04:00") as server, a_data_client(server) as client:
        client.ask(20, 1, *OPTION, True, "", "1 day", "1 M", 1, "TRADES", 1, False, "")
        client.ask(20, 2, *FUTURE, True, "20130314-20:00:00", "1 day", "1 M", 1, "TRADES", 1, False, "")
        client.ask(20, 3, *FUTURE, False, "20130314-20:00:00", "1 day", "1 M", 1, "TRADES", 1, False, "")
        await until(lambda: client.told(17, 2) and client.errors(1) and client.errors(3))

        assert [client.errors(number)[0][0] for number in (1, 3)] == [162, 200]
