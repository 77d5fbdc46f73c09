"""Requests about the past that are being answered or kept up to date: at most fifty of all clients together."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from infra.gateway_simulator.history.past_request import RequestError
from infra.gateway_simulator.protocol.pacing import OPEN_REQUESTS
from infra.gateway_simulator.protocol.session import Session

Key: TypeAlias = tuple[Session, int]


class Openings:
    """Takes requests up at once and answers them later, so that an order does not wait for a long answer."""

    def __init__(self) -> None:
        self._open: dict[Key, asyncio.Task[None] | None] = {}  # None: answered, and kept up to date
        self.turn = asyncio.Lock()
        """For whoever makes a long answer: one at a time."""

    def __len__(self) -> int:
        return len(self._open)

    def start(self, session: Session, request_id: int, answer: Callable[[], Awaitable[None]]) -> None:
        """Answer; a RequestError of `answer` is told to the client."""
        key = (session, request_id)
        if key in self._open:
            reason = "Duplicate ticker ID for API historical data query"
        elif len(self._open) >= OPEN_REQUESTS:
            reason = f"Only {OPEN_REQUESTS} simultaneous API historical data requests allowed."
        else:
            self._open[key] = asyncio.create_task(self._answered(key, answer))
            return
        session.error(request_id, 322, f"Error processing request.-'sm' : cause - {reason}")

    def stay(self, session: Session, request_id: int) -> bool:
        """The running request stays open after its answer; False when it has been cancelled meanwhile."""
        key = (session, request_id)
        if self._open.get(key) is not asyncio.current_task():
            return False
        self._open[key] = None
        return True

    def end(self, session: Session, request_id: int) -> bool:
        """Cancel; False when there is no such request."""
        key = (session, request_id)
        if key not in self._open:
            return False
        task = self._open.pop(key)
        if task is not None:
            task.cancel()
        return True

    def end_session(self, session: Session) -> None:
        """The client has gone: nobody waits for its answers."""
        for _, request_id in [each for each in self._open if each[0] is session]:
            self.end(session, request_id)

    async def _answered(self, key: Key, answer: Callable[[], Awaitable[None]]) -> None:
        session, request_id = key
        try:
            await answer()
        except RequestError as error:
            session.error(request_id, error.code, error.text)
        finally:
            if self._open.get(key) is asyncio.current_task():  # a cancelled request's id may be in use again
                del self._open[key]
