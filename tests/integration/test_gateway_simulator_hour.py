"""A recorded hour of the simulated market: the same bytes again, and in them the same trades in every form."""

import asyncio
import functools
import hashlib
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from infra.clock import ManualClock, SeededEntropy
from infra.gateway_simulator.gateway import Gateway, Options
from infra.gateway_simulator.launch import market_time
from infra.gateway_simulator.server import Address, SimulatorServer
from tests.integration.a_data_client import APPLE, IBM, DataClient, a_data_client
from tests.integration.a_gateway_simulator import MORNING, until

HOUR = 3600  # seconds


async def listened(seconds: int, state: Path | None = None, restart: bool = False) -> list[DataClient]:
    """A scripted client, over an hour in steps of a minute; after a restart another half an hour of the same."""
    clients = []
    for part in (seconds // 2, seconds // 2) if restart else (seconds,):
        options = Options(start=market_time(MORNING), speed=0.0, seed=11, state=state)
        clock = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
        gateway = Gateway(options, clock, SeededEntropy(5))
        server = SimulatorServer(gateway, Address(port=0))
        await server.start()
        try:
            async with a_data_client(server, 4) as client:
                await subscribe(client)
                for _ in range(part // 60):
                    clock.advance(60)
                    await gateway.advance(60)
                    await client.caught_up()
                clients.append(client)
        finally:
            await server.stop()
    return clients


async def subscribe(client: DataClient) -> None:
    for number, kind in ((1, "AllLast"), (2, "BidAsk")):
        client.ask(97, number, *APPLE, kind, 5, False)
    client.ask(50, 3, 3, *APPLE, 5, "TRADES", 1, "")
    client.ask(1, 11, 4, *IBM, False, "233,293", False, False, "")
    client.ask(10, 5, 5, *APPLE, 3, True, "")
    client.ask(20, 6, *APPLE, False, "", "1 min", "600 S", 1, "TRADES", 2, True, "")
    await until(lambda: client.told(17, 6))
    await client.caught_up()


@functools.cache
def whole_hour() -> DataClient:
    """One of them is enough to compare with."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, listened(HOUR)).result()[0]


def fingerprint(clients: list[DataClient]) -> list[str]:
    return [hashlib.sha256(each.raw).hexdigest() for each in clients]


async def test_an_hour_of_market_replays_byte_for_byte() -> None:
    (again,) = await listened(HOUR)

    assert len(again.raw) > 500_000
    assert fingerprint([again]) == fingerprint([whole_hour()])


async def test_an_hour_with_a_restart_in_it_replays_byte_for_byte(tmp_path: Path) -> None:
    runs = [await listened(HOUR, tmp_path / name, restart=True) for name in ("one", "two")]

    assert fingerprint(runs[0]) == fingerprint(runs[1])
    for message in (50, 99):  # a restart changes nothing in the market itself
        parts = [each for client in runs[0] for each in client.told(message)]
        assert parts == whole_hour().told(message)


def test_one_hour_is_the_same_trades_in_every_form() -> None:
    client = whole_hour()
    trades = [(int(each[3]), float(each[4]), int(each[5])) for each in client.told(99, 1)]
    five = [[float(part) for part in each[3:9]] for each in client.told(50)]
    minutes = {each[3]: each for each in client.told(90)}  # the last word on each minute

    assert len(five) == 720
    assert len(minutes) == 60
    for start, opened, high, low, close, volume in five:
        within = [each for each in trades if start <= each[0] < start + 5]
        prices = [price for _, price, _ in within]
        assert (opened, high, low, close) == (prices[0], max(prices), min(prices), prices[-1])
        assert volume == sum(size for _, _, size in within)
    for minute, update in minutes.items():
        bars = [each for each in five if int(minute) <= each[0] < int(minute) + 60]
        opened, close, high, low = (float(each) for each in update[4:8])
        assert (opened, close) == (bars[0][1], bars[-1][4])
        assert (high, low) == (max(each[2] for each in bars), min(each[3] for each in bars))
        assert float(update[9]) == sum(each[5] for each in bars)
