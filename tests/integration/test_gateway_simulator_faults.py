"""The simulator misbehaves on request, and endures peers that misbehave unasked."""

import asyncio
import contextlib
import json
import signal
import struct
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest
from ib_insync import LimitOrder, MarketOrder

from infra.clock import SeededEntropy, SystemClock
from infra.embedded.ports import free_port
from infra.errors import UsageError
from infra.gateway_simulator.control import read_token
from infra.gateway_simulator.control_client import ControlClient
from infra.gateway_simulator.gateway import Gateway, Options
from infra.gateway_simulator.launch import market_time
from infra.gateway_simulator.protocol import outlet
from infra.gateway_simulator.server import Address, SimulatorServer
from tests.integration.a_gateway_simulator import MORNING, a_gateway, an_ib_insync, apple, ledger_lines, until

HELLO = b"API\0\0\0\0\x09v100..176"
START = b"\0\0\0\x0971\x002\x0077\0\0"


@contextlib.asynccontextmanager
async def a_controlled_gateway(folder: Path) -> AsyncIterator[tuple[SimulatorServer, ControlClient]]:
    token = folder / "token"
    token.write_text("0123456789abcdef")
    token.chmod(0o600)
    options = Options(start=market_time(MORNING), speed=0.0, ledger=folder / "ledger.jsonl")
    address = Address(port=0, control_token_file=token)
    server = SimulatorServer(Gateway(options, SystemClock(), SeededEntropy(1)), address)
    await server.start()
    try:
        assert server.control is not None
        async with ControlClient(server.control.port, token) as control:
            yield server, control
    finally:
        await server.stop()


async def test_an_order_stops_a_process_before_it_is_acknowledged(tmp_path: Path) -> None:
    victim = await asyncio.create_subprocess_exec(sys.executable, "-c", "import time; time.sleep(60)")
    try:
        async with a_controlled_gateway(tmp_path) as (_, control), an_ib_insync(_) as ib:
            await control.register("executor", victim.pid)
            await control.arm({"event": "placeOrder received", "nth": 2}, {"signal": "KILL", "target": "executor"})
            ib.placeOrder(await apple(ib), LimitOrder("BUY", 1, 400.0))
            await until(lambda: len(ib.openTrades()) == 1 and ib.openTrades()[0].orderStatus.status == "Submitted")
            assert victim.returncode is None
            second = ib.placeOrder(await apple(ib), LimitOrder("BUY", 1, 400.0, orderRef="second"))
            await asyncio.wait_for(victim.wait(), 30)
            await until(lambda: second.orderStatus.status == "Submitted")
            state = await control.state()

        assert victim.returncode == -signal.SIGKILL
        assert [each["event"] for each in state["fired"]] == ["placeOrder received"]
        assert [each["order_ref"] for each in state["orders"]] == ["", "second"]
    finally:
        if victim.returncode is None:
            victim.kill()
            await victim.wait()


async def test_a_dropped_acknowledgement_leaves_the_order_alive(tmp_path: Path) -> None:
    async with a_controlled_gateway(tmp_path) as (_, control), an_ib_insync(_) as ib:
        await control.arm({"event": "ack sent", "client_id": 1}, {"drop": True})
        await control.arm({"event": "status sent"}, {"drop": True})
        trade = ib.placeOrder(await apple(ib), LimitOrder("BUY", 1, 400.0))
        await ib.reqCurrentTimeAsync()

        assert trade.orderStatus.status == "PendingSubmit"
        assert len(await ib.reqAllOpenOrdersAsync()) == 1


async def test_fills_are_doubled_and_connections_cut_on_request(tmp_path: Path) -> None:
    async with a_controlled_gateway(tmp_path) as (server, control), an_ib_insync(server) as ib:
        contract = await apple(ib)
        await control.arm({"event": "fill sent", "symbol": "AAPL"}, {"duplicate": True})
        await control.arm({"event": "commission sent"}, {"delay": 0.3, "overtake": True})
        trade = ib.placeOrder(contract, MarketOrder("BUY", 100))
        charged: list[float] = []
        trade.filledEvent += lambda filled: charged.append(filled.fills[0].commissionReport.commission)
        await until(lambda: trade.orderStatus.status == "Filled")
        assert len(trade.fills) == 1  # the same execution twice counts once
        assert charged == [0.0]
        await until(lambda: trade.fills[0].commissionReport.commission == 1.0)

        await control.arm({"event": "historical bars"}, {"cut": 100})
        with pytest.raises(ConnectionError):
            await ib.reqHistoricalDataAsync(contract, "", "1 D", "1 min", "TRADES", True)
        assert not ib.isConnected()


async def test_a_delayed_message_holds_back_those_after_it(tmp_path: Path) -> None:
    async with a_controlled_gateway(tmp_path) as (server, control), an_ib_insync(server) as ib:
        contract = await apple(ib)
        await control.arm({"event": "ack sent"}, {"delay": 0.3})
        began = asyncio.get_running_loop().time()
        ib.placeOrder(contract, LimitOrder("BUY", 1, 400.0))
        await ib.reqCurrentTimeAsync()

        assert asyncio.get_running_loop().time() - began >= 0.3


async def test_a_print_by_hand_reaches_subscribers_at_once(tmp_path: Path) -> None:
    async with a_controlled_gateway(tmp_path) as (server, control), an_ib_insync(server) as ib:
        contract = await apple(ib)
        ticker = ib.reqMktData(contract)
        resting = ib.placeOrder(contract, LimitOrder("BUY", 100, 430.0))
        await until(lambda: resting.orderStatus.status == "Submitted")
        sent = await control.quote("AAPL", "429.50")
        await until(lambda: resting.orderStatus.status == "Filled" and ticker.last == 429.5)

        line = ledger_lines(tmp_path / "ledger.jsonl", "tick")[-1]
        assert sent <= line["monotonic_ns"] <= time.monotonic_ns()
        assert line["price"] == 429.5
        assert (await control.state())["positions"] == {"265598": "100"}


async def test_system_notices_reach_every_client(tmp_path: Path) -> None:
    async with a_controlled_gateway(tmp_path) as (server, control), an_ib_insync(server) as ib:
        await control.notice(1100, "Connectivity between IBKR and Trader Workstation has been lost.")
        await until(lambda: 1100 in [each[1] for each in ib.told])
        await control.speed(60)
        before = await control.advance(1)
        await asyncio.sleep(0.1)

        assert await control.advance(0) > before


@pytest.mark.parametrize(
    ("on", "do", "complaint"),
    [
        ({"event": "lunch"}, {"drop": True}, "no event"),
        ({"event": "ack sent", "nth": 0}, {"drop": True}, "nth"),
        ({"event": "ack sent", "colour": 1}, {"drop": True}, "filters"),
        ({"event": "ack sent"}, {"explode": True}, "cannot do"),
        ({"event": "ack sent"}, {"signal": "KILL", "target": "nobody"}, "to one of: none"),
    ],
)
async def test_a_fault_that_can_never_happen_is_not_armed(
    tmp_path: Path, on: dict[str, object], do: dict[str, object], complaint: str
) -> None:
    async with a_controlled_gateway(tmp_path) as (_, control):
        with pytest.raises(UsageError, match=complaint):
            await control.arm(on, do)


async def test_the_control_port_wants_its_token(tmp_path: Path) -> None:
    async with a_controlled_gateway(tmp_path) as (server, _):
        assert server.control is not None
        wrong = tmp_path / "wrong"
        wrong.write_text("x" * 16)
        with pytest.raises(UsageError, match="wrong token"):
            async with ControlClient(server.control.port, wrong):
                pass


def test_a_token_that_others_can_read_is_refused(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("0123456789abcdef")
    token.chmod(0o644)
    with pytest.raises(UsageError, match="chmod 600"):
        read_token(token)
    token.chmod(0o600)
    assert read_token(token) == "0123456789abcdef"


@contextlib.asynccontextmanager
async def a_peer(server: SimulatorServer) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def frame(reader: asyncio.StreamReader) -> list[bytes]:
    (length,) = struct.unpack(">I", await reader.readexactly(4))
    return (await reader.readexactly(length))[:-1].split(b"\0")


async def test_a_hello_in_single_bytes_is_understood() -> None:
    async with a_gateway() as server, a_peer(server) as (reader, writer):
        for byte in HELLO + START:
            writer.write(bytes([byte]))
            await asyncio.sleep(0.001)
        assert (await frame(reader))[0] == b"176"
        assert await frame(reader) == [b"15", b"1", b"DU1234567"]
        assert await frame(reader) == [b"9", b"1", b"1"]


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"API\0\0\0\0\x09v100..120",  # older than anything served
        b"API\0\0\0\0\x09v213..225",  # speaks protobuf alone
        b"API\0\xff\xff\xff\xff",
        HELLO + b"\0\0\0\x04" + b"abc\0",
        HELLO + START + b"\0\0\0\x03" + b"xyz",
        HELLO + START + b"\0\0\0\0",
    ],
    ids=["http", "old", "protobuf", "oversized", "no start", "no NUL", "empty frame"],
)
async def test_what_is_not_the_protocol_is_cut_off_and_others_go_on(sent: bytes) -> None:
    async with a_gateway() as server, an_ib_insync(server) as ib, a_peer(server) as (reader, writer):
        writer.write(sent)
        async with asyncio.timeout(30):
            with contextlib.suppress(ConnectionError):
                await reader.read()
        assert reader.at_eof()
        assert await ib.reqCurrentTimeAsync()


async def test_numbers_that_are_none_are_an_error_and_no_end() -> None:
    async with a_gateway() as server, a_peer(server) as (reader, writer):
        writer.write(HELLO + START)
        for _ in range(6):
            await frame(reader)
        payload = b"9\x008\x00abc\0"
        writer.write(struct.pack(">I", len(payload)) + payload + b"\0\0\0\x0549\x001\0")
        assert (await frame(reader))[:4] == [b"4", b"2", b"-1", b"320"]
        assert (await frame(reader))[0] == b"49"


async def test_more_than_50_messages_a_second_end_in_disconnection() -> None:
    async with a_gateway() as server, a_peer(server) as (reader, writer):
        writer.write(HELLO + START + b"\0\0\0\x0549\x001\0" * 60)
        async with asyncio.timeout(30):
            told = (await reader.read()).count(b"Max rate of messages")
        assert told == 3


async def test_a_reader_that_stands_still_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outlet, "BUFFER_MAX", 200_000)
    async with a_gateway() as server, an_ib_insync(server) as ib, a_peer(server) as (_, writer):
        cast(asyncio.Transport, writer.transport).pause_reading()
        writer.write(HELLO + START)
        request = "\0".join(["20", "1", "0", "AAPL", "STK", *[""] * 4, "SMART", "", "USD", "", "", "0", "", "1 min"])
        payload = (request + "\0" + "\0".join(["1 M", "1", "TRADES", "1", "0", ""]) + "\0").encode()
        for number in range(20):
            changed = payload.replace(b"20\x001\0", b"20\x00%d\0" % (number + 1), 1)
            writer.write(struct.pack(">I", len(changed)) + changed)
        shared = server.gateway.shared
        await until(lambda: shared.ledger.counts.get("bars", 0) > 1 and set(shared.sessions) == {1})

        assert await ib.reqCurrentTimeAsync()


async def test_as_a_program_it_serves_until_it_is_told_to_stop(tmp_path: Path) -> None:
    port, ledger = free_port(), tmp_path / "ledger.jsonl"
    argv = [sys.executable, "-m", "infra.gateway_simulator", "--port", str(port), "--ledger", str(ledger)]
    child = await asyncio.create_subprocess_exec(*argv, stderr=asyncio.subprocess.PIPE)
    assert child.stderr is not None
    first = json.loads(await child.stderr.readline())
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(HELLO + START)
    await until(lambda: '"kind":"connected"' in ledger.read_text())
    child.terminate()
    last = (await child.stderr.read()).splitlines()
    await child.wait()
    writer.close()
    await writer.wait_closed()

    assert child.returncode == 0
    assert (first["event"], first["port"]) == ("gateway simulator listens", port)
    assert [json.loads(line)["event"] for line in last] == ["gateway simulator stops"]


async def test_a_taken_port_is_told_with_what_to_do() -> None:
    async with a_gateway() as server:
        argv = [sys.executable, "-m", "infra.gateway_simulator", "--port", str(server.port)]
        child = await asyncio.create_subprocess_exec(*argv, stderr=asyncio.subprocess.PIPE)
        _, errors = await child.communicate()

        assert child.returncode == 3
        assert b"choose --port" in errors
        assert b"Traceback" not in errors
