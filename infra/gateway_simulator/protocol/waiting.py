"""Requests of one client that wait until what they need is back: the link to IB, or a farm."""

from collections import deque
from collections.abc import Awaitable, Callable

from infra.gateway_simulator.faults.weather import ABOUT_ORDERS, Verdict
from infra.gateway_simulator.protocol.names import HISTORICAL_DATA, REQUESTS, id_in
from infra.gateway_simulator.protocol.wire import WireError

WAITING_MAX = 1000  # requests


class Waiting:
    """In the order in which they came."""

    def __init__(self) -> None:
        self._all: deque[list[str]] = deque()

    def __len__(self) -> int:
        return len(self._all)

    def add(self, values: list[str]) -> None:
        self._all.append(values)
        if len(self._all) > WAITING_MAX:
            raise WireError(f"more than {WAITING_MAX} requests wait")

    def has_orders(self) -> bool:
        """Whether a request about orders would overtake another one."""
        return any(int(each[0]) in ABOUT_ORDERS for each in self._all)

    def remove_history(self, number: int | None) -> bool:
        """Take a request for history out that its client has cancelled; whether there was one."""
        for each in self._all:
            if each[0] == str(HISTORICAL_DATA) and id_in(REQUESTS[HISTORICAL_DATA], each) == number:
                self._all.remove(each)
                return True
        return False

    async def serve(self, judge: Callable[[list[str]], Verdict], serve: Callable[[list[str]], Awaitable[None]]) -> None:
        """Serve what no longer has to wait; each stays here until it has been, so that no order overtakes it."""
        still = 0
        while still < len(self._all):
            values = self._all[0]
            verdict = judge(values)
            if verdict is Verdict.HELD:
                self._all.rotate(-1)
                still += 1
                continue
            if verdict is Verdict.SERVED:
                await serve(values)
            if self._all and self._all[0] is values:
                self._all.popleft()
