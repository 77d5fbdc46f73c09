"""Before and after regular hours: what US stocks trade there, and what it leaves alone."""

import hashlib
from itertools import pairwise

import pytest

from infra.gateway_simulator.protocol.pacing import Pacing
from tests.unit.a_gateway_by_hand import APPLE, Client, by_hand

SPY = ("756733", "SPY", "STK", "", "", "", "", "SMART", "", "USD", "", "")
BHP = ("4036812", "BHP", "STK", "", "", "", "", "SMART", "", "AUD", "", "")
DOLLARS = ("12087792", "EUR", "CASH", "", "", "", "", "IDEALPRO", "", "USD", "", "")
REGULAR, ALL = 1, 0
TRADED = (
    *(("5 secs", "1800 S"), ("1 min", "2 D"), ("1 hour", "1 W"), ("1 day", "1 Y"), ("1W", "1 Y")),
    ("1 secs", "60 S"),
)
ASKED = (
    *((APPLE, *of, "TRADES") for of in TRADED),
    *((APPLE, "5 mins", "1 D", what) for what in ("MIDPOINT", "BID", "ASK", "BID_ASK")),
    *((SPY, "30 mins", "3 D", what) for what in ("TRADES", "BID_ASK")),
    (APPLE, "1 day", "1 M", "BID_ASK"),
    (APPLE, "1 day", "6 M", "HISTORICAL_VOLATILITY"),
    (BHP, "30 mins", "2 D", "TRADES"),
    (DOLLARS, "1 hour", "2 D", "MIDPOINT"),
)


def past(
    request_id: int, asked: tuple[tuple[str, ...], str, str, str], hours: int, *, end: str = "", stays: int = 0
) -> list[object]:
    contract, size, duration, what = asked
    return [20, request_id, *contract, 0, end, size, duration, hours, what, 1, stays, ""]


async def regular_answers(client: Client) -> None:
    for number, asked in enumerate(ASKED, 1):
        await client.say(*past(number, asked, REGULAR))
    for number, (begin, end) in enumerate((("20130227 15:59:50", ""), ("", "20130227 16:00:00")), 50):
        await client.say(96, number, *APPLE, 0, begin, end, 100, "TRADES", REGULAR, 0, "")
    await client.say(87, 60, *APPLE, 0, REGULAR, "TRADES", 1)
    await client.say(88, 61, *APPLE, 0, REGULAR, "2 days")


@pytest.mark.parametrize(
    ("now", "digest"),
    [
        ("2013-02-28T10:00:00-05:00", "64185860d64c7c44"),
        ("2013-02-28T19:30:00-05:00", "04e85798f1ea9f6f"),
        ("2013-03-01T08:00:00-05:00", "3017fc88acdb83aa"),
        ("2012-11-23T12:59:00-05:00", "8785615ea73a0549"),
        ("2005-02-28T10:30:00-05:00", "0efd882d8082acc9"),
    ],
)
async def test_what_regular_hours_tell_is_what_it_was_before_there_were_others(now: str, digest: str) -> None:
    async with by_hand(now, pacing=Pacing.OFF) as hand:
        client = await hand.client()
        client.forget()
        await regular_answers(client)

        assert len(client.heard) >= len(ASKED)
        assert hashlib.sha256(client.raw).hexdigest()[:16] == digest


async def test_streams_of_regular_hours_begin_and_end_with_them() -> None:
    async with by_hand("2013-02-28T15:59:30-05:00", pacing=Pacing.OFF) as hand:
        client = await hand.client()
        client.forget()
        await client.say(50, 3, 1, *APPLE, 5, "TRADES", REGULAR, "")
        await client.say(*past(2, (APPLE, "1 min", "1800 S", "TRADES"), REGULAR, stays=1))
        await hand.market(17.5 * 3600 + 90)

        assert hashlib.sha256(client.raw).hexdigest()[:16] == "519d82e7e570fbf2"


def bars_of(client: Client, request_id: int) -> list[list[str]]:
    """Date, open, high, low, close, volume of each bar of an answer."""
    answer = next(each for each in client.of(17) if each[1] == str(request_id))
    return [answer[at : at + 6] for at in range(5, len(answer), 8)]


async def test_all_hours_of_a_day_begin_at_four_and_end_at_twenty_and_hold_the_regular_ones_unchanged() -> None:
    async with by_hand("2013-02-28T21:00:00-05:00", pacing=Pacing.OFF) as hand:
        client = await hand.client()
        for number, hours in enumerate((REGULAR, ALL)):
            await client.say(*past(number, (APPLE, "5 mins", "1 D", "TRADES"), hours))
            await client.say(*past(10 + number, (APPLE, "1 day", "1 D", "TRADES"), hours))
            await client.say(*past(20 + number, (APPLE, "1 hour", "1 D", "TRADES"), hours))
        regular, every = bars_of(client, 0), bars_of(client, 1)

        assert (every[0][0], every[-1][0]) == ("20130228 04:00:00 US/Eastern", "20130228 19:55:00 US/Eastern")
        assert [each for each in every if each in regular] == regular
        before, after = every[: every.index(regular[0])], every[every.index(regular[-1]) + 1 :]
        assert (len(before), len(after)) == (66, 48)
        assert before[-1][4] == regular[0][1]  # the morning ends where the day opens
        assert after[0][1] == regular[-1][4]  # and the evening begins where it closes
        outside = sum(int(each[5]) for each in before + after)
        assert 0 < outside < sum(int(each[5]) for each in regular) / 10
        assert all(float(one[4]) == float(other[1]) for one, other in pairwise(before + regular))
        (_, opened, high, low, close, volume), (shorter,) = bars_of(client, 11)[0], bars_of(client, 10)
        assert (opened, close) == (before[0][1], after[-1][4])
        assert float(high) == max(float(each[2]) for each in every) >= float(shorter[2])
        assert float(low) == min(float(each[3]) for each in every) <= float(shorter[3])
        assert int(volume) == int(shorter[5]) + outside == sum(int(each[5]) for each in every)
        clocks = [each[0].split()[1] for each in bars_of(client, 21)]
        assert clocks == [f"{hour:02}:00:00" for hour in range(4, 20)]
        assert bars_of(client, 20)[0][0] == "20130228 09:30:00 US/Eastern"


async def test_the_evening_leads_over_to_the_next_morning_and_a_split_is_in_force_from_the_first_trade_of_its_day() -> (
    None
):
    async with by_hand("2005-02-28T21:00:00-05:00", pacing=Pacing.OFF) as hand:
        client = await hand.client()
        await client.say(*past(1, (APPLE, "5 mins", "2 D", "TRADES"), ALL))
        await client.say(*past(2, (APPLE, "1 day", "2 D", "TRADES"), ALL))
        made = bars_of(client, 1)
        evening, morning = made[len(made) // 2 - 1], made[len(made) // 2]

        assert (evening[0][:14], morning[0][:14]) == ("20050225 19:55", "20050228 04:00")
        assert float(morning[1]) == pytest.approx(float(evening[4]), abs=0.01)
        assert [each[1] for each in bars_of(client, 2)] == [made[0][1], morning[1]]


async def test_the_evening_of_a_half_day_is_over_at_five() -> None:
    async with by_hand("2012-11-23T21:00:00-05:00", pacing=Pacing.OFF) as hand:
        client = await hand.client()
        await client.say(*past(1, (APPLE, "30 mins", "1 D", "BID_ASK"), ALL))
        made = bars_of(client, 1)

        assert (made[0][0][9:14], made[-1][0][9:14]) == ("04:00", "16:30")


@pytest.mark.parametrize("contract", [BHP, DOLLARS])
async def test_where_there_are_no_other_hours_all_of_them_are_the_regular_ones(contract: tuple[str, ...]) -> None:
    async with by_hand(pacing=Pacing.OFF) as hand:
        client = await hand.client()
        for number, hours in enumerate((REGULAR, ALL)):
            await client.say(*past(number, (contract, "30 mins", "2 D", "MIDPOINT"), hours))

        assert bars_of(client, 0) == bars_of(client, 1) != []


@pytest.mark.parametrize("now", ["2013-02-28T05:00:00-05:00", "2013-02-28T18:00:00-05:00"])
async def test_what_is_told_live_outside_of_regular_hours_is_what_its_history_tells(now: str) -> None:
    async with by_hand(now, pacing=Pacing.OFF) as hand:
        client = await hand.client()
        await client.say(50, 3, 1, *APPLE, 5, "TRADES", ALL, "")
        await client.say(50, 3, 2, *APPLE, 5, "TRADES", REGULAR, "")
        await client.say(97, 3, *APPLE, "Last", 0, 0)
        await client.say(*past(4, (APPLE, "1 min", "1800 S", "TRADES"), ALL, stays=1))
        await client.say(1, 11, 5, *APPLE, 0, "318", 0, 0, "")
        client.forget()
        await hand.market(300)
        live = [each[3:9] for each in client.of(50)]
        ticks = [each[3:6] for each in client.of(99)]
        last_regular = [each for each in client.of(1) if each[3] == "57"]
        await client.say(20, 6, *APPLE, 0, "", "5 secs", "300 S", ALL, "TRADES", 2, 0, "")
        begins = str(int(live[0][0]))
        await client.say(20, 7, *APPLE, 0, "", "1 min", "300 S", ALL, "TRADES", 1, 0, "")

        assert len(live) == 60
        assert {each[2] for each in client.of(50)} == {"1"}
        assert [each[1:] for each in live] == [each[1:] for each in bars_of(client, 6)]
        assert bars_of(client, 6)[0][0] == begins
        traded = sum(int(each[5]) for each in live)
        assert traded == sum(int(each[2]) for each in ticks) > 0
        assert [each[0] for each in live] == sorted(each[0] for each in live)
        updates = {each[3]: float(each[9]) for each in client.of(90)}
        assert list(updates.values()) == [float(each[5]) for each in bars_of(client, 7)]
        assert last_regular == []
        assert any(each[3] == "1" for each in client.of(1))  # bids come with the trades


async def test_a_quote_asked_for_in_the_night_is_the_last_one_of_the_evening() -> None:
    async with by_hand("2013-02-28T19:59:00-05:00") as hand:
        shared = hand.gateway.shared
        apple = shared.catalogue.by_symbol["AAPL"]
        client = await hand.client()
        await client.say(1, 11, 5, *APPLE, 0, "", 0, 0, "")
        await hand.market(60)
        watched = shared.world.quote(apple, shared.now())
        async with by_hand("2013-03-01T03:59:00-05:00") as other:
            world = other.gateway.shared.world
            found = world.quote(apple, other.gateway.shared.now())
            assert found == watched
            assert found is not None
            assert found.moment > apple.calendar.latest(found.moment).close
        assert [each[4] for each in client.of(1) if each[3] in ("1", "2")][-2:] == ["-1", "-1"]


async def test_a_schedule_and_the_first_moment_of_data_are_those_of_the_hours_asked_for() -> None:
    async with by_hand(pacing=Pacing.OFF) as hand:
        client = await hand.client()
        for number, hours in enumerate((REGULAR, ALL)):
            await client.say(20, number, *APPLE, 0, "", "1 day", "1 D", hours, "SCHEDULE", 1, 0, "")
            await client.say(87, 10 + number, *APPLE, 0, hours, "TRADES", 1)

        assert [each[6:8] for each in client.of(106)] == [
            ["20130228-09:30:00", "20130228-16:00:00"],
            ["20130228-04:00:00", "20130228-20:00:00"],
        ]
        assert [each[2] for each in client.of(88)] == ["20000301-14:30:00", "20000301-09:00:00"]


async def test_a_new_day_begins_with_the_first_trade_of_the_morning() -> None:
    async with by_hand("2013-03-01T03:59:00-05:00") as hand:
        client = await hand.client()
        await client.say(1, 11, 5, *APPLE, 0, "", 0, 0, "")
        await hand.market(59)
        before = [each[4] for each in client.of(1) if each[3] == "9"]
        await hand.market(3)

        assert before == ["444.57"]
        assert [each[4] for each in client.of(1) if each[3] == "9"] == ["444.57", "441.4"]
