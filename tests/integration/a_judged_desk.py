"""Risk, executor and portfolio while a gateway misbehaves, and their judge: the ledger against topics and tables.

Five seconds of a cassette pass in one, and the connection is as much less patient: what lasts is the same.
"""

import contextlib
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from consumers import portfolio
from consumers.executor import executor
from consumers.risk import risk
from infra.gateway import connection
from infra.gateway.slots import Timing
from infra.gateway_simulator.faults import cassette
from infra.gateway_simulator.faults.cassette import Cassette
from infra.settings import Settings
from schemas.account import TradingMode
from schemas.orders import Commission, Fill, FillBusted, FillCorrected, OrderStatus
from tests.a_ledger import Ledger
from tests.integration.a_cassette import Played
from tests.integration.a_simulator import Simulator, a_simulator, with_gateway
from tests.integration.an_order_path import (
    OrderPath,
    a_live_intent,
    an_order_path,
    approvals_that_live,
    running,
    some_limits,
    until,
)

D = Decimal
HURRY = 5.0
HURRIED = Timing(**{name: value / HURRY for name, value in vars(Timing()).items()})
_DURATIONS = frozenset({"seconds", "after", "delay", "echo", "repeat", "cont_after"})
_ENDED = tuple(status.value for status in OrderStatus if status.final)


def hurried(told: Cassette, by: float = HURRY) -> Cassette:
    """The same steps, each so many times shorter; a clock that is wrong stays as wrong as it was."""

    def shorter(part: Any, name: str = "") -> Any:
        if isinstance(part, dict) and name != "clock_skew":
            return {key: shorter(value, key) for key, value in part.items()}
        return part / by if name in _DURATIONS else part

    fields = told.model_dump(mode="json", exclude_defaults=True)
    steps = [{**step, "do": shorter(step["do"])} for step in fields["steps"]]
    return Cassette.model_validate({**fields, "steps": steps})


@dataclass
class Desk:
    """A running order path whose gateway plays a cassette."""

    path: OrderPath
    played: Played

    @property
    def simulator(self) -> Simulator:
        return self.played.simulator

    def ledger(self) -> Ledger:
        return self.played.ledger()

    def do(self, **action: Any) -> None:
        self.simulator.server.gateway.director.do(action)

    async def status(self, order_id: str) -> str | None:
        found = await self.path.scalar("SELECT status FROM orders WHERE order_id = :id", id=order_id)
        return None if found is None else str(found)

    async def in_status(self, order_id: str, *wanted: OrderStatus) -> None:
        async def is_there() -> bool:
            return await self.status(order_id) in {each.value for each in wanted}

        await until(is_there, seconds=30)

    async def in_mode(self, mode: TradingMode) -> None:
        """Wait until risk takes the account for that."""
        await self.path.settled("risk")
        await until(lambda: self.path.scalar(f"SELECT mode = '{mode}' FROM trading_state"), seconds=30)

    async def buy(self, name: str, quantity: int = 10, **changes: Any) -> None:
        await self.path.tell(a_live_intent(name, intent_id=name, quantity=D(quantity), **changes))

    async def one_order_ends(self, status: OrderStatus) -> None:
        """The order `first`, while the cassette plays; all that is known of it agrees with the ledger."""
        await self.in_mode(TradingMode.ACTIVE)
        await self.buy("first")
        await self.played.fired()
        await self.in_status("first", status)
        await self.agrees()

    async def goes_on(self) -> None:
        """Trading is as good as ever."""
        await self.trades("next")
        await self.agrees()

    async def trades(self, name: str) -> None:
        """An order comes through, however often it has to be proposed anew: what was denied is a thing of the past."""
        for number in range(20):
            order_id = f"{name}-{number}"
            await self.in_mode(TradingMode.ACTIVE)
            await self.buy(order_id, 7)
            await self.is_over(order_id)
            if await self.status(order_id) == OrderStatus.FILLED:
                return
        raise AssertionError("no order came through")

    async def is_over(self, order_id: str) -> None:
        """Wait until it was denied or has ended."""
        await until(lambda: self._is_decided(order_id), seconds=30)

    async def _is_decided(self, order_id: str) -> bool:
        denied = "SELECT count(*) > 0 FROM decisions WHERE intent_id = :id AND NOT approved"
        return await self.status(order_id) in _ENDED or bool(await self.path.scalar(denied, id=order_id))

    async def differences(self) -> list[str]:
        return await differences(self.path, self.ledger())

    async def agrees(self, seconds: float = 30) -> None:
        """Wait until ledger, topics and tables say the same; what differs, when they do not come to that."""
        await agreed(self.path, self.ledger, seconds)


async def agreed(path: OrderPath, ledger: Callable[[], Ledger], seconds: float = 30) -> None:
    found: list[str] = ["nothing was compared"]

    async def none_left() -> bool:
        found[:] = await differences(path, ledger())
        return not found

    try:
        await until(none_left, seconds=seconds)
    except AssertionError:
        raise AssertionError(f"after {seconds} s: {found}") from None


async def differences(path: OrderPath, ledger: Ledger) -> list[str]:
    """What the gateway did, against what we know of it."""
    placed = ledger.orders_of_intents()
    found = [f"two orders for the intent {ref}: {keys}" for ref, keys in placed.items() if ref and len(keys) > 1]
    theirs = {each.root: (each.quantity, each.price) for each in ledger.fills.values()}
    found += _unequal("fills", theirs, await _stored_fills(path))
    found += _unequal("fills on the topic", theirs, _newest_fills(await path.events("trading.fills.v1")))
    charged = {each.root: each.commission for each in ledger.fills.values() if each.quantity}
    found += _unequal("commissions", charged, await _stored_commissions(path, charged))
    held = await _quantities(path, "positions")
    found += _unequal("positions", ledger.positions(), held)
    found += _unequal("the gateway's account", ledger.held(), held)
    found += _unequal("risk's book", held, await _quantities(path, "book_positions"))
    return found + await _order_differences(path, ledger)


def _unequal(what: str, theirs: Any, ours: Any) -> list[str]:
    return [] if theirs == ours else [f"{what}: {theirs} at the gateway, {ours} here"]


async def _stored_fills(path: OrderPath) -> dict[str, tuple[Decimal, Decimal]]:
    rows = await path.rows("SELECT execution_id, type, last_quantity, last_price FROM fills ORDER BY revision")
    newest: dict[str, tuple[Decimal, Decimal]] = {}
    for root, kind, quantity, price in rows:
        newest[root] = (
            (D(0), newest[root][1] if root in newest else D(0)) if kind == "FillBusted" else (quantity, price)
        )
    return newest


def _newest_fills(events: Iterable[Any]) -> dict[str, tuple[Decimal, Decimal]]:
    """A reader of the topic that knows nothing but it: the newest revision of each execution."""
    revisions = {
        (each.execution_id, each.revision): each
        for each in events
        if isinstance(each, Fill | FillCorrected | FillBusted)
    }
    newest: dict[str, tuple[Decimal, Decimal]] = {}
    for (root, _), each in sorted(revisions.items(), key=lambda item: item[0]):
        if isinstance(each, FillBusted):
            newest[root] = (D(0), newest[root][1] if root in newest else D(0))
        else:
            newest[root] = (each.last_quantity, each.last_price)
    return newest


async def _stored_commissions(path: OrderPath, wanted: Iterable[str]) -> dict[str, Decimal]:
    rows = await path.rows("SELECT execution_id, amount FROM commissions ORDER BY revision")
    newest = {row[0]: row[1] for row in rows}
    told = {each.execution_id for each in await path.events("trading.fills.v1") if isinstance(each, Commission)}
    return {root: newest[root] for root in wanted if root in newest and root in told}


async def _quantities(path: OrderPath, table: str) -> dict[int, Decimal]:
    return {row[0]: row[1] for row in await path.rows(f"SELECT contract_id, quantity FROM {table}") if row[1]}


async def _order_differences(path: OrderPath, ledger: Ledger) -> list[str]:
    """What lives there lives here, with its reservation; what ended there is over here, or will never count again."""
    live = {each.reference for each in ledger.live() if each.reference}
    rows = await path.rows("SELECT order_id, status FROM orders WHERE decision_id IS NOT NULL")
    ours = {row[0] for row in rows if row[1] not in _ENDED}
    unknown = {ref for ref in ledger.orders_of_intents() if ref} - {row[0] for row in rows}
    reserved = {
        row[0]
        for row in await path.rows(
            "SELECT order_id FROM reservations WHERE remaining > 0 AND strategy_id <> 'external'"
        )
    }
    found = _unequal("live orders", live, ours) + _unequal("reservations", live, reserved)
    return [*found, f"orders that we do not know: {unknown}"] if unknown else found


@contextlib.asynccontextmanager
async def a_judged_desk(settings: Settings, folder: Path, name: str, **options: Any) -> AsyncIterator[Desk]:
    """Limits are set, the services run, and the cassette is armed since before the first of them connected.

    `options` are those of the gateway.
    """
    told = cassette.load(name)
    async with a_simulator(folder, **options) as simulator, an_order_path(settings) as path:
        simulator.server.gateway.director.load(hurried(told))
        path.settings = settings = with_gateway(settings, simulator.server.port)
        await path.tell(some_limits())
        services = (risk.build(settings), portfolio.build(settings), executor.build(settings))
        with approvals_that_live():
            async with running(*services, ready=False):
                yield Desk(path, Played(simulator, told))


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections wait as much less as cassettes are shorter."""
    monkeypatch.setattr(connection, "Timing", lambda: HURRIED)
