"""A load of HTTP requests at a fixed rate, in a process of its own: `python -m tests.bench.open_loop < plan.json`.

Open loop: a request is due at its moment whether or not earlier ones were answered, and its latency counts from there,
so a server that stalls cannot hide the requests that it kept waiting.
"""

import asyncio
import gc
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

_ANSWER_SECONDS = 30.0


@dataclass(frozen=True)
class Plan:
    """`rate` requests a second for `seconds`, over so many connections; paths and keys in turn.

    A rate of 0 asks again as soon as the answer has come, on each connection.
    """

    host: str
    port: int
    paths: Sequence[str]
    keys: Sequence[str]
    connections: int = 100
    rate: float = 200.0
    seconds: float = 10.0


@dataclass
class Outcome:
    """What became of the requests: latencies of good answers in milliseconds, failures by their reason."""

    latencies_ms: list[float] = field(default_factory=list)
    failures: dict[str, int] = field(default_factory=dict)
    bytes_read: int = 0

    def fail(self, reason: str) -> None:
        self.failures[reason] = self.failures.get(reason, 0) + 1


class Connection:
    """One HTTP/1.1 connection that is kept open."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def get(self, path: str, host: str, key: str) -> tuple[int, int]:
        """Status and length of the answer."""
        head = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\nAccept: */*\r\n\r\n"
        self._writer.write(head.encode("ascii"))
        lines = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        status = int(lines[0].split(" ", 2)[1])
        if headers.get("transfer-encoding") == "chunked":
            return status, await self._chunks()
        length = int(headers["content-length"])
        await self._reader.readexactly(length)
        return status, length

    async def _chunks(self) -> int:
        total = 0
        while size := int(await self._reader.readline(), 16):
            await self._reader.readexactly(size + 2)
            total += size
        await self._reader.readline()
        return total

    def close(self) -> None:
        self._writer.close()


async def drive(plan: Plan) -> Outcome:
    """Ask as planned; every request that was due is waited for."""
    outcome = Outcome()
    due: asyncio.Queue[tuple[int, float] | None] = asyncio.Queue()
    ends = time.monotonic() + plan.seconds
    askers = [asyncio.create_task(_ask(plan, due, outcome, ends)) for _ in range(plan.connections)]
    if plan.rate:
        began = time.monotonic()
        for number in range(round(plan.rate * plan.seconds)):
            moment = began + number / plan.rate
            await asyncio.sleep(max(0.0, moment - time.monotonic()))
            due.put_nowait((number, moment))
        for _ in askers:
            due.put_nowait(None)
    await asyncio.gather(*askers)
    return outcome


async def _ask(plan: Plan, due: "asyncio.Queue[tuple[int, float] | None]", outcome: Outcome, ends: float) -> None:
    connection = Connection(*await asyncio.open_connection(plan.host, plan.port, limit=2**20))
    number = -1
    while True:
        if plan.rate:
            wanted = await due.get()
            if wanted is None:
                break
            number, moment = wanted
        else:
            number, moment = number + 1, time.monotonic()
            if moment >= ends:
                break
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                key = plan.keys[number // len(plan.paths) % len(plan.keys)]
                status, length = await connection.get(plan.paths[number % len(plan.paths)], plan.host, key)
        except (OSError, EOFError, TimeoutError) as error:
            outcome.fail(type(error).__name__)
            connection.close()
            connection = Connection(*await asyncio.open_connection(plan.host, plan.port, limit=2**20))
            continue
        outcome.bytes_read += length
        if status == 200:
            outcome.latencies_ms.append((time.monotonic() - moment) * 1e3)
        else:
            outcome.fail(str(status))
    connection.close()


def main() -> int:
    plan = Plan(**json.load(sys.stdin))
    gc.disable()  # a few seconds of a small process: its collector must not look like the server's latency
    json.dump(asdict(asyncio.run(drive(plan))), sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
