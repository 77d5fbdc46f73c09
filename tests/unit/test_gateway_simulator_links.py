"""Links that break: between gateway and IB, gateway and clients, data farms, and what each keeps from whom."""

from typing import Any

import pytest

from tests.unit.a_gateway_by_hand import APPLE, Client, Hand, by_hand, history, settle

TICK, BAR = 1, 50


async def ticks_after(hand: Hand, client: Client, seconds: float = 60) -> int:
    client.forget()
    await hand.market(seconds)
    return len(client.of(TICK))


async def follow_apple(client: Client, request_id: int = 7) -> None:
    await client.say(1, 11, request_id, *APPLE, 0, "", 0, 0, "")


async def test_without_a_link_a_fill_happens_and_is_not_told() -> None:
    async with by_hand() as hand:
        client = await hand.client()
        await client.order(1, kind="LMT", limit=400)
        await hand.do(outage={})
        client.forget()
        await hand.do(print={"symbol": "AAPL", "percent": -15})
        await hand.at_once()

        (execution,) = hand.gateway.shared.book.executions
        assert execution.order.filled == 100
        assert client.heard == []
        await hand.do(restore=1102)
        assert client.codes() == [1102, 2104, 2106, 2158]
        await client.say(7, 3, 9, 0, "", "", "", "", "", "")
        assert [each[14] for each in client.of(11)] == [execution.execution_id]


async def test_without_a_link_orders_are_held_in_their_order_and_what_the_gateway_knows_is_answered() -> None:
    async with by_hand() as hand:
        client = await hand.client()
        await hand.do(outage={"seconds": 20, "restored": 1101})
        client.forget()
        await client.order(1, kind="LMT", limit=400)
        await client.say(4, 1, 1, "")
        await client.say(49, 1)
        assert [each[0] for each in client.heard] == ["49"]
        assert hand.gateway.shared.book.live == {}

        await hand.wall(20)
        (order,) = hand.gateway.shared.book.finished
        assert (order.order_id, order.status) == (1, "Cancelled")
        assert client.codes()[:1] == [1101]


async def test_orders_can_be_lost_on_the_way() -> None:
    async with by_hand() as hand:
        client = await hand.client()
        await hand.do(outage={"seconds": 5, "orders": "lost"})
        await client.order(1)
        await hand.wall(5)

        assert hand.gateway.shared.book.find(1, 1) is None


async def test_1100_repeats_while_the_link_is_down_and_1102_can_come_without_it() -> None:
    async with by_hand() as hand:
        client = await hand.client()
        client.forget()
        await hand.do(outage={"repeat": 4})
        for _ in range(3):
            await hand.wall(4)
        assert client.codes() == [1100] * 4
        await hand.do(restore=1102)
        client.forget()
        await hand.do(outage={"announced": False, "seconds": 1})
        await hand.wall(1)
        await hand.wall(4)
        assert client.codes()[0] == 1102
        assert 1100 not in client.codes()


@pytest.mark.parametrize(("code", "ticks_go_on"), [(1101, False), (1102, True)])
async def test_after_1101_every_subscription_is_gone_and_after_1102_none(code: int, ticks_go_on: bool) -> None:
    async with by_hand() as hand:
        client = await hand.client()
        await follow_apple(client)
        assert await ticks_after(hand, client)
        await hand.do(outage={})
        assert await ticks_after(hand, client) == 0
        await hand.do(restore=code)

        assert bool(await ticks_after(hand, client)) is ticks_go_on


async def test_bars_that_stay_up_to_date_can_die_without_a_word() -> None:
    async with by_hand() as hand:
        client = await hand.client()
        await client.say(*history(5, "1800 S", "5 secs", stays=1))
        client.forget()
        await hand.market(30)
        assert client.of(90)
        await hand.do(outage={"streams_die": True})
        await hand.do(restore=1102)
        client.forget()
        await hand.market(30)
        assert client.of(90) == []
        await client.say(25, 1, 5)
        await hand.wall(15)  # the same request is not allowed sooner
        await client.say(*history(5, "1800 S", "5 secs", stays=1))
        await hand.market(30)
        assert client.of(90)


async def test_a_client_that_comes_during_an_outage_is_told_so() -> None:
    async with by_hand() as hand:
        await hand.do(outage={})
        client = await hand.client()

        assert [each[0] for each in client.heard] == ["176", "15", "9", "4"]
        assert client.codes() == [1100]


# farms


async def test_a_broken_market_farm_keeps_its_ticks() -> None:
    async with by_hand() as hand:
        client = await hand.client()
        await follow_apple(client)
        await hand.do(farm={"name": "usfarm", "state": "broken", "seconds": 3})
        assert client.codes()[-1] == 2103
        assert await ticks_after(hand, client) == 0
        await hand.wall(3)
        assert client.codes()[-1] == 2104
        assert await ticks_after(hand, client)


async def test_a_blip_of_a_farm_can_kill_subscriptions_silently() -> None:
    async with by_hand() as hand:
        client = await hand.client()
        await follow_apple(client)
        await hand.do(farm={"name": "usfarm", "state": "broken", "seconds": 3, "kills_subscriptions": True})
        await hand.wall(3)

        assert await ticks_after(hand, client) == 0
        assert len(hand.gateway.shared.feed) == 0


async def test_a_farm_of_another_market_breaks_nothing_here() -> None:
    async with by_hand() as hand:
        client = await hand.client()
        await follow_apple(client)
        await hand.do(farm={"name": "hfarm", "state": "broken"})

        assert await ticks_after(hand, client)


async def test_history_fails_while_its_farm_is_broken() -> None:
    async with by_hand() as hand:
        client = await hand.client()
        await hand.do(farm={"name": "ushmds", "state": "broken"})
        await client.say(*history(5))
        assert client.codes()[-2:] == [2105, 162]
        await hand.do(farm={"name": "ushmds", "state": "ok"})
        await client.say(*history(6))
        assert [each[1] for each in client.of(17)] == ["6"]


async def test_history_that_hangs_is_answered_when_the_farm_is_back_and_can_be_cancelled_before() -> None:
    async with by_hand() as hand:
        client = await hand.client()
        await hand.do(farm={"name": "ushmds", "state": "broken", "history": "hang", "seconds": 60})
        client.forget()
        await client.say(*history(5))
        await client.say(*history(6))
        await client.order(1, kind="LMT", limit=400)
        assert {each[0] for each in client.heard} == {"5", "3"}  # orders do not wait for history
        await client.say(25, 1, 5)
        assert client.codes() == [162]
        await hand.wall(60)
        assert [each[1] for each in client.of(17)] == ["6"]


async def test_every_contract_is_unknown_while_definitions_are_broken() -> None:
    async with by_hand() as hand:
        client = await hand.client()
        lookup = (9, 8, 3, *APPLE, 0, "", "", "")
        await hand.do(farm={"name": "secdefil", "state": "broken", "seconds": 10})
        await client.say(*lookup)
        assert client.codes()[-2:] == [2157, 200]
        await hand.wall(10)
        await client.say(*lookup)
        assert client.of(10)


# clients


async def test_a_half_open_link_says_nothing_takes_nothing_and_keeps_its_id() -> None:
    async with by_hand() as hand:
        client = await hand.client()
        await hand.do(half_open={"seconds": 60})
        client.forget()
        await client.order(1)
        await client.leave()
        assert client.heard == []
        assert not client.line.reads
        second = await hand.client()
        assert second.codes() == [326]
        await hand.wall(60)
        third = await hand.client()
        assert third.of(9) == [["9", "1", "1"]]


async def test_a_freeze_ends_and_nothing_is_lost() -> None:
    async with by_hand() as hand:
        client = await hand.client()
        await follow_apple(client)
        await hand.do(freeze={"seconds": 10})
        assert await ticks_after(hand, client) == 0
        await client.order(1, kind="LMT", limit=400)
        assert client.heard == []
        await hand.wall(10)

        assert client.of(TICK)
        assert client.of(5)


async def test_a_connection_is_accepted_and_never_answered() -> None:
    async with by_hand() as hand:
        await hand.do(deaf={"seconds": 30})
        client = await hand.client()
        assert client.raw == b""
        await hand.wall(30)
        assert client.of(9)


async def test_a_ghost_keeps_the_id_of_a_client_that_crashed() -> None:
    async with by_hand() as hand:
        hand.gateway.director.arm({"event": "disconnected noted"}, {"occupied": {"seconds": 30}})
        client = await hand.client()
        await client.leave()
        assert (await hand.client()).codes() == [326]
        await hand.wall(30)
        assert (await hand.client()).of(9)


async def test_a_restart_sends_everybody_away_and_orders_live_on() -> None:
    async with by_hand() as hand:
        client = await hand.client()
        await client.order(1, kind="LMT", limit=400)
        await hand.do(restart={"seconds": 20, "code": 1300})
        assert client.codes()[-1] == 1300
        assert not client.session.is_open
        again = await hand.client()
        await again.say(16, 1)

        assert again.of(9) == [["9", "1", "2"]]
        assert [each[1] for each in again.of(5)] == ["1"]


async def test_segments_of_one_byte_carry_the_same_messages() -> None:
    async with by_hand() as hand:
        client = await hand.client()
        await hand.do(fragments={"bytes": 1})
        client.forget()
        await client.say(49, 1)
        for _ in range(3):
            await settle()

        assert {len(each) for each in client.line.written} == {1}
        assert [each[0] for each in client.heard] == ["49"]


async def test_the_clock_is_told_wrong() -> None:
    async with by_hand() as hand:
        client = await hand.client()
        await client.say(49, 1)
        await hand.do(clock_skew={"seconds": 3600})
        await client.say(49, 1)

        true, wrong = (int(each[2]) for each in client.of(49))
        assert wrong - true == 3600


# market data


async def test_frozen_quotes_say_nothing_and_the_market_goes_on() -> None:
    async with by_hand() as hand:
        client = await hand.client()
        await follow_apple(client)
        await hand.do(frozen={"symbols": ["AAPL"], "seconds": 30})
        client.forget()
        assert await ticks_after(hand, client) == 0
        assert client.codes() == []
        await hand.wall(30)
        assert await ticks_after(hand, client)


async def test_a_competing_session_ends_ticks_with_a_word() -> None:
    async with by_hand() as hand:
        client = await hand.client()
        await follow_apple(client)
        await hand.do(competing={"seconds": 30})
        assert client.codes()[-1] == 10197
        assert await ticks_after(hand, client) == 0
        await hand.wall(30)
        await follow_apple(client, 8)
        assert await ticks_after(hand, client)


@pytest.mark.parametrize(
    ("data", "wanted", "code"), [("delayed", 3, 10167), ("delayed", 1, 354), ("none", 3, 10168), ("none", 1, 354)]
)
async def test_market_data_that_is_not_bought(data: str, wanted: int, code: int) -> None:
    async with by_hand() as hand:
        client = await hand.client()
        await hand.do(restriction={"symbols": ["AAPL"], "data": data, "seconds": 60})
        await client.say(59, 1, wanted)
        await follow_apple(client)
        assert client.codes()[-1] == code
        assert [each[3] for each in client.of(58)] == (["3"] if code == 10167 else [])
        await hand.wall(60)
        await follow_apple(client, 8)
        assert [each[3] for each in client.of(58) if each[2] == "8"] == ["1"]


async def test_bars_end_when_the_trades_behind_them_are_taken_back() -> None:
    async with by_hand() as hand:
        client = await hand.client()
        await client.say(50, 3, 4, *APPLE, 5, "TRADES", 1, "")
        await hand.market(10)
        assert client.of(BAR)
        await hand.do(bar_bust={"symbol": "AAPL"})
        client.forget()
        await hand.market(10)
        assert client.of(BAR) == []


# moments


async def test_a_market_time_comes_before_what_happens_then_and_may_come_again() -> None:
    async with by_hand() as hand:
        client = await hand.client()
        await follow_apple(client)
        when = {"market_time": "2013-02-28T10:05:00", "times": 3, "every": 60}
        hand.gateway.director.arm(when, {"notice": {"code": 2110}})
        await hand.market(299)
        assert 2110 not in client.codes()
        await hand.market(1)
        assert client.codes().count(2110) == 1
        await hand.market(600)
        assert client.codes().count(2110) == 3
        assert hand.gateway.director.waiting() == []


async def test_a_wall_time_comes_whether_the_market_moves_or_not_and_can_be_taken_back() -> None:
    async with by_hand() as hand:
        client = await hand.client()
        arm: Any = hand.gateway.director.arm
        arm({"wall_seconds": 5}, {"notice": {"code": 2110}})
        number = arm({"wall_seconds": 5}, {"outage": {}})
        hand.gateway.director.clear(number)
        await hand.wall(5)

        assert client.codes()[-1] == 2110
        assert not hand.gateway.shared.weather.link_down


async def test_a_halt_is_told_and_nothing_of_the_symbol_trades_until_it_is_over() -> None:
    async with by_hand() as hand:
        client = await hand.client()
        await follow_apple(client)
        await client.say(50, 3, 8, *APPLE, 5, "TRADES", 1, "")
        await client.order(1, kind="LMT", limit=400)
        await hand.do(halt={"symbol": "AAPL", "reason": "volatility"})
        assert [each[3:] for each in client.of(45)] == [["49", "0"], ["49", "2"]]
        assert await ticks_after(hand, client) == len(client.of(BAR)) == 0
        await client.order(2)
        assert client.codes() == [154]
        await client.order(1, kind="LMT", limit=500)

        assert [each[2] for each in client.of(3)][-1] == "Submitted"
        assert hand.gateway.shared.book.executions == []
        await hand.do(resume={"symbol": "AAPL"})
        await hand.at_once()
        assert [each.quantity for each in hand.gateway.shared.book.executions] == [100]
        assert [each[3:] for each in client.of(45)] == [["49", "0"]]
        assert await ticks_after(hand, client) > 0
        assert client.of(BAR) != []


async def test_a_halt_ends_by_itself_after_its_time_and_holds_no_other_symbol() -> None:
    async with by_hand() as hand:
        client = await hand.client()
        await follow_apple(client)
        await hand.do(halt={"symbol": "IBM", "seconds": 5})
        assert await ticks_after(hand, client) > 0
        await hand.do(halt={"symbol": "AAPL", "seconds": 5})
        assert await ticks_after(hand, client) == 0
        await hand.wall(5)

        assert hand.gateway.shared.halted == {}
        assert await ticks_after(hand, client) > 0
