"""A split between two collections: the past changes, the farmer says why, and every basis can be computed."""

from datetime import UTC, date, datetime, timedelta

from infra.adjustment import Known, adjusted, in_force
from infra.bar_replay import read_bars
from infra.settings import Settings
from schemas.corporate import ActionOrigin, Split
from schemas.market import Basis
from tests.integration.a_data_shelf import real_days
from tests.integration.a_gateway import simulator
from tests.integration.test_data_farmer import a_collection, everything, farming

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


def test_the_days_of_this_test_are_those_of_the_split() -> None:
    traded = real_days(date(2005, 2, 25), date(2005, 2, 28), basis=Basis.RAW)
    assert traded["close"][0] / traded["close"][1] > 1.9
    assert timedelta(microseconds=int(traded["start_us"][1] - traded["start_us"][0])) == timedelta(days=3)
