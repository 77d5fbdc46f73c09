"""The kill switch's own rules, with a gateway that nobody connects to and a clock that only a hand moves."""

import asyncio
import contextlib
import resource
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import structlog
from prometheus_client import CollectorRegistry

from consumers.executor.kills import Kills as ExecutorKills
from infra import kill_line
from infra.clock import ManualClock, SystemEntropy
from infra.gateway import ClientSlot, Connection
from infra.kill import GLOBAL, KillFlag
from infra.kill_line import KillRefusedError
from infra.settings import Settings
from producers.kill_switch.door import Door
from producers.kill_switch.known import KnownKills
from producers.kill_switch.records import Records
from producers.kill_switch.sweep import Sweep
from producers.kill_switch.switch import CONFIRM_SECONDS, KillSwitch
from tests.builders import SEEN
from tests.unit.test_kill_flag import SCOPES, a_kill

SILENT = structlog.wrap_logger(structlog.ReturnLogger(), processors=[lambda *_: ""])


class CountedSweep(Sweep):
    """How often the cancel of everything was asked for."""

    begun = 0

    def begin(self) -> bool:
        self.begun += 1
        return super().begin()


class Desk:
    """One start of the kill switch of a home."""

    def __init__(self, home: Path, clock: ManualClock) -> None:
        settings = Settings.model_construct(**{**DEFAULTS, "home": home})
        self.home, self.clock, self.flag = home, clock, KillFlag(home)
        connection = Connection(settings, ClientSlot.KILL_SWITCH, clock=clock)
        self.sweep = CountedSweep(connection, self.flag, 1, SILENT)
        self.records = Records(home, clock, SILENT)
        self.switch = KillSwitch(
            self.flag,
            self.sweep,
            self.records,
            KnownKills(home, SILENT),
            clock,
            SystemEntropy(),
            log=SILENT,
            registry=CollectorRegistry(),
        )
        self.door = Door(kill_line.socket_path(home), self.switch.answer, SILENT)

    async def kill(self, scope: str = GLOBAL, kill_id: str = "kill-1") -> dict[str, Any]:
        return await kill_line.kill(self.home, a_kill(scope, kill_id))

    def killed(self) -> list[str]:
        return [kill.scope for kill in self.flag.read().kills]


DEFAULTS: dict[str, Any] = {
    name: field.get_default(call_default_factory=True) for name, field in Settings.model_fields.items()
}


@contextlib.asynccontextmanager
async def a_desk(home: Path, clock: ManualClock | None = None) -> AsyncIterator[Desk]:
    desk = Desk(home, clock or ManualClock(SEEN))
    await desk.door.open()
    try:
        yield desk
    finally:
        await desk.door.close()


@contextlib.contextmanager
def a_full_disk() -> Iterator[None]:
    """No file takes another byte; empty ones can be made, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("scope", [GLOBAL, "symbol:MSFT"])
async def test_a_kill_on_a_full_disk_stops_everything_and_cancels_what_is_open(tmp_path: Path, scope: str) -> None:
    async with a_desk(tmp_path) as desk:
        with a_full_disk():
            answer = await desk.kill(scope)

        assert (answer["by_flag_alone"], answer["kill"]["scope"]) == (False, GLOBAL)
        assert "cannot be written" in answer["kill"]["reason"]
        assert desk.sweep.begun == 1
    with KillFlag(tmp_path).sending(SCOPES, SEEN) as why:
        assert why is not None


async def test_on_a_full_disk_the_flag_alone_stops_everything(tmp_path: Path) -> None:
    with a_full_disk():
        answer = await kill_line.kill(tmp_path, a_kill("symbol:MSFT"))

    assert (answer["by_flag_alone"], answer["kill"]["scope"]) == (True, GLOBAL)
    with KillFlag(tmp_path).sending(SCOPES, SEEN) as why:
        assert why is not None


async def test_a_flag_that_cannot_be_set_at_all_is_told_and_what_is_open_is_cancelled_all_the_same(
    tmp_path: Path,
) -> None:
    async with a_desk(tmp_path) as desk:
        desk.flag.file.mkdir()  # nothing takes the place of a folder

        with pytest.raises(KillRefusedError, match="may not hold"):
            await desk.kill()

        assert desk.sweep.begun == 1


async def test_an_arming_that_cannot_be_written_changes_nothing(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        await desk.kill("symbol:AAPL")
        await desk.kill("symbol:MSFT", "kill-2")
        with a_full_disk(), pytest.raises(KillRefusedError, match="may not hold"):
            await kill_line.ask(tmp_path, {"do": "arm", "scope": "symbol:AAPL", "reason": "r", "by": "ann"})

        assert desk.killed() == ["symbol:AAPL", "symbol:MSFT"]


async def test_what_was_approved_before_an_arming_is_not_sent_after_it(tmp_path: Path) -> None:
    clock = ManualClock(SEEN)
    async with a_desk(tmp_path, clock) as desk:
        await desk.kill()
        clock.advance(0.5)
        await kill_line.ask(tmp_path, {"do": "arm", "reason": "r", "by": "ann"})

        assert desk.killed() == []
        with desk.flag.sending(SCOPES, SEEN) as why:
            assert why is not None
        clock.advance(0.1)
        with desk.flag.sending(SCOPES, clock.now()) as why:
            assert why is None


@contextlib.asynccontextmanager
async def an_executor(home: Path, clock: ManualClock, orders: Iterable[str] = ()) -> AsyncIterator[None]:
    """One with these orders of AAPL, or none, which says so."""
    order = {"ours": True, "account_id": "DU1", "strategy_id": "s", "symbol": "AAPL"}
    working = [SimpleNamespace(order_id=order_id, **order) for order_id in orders]
    ledger, known = SimpleNamespace(known=asyncio.Event(), working=working), SimpleNamespace(home=home)
    ledger.known.set()
    sender = SimpleNamespace(cancel=lambda _: True)
    kills = ExecutorKills(cast("Any", known), KillFlag(home), cast("Any", ledger), cast("Any", sender), clock)
    task = asyncio.create_task(kills.run(SILENT))
    try:
        yield
    finally:
        task.cancel()


async def confirmed(desk: Desk) -> None:
    async with asyncio.timeout(30):
        while desk.switch.state()["unconfirmed"]:
            await asyncio.sleep(0.005)


async def deadline_over(desk: Desk) -> None:
    """Until everybody who waited for a confirmation has given up."""
    await asyncio.sleep(0)  # they note the time when they have their first turn
    desk.clock.advance(CONFIRM_SECONDS)
    await confirmed(desk)


async def test_a_kill_that_is_confirmed_stays_as_it_is_when_the_switch_starts_again(tmp_path: Path) -> None:
    clock = ManualClock(SEEN)
    async with an_executor(tmp_path, clock), a_desk(tmp_path, clock) as desk:
        await desk.kill("strategy:s")
        await confirmed(desk)

    async with a_desk(tmp_path, clock) as desk:  # the executor is not up yet
        desk.switch.resume()
        await deadline_over(desk)

        assert (desk.killed(), desk.sweep.begun) == (["strategy:s"], 0)


async def test_the_executor_tells_a_switch_that_starts_again_what_the_last_one_did_not_keep(tmp_path: Path) -> None:
    clock = ManualClock(SEEN)
    async with an_executor(tmp_path, clock):
        async with a_desk(tmp_path, clock) as desk:
            await desk.kill("strategy:s")
            await confirmed(desk)
        (tmp_path / "kill-known.json").unlink()
        async with a_desk(tmp_path, clock) as desk:
            desk.switch.resume()
            assert desk.switch.state()["unconfirmed"] == ["kill-1"]
            await confirmed(desk)

            assert desk.killed() == ["strategy:s"]


async def test_a_kill_that_nobody_has_confirmed_becomes_one_of_everything_after_a_restart_too(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        await desk.kill("strategy:s")
    async with a_desk(tmp_path) as desk:
        desk.switch.resume()
        await deadline_over(desk)

        assert (desk.killed(), desk.sweep.begun) == (["strategy:s", GLOBAL], 1)


async def test_a_second_kill_of_a_scope_takes_the_place_of_the_first_and_of_its_deadline(tmp_path: Path) -> None:
    clock = ManualClock(SEEN)
    async with a_desk(tmp_path, clock) as desk:
        await desk.kill("strategy:s")
        await desk.kill("strategy:s", "kill-2")
        async with an_executor(tmp_path, clock):
            async with asyncio.timeout(30):
                while desk.switch.state()["unconfirmed"] != ["kill-1"]:
                    await asyncio.sleep(0.005)
        await deadline_over(desk)

        assert desk.killed() == ["strategy:s"]


def told(desk: Desk) -> tuple[list[str], list[str]]:
    """The modes for Kafka, and the actions for the audit log."""
    states, _ = desk.records._states.take()
    rows, _ = desk.records._audit.take()
    return [state.mode.value for state in states], [row.action for row in rows]


async def test_a_kill_by_the_flag_alone_is_noted_once_when_the_switch_is_back(tmp_path: Path) -> None:
    await kill_line.kill(tmp_path, a_kill())
    for starts in (1, 2):
        async with a_desk(tmp_path) as desk:
            desk.switch.resume()
            assert told(desk) == (["HALTED"] * starts, ["kill"])


async def test_a_kill_that_was_set_beside_the_switch_is_noted_before_it_is_armed(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        desk.flag.add(a_kill())

        await kill_line.ask(tmp_path, {"do": "arm", "reason": "r", "by": "ann"})

        assert told(desk) == (["HALTED", "ACTIVE"], ["kill", "arm"])


async def test_where_nothing_is_killed_it_is_told_what_lifts_a_halt(tmp_path: Path) -> None:
    async with a_desk(tmp_path):
        with pytest.raises(KillRefusedError, match="nothing is killed; a halt is lifted by `scizor live arm`"):
            await kill_line.ask(tmp_path, {"do": "arm", "reason": "r", "by": "ann"})


async def test_an_arming_that_the_disk_does_not_force_is_told_all_the_same(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        await desk.kill()
        desk.flag.force = a_broken_disk  # type: ignore[method-assign] # no disk breaks on demand

        with pytest.raises(KillRefusedError, match="may not hold"):
            await kill_line.ask(tmp_path, {"do": "arm", "reason": "r", "by": "ann"})

        assert told(desk) == (["HALTED", "ACTIVE"], ["kill", "arm"])


def a_broken_disk() -> None:
    raise OSError(5, "Input/output error")
