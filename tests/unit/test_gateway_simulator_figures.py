"""Generic ticks and volatility bars: what is told of a contract beside its quotes, all of the one world."""

import pytest

from infra.gateway_simulator.protocol.pacing import Pacing
from tests.unit.a_gateway_by_hand import APPLE, Client, Hand, by_hand

NVIDIA = ("", "NVDA", "STK", "", "", "", "", "SMART", "", "USD", "", "")
CALL = ("", "AAPL", "OPT", "20130315", "440", "C", "", "SMART", "", "USD", "", "")
ALL = "100,101,105,106,165,225,233,236,258"


async def told(hand: Hand, contract: tuple[str, ...], generic: str) -> dict[int, str]:
    """The last value of each tick that comes at once."""
    client = await hand.client(len(hand.clients) + 1)
    await client.say(1, 11, 7, *contract, 0, generic, 0, 0, "")
    assert 321 not in client.codes()
    return ticks_of(client)


def ticks_of(client: Client) -> dict[int, str]:
    return {int(each[3]): each[4] for number in (1, 2, 45, 46) for each in client.of(number)}


async def test_a_stock_with_options_tells_what_they_trade_and_imply() -> None:
    async with by_hand() as hand:
        found = await told(hand, APPLE, ALL)
        calls, puts = int(found[29]), int(found[30])

        assert calls == puts > 0  # every strike has both, and all trade alike
        assert min(int(found[27]), int(found[28])) > 100
        assert int(found[87]) > calls + puts
        assert 0.18 <= float(found[24]) <= 0.40
        assert int(found[89]) == int(found[21]) // 10
        assert (found[46], found[49]) == ("3", "0")
        ratios = dict(each.split("=") for each in found[47].rstrip(";").split(";"))
        assert ratios["NPRICE"] == "444.57"
        assert (float(ratios["NLOW"]), float(ratios["NHIGH"])) == (float(found[19]), float(found[20]))
        assert not {34, 35, 36} & found.keys()


async def test_an_option_tells_its_own_volume_and_interest_and_a_stock_without_options_none() -> None:
    async with by_hand() as hand:
        whole, own, none = [await told(hand, each, ALL) for each in (APPLE, CALL, NVIDIA)]

        assert 0 < int(own[29]) < int(whole[29])
        assert (own[30], own[28]) == ("0", "0")
        assert 0 < int(own[27]) < int(whole[27])
        assert not {24, 27, 28, 29, 30, 87} & none.keys()
        assert {15, 20, 21, 46, 47, 89} <= none.keys()


async def test_the_closing_auction_is_told_of_in_its_last_ten_minutes() -> None:
    async with by_hand("2013-02-28T15:49:30-05:00") as hand:
        client = await hand.client()
        await client.say(1, 11, 7, *APPLE, 0, "225", 0, 0, "")
        await hand.market(20)
        assert not {34, 35, 36} & ticks_of(client).keys()
        await hand.market(20)

        found = ticks_of(client)
        assert found[35] == found[4]
        assert int(found[34]) > 0


async def test_depth_is_listed_for_options_too() -> None:
    async with by_hand() as hand:
        client = await hand.client()
        await client.say(82)
        (message,) = client.of(80)
        listed = [tuple(message[at : at + 2]) for at in range(2, len(message), 5)]

        assert {("CBOE", "OPT"), ("ISLAND", "STK"), ("CME", "FUT")} <= set(listed)
        assert len(listed) == int(message[1]) == len(set(listed))


@pytest.mark.parametrize("what", ["OPTION_IMPLIED_VOLATILITY", "HISTORICAL_VOLATILITY"])
async def test_bars_of_volatility_are_the_figure_of_each_day(what: str) -> None:
    async with by_hand(pacing=Pacing.OFF) as hand:
        client = await hand.client()
        now = await told(hand, APPLE, "104,106")
        for number, (size, duration) in enumerate((("1 day", "1 M"), ("1 hour", "2 D"))):
            await client.say(20, number, *APPLE, 0, "", size, duration, 1, what, 1, 0, "")
        days, hours = ([answer[at : at + 5] for at in range(5, len(answer), 8)] for answer in client.of(17))

        assert days[-1][4] == hours[-1][4] == now[24 if what.startswith("OPTION") else 23]
        assert len({each[4] for each in days}) > 10
        assert {each[1] for each in hours} == {days[-1][4], days[-2][4]}
        await client.say(20, 9, *NVIDIA, 0, "", "1 day", "1 M", 1, what, 1, 0, "")
        assert (162 in client.codes()) is what.startswith("OPTION")
