"""The ledger: what a judge reads back, after corrections, while it is written, and at what cost."""

import re
from decimal import Decimal
from pathlib import Path

import pytest

from infra.clock import SystemClock
from infra.errors import UsageError
from infra.gateway_simulator.ledger import KINDS, Ledger
from infra.settings import REPOSITORY
from tests.a_ledger import Ledger as Judged
from tests.unit.a_gateway_by_hand import by_hand

APPLE = 265598
D = Decimal


async def test_corrections_replace_and_busts_take_back(tmp_path: Path) -> None:
    file = tmp_path / "ledger.jsonl"
    async with by_hand(ledger=file) as hand:
        client = await hand.client()
        await client.order(1, ref="bought")
        await client.order(2, ref="sold", action="SELL", quantity=40)
        await hand.do(correct={"quantity_by": -10})
        await hand.at_once()
        seen = Judged.read(file)
        assert [seen.filled("bought"), seen.filled("sold")] == [D(100), D(30)]
        assert seen.positions() == seen.held() == {APPLE: D(70)}
        await hand.do(bust={})
        await hand.at_once()
        seen = Judged.read(file)
        assert seen.filled("sold") == 0
        assert seen.positions() == seen.held() == {APPLE: D(100)}


async def test_orders_are_counted_by_intent(tmp_path: Path) -> None:
    file = tmp_path / "ledger.jsonl"
    async with by_hand(ledger=file) as hand:
        client = await hand.client()
        await client.order(1, kind="LMT", limit=400, ref="once")
        await client.order(1, kind="LMT", limit=401, ref="once")
        await client.order(2, kind="LMT", limit=400, ref="twice")
        await client.order(3, kind="LMT", limit=400, ref="twice")
        await client.order(3, kind="LMT", limit=400.001, ref="twice")
        await client.say(4, 1, 2, "")
        seen = Judged.read(file)

    assert seen.twice() == {"twice": {(1, 2), (1, 3)}}
    assert seen.orders[(1, 1)].received == 2
    assert seen.orders[(1, 3)].refused == [110]
    assert (seen.orders[(1, 2)].status, seen.orders[(1, 2)].cancels) == ("Cancelled", 1)
    assert {(each.client_id, each.order_id) for each in seen.live()} == {(1, 1), (1, 3)}


async def test_every_request_connection_and_fault_has_a_line_with_both_times(tmp_path: Path) -> None:
    file = tmp_path / "ledger.jsonl"
    async with by_hand(ledger=file) as hand:
        client = await hand.client()
        await hand.do(outage={})
        await client.order(1, ref="held")
        await client.say(49, 1)
        await client.leave()
        lines = Judged.read(file).lines

    assert [each["kind"] for each in lines] == [
        "connected", "fault", "request", "not_served", "request", "disconnected",
    ]  # fmt: skip
    assert all(each["market_time"] and each["wall_ns"] and "monotonic_ns" in each for each in lines)
    assert (lines[2]["request"], lines[3]["verdict"]) == ("placeOrder", "held")


def test_a_line_is_there_at_once_and_half_a_line_is_none(tmp_path: Path) -> None:
    file = tmp_path / "ledger.jsonl"
    ledger = Ledger(file, SystemClock())
    ledger.write("connected", 0.0, client_id=1)
    assert len(Judged.read(file).lines) == 1  # nothing waits in a buffer of the writer
    with file.open("ab") as more:
        more.write(b'{"kind": "fi')
    assert len(Judged.read(file).lines) == 1
    ledger.close()
    assert Judged.read(tmp_path / "none.jsonl").lines == []


def test_a_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot write the ledger"):
        Ledger(tmp_path, SystemClock())


def test_every_kind_of_line_is_described_and_every_description_is_of_one() -> None:
    found: set[str] = set()
    for file in (REPOSITORY / "infra/gateway_simulator").rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        found |= set(re.findall(r"(?:ledger\.write|note|_note|note_execution)\(\s*\"([a-z_]+)\"", text))
        found |= set(re.findall(r"_replace\(.*\"(correction|bust)\"", text))

    assert found == set(KINDS)
