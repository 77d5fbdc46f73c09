"""ib_insync and IB's own client live through faults on real sockets; cassettes are played from start to end."""

import asyncio
import json
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pytest
from ib_insync import IB, LimitOrder, MarketOrder

from infra.embedded.ports import free_port
from infra.errors import UsageError
from infra.gateway_simulator.server import SimulatorServer
from tests.a_ledger import Ledger
from tests.integration.a_cassette import a_cassette, for_a_stack
from tests.integration.a_gateway_simulator import (
    OfficialClient,
    a_gateway,
    an_ib_insync,
    apple,
    official_apple,
    until,
)
from tests.integration.test_gateway_simulator_faults import a_controlled_gateway


def codes(ib: Any) -> list[int]:
    return [code for _, code, _ in ib.told]


def do(server: SimulatorServer, **action: Any) -> None:
    server.gateway.director.do(action)


@pytest.mark.parametrize(("code", "lives"), [(1101, False), (1102, True)])
async def test_an_outage_hides_a_fill_and_takes_or_keeps_subscriptions(code: int, lives: bool) -> None:
    async with a_gateway() as server, an_ib_insync(server) as ib:
        contract = await apple(ib)
        ticker = ib.reqMktData(contract)
        resting = ib.placeOrder(contract, LimitOrder("BUY", 100, 430.0))
        await until(lambda: resting.orderStatus.status == "Submitted" and ticker.last > 0)
        do(server, outage={"repeat": 0.1})
        server.gateway.force_quote("AAPL", Decimal(429))
        await until(lambda: codes(ib).count(1100) > 2)
        do(server, restore=code)
        await until(lambda: code in codes(ib))

        assert resting.orderStatus.status == "Submitted"  # as far as the client can know
        (fill,) = await ib.reqExecutionsAsync()
        assert fill.execution.shares == 100
        before = ticker.last
        server.gateway.force_quote("AAPL", Decimal(435))
        await ib.reqCurrentTimeAsync()
        assert (ticker.last != before) is lives


async def test_a_restart_refuses_the_port_for_a_while_and_goes_on_with_the_same_ids(tmp_path: Path) -> None:
    async with a_gateway() as server:
        async with an_ib_insync(server) as ib:
            order = ib.placeOrder(await apple(ib), LimitOrder("BUY", 100, 400.0))
            await until(lambda: order.orderStatus.status == "Submitted")
            do(server, restart={"seconds": 3.0, "code": 1300})
            await until(lambda: not ib.isConnected())
            assert 1300 in codes(ib)
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", server.port)
        await until(lambda: server.is_listening)
        async with an_ib_insync(server) as again:
            assert [each.order.orderId for each in again.openTrades()] == [order.order.orderId]
            assert again.client.getReqId() > order.order.orderId


async def test_a_half_open_link_keeps_its_client_id_until_it_is_noticed() -> None:
    async with a_gateway() as server:
        async with an_ib_insync(server) as ib:
            do(server, half_open={"seconds": 3})
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(ib.reqCurrentTimeAsync(), 0.2)
        second = cast(Any, IB)()
        told: list[int] = []
        second.errorEvent += lambda number, code, text, _: told.append(code)
        connecting = asyncio.create_task(second.connectAsync("127.0.0.1", server.port, clientId=1, timeout=30))
        await until(lambda: told or connecting.done())
        assert (told, connecting.done()) == ([326], False)
        connecting.cancel()
        await asyncio.wait([connecting])
        await until(lambda: 1 not in server.gateway.shared.sessions)
        async with an_ib_insync(server) as third:
            assert await third.reqCurrentTimeAsync()


async def test_a_ghost_is_in_use_as_ibs_own_client_hears_it() -> None:
    async with a_gateway() as server:
        do(server, occupied={"client_id": 3, "seconds": 30})
        client = OfficialClient()
        await asyncio.to_thread(client.connect, "127.0.0.1", server.port, 3)
        client._thread.start()
        heard = await client.next("error")
        await client.stop()

        assert 326 in heard


async def test_corrections_busts_overfills_and_ids_that_fall_back_reach_a_client(tmp_path: Path) -> None:
    file = tmp_path / "ledger.jsonl"
    async with a_gateway(ledger=file) as server, an_ib_insync(server) as ib:
        trade = ib.placeOrder(await apple(ib), MarketOrder("BUY", 100))
        await until(lambda: trade.orderStatus.status == "Filled")
        do(server, correct={"price_by": -1.0})
        await until(lambda: len(trade.fills) == 2)
        first, second = (each.execution for each in trade.fills)
        assert first.execId.rpartition(".")[0] == second.execId.rpartition(".")[0]
        assert second.price == first.price - 1
        do(server, overfill={"quantity": 50})
        await until(lambda: len(trade.fills) == 3)
        do(server, bust={})
        await until(lambda: [each.position for each in ib.positions()] == [100])
        seen = Ledger.read(file)
        assert seen.positions() == seen.held() == {265598: 100}

        do(server, next_id={"by": 1})
        assert server.gateway.shared.book.next_id(1) == trade.order.orderId


async def test_broken_farms_fail_and_hang_and_recover() -> None:
    async with a_gateway() as server, an_ib_insync(server) as ib:
        contract = await apple(ib)
        do(server, farm={"name": "secdefil", "state": "broken"})
        assert await ib.reqContractDetailsAsync(contract) == []
        do(server, farm={"name": "ushmds", "state": "broken"})
        assert not await ib.reqHistoricalDataAsync(contract, "", "1 D", "1 min", "TRADES", True)
        assert {2157, 200, 2105, 162} <= set(codes(ib))
        do(server, farm={"name": "secdefil", "state": "ok"})
        do(server, farm={"name": "ushmds", "state": "broken", "history": "hang", "seconds": 0.2})
        assert len(await ib.reqContractDetailsAsync(contract)) == 1
        assert await ib.reqHistoricalDataAsync(contract, "", "1 D", "1 min", "TRADES", True)


@pytest.mark.parametrize("fragments", [1, 7])
async def test_segments_of_any_size_are_one_stream(fragments: int) -> None:
    async with a_gateway() as server:
        do(server, fragments={"bytes": fragments})
        async with an_ib_insync(server) as ib:
            bars = await ib.reqHistoricalDataAsync(await apple(ib), "", "300 S", "1 min", "TRADES", True)
            assert len(bars) == 5


async def test_a_cut_message_ends_the_connection_and_the_order_is_found_again(tmp_path: Path) -> None:
    async with a_cassette("cut-mid-message", tmp_path, speed=0.0) as played:
        async with an_ib_insync(played.simulator.server) as ib:
            ib.placeOrder(await apple(ib), LimitOrder("BUY", 100, 400.0, orderRef="cut"))
            await until(lambda: not ib.isConnected())
        await played.fired()
        async with an_ib_insync(played.simulator.server) as again:
            assert [each.order.orderRef for each in again.openTrades()] == ["cut"]
        assert played.ledger().twice() == {}


async def test_an_answer_that_ends_on_the_edge_of_a_chunk_is_read_whole() -> None:
    async with a_gateway() as server, an_ib_insync(server) as ib:
        contract = await apple(ib)
        server.gateway.director.arm({"event": "historicalData sent"}, {"short_read": True})
        assert len(await ib.reqHistoricalDataAsync(contract, "", "300 S", "1 min", "TRADES", True)) == 5


async def test_ibs_own_client_falls_into_the_trap_and_goes_on_with_what_follows() -> None:
    async with a_gateway() as server:
        client = OfficialClient()
        await client.start(server.port, 5)
        server.gateway.director.arm({"event": "contractDetails sent"}, {"short_read": True})
        client.reqContractDetails(1, official_apple())
        while (name := (await asyncio.to_thread(client.news.get, True, 30))[0]) not in (
            "contractDetails",
            "contractDetailsEnd",
        ):
            pass
        await client.stop()

    assert name == "contractDetailsEnd"


async def test_the_control_port_does_loads_lists_and_tells_what_fired(tmp_path: Path) -> None:
    async with a_controlled_gateway(tmp_path) as (server, control), an_ib_insync(server) as ib:
        assert "overfill" in await control.cassettes()
        numbers = await control.load("fills-doubled")
        text = """name: mine
description: one
source: here
expects: nothing
steps: [{when: {event: fill sent}, do: {drop: true}}]
"""
        numbers += await control.load_text(text)
        assert [each["number"] for each in await control.armed()] == numbers
        await control.clear(numbers[0])
        trade = ib.placeOrder(await apple(ib), MarketOrder("BUY", 100))
        await until(lambda: trade.orderStatus.status == "Filled")
        await control.do(notice={"code": 2110})
        await until(lambda: 2110 in codes(ib))
        assert trade.fills == []
        assert [each["name"] for each in await control.fired()][:1] == ["mine: 1"]

        with pytest.raises(UsageError, match="no cassette"):
            await control.load("/etc/passwd")
        with pytest.raises(UsageError, match=r"mine line 5: steps: "):
            await control.load_text(text.replace("steps", "steps: 5 #"), "mine")
        with pytest.raises(UsageError, match="cannot do"):
            await control.do(explode=True)
        with pytest.raises(UsageError, match="object with fields"):
            await control.ask(do=5)


async def test_a_simulator_of_its_own_process_plays_a_cassette_and_is_steered(tmp_path: Path) -> None:
    played, port = for_a_stack("closed-before-acknowledgement", tmp_path), free_port()
    argv = [sys.executable, "-m", "infra.gateway_simulator", "--port", str(port), "--now", "2013-02-28T10:00:00-05:00"]
    child = await asyncio.create_subprocess_exec(*argv, *played.options, stderr=asyncio.subprocess.PIPE)
    try:
        assert child.stderr is not None
        assert json.loads(await child.stderr.readline())["control_port"] == played.control_port
        ib = cast(Any, IB)()
        await ib.connectAsync("127.0.0.1", port, clientId=1, timeout=30)
        ib.placeOrder(await apple(ib), LimitOrder("BUY", 100, 400.0, orderRef="lost"))
        await until(lambda: not ib.isConnected())
        async with played.control() as control:
            assert [each["name"] for each in await control.fired()] == ["closed-before-acknowledgement: closed"]
        child.kill()
        await child.wait()

        (order,) = played.ledger().live()
        assert (order.reference, order.accepted) == ("lost", True)
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()


async def test_a_cassette_that_is_none_is_told_at_the_start(tmp_path: Path) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text("name: wrong\nsteps:\n  - when: {event: lunch}\n    do: {drop: true}\n")
    argv = [sys.executable, "-m", "infra.gateway_simulator", "--port", "0", "--faults", str(file)]
    child = await asyncio.create_subprocess_exec(*argv, stderr=asyncio.subprocess.PIPE)
    _, errors = await child.communicate()

    assert child.returncode == 2
    assert b"wrong.yaml line 3: steps.0: no event 'lunch'" in errors
