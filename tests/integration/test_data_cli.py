"""`scizor data` as a person uses it, on the real broker and database."""

import json
import math
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from infra import topic_admin
from infra.quality.findings import findings_of
from infra.quality.frames import judge
from infra.quality.stream import Series
from infra.settings import REPOSITORY, Settings
from infra.store import corporate, quarantine, symbols
from infra.store.bars import add_bars
from infra.store.database import Store
from schemas.market import Basis, HistoricalBar, Quarantined, Rejected, Released
from tests.integration.a_data_shelf import real_days
from tests.integration.test_api_data import a_finding
from tests.integration.test_api_farmer import a_symbol
from tests.integration.test_data_farmer import everything

_AT_ONCE = 3
FIRST, LAST = date(2004, 12, 1), date(2005, 3, 31)


class Person:
    """Types commands; the database and the topics are those of a test."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self.settings = settings
        self.store = store

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SCIZOR_")}
        environment |= {
            "SCIZOR_HOME": str(self.settings.home),
            "SCIZOR_KAFKA": self.settings.kafka,
            "SCIZOR_TOPIC_PREFIX": self.settings.topic_prefix,
            "SCIZOR_DATABASE_URL": self.settings.database_url.get_secret_value(),
        }
        return subprocess.run(
            [sys.executable, "-m", "producers.cli.main", "data", *arguments],
            cwd=REPOSITORY, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
            check=False,
        )  # fmt: skip

    def json(self, *arguments: str) -> Any:
        done = self.run(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    async def persist(self) -> None:
        """Take in what was published, as the persister does."""
        events = await everything(self.settings, "market.quarantine.v1")
        actions = await everything(self.settings, "reference.corporate_actions.v1")
        async with self.store.transaction() as transaction:
            await quarantine.put_findings(transaction.connection, events)  # type: ignore[arg-type] # of that topic
            await corporate.put_actions(transaction.connection, actions)  # type: ignore[arg-type] # of that topic


@pytest.fixture
async def person(stack_settings: Settings) -> AsyncIterator[Person]:
    await topic_admin.apply(stack_settings)
    store = Store(stack_settings, "persister", pool_size=1)
    async with store.transaction() as transaction:
        await symbols.put_symbols(transaction.connection, [a_symbol()])
        days = real_days(FIRST, LAST, basis=Basis.SPLIT_ADJUSTED)
        await add_bars(transaction.connection, pl.concat([days[:20], days[25:]]))
    yield Person(stack_settings, store)
    await store.close()


async def test_coverage_actions_export_and_archive_follow_each_other(person: Person, tmp_path: Path) -> None:
    (covered,) = person.json("coverage", "AAPL")["coverage"]
    of_no_such_size = person.run("coverage", "AAPL", "--bar-size", "1h").stdout
    text = person.run("coverage").stdout
    added = person.run("action", "add", "AAPL", "--ex-date", "2005-02-28", "--split", "2:1", "--note", "press release")
    await person.persist()
    listed = person.run("action", "list", "AAPL").stdout
    raw = tmp_path / "raw.csv"
    exported = person.run(
        "export", "AAPL", "--out", str(raw), "--adjustment", "raw", "--start-date", "2005-02", "--end-date", "2005-03"
    )
    paid = person.run("export", "AAPL", "--out", str(tmp_path / "paid.csv"), "--adjustment", "total_return")
    refused = person.run("archive", "2004")
    archived = person.json("archive", "2004", "--yes")
    (after,) = person.json("coverage", "AAPL")["coverage"]
    restored = person.json("restore", "2004")
    (back,) = person.json("coverage", "AAPL")["coverage"]

    assert covered["total"]["missing"] == 5
    assert [(lack["sessions"], lack["reason"]) for lack in covered["lacks"]] == [(5, "never collected")]
    assert "AAPL: no bars of 1h are stored, but of 1d: `scizor data coverage AAPL --bar-size 1d`" in of_no_such_size
    assert "AAPL    2004" in text
    assert "(5 sessions): never collected" in text
    assert added.stdout == "AAPL: Split of 2005-02-28, revision 0\n", added.stderr
    assert "2 for 1" in listed
    traded = real_days(date(2005, 2, 1), LAST, basis=Basis.RAW)
    assert pl.read_csv(raw)["close"].to_list() == traded["close"].to_list(), exported.stderr
    assert exported.stdout.startswith(f"{len(traded)} bars in {raw}")
    assert "on record" not in exported.stderr
    assert "no dividend of AAPL is on record" in paid.stderr
    assert refused.returncode != 0, "nobody was there to say yes"
    assert archived["rows"] == restored["rows"] == 20
    assert after["first"].startswith("2005-01")
    assert back == covered


async def test_a_person_decides_at_the_command_line(person: Person) -> None:
    wild = a_finding()
    bad = real_days(FIRST, FIRST, basis=Basis.SPLIT_ADJUSTED).with_columns(close=pl.lit(math.nan))
    (impossible,) = findings_of(judge(bad, Series(86_400)), bad, "AAPL")
    async with person.store.transaction() as transaction:
        await quarantine.put_findings(transaction.connection, [wild, impossible])

    listed = person.run("quarantine", "list", "--symbol", "AAPL").stdout
    shown = person.json("quarantine", "show", wild.quarantine_id)
    never = person.run("quarantine", "release", impossible.quarantine_id)
    released = person.run("quarantine", "release", wild.quarantine_id, "--by", "me")
    rejected = person.run("quarantine", "reject", impossible.quarantine_id, "--by", "me")
    await person.persist()
    again = person.run("quarantine", "reject", wild.quarantine_id)
    nothing = person.run("quarantine", "list")
    cleaned = person.json("clean", "--days", "0", "--yes")
    (bar,) = await everything(person.settings, "market.history.v1")
    decisions = await everything(person.settings, "market.quarantine.v1")

    assert wild.quarantine_id in listed
    assert Quarantined.model_validate(shown | {"type": "Quarantined"}).record == wild.record
    assert (never.returncode, "reject it instead" in never.stderr) == (2, True)
    assert released.returncode == rejected.returncode == 0, (released.stderr, rejected.stderr)
    assert isinstance(bar, HistoricalBar)
    assert bar.high == 4400.0
    assert [type(each) for each in decisions] == [Released, Rejected]
    assert (again.returncode, "released by me already" in again.stderr) == (1, True)
    assert nothing.stdout.startswith("nothing waits for a decision")
    assert (cleaned["decided_findings"], cleaned["done"]) == (2, True)


BAD_COMMANDS = [
    (("coverage", "--bar-size", "1x"), "1x"),
    (("coverage", "NOPE"), "scizor symbols add NOPE"),
    (("action", "add", "AAPL", "--ex-date", "2005-02-30", "--split", "2:1"), "--ex-date"),
    (("action", "add", "AAPL", "--ex-date", "2005-02-28", "--split", "two"), "NEW:OLD"),
    (("action", "add", "AAPL", "--ex-date", "2005-02-28"), "--split"),
    (("export", "AAPL", "--out", "/dev/null/x.csv"), "cannot be written"),
    (("export", "AAPL", "--out", "x.xml"), "xml"),
    (("archive", "1901", "--yes"), "1901"),
    (("quarantine", "list", "--rule", "odd"), "odd"),
]


async def test_what_cannot_be_is_told_in_one_line(person: Person) -> None:
    with ThreadPoolExecutor(_AT_ONCE) as several:
        answers = several.map(lambda command: person.run(*command[0]), BAD_COMMANDS)
    for (arguments, word), done in zip(BAD_COMMANDS, answers, strict=True):
        assert (done.returncode, word in done.stderr.splitlines()[-1]) == (2, True), (arguments, done)
