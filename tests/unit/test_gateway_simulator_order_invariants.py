"""Whatever clients do and prices do, some things always hold of orders and their fills."""

import asyncio
from typing import Any

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.unit.an_order_floor import OrderFloor, Trader

PRICES = st.integers(43_800, 44_200).map(lambda cents: cents / 100)
KINDS = ("MKT", "LMT", "STP", "STP LMT", "TRAIL", "TRAIL LIMIT", "MIT", "LIT", "MTL", "REL", "MIDPRICE", "MOC")
orders = st.fixed_dictionaries(
    {
        "action": st.sampled_from(("BUY", "SELL")),
        "quantity": st.integers(1, 900),
        "kind": st.sampled_from(KINDS),
        "limit": PRICES,
        "stop": PRICES,
        "tif": st.sampled_from(("DAY", "DAY", "GTC", "IOC", "FOK")),
        "group": st.sampled_from(("", "", "a", "b")),
        "ocaType": st.sampled_from((1, 2)),
        "allOrNone": st.sampled_from((False, False, True)),
        "hidden": st.sampled_from((False, False, True)),
        "displaySize": st.sampled_from((0, 0, 1)),
        "transmit": st.sampled_from((True, True, False)),
        "nested": st.booleans(),
    }
)
steps = st.one_of(
    st.tuples(st.just("place"), orders),
    st.tuples(st.just("print"), st.tuples(PRICES, st.integers(1, 2000))),
    st.tuples(st.just("cancel"), st.integers(1, 20)),
    st.tuples(st.just("change"), st.tuples(st.integers(1, 20), PRICES, st.integers(1, 900))),
    st.tuples(st.just("pass"), st.floats(0.01, 0.4)),
)
ENDED = {"Filled", "Cancelled", "ApiCancelled", "Inactive"}


async def act(floor: OrderFloor, trader: Trader, step: tuple[str, Any]) -> None:
    kind, what = step
    if kind == "place":
        terms = dict(what)
        amounts = {"stop": 1.0, "lmtPriceOffset": 0.1} if "TRAIL" in terms["kind"] else {}
        live = [number for _, number in floor.book.live]
        parent = live[-1] if terms.pop("nested") and live else 0
        await trader.place(
            terms.pop("action"), terms.pop("quantity"), terms.pop("kind"), parent=parent, **terms | amounts
        )
    elif kind == "print":
        floor.print(*what)
    elif kind == "cancel":
        await trader.cancel(what)
    elif kind == "pass":
        await floor.pass_time(what)
    elif (order := floor.order(what[0])) is not None:
        number, price, quantity = what
        terms = order.terms
        kept = {"parent": terms.parent_id, "stop": float(terms.auxiliary or 0), "tif": terms.time_in_force}
        await trader.place(terms.action, quantity, terms.kind, limit=price, order_id=number, **kept)


def check(floor: OrderFloor, trader: Trader) -> None:
    every = [*floor.book.live.values(), *floor.book.finished]
    executions = floor.book.executions
    assert floor.held() == sum(each.quantity * each.order.sign for each in executions)
    for order in every:
        mine = [each for each in executions if each.order is order]
        assert order.filled == sum(each.quantity for each in mine)
        assert order.is_live == ((order.client_id, order.order_id) in floor.book.live)
        assert order.filled <= order.terms.quantity
        assert (order.status == "Filled") == (order.filled == order.terms.quantity)
        told = trader.statuses(order.order_id)
        assert not set(told[:-1]) & ENDED, f"{order.order_id} went on after its end: {told}"
        assert order.status == "ApiPending" or told[-1] == order.status
        if order.terms.time_in_force in ("IOC", "FOK"):
            assert order.status != "Submitted"


@settings(max_examples=40, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(st.lists(steps, min_size=1, max_size=25), st.sampled_from((0.0, 0.3)))
def test_what_always_holds(story: list[tuple[str, Any]], latency: float) -> None:
    async def play() -> None:
        floor = OrderFloor(latency=latency)
        floor.print(440.0)
        trader = floor.trader()
        for step in story:
            await act(floor, trader, step)
            check(floor, trader)

    asyncio.run(play())


@settings(max_examples=25, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(st.lists(st.tuples(PRICES, st.integers(1, 500)), min_size=1, max_size=15), st.data())
def test_a_limit_is_never_exceeded(prints: list[tuple[float, int]], data: st.DataObject) -> None:
    async def play() -> None:
        floor = OrderFloor()
        floor.print(440.0)
        trader = floor.trader()
        limits = {}
        for price, size in prints:
            action, limit = data.draw(st.sampled_from(("BUY", "SELL"))), data.draw(PRICES)
            number = await trader.place(action, data.draw(st.integers(1, 900)), limit=limit)
            limits[number] = action, limit
            floor.print(price, size)
        for number, (action, limit) in limits.items():
            for _, price in trader.fills(number):
                assert price <= limit if action == "BUY" else price >= limit

    asyncio.run(play())
