"""A strategy that was written down goes on as if nothing had been; what is damaged or of other code is left alone."""

from dataclasses import replace
from pathlib import Path

import pytest

from consumers.strategist.snapshots import Snapshot, Snapshots
from engine.facts import Bar
from engine.indicators import sma
from engine.live import hosts
from engine.live.hosts import shipped
from engine.live.running import RunningStrategy
from engine.live.snapshot import NotFrozenError, frozen, thawed
from engine.strategy import BaseStrategy, StrategySignal
from infra.settings import Settings
from schemas.place import At
from tests.builders import NOON
from tests.unit.test_journal import Script, a_strategy
from tests.unit.test_running_strategy import Desk, started

KEPT = Snapshot("holder", 7, At("strategy.commands.v1", 0, 3), "code", "", "1 noon", b"\x80state\nwith lines")
ASKED: list[tuple[float, ...]] = []


class Averaging(BaseStrategy):
    """Notes what it sees, and follows the shorter of its averages."""

    lengths: tuple[int, ...] = (3, 30)

    def indicators(self) -> None:
        self.averages = [self.declare(sma, "close", length) for length in self.lengths]
        self.smoothed = self.declare(sma, self.averages[0], 4)

    def on_bar(self, bar: Bar) -> StrategySignal:
        ASKED.append((*(each.now for each in self.averages), self.smoothed.now))
        return StrategySignal.target(bar.contract_id, 1.0 if bar.close > self.averages[0].now else 0.0)


class WithAnother(Averaging):
    """Has one more average, of another length."""

    lengths = (3, 30, 5)


def fed(strategy: RunningStrategy, script: Script, start: int, stop: int) -> list[bytes]:
    told: list[bytes] = []
    for event, at in script.inputs[start:stop]:
        if strategy.wants(event):
            told += [each.to_json() for each in strategy.take(event, at)]
    return told


@pytest.mark.parametrize("seed", range(5))
def test_a_thawed_strategy_goes_on_as_the_frozen_one(seed: int) -> None:
    script = Script(seed, bars=60)
    half, end = len(script.inputs) // 2, len(script.inputs)
    strategy = a_strategy()
    fed(strategy, script, 0, half)
    again = thawed(frozen(strategy, shipped), shipped)
    assert again.report(NOON) == strategy.report(NOON)
    assert fed(again, script, half, end) == fed(strategy, script, half, end) != []
    assert again.report(NOON) == strategy.report(NOON) == script.strategy.report(NOON)


@pytest.mark.parametrize("kind", [Averaging, WithAnother])
@pytest.mark.parametrize("frozen_at", [2, 10, 29])
def test_a_strategy_that_was_frozen_amid_its_warm_up_is_asked_when_all_its_indicators_have_values(
    kind: type[BaseStrategy], frozen_at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hosts, "strategy_class", lambda _: kind)

    def lived(desk: Desk, stop: int) -> tuple[list[bytes], list[tuple[float, ...]]]:
        ASKED.clear()
        told = []
        for number in range(60):
            if number == stop:
                desk.strategy = thawed(frozen(desk.strategy, shipped), shipped)
            told += [each.to_json() for each in desk.bar()]
        return told, list(ASKED)

    unbroken = lived(started(), 60)
    assert len(unbroken[1]) == 31
    assert lived(started(), frozen_at) == unbroken


@pytest.mark.parametrize("damage", [b"", b"\x80\x05nothing", b"\x80\x05K\x07."])
def test_what_cannot_be_read_says_so(damage: bytes) -> None:
    with pytest.raises(NotFrozenError):
        thawed(damage, shipped)


def test_files_hold_the_newest_and_are_their_owners_alone(tmp_path: Path) -> None:
    snapshots = Snapshots(Settings(home=tmp_path))
    for each in (KEPT, replace(KEPT, sequence=9), replace(KEPT, strategy_id="other", code="of before")):
        snapshots.write(each)
    assert snapshots.read("code") == {"holder": replace(KEPT, sequence=9)}
    modes = {path.stat().st_mode & 0o777 for path in (tmp_path / "strategist").iterdir()}
    assert modes == {0o600}


def test_a_damaged_file_is_none(tmp_path: Path) -> None:
    snapshots = Snapshots(Settings(home=tmp_path))
    snapshots.write(KEPT)
    (path,) = (tmp_path / "strategist").iterdir()
    path.write_bytes(path.read_bytes()[:-1])
    assert snapshots.read("code") == {}
