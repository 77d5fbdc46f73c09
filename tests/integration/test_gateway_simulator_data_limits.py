"""Limits, permissions and subscriptions of the data side, with IB's codes, seen by a client that speaks by hand."""

import pytest

from infra.gateway_simulator.protocol.pacing import LINES_MAX, OPEN_REQUESTS, Pacing
from infra.gateway_simulator.protocol.wire import Value
from tests.integration.a_data_client import APPLE, DIRECT, IBM, DataClient, a_data_client
from tests.integration.a_gateway_simulator import a_gateway, until

EVENING, NIGHT = "2013-02-28T18:00:00-05:00", "2013-02-28T21:00:00-05:00"
LATER = "2013-02-28T10:30:00-05:00"


def stock(number: int) -> tuple[Value, ...]:
    return (number, "", "STK", "", 0.0, "", "", "SMART", "", "USD", "", "")


async def ticks(client: DataClient, number: int) -> dict[int, float]:
    """The last price that was told of each kind."""
    await client.caught_up()
    return {int(each[3]): float(each[4]) for each in client.told(1, number)}


# bars that are kept up to date


async def test_the_last_bar_builds_up_every_five_seconds_and_rolls() -> None:
    async with a_gateway() as server, a_data_client(server) as client:
        first = await client.answered(
            *(20, 7, *APPLE, False, "", "1 min", "600 S", 1, "TRADES", 2, True, ""), by=17, number=7
        )
        await server.gateway.advance(65)
        await until(lambda: len(client.told(90)) == 13)
        updates = client.told(90)
        again = await client.answered(
            *(20, 8, *APPLE, False, "", "1 min", "120 S", 1, "TRADES", 2, False, ""), by=17, number=8
        )

    assert first[4] == "10"
    assert [each[3] for each in updates] == ["1362063600"] * 12 + ["1362063660"]
    volumes = [int(each[9]) for each in updates]
    assert volumes[:12] == sorted(volumes[:12])
    _, _, count, date, opened, close, high, low, average, volume = updates[11]
    assert again[5:13] == [date, opened, high, low, close, volume, average, count], "history says the same of it"


@pytest.mark.parametrize("what", ["TRADES", "MIDPOINT", "BID", "ASK"])
async def test_updates_of_every_size_are_what_history_tells_afterwards(what: str) -> None:
    sizes = {"5 secs": "300 S", "30 secs": "300 S", "5 mins": "1 D", "1 hour": "1 D", "1 day": "1 W"}
    sizes |= {"1 week": "1 M", "1 month": "1 Y"}
    async with a_gateway(pacing=Pacing.OFF) as server, a_data_client(server) as client:
        for number, (size, duration) in enumerate(sizes.items(), 1):
            client.ask(20, number, *APPLE, False, "", size, duration, 1, what, 1, True, "")
        await until(lambda: len(client.told(17)) == len(sizes))
        await server.gateway.advance(70)
        await client.caught_up()
        for number, (size, duration) in enumerate(sizes.items(), 1):
            client.ask(20, number + 100, *APPLE, False, "", size, duration, 1, what, 1, False, "")
        await until(lambda: len(client.told(17)) == 2 * len(sizes))

        for number in range(1, len(sizes) + 1):
            count, date, opened, close, high, low, average, volume = client.told(90, number)[-1][2:]
            assert client.told(17, number + 100)[0][-8:] == [date, opened, high, low, close, volume, average, count]


async def test_updates_end_with_a_cancel_with_data_lost_and_at_midnight() -> None:
    async with a_gateway() as server, a_data_client(server) as client:
        for number in (7, 8, 9):
            client.ask(20, number, *APPLE, False, "", "1 min", "600 S", 1, "TRADES", 2, True, "")
        await until(lambda: len(client.told(17)) == 3)
        client.ask(25, 1, 7)
        await until(lambda: client.errors(7))
        await server.gateway.advance(5)
        await client.caught_up()
        assert {each[1] for each in client.told(90)} == {"8", "9"}
        server.gateway.stop_updates()
        await server.gateway.advance(5)
        client.ask(25, 1, 8)
        client.ask(25, 1, 8)
        await until(lambda: len(client.errors(8)) == 2)
        assert len(client.told(90)) == 2

    assert [code for code, _ in client.errors(7)] == [162]
    assert [code for code, _ in client.errors(8)] == [162, 366], "IB counts what ended by itself as open"


async def test_fifty_requests_may_be_open_those_kept_up_to_date_included() -> None:
    async with (
        a_gateway(pacing=Pacing.OFF) as server,
        a_data_client(server) as client,
        a_data_client(server, 2) as other,
    ):
        for number in range(100, 100 + OPEN_REQUESTS - 1):
            client.ask(20, number, *APPLE, False, "", "5 mins", "1800 S", 1, "TRADES", 2, True, "")
        await until(lambda: len(client.told(17)) == OPEN_REQUESTS - 1)
        other.ask(20, 1, *APPLE, False, "", "1 hour", "1 D", 1, "TRADES", 2, True, "")
        other.ask(20, 1, *APPLE, False, "", "1 hour", "1 D", 1, "TRADES", 2, True, "")
        other.ask(20, 2, *APPLE, False, "", "1 hour", "1 D", 1, "TRADES", 2, True, "")
        await until(lambda: other.errors(2))

    assert other.errors(1) == [
        (322, "Error processing request.-'sm' : cause - Duplicate ticker ID for API historical data query")
    ]
    assert "Only 50 simultaneous API historical data requests allowed." in other.errors(2)[0][1]


# history


@pytest.mark.parametrize(
    ("size", "duration", "end", "codes"),
    [
        ("1 secs", "2000 S", "", []),
        ("1 secs", "2001 S", "", [162]),
        ("1 secs", "1 D", "", [162]),
        ("5 mins", "60 S", "", [162]),
        ("5 secs", "1 W", "", []),
        ("30 mins", "12 M", "", []),
        ("30 mins", "13 M", "", [321]),
        ("1 week", "1 Y", "", []),
        ("1 day", "68 Y", "", []),
        ("1 day", "69 Y", "", [321]),
        ("1 day", "53 W", "", [321]),
        ("5 secs", "60 S", "20120601-20:00:00", [162]),
        ("1 min", "60 S", "20120601-20:00:00", []),
    ],
)
async def test_which_durations_go_with_which_bars(size: str, duration: str, end: str, codes: list[int]) -> None:
    async with a_gateway() as server, a_data_client(server) as client:
        client.ask(20, 1, *APPLE, False, end, size, duration, 1, "TRADES", 2, False, "")
        await until(lambda: client.told(17, 1) or client.errors(1))

        assert [code for code, _ in client.errors(1)] == codes


async def test_ticks_of_the_past_come_from_a_start_or_up_to_an_end() -> None:
    async with a_gateway() as server, a_data_client(server) as client:
        forward = await client.answered(
            *(96, 1, *APPLE, False, "20130228 09:30:00", "", 1000, "TRADES", 1, False, ""), by=98, number=1
        )
        back = await client.answered(
            *(96, 2, *APPLE, False, "", "20130228-15:00:00", 10, "BID_ASK", 1, True, ""), by=97, number=2
        )
        for number, begin, end, count, what in (
            (3, "", "", 10, "TRADES"),
            (4, "20130228 09:30:00", "20130228 09:40:00", 10, "TRADES"),
            (5, "20130228 09:30:00", "", 1001, "TRADES"),
            (6, "20130228 09:30:00", "", 10, "VOLUME"),
        ):
            client.ask(96, number, *APPLE, False, begin, end, count, what, 1, False, "")
        await until(lambda: client.errors(6))

    assert forward[3] == "1362061800"
    assert 1000 <= int(forward[2]) < 1004
    assert forward[-1] == "1"
    times = [int(each) for each in back[3:-1:6]]
    assert times == sorted(times)
    assert times[-1] < 1362063600
    assert [client.errors(number)[0][0] for number in (3, 4, 5, 6)] == [321] * 4


async def test_a_histogram_holds_the_whole_volume_of_its_days() -> None:
    async with a_gateway(now=EVENING) as server, a_data_client(server) as client:
        told = await client.answered(88, 1, *APPLE, False, 1, "1 day", by=89, number=1)
        client.ask(88, 2, *APPLE, False, 1, "soon")
        await until(lambda: client.errors(2))

    prices = [float(each) for each in told[3::2]]
    assert prices == sorted(set(prices))
    assert (prices[0], prices[-1]) == (441.4, 447.87)
    assert sum(int(each) for each in told[4::2]) == 11518400
    assert client.errors(2)[0][0] == 321


async def test_strict_pacing_takes_in_all_bars() -> None:
    for pacing, expected in ((Pacing.TODAY, 0), (Pacing.STRICT, 1), (Pacing.OFF, 0)):
        async with a_gateway(pacing=pacing) as server, a_data_client(server) as client:
            for number in (1, 2):
                client.ask(20, number, *APPLE, False, "", "1 day", "1 W", 1, "TRADES", 2, False, "")
            await until(lambda: len(client.told(17)) + len(client.errors(2)) == 2)
            assert len(client.errors(2)) == expected


async def test_where_data_begin_is_told_or_that_there_are_none() -> None:
    async with a_gateway() as server, a_data_client(server) as client:
        head = await client.answered(87, 1, *APPLE, False, 1, "TRADES", 2, by=88, number=1)
        client.ask(87, 2, *APPLE, False, 1, "NONSENSE", 2)
        client.ask(90, 1)
        await until(lambda: client.errors(2))
    assert head[2] == "951921000"
    # Facebook's prices begin in the middle of May 2012
    async with a_gateway(now="2012-05-01T10:00:00-04:00") as server, a_data_client(server) as client:
        client.ask(87, 3, *stock(107113386), False, 1, "TRADES", 2)
        await until(lambda: client.errors(3))
    assert client.errors(3) == [(162, "Historical Market Data Service error message:No head time stamp")]


# subscriptions


async def test_lines_are_limited_for_all_clients_together() -> None:
    async with a_gateway() as server, a_data_client(server) as client, a_data_client(server, 2) as other:
        for each in server.gateway.shared.sessions.values():
            each.rate_limited = False
        for number in range(LINES_MAX // 2):
            client.ask(1, 11, number, *APPLE, False, "", False, False, "")
            other.ask(1, 11, number, *APPLE, False, "", False, False, "")
        await until(lambda: len(server.gateway.shared.feed) == LINES_MAX)
        other.ask(1, 11, 999, *IBM, False, "", False, False, "")
        other.ask(1, 11, 998, *IBM, False, "", True, False, "")
        await until(lambda: other.errors(999) and other.told(57, 998))

        assert other.errors(999) == [(101, "Max number of tickers has been reached.")]


async def test_numbers_in_use_unknown_numbers_and_wrong_lists_are_told() -> None:
    async with a_gateway() as server, a_data_client(server) as client:
        client.ask(1, 11, 1, *APPLE, False, "", False, False, "")
        client.ask(1, 11, 1, *IBM, False, "", False, False, "")
        client.ask(2, 2, 77)
        client.ask(1, 11, 2, *APPLE, False, "100,999", False, False, "")
        client.ask(1, 11, 3, *APPLE, False, "233", True, False, "")
        client.ask(1, 11, 4, *APPLE, False, "", False, True, "")
        client.ask(11, 1, 78, 1)
        await until(lambda: client.errors(78))

        assert [client.errors(number)[0][0] for number in (1, 77, 2, 3, 4, 78)] == [102, 300, 321, 321, 321, 310]
        assert "Incorrect generic tick list of 100,999." in client.errors(2)[0][1]


async def test_generic_ticks_are_told_where_there_is_an_honest_answer() -> None:
    async with a_gateway() as server, a_data_client(server) as client:
        client.ask(1, 11, 1, *APPLE, False, "104,165,221,233,236,258,293,318,mdoff", False, False, "")
        await until(lambda: client.told(45, 1))
        prices = await ticks(client, 1)
        await server.gateway.advance(5)
        await client.caught_up()
        volume = client.told(46, 1)[-1][4].split(";")

    assert set(prices) == {15, 16, 17, 18, 19, 20, 37, 57}, "mdoff: no quotes"
    assert prices[19] <= prices[17] <= prices[15] < prices[16] <= prices[18] <= prices[20] == 705.07
    assert {int(each[3]) for each in client.told(45, 1)} == {23, 46, 49, 54}
    assert int(client.told(45, 1)[-1][4]) > 1000
    price, size, moment, total, average, _ = volume
    assert float(price) == prices[37] or float(price) > 0
    assert int(moment) > 1362063600000
    assert 440 < float(average) < 448
    assert int(total) > int(size) > 0


async def test_ticks_by_tick_are_limited_and_begin_with_the_past() -> None:
    async with a_gateway() as server, a_data_client(server) as client:
        for number in range(1, 7):
            client.ask(97, number, *APPLE, "Last", 10, False)
        await until(lambda: client.errors(6))
        await server.gateway.advance(5)
        await client.caught_up()

        assert client.errors(6) == [(10190, "Max number of tick-by-tick requests has been reached.")]
        (past,) = client.told(98, 1)
        assert int(past[2]) >= 10
        assert int(past[-7]) <= int(client.told(99, 1)[0][3])


async def test_sixty_subscriptions_to_bars_in_ten_minutes() -> None:
    async with a_gateway() as server, a_data_client(server) as client:
        server.gateway.shared.sessions[1].rate_limited = False
        for number in range(1, 62):
            client.ask(50, 3, number, *APPLE, 5, "TRADES", 1, "")
        await until(lambda: client.errors(61))

        assert client.errors(61)[0][0] == 420
        assert client.errors(60) == []


async def test_depth_is_told_row_by_row_around_the_best_quote() -> None:
    async with a_gateway() as server, a_data_client(server) as client:
        client.ask(10, 5, 1, *APPLE, 3, True, "")
        client.ask(10, 5, 2, *DIRECT, 3, False, "")
        client.ask(10, 5, 3, *APPLE, 3, False, "")
        client.ask(10, 5, 4, *IBM, 3, True, "")
        client.ask(10, 5, 5, *IBM, 3, True, "")
        await until(lambda: client.errors(5))
        smart, direct = client.told(13, 1), client.told(12, 2)
        server.gateway.reset_depth()
        await until(lambda: client.errors(1))
        await server.gateway.advance(5)
        await client.caught_up()
        changed = client.told(12, 2)[12:]

    assert [each[3] for each in smart] == ["0", "1", "2"] * 2
    assert {(each[5], each[9]) for each in smart[:6]} == {("0", "1")}, "inserted, and of a smart book"
    assert [each[3] for each in direct] == ["0", "1", "2"] * 2
    asks, bids = [float(each[6]) for each in direct[:3]], [float(each[6]) for each in direct[3:]]
    assert asks == sorted(asks)
    assert bids == sorted(bids, reverse=True)
    assert bids[0] < asks[0]
    assert client.errors(3)[0][0] == 10092
    assert client.errors(5) == [(309, "Max number (3) of market depth requests has been reached")]
    assert client.errors(1)[0][0] == 317
    assert {each[4] for each in changed} == {"1"}, "rows that are there are updated"


# what an account may see


async def test_what_is_not_seen_live_is_refused_in_words() -> None:
    async with (
        a_gateway(permissions={"AAPL": "delayed", "IBM": "none", "MSFT": "api"}) as server,
        a_data_client(server) as client,
    ):
        client.ask(1, 11, 1, *APPLE, False, "", False, False, "")
        client.ask(1, 11, 2, *IBM, False, "", False, False, "")
        client.ask(1, 11, 3, *stock(272093), False, "", False, False, "")
        client.ask(97, 4, *APPLE, "Last", 0, False)
        client.ask(50, 3, 5, *APPLE, 5, "TRADES", 1, "")
        client.ask(96, 6, *APPLE, False, "", "20130228 10:00:00", 5, "TRADES", 1, False, "")
        client.ask(20, 7, *APPLE, False, "", "1 min", "60 S", 1, "TRADES", 2, False, "")
        client.ask(10, 5, 8, *APPLE, 3, True, "")
        client.ask(59, 1, 3)
        client.ask(1, 11, 9, *IBM, False, "", False, False, "")
        await until(lambda: client.errors(9) and client.errors(7) and client.errors(6))

    codes = [client.errors(number)[0][0] for number in range(1, 10)]
    assert codes == [354, 354, 10089, 10189, 420, 10187, 162, 354, 10168]
    assert client.errors(1)[0][1].endswith("Delayed market data is available.AAPL ISLAND/TOP/ALL")
    assert client.errors(4)[0][1] == "Failed to request tick-by-tick data.No market data permissions for ISLAND STK"
    assert client.told(1) == []


async def test_delayed_data_are_those_of_fifteen_minutes_before() -> None:
    async with (
        a_gateway(now=LATER, permissions={"AAPL": "delayed"}) as server,
        a_data_client(server) as late,
        a_gateway(now="2013-02-28T10:15:00-05:00") as earlier,
        a_data_client(earlier) as live,
    ):
        late.ask(59, 1, 3)
        for client in (late, live):
            await client.answered(1, 11, 1, *APPLE, False, "", False, False, "", by=45, number=1)
        for each in (server, earlier):
            await each.gateway.advance(300)
        await late.caught_up()
        await live.caught_up()

    names = {1: 66, 2: 67, 4: 68, 6: 72, 7: 73, 9: 75, 14: 76}
    seen = [(int(each[3]), each[4], each[5]) for each in late.told(1, 1)]
    assert late.errors(1)[0][0] == 10167
    assert late.told(58, 1)[0][3] == "3"
    assert len(seen) > 500
    assert seen == [(names[int(each[3])], each[4], each[5]) for each in live.told(1, 1)]


async def test_after_the_last_trade_prices_are_frozen_for_those_who_ask() -> None:
    async with a_gateway(now=NIGHT) as server, a_data_client(server) as client:
        client.ask(1, 11, 1, *APPLE, False, "", False, False, "")
        live = await ticks(client, 1)
        client.ask(59, 1, 2)
        client.ask(1, 11, 2, *APPLE, False, "", False, False, "")
        frozen = await ticks(client, 2)

    last = live[4]
    assert (live[1], live[2]) == (-1, -1)
    assert (frozen[1], frozen[2], frozen[4]) == pytest.approx((last - 0.01, last + 0.01, last))
    assert last not in (-1, 441.4), "the evening has gone on from the close"
    assert [client.told(58, number)[0][3] for number in (1, 2)] == ["1", "2"]


async def test_a_part_of_the_data_may_be_missing() -> None:
    async with a_gateway(permissions={"AAPL": "part"}) as server, a_data_client(server) as client:
        client.ask(1, 11, 1, *APPLE, False, "233", False, False, "")
        await ticks(client, 1)
        await server.gateway.advance(5)
        await client.caught_up()

    assert client.errors(1)[0][0] == 10090
    assert {int(each[3]) for each in client.told(46, 1)} == {45}, "no RTVolume"
    assert len(client.told(1, 1)) > 6


# what happens to subscriptions


async def test_a_competing_session_a_bust_and_lost_data_end_subscriptions() -> None:
    async with a_gateway() as server, a_data_client(server) as client:
        client.ask(50, 3, 1, *APPLE, 5, "TRADES", 1, "")
        client.ask(1, 11, 2, *APPLE, False, "", False, False, "")
        client.ask(10, 5, 5, *APPLE, 3, True, "")
        await until(lambda: len(client.told(13)) == 6)
        server.gateway.bust_bars(server.gateway.shared.catalogue.by_symbol["AAPL"])
        server.gateway.compete(True)
        client.ask(1, 11, 3, *APPLE, False, "", False, False, "")
        await until(lambda: client.errors(3))
        server.gateway.compete(False)
        client.ask(1, 11, 4, *APPLE, False, "", False, False, "")
        await until(lambda: client.told(45, 4))
        server.gateway.forget_subscriptions()
        await server.gateway.advance(5)
        await client.caught_up()

    assert [client.errors(number)[0][0] for number in (1, 2, 3, 5)] == [10225, 10197, 10197, 10197]
    assert client.errors(4) == []
    assert client.told(50) == []
    assert len(server.gateway.shared.feed) == 0


async def test_a_slowed_down_request_holds_up_no_other() -> None:
    async with a_gateway(soft_delay=30.0) as server, a_data_client(server) as client:
        server.gateway.shared.sessions[1].rate_limited = False
        for number in range(61):
            client.ask(20, number, *APPLE, False, "", "1 day", "1 W", 1, "TRADES", 2, False, "")
            if number == 39:  # no more than fifty at once
                await until(lambda: len(client.told(17)) == 40)
        client.ask(20, 99, *APPLE, False, "", "5 secs", "60 S", 1, "TRADES", 2, False, "")
        await until(lambda: client.told(17, 99))

        assert len(client.told(17)) == 61, "sixty at once, and the one with hard limits of its own"
        assert client.told(17, 60) == []


async def test_the_close_takes_the_quotes_or_freezes_them_and_the_opening_brings_them_back() -> None:
    async with a_gateway(now="2013-02-28T15:59:50-05:00") as server, a_data_client(server) as client:
        client.ask(1, 11, 1, *APPLE, False, "", False, False, "")
        await client.caught_up()
        client.ask(59, 1, 2)
        client.ask(1, 11, 2, *IBM, False, "", False, False, "")
        await client.caught_up()
        before = await ticks(client, 1)
        await server.gateway.advance(15)
        closed = await ticks(client, 1)
        await server.gateway.advance(17 * 3600 + 1800 + 5)
        await client.caught_up()
        after = await ticks(client, 1)

    assert before[1] > 0
    assert (closed[1], closed[4]) == (441.39, 441.4), "what is asked for last decides: frozen"
    assert [each[3] for each in client.told(58, 1)] == ["1", "2", "1"]
    assert [each[3] for each in client.told(58, 2)] == ["1", "2", "1"]
    assert after[1] > 0


async def test_delayed_data_go_on_for_fifteen_minutes_after_the_close() -> None:
    async with (
        a_gateway(now="2013-02-28T15:59:00-05:00", permissions={"AAPL": "delayed"}) as server,
        a_data_client(server) as client,
    ):
        client.ask(59, 1, 3)
        await client.answered(1, 11, 1, *APPLE, False, "", False, False, "", by=45, number=1)
        await server.gateway.advance(70)
        await client.caught_up()
        at_close = client.told(1, 1)[-1]
        await server.gateway.advance(900)
        prices = await ticks(client, 1)

    assert float(at_close[4]) != 441.4
    assert prices[68] == 441.4
    assert int(client.told(46, 1)[-1][4]) == 1362085198, "the last trade of the day"
