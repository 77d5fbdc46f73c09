"""What the kill switch does when it is asked: stop a scope, let it trade again, say how things stand."""

import asyncio
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from prometheus_client import CollectorRegistry, Histogram
from pydantic import BaseModel, ConfigDict, Field
from structlog.typing import FilteringBoundLogger

from infra.clock import Clock, Entropy
from infra.gateway import BrokerOpenOrder
from infra.kill import GLOBAL, Kill, KillFlag
from infra.kill_line import KillRefusedError
from producers.kill_switch.known import KnownKills
from producers.kill_switch.records import Records
from producers.kill_switch.sweep import Sweep
from schemas.event import Name

CONFIRM_SECONDS = 1.0
"""After this, what the executor has not confirmed is taken into our own hands."""
ACKNOWLEDGE_SECONDS_MAX = 0.1
_FORCE_SECONDS_MAX = 0.04
"""What the disk may take of that; a flag that is not yet on it is seen by every process all the same."""
_LOOK_AGAIN_SECONDS = 0.3
_SCOPE = r"^(global|account:|(account|strategy|symbol):[A-Za-z0-9][A-Za-z0-9._:/ -]*)$"
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)


class _Request(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class KillRequest(_Request):
    """Stop a scope; `account:` alone is the account at the gateway."""

    do: Literal["kill"]
    kill_id: Name
    scope: Annotated[str, Field(max_length=128, pattern=_SCOPE)] = GLOBAL
    reason: Annotated[str, Field(min_length=1, max_length=400)]
    by: Name


class ArmRequest(_Request):
    """Let a scope trade again; without one, all that was killed."""

    do: Literal["arm"]
    scope: Annotated[str, Field(max_length=128, pattern=_SCOPE)] | None = None
    reason: Annotated[str, Field(min_length=1, max_length=400)]
    by: Name


class CancelledRequest(_Request):
    """The executor has asked the broker to cancel these orders of a kill, all that it knows of."""

    do: Literal["cancelled"]
    kill_id: Name
    orders: tuple[Annotated[str, Field(max_length=40)], ...] = Field(max_length=1000)


class StateRequest(_Request):
    """How things stand."""

    do: Literal["state"]


Request = Annotated[KillRequest | ArmRequest | CancelledRequest | StateRequest, Field(discriminator="do")]


class KillSwitch:
    """Holds the flag, and answers."""

    def __init__(
        self,
        flag: KillFlag,
        sweep: Sweep,
        records: Records,
        known: KnownKills,
        clock: Clock,
        entropy: Entropy,
        *,
        log: FilteringBoundLogger,
        registry: CollectorRegistry,
    ) -> None:
        self._flag = flag
        self._sweep = sweep
        self._records = records
        self._known = known
        self._clock = clock
        self._entropy = entropy
        self._cancelled: dict[str, frozenset[str]] = {}
        self._cancels: dict[str, int] = {}
        self._confirming: dict[str, asyncio.Task[None]] = {}
        self._turn = asyncio.Lock()
        self._background: set[asyncio.Future[Any]] = set()
        self._log = log
        self._seconds = Histogram(
            "scizor_kill_acknowledge_seconds", "From a kill's line to its answer", buckets=_BUCKETS, registry=registry
        )

    async def answer(self, request: Request) -> dict[str, Any]:
        match request:
            case KillRequest():
                return await self._on_kill(request)
            case ArmRequest():
                return await self._on_arm(request)
            case CancelledRequest():
                if request.kill_id in self._confirming:
                    self._cancelled[request.kill_id] = frozenset(request.orders)
                    self._cancels[request.kill_id] = len(self._cancelled[request.kill_id])
                return {"heard": len(request.orders)}
            case StateRequest():
                return self.state()

    def state(self) -> dict[str, Any]:
        kills = self._flag.read().kills
        held = {kill.kill_id for kill in kills}
        self._cancels = {kill_id: orders for kill_id, orders in self._cancels.items() if kill_id in held}
        return {
            "killed": bool(kills),
            "kills": [kill.model_dump(mode="json") for kill in kills],
            "unconfirmed": sorted(self._confirming),
            "cancels": dict(self._cancels),
            "open_orders": self._sweep.open_orders if any(kill.is_global for kill in kills) else None,
            "gateway": self._sweep.gateway,
            "untold": self._records.waiting,
        }

    def resume(self) -> None:
        """After a start: what was stopped is stopped, and everybody is told so once more."""
        kills = self._flag.read()
        for kill in kills.kills:
            self._tell(kill)
        if kills.of((GLOBAL,)) is not None:
            self._sweep.begin()
        else:
            for kill in kills.kills:
                if not self._known.is_confirmed(kill):
                    self._confirm(kill)
        self._known.keep(kills.kills)

    def _tell(self, kill: Kill) -> None:
        """That it holds; once also that it was asked for, also when that was done by the flag alone."""
        if self._known.is_told(kill):
            self._records.say_halted(kill)
        else:
            self._records.say_killed(kill)
            self._known.told(kill)

    # stopping

    async def _on_kill(self, request: KillRequest) -> dict[str, Any]:
        begun = self._clock.monotonic()
        scope = self._named(request.scope)
        kill = Kill(kill_id=request.kill_id, scope=scope, reason=request.reason, by=request.by, at=self._clock.now())
        kill, fence, asked = await self._stop(kill)
        left = max(0.0, begun + _FORCE_SECONDS_MAX - self._clock.monotonic())
        durable = await self._on_disk(left)
        seconds = self._clock.monotonic() - begun
        self._seconds.observe(seconds)
        self._log.error("killed", scope=kill.scope, by=kill.by, reason=kill.reason, seconds=round(seconds, 4))
        return {
            "kill": kill.model_dump(mode="json"),
            "acknowledged_ms": round(seconds * 1000, 3),
            "fenced": fence,
            "durable": durable,
            "asked_gateway": asked,
        }

    async def _stop(self, kill: Kill) -> tuple[Kill, bool, bool]:
        """The flag is set, then the gateway is asked.

        What is stopped, whether nothing was being sent meanwhile, and whether the gateway could be asked.
        """
        try:
            async with self._turn, self._flag.fenced() as fence:
                kill = self._flag.add(kill)
        except OSError:  # nothing keeps new orders back: what is open is cancelled all the same
            self._sweep.begin()
            raise
        asked = self._sweep.begin() if kill.is_global else self._confirm(kill)
        self._tell(kill)
        return kill, fence, asked

    async def _on_disk(self, seconds: float) -> bool:
        """Whether the disk has it in time; if not, it goes on in the background."""
        forcing = asyncio.ensure_future(asyncio.to_thread(self._flag.force))
        self._background.add(forcing)
        forcing.add_done_callback(self._forced)
        done, _ = await asyncio.wait([forcing], timeout=seconds)
        return bool(done) and forcing.exception() is None

    def _forced(self, done: "asyncio.Future[None]") -> None:
        self._background.discard(done)
        if not done.cancelled() and (error := done.exception()) is not None:
            self._log.error("the kill flag is not on the disk", error=str(error))

    def _named(self, scope: str) -> str:
        if scope != "account:":
            return scope
        account = self._sweep.account_id
        if account is None:
            raise KillRefusedError("which account? the gateway cannot be asked now: write its NAME, or kill everything")
        return scope + account

    # a scope is the executor's to cancel: only who placed an order can cancel it alone

    def _confirm(self, kill: Kill) -> bool:
        waiting = asyncio.create_task(self._until_confirmed(kill), name=f"confirm {kill.scope}")
        self._confirming[kill.kill_id] = waiting
        waiting.add_done_callback(lambda _: self._forget(kill.kill_id))
        return False

    def _forget(self, kill_id: str) -> None:
        self._confirming.pop(kill_id, None)
        self._cancelled.pop(kill_id, None)

    async def _until_confirmed(self, kill: Kill) -> None:
        deadline = self._clock.monotonic() + CONFIRM_SECONDS
        while self._clock.monotonic() < deadline:
            word = self._cancelled.get(kill.kill_id)
            left = max(0.01, deadline - self._clock.monotonic())
            if word is not None and await self._is_cancelled(word, left):
                self._known.confirmed(kill)
                self._log.warning("the kill is confirmed", scope=kill.scope, orders=len(word))
                return
            await asyncio.sleep(min(0.01 if word is None else _LOOK_AGAIN_SECONDS, left))
        if kill.kill_id not in {each.kill_id for each in self._flag.read().kills}:
            return  # armed meanwhile, or killed once more, which has a deadline of its own
        wider = Kill(
            kill_id=self._entropy.new_id(),
            scope=GLOBAL,
            reason=f"{kill.scope}: nobody confirmed within {CONFIRM_SECONDS:g} s that its orders are cancelled",
            by="kill switch",
            at=self._clock.now(),
        )
        await self._stop(wider)
        await self._on_disk(_FORCE_SECONDS_MAX)

    async def _is_cancelled(self, orders: frozenset[str], seconds: float) -> bool:
        """What the executor says, and the gateway where it can be asked."""
        if not orders:
            return True
        try:
            async with asyncio.timeout(seconds):
                found = await self._sweep.seen()
        except TimeoutError:
            return False
        return found is None or not any(_is_of(each, orders) for each in found)

    # letting it trade again

    async def _on_arm(self, request: ArmRequest) -> dict[str, Any]:
        scope = None if request.scope is None else self._named(request.scope)
        async with self._turn, self._flag.fenced():
            before = self._flag.read()
            lifted = [kill for kill in before.kills if scope in (None, kill.scope)]
            if not lifted:
                there = ", ".join(kill.scope for kill in before.kills)
                none = "nothing is killed; a halt is lifted by `scizor live arm`"
                raise KillRefusedError(f"{scope} is not killed; killed: {there}" if there else none)
            after = before.without((kill.scope for kill in lifted), self._clock.now())
            self._flag.write(after)
        for kill in lifted:
            if not self._known.is_told(kill):  # it was set beside us, and is part of the story all the same
                self._tell(kill)
        self._records.say_armed(lifted, request.by, request.reason)
        self._known.keep(after.kills)
        await asyncio.to_thread(self._flag.force)
        self._log.warning("armed", scopes=_scopes(lifted), by=request.by, reason=request.reason)
        return {"armed": _scopes(lifted), "still_killed": _scopes(after.kills)}


def _is_of(order: BrokerOpenOrder, orders: frozenset[str]) -> bool:
    return order.order_ref in orders


def _scopes(kills: Iterable[Kill]) -> list[str]:
    return [kill.scope for kill in kills]
