"""The kill switch's own rules, with a gateway that nobody connects to and a clock that only a hand moves."""

import contextlib
import resource
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from prometheus_client import CollectorRegistry

from infra import kill_line
from infra.clock import ManualClock, SystemEntropy
from infra.gateway import ClientSlot, Connection
from infra.kill import GLOBAL, KillFlag
from infra.kill_line import KillRefusedError
from infra.settings import Settings
from producers.kill_switch.door import Door
from producers.kill_switch.records import Records
from producers.kill_switch.sweep import Sweep
from producers.kill_switch.switch import KillSwitch
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
            self.flag, self.sweep, self.records, clock, SystemEntropy(), log=SILENT, registry=CollectorRegistry()
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
    with KillFlag(tmp_path).sending(SCOPES) as why:
        assert why is not None


async def test_on_a_full_disk_the_flag_alone_stops_everything(tmp_path: Path) -> None:
    with a_full_disk():
        answer = await kill_line.kill(tmp_path, a_kill("symbol:MSFT"))

    assert (answer["by_flag_alone"], answer["kill"]["scope"]) == (True, GLOBAL)
    with KillFlag(tmp_path).sending(SCOPES) as why:
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
