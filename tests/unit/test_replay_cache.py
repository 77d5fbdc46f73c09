"""What several processes keep of the topics at once."""

import errno
from collections.abc import Collection
from pathlib import Path

import pytest
from aiokafka import TopicPartition

from infra.columns import frame_of
from infra.replay_cache import ReplayCache, Span
from infra.settings import Settings
from tests.builders import a_historical_bar

PLACE = TopicPartition("market.history.v1", 0)
FRAME = frame_of([a_historical_bar()])
SPAN = Span(0, 2_000, "the last")


class Overtaken(ReplayCache):
    """Another process keeps the same while this one makes room."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.other = ReplayCache(settings)

    def _make_room(self, wanted: int, spared: Collection[Path]) -> bool:
        draft = next(self._of(PLACE).iterdir())
        draft = draft.rename(draft.with_name(draft.name + "0"))  # as a process of another id calls its own
        assert self.other.keep(PLACE, [], FRAME, SPAN)
        draft.rename(draft.with_name(draft.name[:-1]))
        return super()._make_room(wanted, spared)


def test_of_two_processes_that_keep_the_same_the_quicker_does(tmp_path: Path) -> None:
    cache = Overtaken(Settings(home=tmp_path))

    assert cache.keep(PLACE, [], FRAME, SPAN)

    (segment,) = cache.chain(PLACE, 0)
    assert segment.columns(next(iter(segment.files)))["close"].tolist() == FRAME["close"].to_list()
    assert [each.name for each in segment.folder.parent.iterdir()] == [segment.folder.name], "and no draft stays"


class Robbed(ReplayCache):
    """Another process needs the room of the place while this one makes some."""

    def _make_room(self, wanted: int, spared: Collection[Path]) -> bool:
        self.forget(PLACE)
        return True


def test_what_another_process_takes_away_while_it_is_written_is_not_kept(tmp_path: Path) -> None:
    cache = Robbed(Settings(home=tmp_path))

    assert not cache.keep(PLACE, [], FRAME, SPAN)
    assert cache.chain(PLACE, 0) == []


def test_what_another_process_takes_away_while_it_is_looked_for_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = ReplayCache(Settings(home=tmp_path))
    cache.keep(PLACE, [], FRAME, SPAN)
    found = list(cache._of(PLACE).glob("*/segment.json"))
    cache.forget(PLACE)
    monkeypatch.setattr(Path, "glob", lambda *_: iter(found))

    assert cache.chain(PLACE, 0) == []


def test_room_is_made_while_another_process_takes_files_away(tmp_path: Path) -> None:
    cache = ReplayCache(Settings(home=tmp_path))
    gone = tmp_path / "replay-cache" / "others"
    gone.mkdir(parents=True)
    (gone / "place").symlink_to(tmp_path / "gone already")

    assert cache.keep(PLACE, [], FRAME, SPAN)
    assert [each.stop for each in cache.chain(PLACE, 0)] == [SPAN.stop]


def test_what_a_killed_process_or_a_full_disk_left_behind_hinders_nobody(tmp_path: Path) -> None:
    cache = ReplayCache(Settings(home=tmp_path))
    for name in (".0-10.123", "0-10"):
        left = cache._of(PLACE) / name
        left.mkdir(parents=True)
        (left / "segment.json").touch()

    assert cache.chain(PLACE, 0) == []
    assert cache.keep(PLACE, [], FRAME, SPAN)
    assert [each.stop for each in cache.chain(PLACE, 0)] == [SPAN.stop]


class OnFullDisk(ReplayCache):
    def _make_room(self, wanted: int, spared: Collection[Path]) -> bool:
        raise OSError(errno.ENOSPC, "no space left on device")


def test_on_a_full_disk_nothing_is_kept_and_nothing_stays(tmp_path: Path) -> None:
    cache = OnFullDisk(Settings(home=tmp_path))

    assert not cache.keep(PLACE, [], FRAME, SPAN)
    assert list(cache._of(PLACE).iterdir()) == []
