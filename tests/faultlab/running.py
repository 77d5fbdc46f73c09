"""One case from its first record to its verdict."""

import asyncio
import contextlib
import itertools
import traceback
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import asyncpg
from aiokafka.errors import KafkaError

from infra.topics import load_catalogue
from schemas.orders import OrderStatus
from tests.faultlab.cases import Case
from tests.faultlab.evidence import Evidence, Place, gathered
from tests.faultlab.faults import FAULTS
from tests.faultlab.judge import Trial, is_for_good, judged
from tests.faultlab.laboratory import Laboratory
from tests.faultlab.stage import Stage, a_stage, drawn
from tests.faultlab.workloads import WORKLOADS, Workload
from tests.integration.an_order_path import CLOCK, a_live_intent, some_limits, until

PATIENCE_SECONDS = 30.0
PRICE = Decimal(28)
MICROSOFT = 272093
"""Nothing else is traded in it: an order of which nobody can tell blocks its instrument, and no other."""
_LOOK_SECONDS = 0.25
_PLACE_SECONDS = 60.0
_GOES_ON_SECONDS = 60.0
_END = """
SELECT CASE status WHEN 'FILLED' THEN status ELSE status || ': ' || reason END
FROM orders WHERE order_id = :name AND status IN ('FILLED', 'CANCELED', 'REJECTED', 'EXPIRED')
UNION SELECT 'denied: ' || reason || ' ' || detail FROM decisions WHERE intent_id = :name AND NOT approved"""


@dataclass
class Outcome:
    """What came of one case. `violations` are by promise; 0 stands for a stack that does not trade on."""

    case: str
    seed: int
    faults: tuple[str, ...]
    matrix: str
    seconds: float = 0.0
    orders: int = 0
    fills: int = 0
    fired: int = 0
    restarts: int = 0
    violations: dict[int, list[str]] = field(default_factory=dict)
    error: str = ""
    """Why it could not be judged."""
    skipped: str = ""
    """Why it was not run."""


class Runner:
    """Runs a case on the servers of a laboratory; `number` keeps what it makes apart from others."""

    def __init__(self, laboratory: Laboratory, number: int, patience: float = PATIENCE_SECONDS) -> None:
        self._laboratory = laboratory
        self._patience = patience
        self._number = number

    async def run(self, case: Case, seed: int) -> Outcome:
        outcome = Outcome(case.name, seed, case.faults, case.matrix)
        wired = any(FAULTS[each].wired for each in case.faults)
        on_a_disk = any(FAULTS[each].on_a_disk for each in case.faults)
        if on_a_disk and not self._laboratory.disks:
            outcome.skipped = "this machine allows no mounts of one's own (unshare --mount), so no disk can be filled"
            return outcome
        work = WORKLOADS[case.work]
        service, _, variant = case.variant.partition("=")
        programs = {**work.programs, **({service: ("tests.faultlab.variants", variant)} if variant else {})}
        begun = CLOCK.monotonic()
        try:
            name = f"case{self._number}"
            stands_on = {"wired": wired, "on_a_disk": on_a_disk}
            stage_of_it = a_stage(self._laboratory, name, programs, work.services, **stands_on, **work.limits)
            async with stage_of_it as stage:
                await self._play(stage, case, work, outcome)
        except Exception:  # noqa: BLE001 # whatever it is, the next cases are run all the same, and it is told
            outcome.error = traceback.format_exc()
        outcome.seconds = round(CLOCK.monotonic() - begun, 2)
        return outcome

    async def _play(self, stage: Stage, case: Case, work: Workload, outcome: Outcome) -> None:
        rng = Random(f"{case.name} {outcome.seed}")
        await work.prepare(stage)
        async with asyncio.TaskGroup() as together:
            for name in case.faults:
                together.create_task(
                    _placed(stage, name, Random(rng.random()), 0.0 if case.variant else drawn(rng, 0, 0.4))
                )
            await work.run(stage, rng)
            stage.worked.set()
        halts = any(FAULTS[name].halts for name in case.faults)
        limit = some_limits(**work.limits).position_max
        stuck = ""
        look = _Look(stage, work, lambda seen: Trial(seen, stage.marks, limit, halts))
        if work.goes_on and not halts:
            stuck = await (self._watched(stage, look) if case.variant else why_not_trading(stage, _GOES_ON_SECONDS))
        outcome.violations = await look.settled(self._patience)
        if stuck:
            outcome.violations[0] = [f"no order comes through any more: {stuck}"]
        outcome.orders = len(look.seen.ledger.orders)
        outcome.fills = len(look.seen.ledger.fills)
        outcome.fired = (
            sum(1 for _ in look.seen.ledger.of("fault"))
            + sum(each.sprung for each in (*stage.database.traps, *stage.wire.traps, *stage.kafka_wire.traps))
            + stage.marks.strikes
        )
        outcome.restarts = sum(stage.starts.values()) - len(stage.starts)

    async def _watched(self, stage: Stage, look: "_Look") -> str:
        """Trading of a service that is broken on purpose, until that shows for good; it need not go on."""
        trading = asyncio.create_task(why_not_trading(stage, min(self._patience, _GOES_ON_SECONDS)))
        broken = asyncio.create_task(look.broken_for_good())
        try:
            done, _ = await asyncio.wait((trading, broken), return_when=asyncio.FIRST_COMPLETED)
            for each in done:
                each.result()
        finally:
            for each in (trading, broken):
                each.cancel()
            await asyncio.gather(trading, broken, return_exceptions=True)
        return ""


async def _placed(stage: Stage, name: str, rng: Random, after: float) -> None:
    async with asyncio.timeout(_PLACE_SECONDS):
        await asyncio.sleep(after)
        await FAULTS[name].place(stage, rng)


class _Look:
    """Looks again and again until nothing contradicts, or what does will for ever, or for as long as is promised."""

    def __init__(self, stage: Stage, work: Workload, trial: Any) -> None:
        settings = stage.settings
        self._trial = trial
        self._groups = {each: list(load_catalogue().services[each].reads) for each in work.services}
        database = settings.database_url.get_secret_value()
        self._place = Place(settings.kafka, settings.topic_prefix, database, Path(stage.simulator.ledger))
        self._found: dict[int, list[str]] = {7: ["nothing could be looked at"]}
        self._before: dict[int, list[str]] = {}
        self.seen: Evidence

    async def settled(self, patience: float) -> dict[int, list[str]]:
        deadline = CLOCK.monotonic() + patience
        while True:
            await self._look()
            if not self._found or self._is_for_good or CLOCK.monotonic() > deadline:
                return self._found
            await asyncio.sleep(_LOOK_SECONDS)

    async def broken_for_good(self) -> None:
        """Returns once no later look can find all promises kept."""
        while not self._is_for_good:
            await asyncio.sleep(_LOOK_SECONDS)
            await self._look()

    async def _look(self) -> None:
        with contextlib.suppress(OSError, KafkaError, asyncpg.PostgresError, TimeoutError):
            self.seen = await gathered(self._place, self._groups)
            self._before, self._found = self._found, judged(self._trial(self.seen))

    @property
    def _is_for_good(self) -> bool:
        return is_for_good(self._found, self._before)


async def why_not_trading(stage: Stage, patience: float) -> str:
    """Empty once an order comes through, however often it has to be proposed anew; else what became of the last one."""
    deadline, last = CLOCK.monotonic() + patience, "trading is not active"
    for number in itertools.count():
        try:
            await until(stage.is_active, seconds=max(0.1, deadline - CLOCK.monotonic()))
            last = await _end_of(stage, stage.named(f"last-{number}"))
        except AssertionError:
            return last
        if last == OrderStatus.FILLED:
            return ""
        if CLOCK.monotonic() > deadline:
            return last
        await asyncio.sleep(_LOOK_SECONDS)
    raise AssertionError("numbers do not end")


async def _end_of(stage: Stage, name: str) -> str:
    """What became of one more order."""
    await stage.path.price(MICROSOFT, price=PRICE)
    terms = {"contract_id": MICROSOFT, "symbol": "MSFT", "reference_price": PRICE, "strategy_id": "last"}
    await stage.path.tell(a_live_intent(name, intent_id=name, **terms))

    async def end() -> str:
        return str(await stage.path.scalar(_END, name=name) or "")

    return await until(end, seconds=30)
