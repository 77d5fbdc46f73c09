"""What a kill asks of the executor: cancels of its orders, without the database, and the word that they are asked."""

import asyncio

from structlog.typing import FilteringBoundLogger

from consumers.executor.ledger import Ledger
from consumers.executor.sender import Sender
from consumers.executor.tracking import Tracked
from engine.trading_state import scopes_of
from infra import kill_line
from infra.clock import Clock
from infra.errors import ScizorError
from infra.kill import Kill, KillFlag
from infra.settings import Settings

_LOOK_SECONDS = 0.03
_AGAIN_SECONDS = 2.0
"""A cancel that was not heard of is asked for again."""
_TOLD_MAX = 1000


class Kills:
    """Looks at the flag many times a second: reading it costs less than being told."""

    def __init__(self, settings: Settings, flag: KillFlag, ledger: Ledger, sender: Sender, clock: Clock) -> None:
        self._home = settings.home
        self._socket = kill_line.socket_path(settings.home)
        self._flag = flag
        self._ledger = ledger
        self._sender = sender
        self._clock = clock
        self._asked: dict[str, float] = {}
        self._confirmed: set[str] = set()
        self._unheard: dict[str, str] = {}
        """Why the last word of a kill was not heard: told once, though it is said again many times a second."""
        self._heard_by: tuple[int, int] | None = None

    async def run(self, log: FilteringBoundLogger) -> None:
        """The background task; waits until it is known which orders there are."""
        await self._ledger.known.wait()
        while True:
            kills = self._flag.read().kills
            self._asked = {name: at for name, at in self._asked.items() if kills}
            self._confirmed &= {kill.kill_id for kill in kills}
            self._unheard = {kill.kill_id: self._unheard.get(kill.kill_id, "") for kill in kills}
            if (listener := self._listener()) != self._heard_by:  # a new one may not know what the last was told
                self._heard_by = listener
                self._confirmed.clear()
            for kill in kills:
                await self._obey(kill, log)
            await asyncio.sleep(_LOOK_SECONDS)

    def _listener(self) -> tuple[int, int] | None:
        """Which start of the kill switch listens."""
        try:
            found = self._socket.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns

    async def _obey(self, kill: Kill, log: FilteringBoundLogger) -> None:
        orders = [each for each in self._ledger.working if each.ours and _concerns(kill, each)]
        for order in orders:
            self._cancel(order)
        if kill.kill_id in self._confirmed or not all(each.order_id in self._asked for each in orders):
            return
        word = {"do": "cancelled", "kill_id": kill.kill_id, "orders": [each.order_id for each in orders][:_TOLD_MAX]}
        try:
            await kill_line.ask(self._home, word, seconds=0.5)
        except ScizorError as error:
            if self._unheard.get(kill.kill_id) != (why := str(error)):
                self._unheard[kill.kill_id] = why
                log.warning("cancels of a kill not confirmed", scope=kill.scope, reason=why)
            return
        self._confirmed.add(kill.kill_id)
        log.warning("killed", scope=kill.scope, by=kill.by, reason=kill.reason, cancels=len(orders))

    def _cancel(self, order: Tracked) -> None:
        now = self._clock.monotonic()
        if now - self._asked.get(order.order_id, float("-inf")) >= _AGAIN_SECONDS and self._sender.cancel(order):
            self._asked[order.order_id] = now


def _concerns(kill: Kill, order: Tracked) -> bool:
    return kill.is_global or kill.scope in scopes_of(order.account_id, order.strategy_id, order.symbol)
