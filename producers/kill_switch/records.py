"""What the kill switch tells, kept until its reader is there: trading states for Kafka, audit rows for PostgreSQL."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from aiokafka.errors import KafkaError
from pydantic import ValidationError
from structlog.typing import FilteringBoundLogger

from engine.trading_state import KILL_SWITCH
from infra.clock import Clock
from infra.errors import ScizorError
from infra.kill import Kill
from infra.publish import Publisher
from infra.spool import Spool
from infra.store import audit
from infra.store.audit import AuditRow
from infra.store.database import Store
from schemas.account import TradingMode, TradingState

_LOOK_SECONDS = 0.25
_REST_SECONDS = 2.0
"""After a failure: whoever is away is not asked all the time."""
_PATIENCE_SECONDS = 10.0
_REASON_MAX = 500


class Records:
    """Kept in files first, so that a crash and an outage lose nothing."""

    def __init__(self, home: Path, clock: Clock, log: FilteringBoundLogger) -> None:
        self._clock = clock
        self._log = log
        self._states = Spool(home / "kill-states.jsonl", lambda state: state.model_dump_json(), _state_of)
        self._audit = audit.spool(home / "audit-kill_switch.jsonl")

    @property
    def waiting(self) -> int:
        """How much was not told yet."""
        return self._states.take()[1] + self._audit.take()[1]

    def say_killed(self, kill: Kill) -> None:
        self.say_halted(kill)
        self._note(self._row("kill", kill.scope, kill.by, kill.kill_id, {"reason": kill.reason}))

    def say_halted(self, kill: Kill) -> None:
        reason = f"{kill.reason} ({kill.by})"
        self._say(self._state(kill.scope, TradingMode.HALTED, reason))

    def say_armed(self, lifted: Sequence[Kill], by: str, reason: str) -> None:
        for kill in lifted:
            self._say(self._state(kill.scope, TradingMode.ACTIVE, f"{reason} ({by})"))
            detail = {"reason": reason, "killed": kill.model_dump(mode="json")}
            self._note(self._row("arm", kill.scope, by, kill.kill_id, detail))

    def _state(self, scope: str, mode: TradingMode, reason: str) -> TradingState:
        now = self._clock.now()
        return TradingState(
            scope=scope, mode=mode, reason=reason[:_REASON_MAX], by=KILL_SWITCH, event_time=now, ingest_time=now
        )

    def _row(self, action: str, scope: str, by: str, kill_id: str, detail: Mapping[str, Any]) -> AuditRow:
        return AuditRow(self._clock.now(), by, "kill switch", action, scope, "done", kill_id, detail)

    def _say(self, state: TradingState) -> None:
        try:
            self._states.add(state, force=False)
        except OSError as error:  # stopping goes on, whatever the disk says
            self._log.error("trading state lost", scope=state.scope, mode=state.mode.value, error=str(error))

    def _note(self, row: AuditRow) -> None:
        try:
            self._audit.add(row, force=False)
        except OSError as error:
            self._log.error("audit row lost", action=row.action, actor=row.actor, target=row.target, error=str(error))

    # background tasks: nothing here holds up a kill

    async def tell_states(self, publisher: Publisher) -> None:
        """Publish trading states as soon as Kafka takes them."""
        started = False
        while True:
            states, lines = await asyncio.to_thread(self._states.take)
            if not lines:
                await asyncio.sleep(_LOOK_SECONDS)
                continue
            try:
                async with asyncio.timeout(_PATIENCE_SECONDS):
                    if not started:
                        await publisher.start()
                        started = True
                    for state in states:
                        await publisher.publish(state)
            except (KafkaError, OSError, TimeoutError) as error:
                self._log.warning("trading states wait for Kafka", states=lines, error=repr(error))
                if not started:
                    await publisher.stop()
                await asyncio.sleep(_REST_SECONDS)
                continue
            await asyncio.to_thread(self._states.drop, lines)

    async def tell_audit(self, store: Store) -> None:
        """Write audit rows as soon as the database takes them."""
        while True:
            rows, lines = await asyncio.to_thread(self._audit.take)
            if not lines:
                await asyncio.sleep(_LOOK_SECONDS)
                continue
            try:
                async with asyncio.timeout(_PATIENCE_SECONDS), store.transaction() as tx:
                    for row in rows:
                        await audit.note(tx.connection, row)
            except (ScizorError, OSError, TimeoutError) as error:
                self._log.warning("audit rows wait for the database", rows=lines, error=repr(error))
                await asyncio.sleep(_REST_SECONDS)
                continue
            await asyncio.to_thread(self._audit.drop, lines)


def _state_of(line: str) -> TradingState | None:
    try:
        return TradingState.model_validate_json(line)
    except ValidationError:
        return None
