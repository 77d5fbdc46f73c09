"""At the gateway: cancel everything, look, and cancel again until no open order is seen."""

import asyncio

from structlog.typing import FilteringBoundLogger

from infra.gateway import (
    BrokerOpenOrder,
    Connection,
    GatewayRequestError,
    GatewayState,
    GatewayTimeoutError,
    GatewayUnavailableError,
    Orders,
)
from infra.kill import GLOBAL, KillFlag

_AGAIN_SECONDS = 1.0
_WATCH_SECONDS = 5.0
_LOOK_SECONDS_MAX = 2.0
_ON_THEIR_WAY_OUT = frozenset({"PendingCancel", "ApiCancelled", "Cancelled", "Filled", "Inactive"})


class Sweep:
    """Works while everything is killed."""

    def __init__(self, connection: Connection, flag: KillFlag, executor_id: int, log: FilteringBoundLogger) -> None:
        self._connection = connection
        self._orders = Orders(connection, lambda _: None)  # reports are the executor's: we look for ourselves
        self._flag = flag
        self._executor_id = executor_id
        self._log = log
        self._wanted = asyncio.Event()
        self._is_clear = False
        self.open_orders: int | None = None
        """Those that no cancel was asked for, at the last look; None: nobody could look since the kill."""
        connection.on_state(self._on_state)

    @property
    def gateway(self) -> str:
        state = self._connection.state
        return state.status.value + (f": {state.reason}" if state.reason and not state.usable else "")

    @property
    def account_id(self) -> str | None:
        """The one account at the gateway; None while nobody can say."""
        try:
            return self._connection.account_id
        except GatewayUnavailableError:
            return None

    def begin(self) -> bool:
        """Ask for the cancel of everything, now; False while there is no socket: it is asked when there is one."""
        self._is_clear, self.open_orders = False, None
        self._wanted.set()
        return self._cancel()

    def _cancel(self) -> bool:
        try:
            self._orders.global_cancel()
        except GatewayUnavailableError as error:
            self._log.warning("global cancel waits for the gateway", reason=str(error))
            return False
        self._log.warning("global cancel asked for")
        return True

    async def run(self) -> None:
        """The background task."""
        while True:
            seconds = _WATCH_SECONDS if self._is_clear else _AGAIN_SECONDS
            try:
                async with asyncio.timeout(seconds):
                    await self._wanted.wait()
            except TimeoutError:
                pass  # time to look again
            else:
                self._wanted.clear()
                await asyncio.sleep(0.1)  # the cancels need a moment to be seen
            if self._is_wanted:
                await self._look()

    @property
    def _is_wanted(self) -> bool:
        return self._flag.read().of((GLOBAL,)) is not None

    async def _look(self) -> None:
        found = await self.seen()
        if found is None or not self._is_wanted:  # armed meanwhile: what is open now may stay
            return
        if self._is_clear:  # orders that a person places in TWS meanwhile, to get out of a position, are left alone
            found = [each for each in found if each.client_id == self._executor_id]
        self.open_orders = len(found)
        if found:
            self._cancel()
        else:
            self._is_clear = True

    async def seen(self) -> list[BrokerOpenOrder] | None:
        """Open orders for which no cancel is under way; None while the gateway cannot be asked."""
        try:
            async with asyncio.timeout(_LOOK_SECONDS_MAX):
                found = await self._orders.open_orders()
        except (GatewayUnavailableError, GatewayTimeoutError, GatewayRequestError, TimeoutError) as error:
            self._log.info("open orders not seen", reason=str(error) or type(error).__name__)
            return None
        return [each for each in found if each.status not in _ON_THEIR_WAY_OUT]

    def _on_state(self, state: GatewayState, resync: bool) -> None:
        if resync and state.usable and self._is_wanted:
            self.begin()
