"""When orders begin and end: time in force, dates, hours, latency, restarts."""

from pathlib import Path

import pytest

from tests.unit.an_order_floor import OrderFloor

CLOSING = "2013-02-28T15:59:00-05:00"


async def test_day_orders_end_at_the_close_and_others_stay() -> None:
    floor = OrderFloor(CLOSING)
    trader = floor.trader()
    day = await trader.place("BUY", 100, limit=400.0)
    stop = await trader.place("SELL", 100, "STP", stop=400.0)
    good = await trader.place("BUY", 100, limit=400.0, tif="GTC")
    until = await trader.place("BUY", 100, limit=400.0, tif="GTD", goodTillDate="20130301 09:31:00 US/Eastern")
    await floor.pass_time(120)
    assert [trader.statuses(each)[-1] for each in (day, stop, good, until)] == [
        "Cancelled",
        "Cancelled",
        "Submitted",
        "Submitted",
    ]
    await floor.pass_time(17.52 * 3600)

    assert [trader.statuses(each)[-1] for each in (good, until)] == ["Submitted", "Cancelled"]


async def test_an_order_is_good_until_its_very_second() -> None:
    floor = OrderFloor()
    trader = floor.trader()
    number = await trader.place("BUY", 100, limit=400.0, tif="GTD", goodTillDate="20130228 10:00:07 US/Eastern")
    await floor.pass_time(6.9)
    assert floor.order(number).is_live
    await floor.pass_time(0.1)

    assert not floor.order(number).is_live


async def test_an_order_waits_for_its_time() -> None:
    floor = OrderFloor()
    trader = floor.trader()
    number = await trader.place("BUY", 100, "MKT", goodAfterTime="20130228 10:00:07 US/Eastern")
    await floor.pass_time(6.9)
    assert (trader.statuses(number), floor.held()) == (["PreSubmitted"], 0)
    await floor.pass_time(0.2)

    assert floor.held() == 100


@pytest.mark.parametrize(
    ("outside", "kind", "status", "codes"),
    [
        (True, "LMT", "Submitted", []),
        (False, "LMT", "PreSubmitted", [399]),
        (True, "MKT", "PreSubmitted", [2109, 399]),
    ],
)
async def test_only_limit_orders_that_ask_for_it_trade_outside_of_regular_hours(
    outside: bool, kind: str, status: str, codes: list[int]
) -> None:
    floor = OrderFloor("2013-02-28T08:00:00-05:00")
    trader = floor.trader()
    number = await trader.place("BUY", 100, kind, limit=440.0, outsideRth=outside)

    assert trader.statuses(number)[-1] == status
    assert trader.codes(number) == codes
    floor.print(439.0)
    assert bool(trader.fills(number)) == (status == "Submitted")


async def test_trades_before_the_opening_fill_orders_that_may_be_there_and_no_others() -> None:
    floor = OrderFloor("2013-02-28T08:00:00-05:00")
    trader = floor.trader()
    last = float(floor.quote().last) / 100_000
    near = round(last + 1, 2)
    early = await trader.place("BUY", 100, limit=near, outsideRth=True)
    rests = await trader.place("BUY", 100, limit=round(last - 0.5, 2), outsideRth=True, tif="GTC")
    waits = await trader.place("BUY", 100, limit=near)
    at_market = await trader.place("BUY", 100, "MKT")
    assert trader.statuses(early)[-1] == "Filled"
    assert trader.codes(at_market) == trader.codes(waits) == [399]
    for _ in range(3):
        floor.print(round(last - 1, 2), 500)
        await floor.pass_time(60)
    held = [trader.statuses(each) for each in (rests, waits, at_market)]
    await floor.pass_time(87 * 60 + 60)

    assert held == [["Submitted", "Filled"], ["PreSubmitted"], ["PreSubmitted"]]
    assert [trader.statuses(each)[-1] for each in (waits, at_market)] == ["Filled", "Filled"]


@pytest.mark.parametrize(("outside", "status"), [(True, "Filled"), (False, "PreSubmitted")])
async def test_a_stop_is_triggered_in_the_evening_only_where_it_is_to_be(outside: bool, status: str) -> None:
    floor = OrderFloor("2013-02-28T17:00:00-05:00")
    trader = floor.trader()
    number = await trader.place("SELL", 100, "STP LMT", stop=440.0, limit=430.0, outsideRth=outside, tif="GTC")
    floor.print(439.0)
    await floor.pass_time(60)

    assert trader.statuses(number)[-1] == status


async def test_an_order_for_the_opening_auction_does_not_meet_the_first_trade_of_the_morning() -> None:
    floor = OrderFloor("2013-02-28T03:59:00-05:00")
    trader = floor.trader()
    number = await trader.place("BUY", 100, limit=500.0, tif="OPG", outsideRth=True)
    await floor.pass_time(5.5 * 3600)
    assert trader.statuses(number) == ["PreSubmitted"]
    await floor.pass_time(62)

    assert trader.fills(number) == [(100, 444.05)]


async def test_the_evening_of_a_half_day_ends_orders_at_five() -> None:
    floor = OrderFloor("2012-11-23T16:59:00-05:00")
    trader = floor.trader()
    number = await trader.place("BUY", 100, limit=400.0, outsideRth=True)
    assert trader.statuses(number) == ["Submitted"]
    await floor.pass_time(61)

    assert trader.statuses(number)[-1] == "Cancelled"


async def test_an_order_for_extended_hours_begins_with_them() -> None:
    floor = OrderFloor("2013-02-28T03:59:50-05:00")
    trader = floor.trader()
    number = await trader.place("BUY", 100, limit=400.0, outsideRth=True)
    assert (trader.statuses(number), trader.codes(number)) == (["PreSubmitted"], [399])
    await floor.pass_time(10)

    assert trader.statuses(number)[-1] == "Submitted"


async def test_a_day_order_for_tomorrow_lives_tomorrow() -> None:
    floor = OrderFloor(CLOSING)
    trader = floor.trader()
    number = await trader.place("BUY", 100, "MKT", goodAfterTime="20130301 09:31:00 US/Eastern")
    await floor.pass_time(17.54 * 3600)

    assert trader.statuses(number)[-1] == "Filled"


async def test_an_order_for_extended_hours_ends_with_them() -> None:
    floor = OrderFloor(CLOSING)
    trader = floor.trader()
    number = await trader.place("BUY", 100, limit=400.0, outsideRth=True)
    await floor.pass_time(3600)
    assert floor.order(number).is_live
    await floor.pass_time(3.1 * 3600)

    assert not floor.order(number).is_live


class TestLatency:
    """Half a second between the gateway and the exchange."""

    @pytest.fixture
    def floor(self) -> OrderFloor:
        floor = OrderFloor(latency=0.5)
        floor.print(440.0)
        return floor

    async def test_an_order_meets_the_market_only_when_it_is_there(self, floor: OrderFloor) -> None:
        trader = floor.trader()
        number = await trader.place("BUY", 100, limit=439.0)
        assert trader.statuses(number) == ["PendingSubmit"]
        floor.print(438.0)
        assert trader.fills(number) == []
        await floor.pass_time(0.5)

        assert trader.fills(number) == [(100, 438.01)]

    async def test_an_order_that_is_on_its_way_cannot_be_changed(self, floor: OrderFloor) -> None:
        trader = floor.trader()
        number = await trader.place("BUY", 100, limit=430.0)
        await trader.place("BUY", 100, limit=431.0, order_id=number)
        assert trader.codes(number) == [2102]
        await floor.pass_time(0.5)
        await trader.place("BUY", 100, limit=431.0, order_id=number)
        await trader.place("BUY", 100, limit=432.0, order_id=number)

        assert trader.codes(number) == [2102, 2102]
        await floor.pass_time(0.5)
        assert float(floor.order(number).limit) == 431.0

    async def test_a_fill_can_come_before_a_change_arrives(self, floor: OrderFloor) -> None:
        trader = floor.trader()
        number = await trader.place("BUY", 100, limit=439.0)
        await floor.pass_time(0.5)
        floor.print(440.0)
        await trader.place("BUY", 100, limit=430.0, order_id=number)
        floor.print(438.0)

        assert trader.fills(number) == [(100, 439.0)]
        assert trader.codes(number) == [104]

    async def test_a_fill_can_come_before_a_cancel_arrives(self, floor: OrderFloor) -> None:
        trader = floor.trader()
        number = await trader.place("BUY", 100, limit=439.0)
        await floor.pass_time(0.5)
        floor.print(440.0)
        await trader.cancel(number)
        await trader.cancel(number)
        floor.print(438.0)

        assert trader.statuses(number)[-2:] == ["PendingCancel", "Filled"]
        assert trader.codes(number) == [161, 10148]

    async def test_a_cancel_takes_its_time(self, floor: OrderFloor) -> None:
        trader = floor.trader()
        number = await trader.place("BUY", 100, limit=400.0)
        await floor.pass_time(0.5)
        await trader.cancel(number)
        await floor.pass_time(0.5)

        assert trader.statuses(number)[-2:] == ["PendingCancel", "Cancelled"]
        assert trader.codes(number) == [202]


async def test_a_restart_forgets_nothing_of_a_live_order(tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    floor = OrderFloor(state=state)
    floor.print(440.0)
    trader = floor.trader()
    parent = await trader.place("BUY", 400, limit=430.0, tif="GTC", transmit=False)
    trail = await trader.place("SELL", 400, "TRAIL", trailingPercent=1.0, parent=parent, tif="GTC")
    stop = await trader.place(
        *("BUY", 100, "STP LMT"), stop=450.0, limit=450.5, tif="GTC", group="g", ocaType=2, triggerMethod=4, minQty=50
    )
    await trader.place("BUY", 100, limit=430.0, transmit=False)
    before = {each.order_id: each for each in floor.book.live.values() if each.is_transmitted}

    again = OrderFloor(state=state)

    assert set(before) == {parent, trail, stop}
    assert {each.order_id: each for each in again.book.live.values()} == before
    assert again.book.next_id(1) == floor.book.next_id(1)
    again.print(429.0)
    assert again.held() > 0


async def test_an_order_whose_time_ends_while_the_gateway_is_down_is_cancelled_at_its_start(tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    floor = OrderFloor(state=state)
    number = await floor.trader().place("BUY", 100, limit=400.0)

    again = OrderFloor("2013-03-01T10:00:00-05:00", state=state)

    assert again.order(number).status == "Cancelled"
