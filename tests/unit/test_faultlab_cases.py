"""Which cases a seed stands for, and the wire that can be cut."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from tests.faultlab.cases import CASES, CONTROLS, IN_TURN, PAIR, case_of, planned
from tests.faultlab.faults import FAULTS
from tests.faultlab.proxy import Proxy, Trap
from tests.unit.a_server_behind import a_server_behind


def test_five_hundred_seeds_take_every_row_and_every_third_is_a_pair() -> None:
    plan = planned(range(1, 501))
    names = [name for name, _ in plan]

    assert set(names) == {*IN_TURN, PAIR}
    assert 150 < names.count(PAIR) < 200
    assert plan[100:200] == planned(range(101, 201))


def test_a_seed_draws_the_same_two_faults_for_ever_and_others_draw_others() -> None:
    drawn = [case_of(PAIR, seed).faults for seed in range(100)]

    assert drawn == [case_of(PAIR, seed).faults for seed in range(100)]
    assert len(set(drawn)) > 80
    assert all(FAULTS[name].pairs for pair in drawn for name in pair)


def test_the_table_knows_every_fault_and_every_control_breaks_something() -> None:
    assert set(FAULTS) <= set(IN_TURN)
    assert set(CASES) - set(IN_TURN) == {"storm"}, "what takes minutes is played by its name alone"
    assert all(case.breaks and case.variant for case in CONTROLS.values())


@contextlib.asynccontextmanager
async def an_echo(*, notes: bool = False) -> AsyncIterator[tuple[Proxy, list[bytes]]]:
    """A server that notes what it hears and says it back, behind a proxy."""
    heard: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while part := await reader.read(100):
                heard.append(part)
                writer.write(part)
                await writer.drain()
        writer.close()

    async with a_server_behind(lambda port: Proxy(port, notes=notes), answer) as proxy:
        yield proxy, heard


async def said(proxy: Proxy, *words: bytes) -> list[bytes]:
    """What comes back for each word, until the connection ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    answers = []
    with contextlib.suppress(ConnectionError):
        for word in words:
            writer.write(word)
            answers.append(await asyncio.wait_for(reader.read(100), 30))
    writer.close()
    return [each for each in answers if each]


@pytest.mark.parametrize(("passed", "hears"), [(0.0, []), (0.5, [b"COM"]), (1.0, [b"COMMIT"])])
async def test_a_trap_ends_the_connection_before_within_or_after_a_message(passed: float, hears: list[bytes]) -> None:
    sprung: list[bool] = []
    async with an_echo() as (proxy, heard):
        proxy.set(Trap(b"COMMIT", 2, passed, lambda: sprung.append(True)))
        assert await said(proxy, b"COMMIT", b"COMMIT", b"more") == [b"COMMIT"]
        assert heard[1:] == hears
        assert sprung == [True]
        assert await said(proxy, b"COMMIT") == [b"COMMIT"]


async def test_a_trap_for_one_client_lets_the_others_pass() -> None:
    async with an_echo() as (proxy, _):
        proxy.set(Trap(b"COMMIT", 1, 0.0, lambda: None, b"risk"))
        assert await said(proxy, b"executor", b"COMMIT") == [b"executor", b"COMMIT"]
        assert await said(proxy, b"risk", b"COMMIT") == [b"risk"]


async def test_a_frozen_wire_passes_on_what_was_said_when_it_thaws() -> None:
    async with an_echo() as (proxy, heard):
        proxy.freeze()
        saying = asyncio.create_task(said(proxy, b"word"))
        await asyncio.sleep(0.05)
        assert (heard, saying.done()) == ([], False)
        proxy.thaw()
        assert await saying == [b"word"]


async def test_a_wire_that_is_frozen_for_one_client_lets_the_others_pass() -> None:
    async with an_echo() as (proxy, _):
        proxy.freeze(b"risk")
        saying = asyncio.create_task(said(proxy, b"risk"))
        assert await said(proxy, b"executor") == [b"executor"]
        assert not saying.done()
        proxy.thaw()
        assert await saying == [b"risk"]


async def test_what_was_written_is_noted_also_while_nothing_passes() -> None:
    async with an_echo(notes=True) as (proxy, heard):
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(b"word")
        assert await reader.read(100) == b"word"
        proxy.freeze()
        for word in (b"second", b"third"):
            writer.write(word)
            await proxy.caught_up()
        assert (bytes(proxy.heard), heard) == (b"wordsecondthird", [b"word"])
        writer.close()


async def test_the_connections_of_one_client_can_be_cut() -> None:
    async with an_echo() as (proxy, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(b"risk")
        assert await reader.read(100) == b"risk"
        proxy.cut(b"executor")
        writer.write(b"still")
        assert await reader.read(100) == b"still"
        proxy.cut(b"risk")
        with contextlib.suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(100), 30) == b""
        writer.close()
