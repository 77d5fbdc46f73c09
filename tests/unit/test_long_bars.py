"""The bars of a long run on their way into its scratch file: what goes wrong meanwhile is told as what it is."""

import os
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from aiokafka import ConsumerRecord, TopicPartition

from infra.bar_replay import BarFilter
from infra.bar_scratch import Scratch
from infra.columns import frame_of
from infra.errors import EnvironmentUnhealthyError
from infra.long_bars import LongBars
from infra.replay_cache import ReplayCache
from infra.series_replay import Runs, _Place, _Reading, _UselessCacheError
from infra.settings import Settings
from infra.topics import load_catalogue
from tests.builders import APPLE, NOON, a_historical_bar
from tests.unit.test_replay_cache import PLACE, SPAN

SPY = APPLE + 1


class Robbed(ReplayCache):
    """Another process needs the room of what has just been kept."""

    def keep(self, place: TopicPartition, *rest: Any) -> bool:
        kept = super().keep(place, *rest)
        self.forget(place)
        return kept


def the_bars(home: Path) -> LongBars:
    """Those of a run and its benchmark, which a replay has kept in files."""
    settings = Settings(home=home)
    cache = ReplayCache(settings)
    cache.keep(PLACE, [], frame_of([a_historical_bar(contract_id=each) for each in (APPLE, SPY)]), SPAN)
    wanted = BarFilter(contract_ids=[APPLE, SPY], bar_size_seconds=5)
    reading = _Reading(settings, wanted, load_catalogue(), lambda _: None)
    reading._places[PLACE] = _Place(0, cache.chain(PLACE, 0), verified=True)
    runs = Runs(reading._counts(), reading._sources(), reading._runs, reading._settled_by_end)
    return LongBars(runs, {APPLE: "AAPL"}, (SPY, "SPY"), all_survived=False)


def _take_away(home: Path) -> None:
    """As another process does that needs the room."""
    shutil.rmtree(home / "replay-cache")


def _cut_off(home: Path) -> None:
    for file in (home / "replay-cache").rglob("*.arrow"):
        os.truncate(file, 100)


async def test_what_a_replay_has_kept_is_written(tmp_path: Path) -> None:
    with Scratch(tmp_path) as scratch:
        own, benchmark = await the_bars(tmp_path).written(scratch, lambda count: None)

        assert benchmark is not None
        assert [next(each.chunks())["contract_id"].tolist() for each in (own, benchmark)] == [[APPLE], [SPY]]


@pytest.mark.parametrize("spoil", [_take_away, _cut_off])
@pytest.mark.parametrize("late", [False, True])
async def test_files_that_go_before_they_are_read_or_before_the_benchmark_are_asked_for_again(
    late: bool, spoil: Callable[[Path], None], tmp_path: Path
) -> None:
    bars = the_bars(tmp_path)
    if not late:
        spoil(tmp_path)

    with (
        Scratch(tmp_path) as scratch,
        pytest.raises(EnvironmentUnhealthyError, match=r"^the replay's files went .*: ask again$"),
    ):
        await bars.written(scratch, lambda count: spoil(tmp_path))


def test_bars_that_were_kept_and_are_gone_at_once_are_read_again_and_not_left_out(tmp_path: Path) -> None:
    frame = pl.concat(frame_of([a_historical_bar(start=NOON + n * timedelta(seconds=5))]) for n in range(20))
    reading = _Reading(Settings(home=tmp_path), BarFilter(), load_catalogue(), lambda _: None)
    reading._cache = Robbed(Settings(home=tmp_path))
    last = ConsumerRecord(PLACE.topic, 0, 1_999, 0, 0, None, b"the last", 0, 0, 0, ())
    reading._places[PLACE] = _Place(0, [], verified=True, waiting=[frame], last=last)

    with pytest.raises(_UselessCacheError):
        reading._gather(PLACE)


async def test_a_scratch_file_that_cannot_be_made_is_no_lost_replay(tmp_path: Path) -> None:
    bars = the_bars(tmp_path)
    (tmp_path / "scratch").write_text("no folder")

    with (
        Scratch(tmp_path) as scratch,
        pytest.raises(EnvironmentUnhealthyError, match=r"cannot be written to .*scratch"),
    ):
        await bars.written(scratch, lambda count: None)
