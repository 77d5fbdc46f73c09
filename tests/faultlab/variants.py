"""`python -m tests.faultlab.variants NAME [PROGRAM]`: services that are broken on purpose.

The judge has to find each of them out: one that finds nothing in them would find nothing in anything.
"""

import asyncio
import itertools
import runpy
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from consumers.executor.ledger import Ledger
from consumers.executor.page import Page
from consumers.executor.reconciliation import Reconciliation
from consumers.executor.tracking import Tracked
from engine.account_book import AccountBook
from infra import consume
from infra.clock import SystemClock
from infra.gateway import BrokerExecution
from schemas.orders import OrderStatus
from tests.integration.an_order_path import a_live_intent


def no_dedupe() -> str:
    """An executor that counts every execution that it is told, told before or not."""
    numbers, honest = itertools.count(), Page._on_execution

    async def forgetful(self: Any, said: BrokerExecution) -> bool:
        return await honest(self, replace(said, root=f"{said.root}.{next(numbers)}"))

    Page._on_execution = forgetful  # type: ignore[method-assign] # that is the fault
    return "consumers.executor"


def sends_again() -> str:
    """An executor that sends again, when it starts, whatever it had no answer for when it ended."""
    look, load = Reconciliation._look, Ledger.load
    unanswered: list[Tracked] = []

    async def noted(self: Any, account_id: str) -> None:
        await load(self, account_id)
        unanswered.extend(each for each in self.working if each.status is OrderStatus.SENDING)

    async def blindly(self: Any) -> Any:
        while unanswered:
            order = unanswered.pop()
            number = await self._sender.ids.take()
            self._orders.place(number, order.intent or a_live_intent(1, intent_id=order.order_id))
        return await look(self)

    Ledger.load = noted  # type: ignore[method-assign] # that is the fault
    Reconciliation._look = blindly  # type: ignore[method-assign] # that is the fault
    return "consumers.executor"


def no_reservation() -> str:
    """A risk service that forgets what is in flight."""
    honest = AccountBook.seen_from

    def forgetful(self: Any, *arguments: Any) -> Any:
        self.in_flight.clear()
        self.changed()
        return honest(self, *arguments)

    AccountBook.seen_from = forgetful  # type: ignore[assignment] # that is the fault
    return "consumers.risk"


def commits_first() -> str:
    """A persister that commits records before it has handled them."""
    honest = consume.BatchConsumer._handle

    async def hasty(self: Any, polled: Any) -> None:
        await self._consumer.commit({place: part[-1].offset + 1 for place, part in polled.items()})
        await honest(self, polled)

    consume.BatchConsumer._handle = hasty  # type: ignore[method-assign] # that is the fault
    return "consumers.persister"


def _shifted(by: timedelta) -> str:
    """A service whose wall clock is wrong; the program is named after the variant."""
    honest = SystemClock.now
    SystemClock.now = lambda self: honest(self) + by  # type: ignore[method-assign] # that is the fault
    return sys.argv[2]


def clock_ahead() -> str:
    return _shifted(timedelta(hours=1))


def clock_behind() -> str:
    return _shifted(timedelta(hours=-1))


VARIANTS: dict[str, Callable[[], str]] = {
    each.__name__.replace("_", "-"): each
    for each in (no_dedupe, sends_again, no_reservation, commits_first, clock_ahead, clock_behind)
}


if __name__ == "__main__":
    asyncio.set_event_loop(asyncio.new_event_loop())  # the client library of IB looks for one when it is imported
    runpy.run_module(VARIANTS[sys.argv[1]](), run_name="__main__")
