"""A split between two collections: the past changes, the farmer says why, and every basis can be computed."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TypeVar

import polars as pl

from infra.adjustment import Known, adjusted, in_force
from infra.bar_replay import read_bars
from infra.settings import Settings
from infra.topics import load_catalogue
from schemas.collection import CollectHistory, CollectionRun, RunState
from schemas.corporate import ActionOrigin, Split
from schemas.event import Event
from schemas.market import Basis, Quarantined, QuarantineRule, Released
from schemas.moments import to_microseconds
from tests.builders import APPLE
from tests.integration.a_data_shelf import real_days
from tests.integration.a_gateway import scripted_gateway, simulator
from tests.integration.test_data_farmer import _describe, _history, a_collection, everything, farming

JANUARY = datetime(2005, 1, 3, tzinfo=UTC)


async def test_apples_split_of_2005_is_told_from_a_changed_past(stack_settings: Settings) -> None:
    async with simulator(now="2005-02-25T16:30:00-05:00") as gateway, farming(stack_settings, gateway.port) as asker:
        await asker.run(a_collection("run-1", "AAPL", start=JANUARY, end=None))
        early = await read_bars(stack_settings)
    async with simulator(now="2005-03-10T12:00:00-05:00") as gateway, farming(stack_settings, gateway.port) as asker:
        changed = await asker.run(a_collection("run-2", "AAPL", start=JANUARY, end=None, refresh=True))
        again = await asker.run(a_collection("run-3", "AAPL", start=JANUARY, end=None, refresh=True))
    late = await read_bars(stack_settings)
    (split,) = await everything(stack_settings, "reference.corporate_actions.v1")

    assert isinstance(split, Split)
    assert (split.ex_date, split.new_shares, split.old_shares) == (date(2005, 2, 28), 2, 1)
    assert split.note.endswith("it may have been any day until 2005-03-09"), "nobody knew those days before"
    assert (split.origin, split.event_time) == (ActionOrigin.DETECTED, datetime(2005, 2, 28, 5, tzinfo=UTC))
    assert (changed.bars_published, again.bars_published) == (len(late), 0)
    assert late["revision"].to_list() == [1] * len(early) + [0] * (len(late) - len(early))
    traded = real_days(date(2005, 1, 3), date(2005, 3, 9), basis=Basis.RAW)
    for stored in (early, late):
        known = Known(in_force([split], datetime.now(UTC)), int(late["end_us"][-1]), stored)
        raw = adjusted(stored, Basis.RAW, known)
        assert raw["close"].to_list() == traded["close"].to_list()[: len(raw)], "whenever it was collected"


async def test_a_jump_like_a_split_makes_the_farmer_look_and_is_closed_by_the_split_that_it_finds(
    stack_settings: Settings,
) -> None:
    end_of_monday = datetime(2005, 3, 1, tzinfo=UTC)
    async with simulator(now="2005-02-25T16:30:00-05:00") as gateway, farming(stack_settings, gateway.port) as asker:
        await asker.run(a_collection("run-1", "AAPL", start=JANUARY, end=None))
    async with simulator(now="2005-02-28T17:00:00-05:00") as gateway, farming(stack_settings, gateway.port) as asker:
        daily = await asker.run(a_collection("run-2", "AAPL", start=JANUARY, end=end_of_monday))
        look = await end_of(stack_settings, f"split-like-{APPLE}-2005-02-28")
        await until(lambda: told(stack_settings, Released))
    (jump,) = await told(stack_settings, Quarantined)
    (split,) = await told(stack_settings, Split)
    (released,) = await told(stack_settings, Released)

    assert (daily.bars_published, jump.rule) == (1, QuarantineRule.SPLIT_LIKE)
    known = (await read_bars(stack_settings)).filter(pl.col("start_us") >= to_microseconds(JANUARY))
    assert look.state is RunState.DONE
    assert known["revision"].to_list() == [1] * 38 + [0], "all that was known came divided"
    assert (split.ex_date, split.new_shares, split.old_shares) == (date(2005, 2, 28), 2, 1)
    assert (released.quarantine_id, released.by) == (jump.quarantine_id, "data_farmer")


async def test_a_jump_that_no_split_explains_is_looked_into_once_and_left_to_a_person(stack_settings: Settings) -> None:
    days = [(f"200502{day:02}", 80, 81, 79, 80, 10 + day) for day in (14, 15, 16, 17, 18, 22, 23, 24)]
    async with scripted_gateway() as gateway, farming(stack_settings, gateway.port) as asker:
        _describe(gateway)
        gateway.epoch = int(datetime(2005, 2, 26, tzinfo=UTC).timestamp())
        gateway.answers[20] = lambda peer, fields: peer.say(*_history(fields[1], days))
        await asker.run(a_collection("run-1", "AAPL", start=JANUARY, end=datetime(2005, 2, 25, tzinfo=UTC)))
        days.append(("20050225", 40, 41, 39, 40, 99))
        for number in (2, 3):
            await asker.run(a_collection(f"run-{number}", "AAPL", start=JANUARY, end=None, refresh=number == 3))
        look = await end_of(stack_settings, f"split-like-{APPLE}-2005-02-25")
        await asker.run(a_collection("run-4", "AAPL", start=JANUARY, end=None, refresh=True))
        runs = await told(stack_settings, CollectHistory)

    assert (look.state, look.bars_published) == (RunState.DONE, 0)
    assert [run.run_id for run in runs].count(look.run_id) >= 1
    ended = [run for run in await told(stack_settings, CollectionRun) if run.state is RunState.DONE]
    assert [run.run_id for run in ended].count(look.run_id) == 1, "once, however often it is found"
    assert await told(stack_settings, Split) == []
    assert await told(stack_settings, Released) == []


E = TypeVar("E", bound=Event)


async def told(settings: Settings, kind: type[E]) -> list[E]:
    topic = load_catalogue().topic_of(kind).name
    return [event for event in await everything(settings, topic) if isinstance(event, kind)]


async def until(happened: Callable[[], Awaitable[Sequence[object]]]) -> None:
    async with asyncio.timeout(30):
        while not await happened():
            await asyncio.sleep(0.05)


async def end_of(settings: Settings, run_id: str) -> CollectionRun:
    async def ended() -> list[CollectionRun]:
        runs = await told(settings, CollectionRun)
        return [run for run in runs if run.run_id == run_id and run.state in (RunState.DONE, RunState.FAILED)]

    await until(ended)
    return (await ended())[0]


def test_the_days_of_this_test_are_those_of_the_split() -> None:
    traded = real_days(date(2005, 2, 25), date(2005, 2, 28), basis=Basis.RAW)
    assert traded["close"][0] / traded["close"][1] > 1.9
    assert timedelta(microseconds=int(traded["start_us"][1] - traded["start_us"][0])) == timedelta(days=3)
