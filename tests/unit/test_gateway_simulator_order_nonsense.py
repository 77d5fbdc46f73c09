"""Nonsense in placeOrder: refused in words, never a crash, and nothing that a client's library could not read back."""

import random
from typing import Any, cast

import pytest
from ib_insync import Order
from ib_insync.decoder import Decoder

from infra.gateway_simulator.protocol.wire import Fields, WireError, text_of
from tests.unit.an_order_floor import APPLE, Encoder, OrderFloor, Trader

NONSENSE = (
    *("", "0", "-1", "1", "abc", "1e5", "0.5", "1.7976931348623157e+308", "Infinity", "99999999999999999999", "-5"),
    *("0.001", "BUY", "STP LMT", "TRAIL", "MOC", "GTD", "OPG", "20130228 10:00:00 US/Eastern", "9999999 1", "é"),
    *("2147483647", "440.01", "265598", "a", "3", "1000"),
)
KINDS = ("MKT", "LMT", "STP", "STP LMT", "TRAIL", "TRAIL LIMIT", "REL", "MTL", "MIT", "LOC")
MESSAGES = 250
ERROR = 4


class Unread:
    """A wrapper that takes whatever it is told."""

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: None


def a_broken_order(drawn: random.Random, next_id: int) -> list[str]:
    encoder: Any = Encoder(176)
    order = Order(action=drawn.choice(("BUY", "SELL")), totalQuantity=10, orderType=drawn.choice(KINDS))
    order.lmtPrice, order.auxPrice, order.lmtPriceOffset = 440.0, 1.0, 0.1
    encoder.placeOrder(next_id if drawn.random() < 0.8 else drawn.randint(1, next_id), APPLE, order)
    fields: list[str] = encoder.kept[0]
    for _ in range(drawn.randint(1, 4)):
        fields[drawn.randrange(2, len(fields))] = drawn.choice(NONSENSE)
    return fields


def read_back(trader: Trader) -> None:
    decoder: Any = Decoder(cast(Any, Unread()), 176)
    for message in trader.told:
        if message[0] != ERROR:
            decoder.handlers[message[0]]([text_of(each) for each in message])
    trader.told.clear()


@pytest.mark.parametrize("seed", range(4))
async def test_nonsense_is_refused_and_the_market_goes_on(seed: int) -> None:
    drawn = random.Random(seed)
    floor = OrderFloor()
    floor.print(440.0)
    trader = floor.trader()
    refused = 0
    for _ in range(MESSAGES):
        fields = a_broken_order(drawn, floor.book.next_id(1))
        try:
            await floor.gateway.serve(cast(Any, trader), 3, Fields(fields[1:]))
        except WireError:
            refused += 1
        floor.print(round(drawn.uniform(437, 443), 2), drawn.randint(1, 500))
        read_back(trader)

    assert refused
    assert floor.book.executions
