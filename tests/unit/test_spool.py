"""Rows that wait for something that is away: audit rows, for the database."""

from pathlib import Path

import pytest

from infra import spool
from infra.store import audit
from infra.store.audit import AuditRow
from tests.builders import SEEN


def a_row(number: int) -> AuditRow:
    return AuditRow(
        SEEN, "desk", "trader", "POST /trading/halt", "global", "done", f"request-{number}", {"key_id": "k"}
    )


def test_rows_wait_in_order_until_they_are_dropped(tmp_path: Path) -> None:
    file = tmp_path / "state" / "audit.jsonl"
    waiting = audit.spool(file)
    assert waiting.take() == ([], 0)
    for number in range(3):
        waiting.add(a_row(number))

    assert audit.spool(file).take() == ([a_row(0), a_row(1), a_row(2)], 3), "a restarted service finds them"
    assert file.stat().st_mode & 0o777 == 0o600
    waiting.drop(2)
    waiting.add(a_row(3))
    assert waiting.take() == ([a_row(2), a_row(3)], 2)
    assert file.stat().st_mode & 0o777 == 0o600
    waiting.drop(2)
    assert not file.exists()


def test_a_line_that_a_full_disk_broke_does_not_hold_up_the_others(tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    file.write_text('{"at": "2026-1\n', encoding="utf-8")
    waiting = audit.spool(file)
    waiting.add(a_row(1))

    assert waiting.take() == ([a_row(1)], 2)


def test_a_full_spool_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "_BYTES_MAX", 100)
    waiting = audit.spool(tmp_path / "audit.jsonl")
    waiting.add(a_row(1))

    with pytest.raises(OSError, match="full"):
        waiting.add(a_row(2))
