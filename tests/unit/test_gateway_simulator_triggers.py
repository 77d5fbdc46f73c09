"""Stops, touched and trailing orders: when they go to the market, and as what."""

import pytest

from tests.unit.an_order_floor import OrderFloor


@pytest.fixture
def floor() -> OrderFloor:
    """Apple at 440.00, with bid 439.99 and offer 440.01."""
    floor = OrderFloor()
    floor.print(440.0)
    return floor


async def test_a_stop_waits_for_its_price_and_trades_at_the_market(floor: OrderFloor) -> None:
    trader = floor.trader()
    number = await trader.place("SELL", 100, "STP", stop=439.0)
    assert (trader.statuses(number), trader.why_held(number)) == (["PreSubmitted"], "trigger")
    floor.print(439.01)
    assert trader.statuses(number) == ["PreSubmitted"]
    floor.print(438.5)

    assert trader.statuses(number) == ["PreSubmitted", "Submitted", "Filled"]
    assert trader.fills(number) == [(100, 438.49)]


async def test_a_stop_limit_rests_at_its_limit_when_the_market_has_gone_past_it(floor: OrderFloor) -> None:
    trader = floor.trader()
    number = await trader.place("BUY", 100, "STP LMT", stop=441.0, limit=441.2)
    floor.print(442.0)
    assert (trader.statuses(number), trader.fills(number)) == (["PreSubmitted", "Submitted"], [])
    floor.print(441.0)

    assert trader.fills(number) == [(100, 441.2)]


@pytest.mark.parametrize(
    ("action", "kind", "trigger", "untouched", "touched"),
    [
        ("BUY", "STP", 441.0, 440.9, 441.0),
        ("SELL", "STP", 439.0, 439.1, 439.0),
        ("BUY", "MIT", 439.0, 439.1, 439.0),
        ("SELL", "MIT", 441.0, 440.9, 441.0),
    ],
)
async def test_triggers_look_in_their_direction(
    floor: OrderFloor, action: str, kind: str, trigger: float, untouched: float, touched: float
) -> None:
    trader = floor.trader()
    number = await trader.place(action, 100, kind, stop=trigger)
    floor.print(untouched)
    assert trader.fills(number) == []
    floor.print(touched)

    assert sum(quantity for quantity, _ in trader.fills(number)) == 100


@pytest.mark.parametrize(
    ("method", "prices", "triggered_by"),
    [
        (0, [441.0], 0),  # last
        (2, [441.0], 0),
        (1, [441.01, 440.0, 441.01, 441.01], 3),  # bid twice in a row
        (3, [441.0, 440.0, 441.0, 441.0], 3),  # last twice in a row
        (4, [441.0, 441.01], 1),  # bid, which is a cent below
        (7, [440.99, 441.0], 1),  # last or bid
        (8, [440.99, 441.0], 1),  # midpoint
    ],
)
async def test_trigger_methods(floor: OrderFloor, method: int, prices: list[float], triggered_by: int) -> None:
    trader = floor.trader()
    number = await trader.place("BUY", 10, "STP", stop=441.0, triggerMethod=method)
    seen = []
    for price in prices:
        floor.print(price)
        seen.append(bool(trader.fills(number)))

    assert seen.index(True) == triggered_by


async def test_a_limit_if_touched_becomes_a_limit_order(floor: OrderFloor) -> None:
    trader = floor.trader()
    number = await trader.place("BUY", 100, "LIT", stop=439.0, limit=438.5)
    floor.print(439.0)
    assert (trader.statuses(number)[-1], trader.fills(number)) == ("Submitted", [])
    floor.print(438.4)

    assert trader.fills(number) == [(100, 438.5)]


@pytest.mark.parametrize(
    ("terms", "stops"),
    [
        ({"stop": 1.0}, [439.0, 440.0, 440.0]),
        ({"trailingPercent": 1.0}, [435.6, 436.59, 436.59]),
        ({"stop": 1.0, "trailStopPrice": 439.5}, [439.5, 440.0, 440.0]),
    ],
)
async def test_a_trailing_stop_follows_the_market_in_one_direction(
    floor: OrderFloor, terms: dict[str, float], stops: list[float]
) -> None:
    trader = floor.trader()
    number = await trader.place("SELL", 100, "TRAIL", **terms)
    seen = [float(floor.order(number).stop)]
    for price in (441.0, 440.5):
        floor.print(price)
        seen.append(float(floor.order(number).stop))
    assert seen == stops
    floor.print(stops[-1])

    assert trader.fills(number)[0][1] == pytest.approx(stops[-1] - 0.01)


async def test_a_trailing_buy_order_follows_downwards(floor: OrderFloor) -> None:
    trader = floor.trader()
    number = await trader.place("BUY", 100, "TRAIL", stop=2.0)
    floor.print(438.0)
    assert float(floor.order(number).stop) == 440.0
    floor.print(440.0)

    assert trader.statuses(number)[-1] == "Filled"


async def test_a_trailing_limit_order_keeps_its_distance(floor: OrderFloor) -> None:
    trader = floor.trader()
    number = await trader.place("SELL", 100, "TRAIL LIMIT", stop=1.0, trailStopPrice=439.0, lmtPriceOffset=0.1)
    floor.print(442.0)
    floor.print(440.0)

    assert (float(floor.order(number).stop), float(floor.order(number).limit)) == (441.0, 440.9)
    assert trader.fills(number) == []
    floor.print(441.5)
    assert trader.fills(number) == [(100, 440.9)]


async def test_nothing_is_triggered_while_the_market_is_closed() -> None:
    floor = OrderFloor("2013-02-28T08:00:00-05:00")
    trader = floor.trader()
    number = await trader.place("SELL", 100, "STP", stop=300.0)
    floor.print(200.0)

    assert trader.statuses(number) == ["PreSubmitted"]
    assert trader.codes(number) == [399]
