"""A snapshot is of use only behind the very entry of the journal that it was written behind, and to whoever leads."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import cast

import pytest

from consumers.strategist import strategist as module
from consumers.strategist.journal import Input, Journal
from consumers.strategist.snapshots import Snapshot, Snapshots
from consumers.strategist.strategist import Strategist
from infra.clock import ManualClock
from infra.engine_code import code_hash
from infra.journal.spans import Past
from infra.service import Service
from infra.settings import Settings
from infra.store.leases import Lease, LeaseLostError
from schemas.place import At
from schemas.strategy import JournalEntry, Start
from tests.builders import SEEN
from tests.unit.test_journal import Topic, a_strategy
from tests.unit.test_running_strategy import COMMAND, a_deployment

COMMANDS = "strategy.commands.v1"
FILLS = "trading.fills.v1"


def a_world(clock: ManualClock, epoch: int, commands: int = 3) -> tuple[Journal, list[JournalEntry]]:
    """A journal of the same inputs at the same places, whenever and by whomever it was written."""

    async def written() -> tuple[Journal, list[JournalEntry]]:
        topic, deployment, start = Topic(), a_deployment(), Start(**COMMAND)
        journal = Journal("holder", topic.post, clock, "code", epoch)
        await journal.deployed(Input(deployment, At(COMMANDS, 0, 0), deployment.to_json()), ())
        for number in range(1, commands):
            await journal.note(Input(start, At(COMMANDS, 0, number), start.to_json()))
            await journal.settle()
        return journal, topic.entries

    return asyncio.run(written())


def a_snapshot(journal: Journal) -> Snapshot:
    reached = journal.reached
    assert reached.deployed is not None
    return Snapshot("holder", reached.sequence, reached.deployed, "code", "prefix.", reached.stamp, b"state")


def the_past(snapshot: Snapshot, entries: list[JournalEntry]) -> Past:
    past = Past(since=snapshot.sequence)
    for entry in entries:
        past.add(JournalEntry.model_validate_json(entry.to_json()), FILLS)
    return past


def test_a_snapshot_fits_the_journal_that_went_on_behind_it() -> None:
    journal, _ = a_world(ManualClock(SEEN), 1)
    snapshot = a_snapshot(journal)
    _, longer = a_world(ManualClock(SEEN), 1, commands=5)
    assert snapshot.fits(the_past(snapshot, longer), "prefix.")


@pytest.mark.parametrize(
    ("moment", "epoch", "commands"),
    [(SEEN + timedelta(microseconds=1), 1, 5), (SEEN, 2, 5), (SEEN, 1, 2)],
    ids=["written at another time", "written under another lease", "ended before"],
)
def test_a_snapshot_of_another_world_does_not_fit(moment: object, epoch: int, commands: int) -> None:
    """Its strategy, its place of deployment, its code and its numbers are the same."""
    snapshot = a_snapshot(a_world(ManualClock(SEEN), 1)[0])
    _, there = a_world(ManualClock(moment), epoch, commands)  # type: ignore[arg-type] # mixed with the other parameters
    assert not snapshot.fits(the_past(snapshot, there), "prefix.")


def test_a_snapshot_of_other_topics_or_of_no_known_strategy_does_not_fit() -> None:
    journal, entries = a_world(ManualClock(SEEN), 1)
    snapshot = a_snapshot(journal)
    past = the_past(snapshot, entries)
    assert snapshot.fits(past, "prefix.")
    assert not snapshot.fits(past, "another.")
    assert not replace(snapshot, deployed=At(COMMANDS, 0, 7)).fits(past, "prefix.")
    assert not snapshot.fits(None, "prefix.")


def test_a_snapshot_of_before_a_deployment_does_not_fit_even_if_that_one_was_journalled_again() -> None:
    journal, entries = a_world(ManualClock(SEEN), 1)
    snapshot = a_snapshot(journal)
    again = entries[0].revised(sequence=len(entries) + 1, fault="it was lost while it was recovered")
    assert not snapshot.fits(the_past(snapshot, [*entries, again]), "prefix.")


def test_files_tell_their_topics_and_their_entry(tmp_path: Path) -> None:
    snapshots = Snapshots(Settings(home=tmp_path))
    snapshot = a_snapshot(a_world(ManualClock(SEEN), 1)[0])
    snapshots.write(snapshot)
    assert snapshots.read("code") == {"holder": snapshot}


class Lost:
    """The lease of a process that was frozen until another one led."""

    epoch = 1
    fresh = False

    async def confirm(self) -> None:
        raise LeaseLostError("strategist", "its epoch has changed")


async def test_a_process_that_lost_its_lease_writes_no_snapshot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SNAPSHOT_INPUTS", 0)
    service = Service("strategist", Settings(home=tmp_path), clock=ManualClock(SEEN))
    strategist = Strategist(service, cast("Lease", Lost()))
    strategist._journal("holder").resume(1, {}, At(COMMANDS, 0, 0))
    strategist._keep(a_strategy())
    with pytest.raises(LeaseLostError):
        await strategist.settle()
    assert not Snapshots(service.settings).read(code_hash())
