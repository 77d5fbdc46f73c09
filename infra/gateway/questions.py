"""Questions to the gateway whose answers are being collected: messages of one name until one of another."""

import asyncio
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from infra.gateway.errors import GatewayTimeoutError

Rows = list[tuple[Any, ...]]


@dataclass
class Question:
    """An answer that is being collected: messages named `rows` until one named `end`."""

    rows: str
    end: str
    answer: "asyncio.Future[Rows]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    found: Rows = field(default_factory=list)

    def take(self, name: str, arguments: tuple[Any, ...]) -> None:
        if name == self.rows:
            self.found.append(arguments)
        if name == self.end and not self.answer.done():
            self.answer.set_result(self.found)

    def fail(self, why: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(why)

    async def answered(self, seconds: float) -> Rows:
        """All rows, or an exception; never half an answer."""
        try:
            async with asyncio.timeout(seconds):
                return await self.answer
        except TimeoutError:
            raise GatewayTimeoutError(self.end, seconds) from None


REQUEST_ID_FIRST = 1_500_000_000
"""Request ids start here: far above any order id, with which they share one number space at the gateway."""
_REQUEST_ID_LAST = 2_147_000_000


class Questions:
    """All that is being asked on one connection, with a number or, for requests that have none, without."""

    def __init__(self) -> None:
        self._numbered: dict[int, Question] = {}
        self._unnumbered: list[Question] = []
        self._turns: dict[str, asyncio.Lock] = {}
        self._numbers = itertools.count(REQUEST_ID_FIRST)

    def new_number(self) -> int:
        number = next(self._numbers)
        if number >= _REQUEST_ID_LAST:
            self._numbers = itertools.count(REQUEST_ID_FIRST)
        return number

    def turn(self, end: str) -> asyncio.Lock:
        """Answers without a number are told apart by their end: one of a kind is asked for at a time."""
        return self._turns.setdefault(end, asyncio.Lock())

    @contextmanager
    def numbered(self, number: int, question: Question) -> Iterator[None]:
        self._numbered[number] = question
        try:
            yield
        finally:
            del self._numbered[number]

    @contextmanager
    def unnumbered(self, question: Question) -> Iterator[None]:
        self._unnumbered.append(question)
        try:
            yield
        finally:
            self._unnumbered.remove(question)

    def of(self, number: object) -> Question | None:
        return self._numbered.get(number) if type(number) is int else None

    def offer(self, name: str, arguments: tuple[Any, ...]) -> None:
        """A message without a number is for whoever asked for its kind."""
        for question in self._unnumbered:
            question.take(name, arguments)

    def fail(self, why: Exception) -> None:
        """The connection is gone, and with it every answer that was under way."""
        for question in [*self._numbered.values(), *self._unnumbered]:
            question.fail(why)
