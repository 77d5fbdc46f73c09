"""Every message about data, at every version that is spoken, decoded by ib_insync and by IB's own client."""

import asyncio
import functools
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import pytest
from ibapi.decoder import Decoder as OfficialDecoder

from infra.gateway_simulator.protocol.pacing import Pacing
from infra.gateway_simulator.protocol.wire import VERSION_MAX, VERSION_MIN
from infra.gateway_simulator.server import SimulatorServer
from tests.integration.a_data_client import APPLE, DIRECT, DataClient, Heard, a_data_client, decoded
from tests.integration.a_gateway_simulator import a_gateway, until

SHARES_FROM = 164
DATA_MESSAGES = {1, 2, 12, 13, 17, 45, 46, 50, 57, 58, 80, 81, 88, 89, 90, 96, 97, 98, 99, 106}


async def everything(server: SimulatorServer, version: int) -> DataClient:
    """One client that asks for all kinds of data and listens for ten seconds of market time."""
    async with a_data_client(server, 1, version) as client:
        # what is looked up takes its time, as at IB: one by one, so that answers have the order of the requests
        await client.answered(20, 1, *APPLE, False, "", "1 min", "1800 S", 1, "TRADES", 1, False, "", by=17, number=1)
        await client.answered(20, 2, *APPLE, False, "", "1 day", "5 D", 1, "SCHEDULE", 1, False, "", by=106, number=2)
        await client.answered(20, 3, *APPLE, False, "", "5 secs", "60 S", 1, "MIDPOINT", 2, True, "", by=17, number=3)
        await client.answered(87, 4, *APPLE, False, 1, "TRADES", 1, by=88, number=4)
        for number, kind, what in ((5, 98, "TRADES"), (6, 97, "BID_ASK"), (7, 96, "MIDPOINT")):
            await client.answered(
                96, number, *APPLE, False, "20130228 09:40:00", "", 20, what, 1, False, "", by=kind, number=number
            )
        await client.answered(88, 8, *APPLE, False, 1, "1 day", by=89, number=8)
        for number, tick in ((11, "Last"), (12, "AllLast"), (13, "BidAsk"), (14, "MidPoint")):
            client.ask(97, number, *APPLE, tick, 3, False)
        client.ask(1, 11, 21, *APPLE, False, "104,165,221,233,236,293,318", False, False, "")
        client.ask(1, 11, 22, *APPLE, False, "", True, False, "")
        client.ask(50, 3, 23, *APPLE, 5, "TRADES", 1, "")
        client.ask(10, 5, 31, *APPLE, 5, True, "")
        client.ask(10, 5, 32, *DIRECT, 5, False, "")
        client.ask(82)
        await client.caught_up()
        await server.gateway.tape.advance(10)
        await until(lambda: len(client.told(50)) == 2)
        await client.caught_up()
        return client


def about_data(client: DataClient) -> list[list[str]]:
    return [each for each in client.messages if int(each[0]) in DATA_MESSAGES]


@functools.cache
def newest() -> list[list[str]]:
    """What the newest version is told."""

    async def told() -> list[list[str]]:
        async with a_gateway(pacing=Pacing.OFF) as server:
            return about_data(await everything(server, VERSION_MAX))

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, told()).result()


@pytest.mark.parametrize("version", range(VERSION_MIN, VERSION_MAX + 1))
async def test_every_message_about_data_is_understood(version: int) -> None:
    expected = newest()
    async with a_gateway(pacing=Pacing.OFF) as server:
        spoken = about_data(await everything(server, version))

    assert {int(each[0]) for each in spoken} == DATA_MESSAGES
    official = Heard()
    for each, other in zip(spoken, expected, strict=True):
        heard = decoded(each, version)
        assert heard
        if version >= SHARES_FROM or int(each[0]) not in (1, 2):
            assert heard == decoded(other, VERSION_MAX)
        official.calls.clear()
        cast(Any, OfficialDecoder)(official, version).interpret([field.encode() for field in each[1:]], int(each[0]))
        assert official.calls


async def test_both_clients_understand_the_same() -> None:
    official = Heard()
    for each in newest():
        cast(Any, OfficialDecoder)(official, VERSION_MAX).interpret([part.encode() for part in each[1:]], int(each[0]))
    insync = [call for each in newest() for call in decoded(each, VERSION_MAX)]

    def of(name: str) -> tuple[list[Any], list[Any]]:
        return [each[1:] for each in insync if each[0] == name], [
            each[1:] for each in official.calls if each[0] == name
        ]

    ours, theirs = of("historicalData")
    assert [(bar.date, bar.open, bar.close, bar.volume, bar.barCount) for _, bar in ours] == [
        (bar.date, bar.open, bar.close, float(bar.volume), bar.barCount) for _, bar in theirs
    ]
    ours, theirs = of("historicalDataUpdate")
    assert [(bar.open, bar.high, bar.low, bar.close) for _, bar in ours] == [
        (bar.open, bar.high, bar.low, bar.close) for _, bar in theirs
    ]
    ours, theirs = of("historicalTicksBidAsk")
    assert [(each.priceBid, each.priceAsk, each.sizeBid, each.sizeAsk) for _, ticks, _ in ours for each in ticks] == [
        (each.priceBid, each.priceAsk, float(each.sizeBid), float(each.sizeAsk))
        for _, ticks, _ in theirs
        for each in ticks
    ]
    for name in ("updateMktDepth", "updateMktDepthL2", "realtimeBar", "tickSize", "tickString", "tickGeneric"):
        ours, theirs = of(name)
        assert [tuple(map(str, each)) for each in ours if len(each)] != []
        assert len(theirs) >= len(ours)


async def test_sizes_of_stocks_are_round_lots_for_old_clients() -> None:
    sizes: dict[int, list[int]] = {}
    for version in (SHARES_FROM - 1, SHARES_FROM):
        async with a_gateway(pacing=Pacing.OFF) as server:
            client = await everything(server, version)
        sizes[version] = [int(each[4]) for each in client.told(2, 22)]

    assert sizes[SHARES_FROM - 1] == [each // 100 for each in sizes[SHARES_FROM]]
