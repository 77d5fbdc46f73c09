"""`kill.acknowledge`: from a kill's line to its answer; the gateway's ledger tells when the open orders were gone.

Fifty times each with everything up, with Kafka and with PostgreSQL stopped, and with a hundred thousand records of lag.

Beside it the least that a durable answer costs: a bare Unix socket that writes and forces a file of that size.
"""

import asyncio
import contextlib
import json
import os
import signal
import statistics
from collections.abc import AsyncIterator, Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from infra import broker, kill_line
from infra.clock import SystemClock
from infra.embedded.stack import Stack
from infra.gateway import Connection, Orders
from infra.gateway.slots import ClientSlot
from infra.publish import outgoing
from infra.settings import Settings
from infra.topics import load_catalogue
from schemas.orders import OrderIntent, OrderType
from tests.a_ledger import Ledger
from tests.bench.a_system import a_folder, a_system
from tests.builders import an_intent

_SERVICES = ["kill_switch", "risk", "executor", "portfolio"]
_KILLS = 50
_LAG = 100_000
_ORDERS = 3
_WAIT_SECONDS = 20.0
_PACE_SECONDS = 0.2
"""Between two kills: a gateway hears fifty messages a second of a client."""
_CLOCK = SystemClock()


def run(quick: bool) -> list[dict[str, Any]]:
    """Start a system of its own, kill and arm it again and again."""
    with a_folder() as folder:
        ledger = folder / "ledger.jsonl"
        with a_system(folder, _SERVICES, options=["--ledger", str(ledger)]) as stack:
            return asyncio.run(_measure(stack, ledger, 5 if quick else _KILLS, 2_000 if quick else _LAG))


async def _measure(stack: Stack, ledger: Path, kills: int, lag: int) -> list[dict[str, Any]]:
    rows = []
    raw = await _bare(stack.settings.home, kills)
    async with _a_hand(stack.settings) as hand:
        trial = _Trial(stack.settings, hand, ledger)
        rows += _rows("up", [await trial.kill() for _ in range(kills)], raw)
        for server in ("kafka", "postgres"):
            with _stopped(stack.processes[server]):
                rows += _rows(f"{server}_stopped", [await trial.kill() for _ in range(kills)], raw)
        await _make_lag(stack.settings, lag)
        rows += _rows("lag", [await trial.kill() for _ in range(kills)], raw)
    return rows


class _Trial:
    """Places orders, kills, waits until the ledger has seen their end, arms."""

    def __init__(self, settings: Settings, hand: Orders, ledger: Path) -> None:
        self._home = settings.home
        self._hand = hand
        self._ledger = ledger
        self._number = 0

    async def kill(self) -> tuple[float, float, float]:
        """Milliseconds: acknowledged as the service measured, as the caller saw, and until no order was left."""
        for _ in range(_ORDERS):
            self._number += 1
            self._hand.place(self._number, _resting(f"bench-{self._number}"))
        await self._until(lambda ledger: len(ledger.live()) == _ORDERS)
        begun = _CLOCK.monotonic()
        request = {"do": "kill", "kill_id": f"bench-{self._number}", "reason": "bench", "by": "bench"}
        answer = await kill_line.ask(self._home, request)
        answered = _CLOCK.monotonic()
        ledger = await self._until(lambda ledger: not ledger.live())
        gone = max(line["monotonic_ns"] for line in ledger.of("order_ended")) / 1e9
        await kill_line.ask(self._home, {"do": "arm", "reason": "bench", "by": "bench"})
        await asyncio.sleep(_PACE_SECONDS)
        return answer["acknowledged_ms"], (answered - begun) * 1000, (gone - begun) * 1000

    async def _until(self, check: Callable[[Ledger], bool]) -> Ledger:
        async with asyncio.timeout(_WAIT_SECONDS):
            while not check(ledger := Ledger.read(self._ledger)):
                await asyncio.sleep(0.02)
        return ledger


def _resting(name: str) -> OrderIntent:
    return an_intent(intent_id=name, order_type=OrderType.LIMIT, limit_price=Decimal("300.00"))


@contextlib.asynccontextmanager
async def _a_hand(settings: Settings) -> AsyncIterator[Orders]:
    """Another client of the gateway: only a global cancel reaches its orders."""
    outside = settings.model_copy(update={"ib_client_id": settings.ib_client_id + len(ClientSlot)})
    connection = Connection(outside, ClientSlot.EXECUTOR)
    orders = Orders(connection, lambda _: None)
    await connection.start()
    try:
        await connection.usable(_WAIT_SECONDS)
        yield orders
    finally:
        await connection.stop()


@contextlib.contextmanager
def _stopped(pid: int) -> Iterator[None]:
    """The whole group stands still: it answers nobody, and keeps its sockets."""
    os.killpg(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.killpg(pid, signal.SIGCONT)


async def _make_lag(settings: Settings, count: int) -> None:
    """Intents that risk has not read: more than it works off meanwhile."""
    spec = load_catalogue().topic_of(OrderIntent)
    async with broker.producer(settings) as producer:
        for number in range(count):
            record = outgoing(spec, _resting(f"lag-{number}"), None, "bench")
            await producer.send(
                settings.topic_prefix + record.topic, record.value, key=record.key, headers=record.headers
            )
        await producer.flush()


async def _bare(home: Path, count: int) -> list[float]:
    """Milliseconds of a socket that does nothing but write, replace and force a file."""
    path, file = home / "bare.sock", home / "bare.json"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = await reader.readline()
        await asyncio.to_thread(_write, file, line)
        writer.write(line)
        writer.close()

    server = await asyncio.start_unix_server(serve, path)
    found = []
    async with server:
        for _ in range(count):
            begun = _CLOCK.monotonic()
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(json.dumps({"reason": "x" * 200}).encode() + b"\n")
            await reader.readline()
            writer.close()
            found.append((_CLOCK.monotonic() - begun) * 1000)
    return found


def _write(file: Path, content: bytes) -> None:
    draft = file.with_suffix(".draft")
    draft.write_bytes(content)
    draft.replace(file)
    for path in (file, file.parent):
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)


def _rows(name: str, kills: list[tuple[float, float, float]], raw: list[float]) -> list[dict[str, Any]]:
    acknowledged, seen, gone = ([kill[place] for kill in kills] for place in range(3))
    detail = (
        f"maximum of {len(kills)} kills, median {statistics.median(acknowledged):.2f}; seen by the caller at most "
        f"{max(seen):.1f}, open orders gone after at most {max(gone):.0f}; raw: a bare socket and a forced file, "
        "ratio of the medians; promised: under 100"
    )
    return [
        {
            "name": f"kill.acknowledge.{name}",
            "value": max(acknowledged),
            "unit": "ms",
            "raw": max(raw),
            "ratio": statistics.median(seen) / statistics.median(raw),
            "detail": detail,
        }
    ]
