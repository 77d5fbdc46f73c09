"""What orders trade: displayed size, queues, partial fills, icebergs, hidden and pegged orders, auctions."""

from typing import Any

import pytest

from tests.unit.an_order_floor import OrderFloor


@pytest.fixture
def floor() -> OrderFloor:
    """Apple at 440.00, 300 shares on each side."""
    floor = OrderFloor()
    floor.print(440.0)
    floor.display(bid=300, ask=300)
    return floor


async def test_a_market_order_takes_what_is_displayed_and_waits_for_more(floor: OrderFloor) -> None:
    trader = floor.trader()
    number = await trader.place("BUY", 500, "MKT")
    assert trader.fills(number) == [(300, 440.01)]
    floor.print(440.5)

    assert trader.fills(number) == [(300, 440.01), (200, 440.51)]


async def test_two_orders_share_what_is_displayed_in_their_order(floor: OrderFloor) -> None:
    trader = floor.trader()
    first, second = await trader.place("BUY", 200, "MKT"), await trader.place("BUY", 200, "MKT")

    assert (trader.fills(first), trader.fills(second)) == ([(200, 440.01)], [(100, 440.01)])


async def test_a_limit_order_at_the_best_price_stands_behind_what_is_displayed(floor: OrderFloor) -> None:
    trader = floor.trader()
    number = await trader.place("BUY", 200, limit=439.99)
    floor.print(439.99, size=250)
    assert trader.fills(number) == []  # 50 of the 300 before it are left
    floor.print(439.99, size=100)
    assert trader.fills(number) == [(50, 439.99)]
    floor.print(439.99, size=400)

    assert trader.fills(number) == [(50, 439.99), (150, 439.99)]
    assert [each[30] for each in trader.told if each[0] == 11] == [1, 1]  # it has added liquidity


async def test_an_order_that_improves_the_best_price_is_the_first_at_it() -> None:
    floor = OrderFloor()
    floor.print(440.0)
    floor.print(440.005)  # with bid 439.99 and offer 440.02
    trader = floor.trader()
    number = await trader.place("BUY", 100, limit=440.0)
    floor.print(440.0, size=60)

    assert trader.fills(number) == [(60, 440.0)]


async def test_an_order_away_from_the_market_gets_a_drawn_place_that_is_always_the_same() -> None:
    places = set()
    for _ in range(2):
        floor = OrderFloor()
        floor.print(440.0)
        number = await floor.trader().place("BUY", 100, limit=430.0)
        places.add(floor.order(number).ahead)

    (place,) = places
    assert place in range(100, 901, 100)


async def test_a_price_beyond_the_limit_fills_at_the_limit(floor: OrderFloor) -> None:
    trader = floor.trader()
    number = await trader.place("BUY", 100, limit=438.0)
    floor.print(437.0)

    assert trader.fills(number) == [(100, 438.0)]


async def test_the_better_price_comes_first_then_the_older_order(floor: OrderFloor) -> None:
    trader = floor.trader()
    low, older, newer = [await trader.place("BUY", 100, limit=price) for price in (437.9, 438.0, 438.0)]
    floor.print(437.5)
    floor.print(437.4)

    assert [each[2] for each in trader.told if each[0] == 11] == [older, newer, low]


async def test_a_hidden_order_fills_only_when_the_price_goes_beyond_it(floor: OrderFloor) -> None:
    trader = floor.trader()
    number = await trader.place("BUY", 100, limit=439.99, hidden=True)
    floor.print(439.99, size=5000)
    assert trader.fills(number) == []
    floor.print(439.9)

    assert trader.fills(number) == [(100, 439.99)]


async def test_an_iceberg_lines_up_again_with_each_displayed_part(floor: OrderFloor) -> None:
    trader = floor.trader()
    number = await trader.place("BUY", 300, limit=439.99, displaySize=100)
    floor.print(439.99, size=300)
    floor.print(439.99, size=5000)
    assert trader.fills(number) == [(100, 439.99)]
    ahead = floor.order(number).ahead
    floor.print(439.99, size=int(ahead) + 40)

    assert ahead > 0
    assert trader.fills(number)[-1] == (40, 439.99)


@pytest.mark.parametrize(("displayed", "filled"), [(400, []), (500, [(500, 440.01)])])
async def test_all_or_none_waits_until_everything_can_be_had(
    floor: OrderFloor, displayed: int, filled: list[tuple[int, float]]
) -> None:
    floor.display(ask=displayed)
    trader = floor.trader()
    number = await trader.place("BUY", 500, limit=440.01, allOrNone=True)

    assert trader.fills(number) == filled


@pytest.mark.parametrize(("least", "filled"), [(301, []), (300, [(300, 440.01)])])
async def test_a_minimum_quantity_holds_for_the_first_fill(
    floor: OrderFloor, least: int, filled: list[tuple[int, float]]
) -> None:
    trader = floor.trader()
    number = await trader.place("BUY", 500, limit=440.01, minQty=least)

    assert trader.fills(number) == filled


@pytest.mark.parametrize(
    ("terms", "filled", "status"),
    [
        ({"tif": "IOC", "limit": 440.01}, 300, "Cancelled"),
        ({"tif": "FOK", "limit": 440.01}, 0, "Cancelled"),
        ({"tif": "FOK", "limit": 440.01, "quantity": 300}, 300, "Filled"),
        ({"tif": "IOC", "limit": 439.0}, 0, "Cancelled"),
    ],
)
async def test_orders_that_do_not_wait(floor: OrderFloor, terms: dict[str, Any], filled: int, status: str) -> None:
    trader = floor.trader()
    number = await trader.place("BUY", terms.pop("quantity", 500), **terms)

    assert sum(quantity for quantity, _ in trader.fills(number)) == filled
    assert trader.statuses(number)[-1] == status


async def test_what_is_left_of_a_market_to_limit_order_rests_at_its_price(floor: OrderFloor) -> None:
    trader = floor.trader()
    number = await trader.place("BUY", 500, "MTL")
    assert trader.fills(number) == [(300, 440.01)]
    floor.print(441.0)
    assert len(trader.fills(number)) == 1
    floor.print(440.0)
    assert trader.fills(number)[1] == (200, 440.01)


async def test_a_relative_order_follows_the_best_price_up_to_its_cap(floor: OrderFloor) -> None:
    trader = floor.trader()
    number = await trader.place("BUY", 100, "REL", stop=0.0, limit=440.2)
    limits = [float(floor.order(number).limit)]
    for price in (440.1, 441.0):
        floor.print(price)
        limits.append(float(floor.order(number).limit))

    assert limits == [439.99, 440.09, 440.2]
    assert trader.statuses(number) == ["Submitted"]


async def test_a_midprice_order_stands_between_bid_and_offer(floor: OrderFloor) -> None:
    number = await floor.trader().place("SELL", 100, "MIDPRICE")

    assert float(floor.order(number).limit) == 440.0


async def test_orders_for_the_close_trade_at_the_last_price_of_the_day() -> None:
    floor = OrderFloor("2013-02-28T15:40:00-05:00")
    trader = floor.trader()
    market, low = await trader.place("BUY", 2000, "MOC"), await trader.place("BUY", 100, "LOC", limit=300.0)
    assert trader.statuses(market) == ["Submitted"]
    await floor.pass_time(1300)

    ((quantity, price),) = trader.fills(market)
    assert (quantity, price) == (2000, 441.4)
    assert trader.statuses(low)[-1] == "Cancelled"


async def test_orders_for_the_close_come_too_late_and_cannot_be_taken_back_in_its_last_minutes() -> None:
    floor = OrderFloor("2013-02-28T15:40:00-05:00")
    trader = floor.trader()
    early = await trader.place("BUY", 100, "MOC")
    await floor.pass_time(660)
    late = await trader.place("BUY", 100, "MOC")
    await trader.cancel(early)

    assert trader.codes(late) == [201]
    assert trader.codes(early) == [161]
    assert early in {number for _, number in floor.book.live}


async def test_orders_for_the_opening_trade_with_its_first_print() -> None:
    floor = OrderFloor("2013-02-28T08:00:00-05:00")
    trader = floor.trader()
    market = await trader.place("BUY", 2000, "MKT", tif="OPG")
    low = await trader.place("BUY", 100, limit=300.0, tif="OPG")
    await floor.pass_time(1.51 * 3600)

    ((quantity, _),) = trader.fills(market)
    assert quantity == 2000
    assert trader.statuses(low) == ["PreSubmitted", "Cancelled"]


async def test_an_order_for_the_opening_that_comes_later_waits_for_the_next_one() -> None:
    floor = OrderFloor("2013-02-28T15:59:00-05:00")
    trader = floor.trader()
    number = await trader.place("BUY", 100, "MKT", tif="OPG")
    floor.print(440.0)
    assert trader.statuses(number) == ["PreSubmitted"]
    await floor.pass_time(17.6 * 3600)

    assert trader.statuses(number)[-1] == "Filled"
