"""An executor before a market that only a hand moves, and a hand that approves: what risk thinks is not the matter."""

import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from consumers.executor import executor
from engine.risk import Book, check, fingerprint
from infra.settings import Settings
from schemas.account import TradingMode
from schemas.orders import CancelIntent, ModifyIntent, OrderIntent, OrderStatus, OrderUpdate, RiskDecision
from tests.integration.a_simulator import Simulator, a_simulator, with_gateway
from tests.integration.an_order_path import CLOCK, LONG_LIFE, OrderPath, an_order_path, running, some_limits, until

PROPOSE = """
INSERT INTO intents (intent_id, type, account_id, strategy_id, body, event_time, received_at)
VALUES (:intent_id, :type, :account_id, :strategy_id, CAST(:intent AS jsonb), :event_time, :now)"""
DECIDE = """
INSERT INTO decisions (decision_id, intent_id, account_id, strategy_id, approved, reason, detail, approved_fields, body,
                       decided_at, expires_at)
VALUES (:decision_id, :intent_id, :account_id, :strategy_id, :approved, NULL, '', :fields, CAST(:decision AS jsonb),
        :now, :expires_at)"""


@dataclass
class Desk:
    """The order path from the decision on."""

    path: OrderPath
    simulator: Simulator
    life: timedelta = LONG_LIFE
    """Of its approvals."""

    async def approve(self, *intents: OrderIntent | CancelIntent | ModifyIntent, unless: Sequence[str] = ()) -> None:
        """Decide as risk would, and tell it; those in `unless` are denied."""
        for intent in intents:
            decision = _approved(intent, CLOCK.now(), intent.intent_id not in unless).revised(expires_after=self.life)
            values = {
                **decision.model_dump(include={"decision_id", "intent_id", "account_id", "strategy_id", "approved"}),
                "type": intent.type,
                "intent": intent.to_json().decode(),
                "event_time": intent.event_time,
                "now": decision.basis.decided_at,
                "fields": fingerprint(intent) if decision.approved else None,
                "decision": decision.to_json().decode(),
                "expires_at": decision.basis.decided_at + decision.expires_after,
            }
            proposal = ("intent_id", "type", "account_id", "strategy_id", "intent", "event_time", "now")
            await self.path.execute(PROPOSE, **{name: values[name] for name in proposal})
            spoken = {k: v for k, v in values.items() if k not in ("type", "intent", "event_time")}
            await self.path.execute(DECIDE, **spoken)
            await self.path.tell(decision)

    def trades_at(self, price: str, size: int = 10_000) -> None:
        """The next print."""
        self.simulator.server.gateway.force_quote("AAPL", Decimal(price), size)

    async def advance(self, seconds: float) -> None:
        """Let market time pass."""
        await self.simulator.server.gateway.advance(seconds)

    def arm(self, on: dict[str, Any], do: dict[str, Any]) -> None:
        self.simulator.server.gateway.faults.arm(on, do)

    async def updates(self, order_id: str) -> list[OrderUpdate]:
        rows = await self.path.rows("SELECT body FROM order_events WHERE order_id = :id ORDER BY sequence", id=order_id)
        bodies = [row[0] if isinstance(row[0], dict) else json.loads(row[0]) for row in rows]
        return [OrderUpdate.model_validate(body) for body in bodies]

    async def becomes(self, order_id: str, status: OrderStatus) -> OrderUpdate:
        """The newest update of an order, once it says so."""

        async def told() -> OrderUpdate | None:
            known = await self.updates(order_id)
            return known[-1] if known and known[-1].status is status else None

        found = await until(told)
        assert found is not None
        return found

    async def answered(self, order_id: str, change_id: str) -> OrderUpdate:
        """The first update after the broker has answered a change."""

        async def told() -> OrderUpdate | None:
            return next((each for each in await self.updates(order_id) if each.last_change == change_id), None)

        found = await until(told)
        assert found is not None
        return found

    async def said(self, order_id: str, reason: str) -> bool:
        return any(each.reason == reason for each in await self.updates(order_id))

    def received(self, order_id: str) -> list[dict[str, Any]]:
        """Every time that the order came to the gateway, as its ledger tells."""
        return [line for line in self.simulator.lines("order_received") if line["order_ref"] == order_id]

    def traded(self) -> dict[str, Decimal]:
        """Quantity by order, as the ledger tells."""
        found: dict[str, Decimal] = {}
        for line in self.simulator.lines("fill"):
            found[line["order_ref"]] = found.get(line["order_ref"], Decimal(0)) + Decimal(line["quantity"])
        return found


def _approved(intent: OrderIntent | CancelIntent | ModifyIntent, now: Any, approved: bool) -> RiskDecision:
    decision = check(intent, Book(trading_mode=TradingMode.ACTIVE, limits=some_limits()), now)
    basis = decision.basis.revised(limits=some_limits().model_dump())
    reason = None if approved else "quantity_max"
    return decision.revised(approved=approved, reason=reason, detail="", basis=basis.model_dump())


@contextlib.asynccontextmanager
async def an_approved_desk(settings: Settings, folder: Path, **changes: Any) -> AsyncIterator[Desk]:
    async with a_desk(settings, folder, **changes) as desk, running(executor.build(desk.path.settings)):
        yield desk


@contextlib.asynccontextmanager
async def a_desk(settings: Settings, folder: Path, **changes: Any) -> AsyncIterator[Desk]:
    """The same before an executor runs."""
    async with a_simulator(folder, speed=0.0) as simulator, an_order_path(settings) as path:
        path.settings = with_gateway(settings, simulator.server.port, **changes)
        simulator.server.gateway.force_quote("AAPL", Decimal("440.00"), 10_000)
        yield Desk(path, simulator)
