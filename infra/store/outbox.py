"""What commits publish: kept in a table until Kafka has it, relayed from memory right after the commit.

Order is kept for each key, a repeat is possible after a crash, a loss is not. The relay reads the table only at the
start, after a failure, and when memory could not hold what was committed.
"""

import asyncio
import uuid
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import orjson
import structlog
from sqlalchemy import Row
from sqlalchemy import text as sql
from sqlalchemy.ext.asyncio import AsyncEngine

from infra.delivery import is_transient
from infra.publish import Headers, Outgoing
from infra.store import connection
from schemas.ids import named

Post = Callable[[Sequence[Outgoing]], Awaitable["asyncio.Future[Any]"]]
"""Hands records to the producer, in order; the future is done when the broker has them."""

_MEMORY_MAX = 10_000
_TOGETHER_MAX = 250
_IN_FLIGHT_MAX = 4
"""Of what was handed over together."""
_READ_ROWS = 500
_FORGET_ROWS = 500
_FORGET_SECONDS = 0.2
_RETRY_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0)
_ROWS = uuid.uuid5(uuid.NAMESPACE_URL, "urn:scizor:outbox")

_READ = sql(
    "SELECT sequence, topic, key, payload, headers, timestamp_ms FROM outbox WHERE owner = :owner"
    " ORDER BY sequence LIMIT :rows"
)
_FORGET = sql("DELETE FROM outbox WHERE sequence = ANY(:numbers)")
# a forgotten deletion only repeats a record: no reason to wait for the disk
_LAZILY = sql("SET LOCAL synchronous_commit = off")


def encoded_headers(headers: Headers) -> str:
    return orjson.dumps([(name, value.decode()) for name, value in headers]).decode()


def event_id_of(record: Outgoing) -> str:
    """The id that the event carries; topics without headers get one that follows from the record."""
    for name, value in record.headers:
        if name == "ce_id":
            return value.decode()
    return named(_ROWS, b"%s\0%s" % (record.topic.encode(), record.value))


def _kept(row: Row[Any]) -> tuple[int, Outgoing]:
    headers = [(name, value.encode()) for name, value in row.headers]
    return row.sequence, Outgoing(row.topic, row.key, row.payload, headers, row.timestamp_ms)


class Outbox:
    """Rows of one service between their commit and the broker's acknowledgement."""

    def __init__(self, engine: AsyncEngine, owner: str) -> None:
        self._engine = engine
        self._owner = owner
        self._waiting: deque[tuple[int, Outgoing]] = deque()
        self._in_flight: deque[tuple[list[int], asyncio.Future[Any]]] = deque()
        self._published: list[int] = []
        self._behind = True  # the table may hold rows that memory does not
        self._reading = False
        self._woken = asyncio.Event()
        self._trouble: str | None = None
        self._log = structlog.get_logger()

    def hand_over(self, numbers: Sequence[int], records: Sequence[Outgoing]) -> None:
        """Rows that were just committed, in order."""
        if not numbers:
            return
        if self._behind or self._reading or len(self._waiting) + len(numbers) > _MEMORY_MAX:
            self._behind = True
        else:
            self._waiting.extend(zip(numbers, records, strict=True))
        self._woken.set()

    def look_again(self) -> None:
        """The outcome of a commit is not known: what it wrote is in the table, or nowhere."""
        self._behind = True
        self._woken.set()

    def why_not_ready(self) -> str | None:
        """For /ready: what keeps events from leaving."""
        return self._trouble

    async def relay(self, post: Post) -> None:
        """Publish until cancelled; leftovers of earlier processes first. Trouble of the world is waited out."""
        failures = 0
        try:
            while True:
                try:
                    await self._relay(post)
                except Exception as error:
                    known = connection.understood(error, self._engine.url) or error
                    if not is_transient(known):
                        raise
                    self._give_back()
                    self._trouble = f"events wait in the outbox: {known!r}"
                    self._log.warning("outbox waits", error=repr(known))
                    await asyncio.sleep(_RETRY_SECONDS[min(failures, len(_RETRY_SECONDS) - 1)])
                    failures += 1
        finally:
            self._give_back()

    async def _relay(self, post: Post) -> None:
        while True:
            if self._behind:
                await self._relay_table(post)
            self._woken.clear()
            while self._waiting and not self._behind:
                await self._settle(_IN_FLIGHT_MAX - 1)
                together = [self._waiting.popleft() for _ in range(min(len(self._waiting), _TOGETHER_MAX))]
                await self._post(post, together)
            if not self._behind:
                await self._rest()

    async def _rest(self) -> None:
        """Until new rows come; meanwhile take acknowledgements and forget what is published."""
        while not self._woken.is_set():
            if not self._in_flight and not self._published:
                await self._woken.wait()
                return
            waking = asyncio.ensure_future(self._woken.wait())
            waited: set[asyncio.Future[Any]] = {waking}
            if self._in_flight:
                waited.add(self._in_flight[0][1])
            try:
                done, _ = await asyncio.wait(waited, timeout=_FORGET_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            finally:
                waking.cancel()
            self._take_acknowledged()
            if not done or len(self._published) >= _FORGET_ROWS:
                await self._forget()

    async def _relay_table(self, post: Post) -> None:
        self._reading = True
        try:
            while True:
                await self._settle(0)
                await self._forget()
                self._waiting.clear()
                self._behind = False
                async with self._engine.connect() as held:
                    rows = (await held.execute(_READ, {"owner": self._owner, "rows": _READ_ROWS})).all()
                for at in range(0, len(rows), _TOGETHER_MAX):
                    await self._post(post, [_kept(row) for row in rows[at : at + _TOGETHER_MAX]])
                self._trouble = None
                if not rows and not self._behind:
                    return
        finally:
            self._reading = False

    async def _post(self, post: Post, together: list[tuple[int, Outgoing]]) -> None:
        future = await post([record for _, record in together])
        self._in_flight.append(([number for number, _ in together], future))

    async def _settle(self, left: int) -> None:
        """Wait until no more than `left` of what was handed over is unacknowledged."""
        while len(self._in_flight) > left:
            await self._in_flight[0][1]
            self._take_acknowledged()

    def _take_acknowledged(self) -> None:
        while self._in_flight and self._in_flight[0][1].done():
            numbers, future = self._in_flight[0]
            future.result()
            self._in_flight.popleft()
            self._published += numbers

    async def _forget(self) -> None:
        """Delete the rows that the broker has."""
        if not self._published:
            return
        numbers = list(self._published)
        async with self._engine.begin() as held:
            await held.execute(_LAZILY)
            await held.execute(_FORGET, {"numbers": numbers})
        del self._published[: len(numbers)]

    def _give_back(self) -> None:
        """After a failure: what is not acknowledged is read from the table again, from the first such row on."""
        for _, future in self._in_flight:
            future.cancel()
        self._in_flight.clear()
        self._waiting.clear()
        self._behind = True
