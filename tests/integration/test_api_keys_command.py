"""`scizor keys` against the real database: a key is shown once, kept as a digest, and audited."""

import json
from pathlib import Path

import pytest
from sqlalchemy import select

from infra.api_keys import Role, digest_of, key_id_of
from infra.clock import SystemClock
from infra.errors import UsageError
from infra.settings import Settings
from infra.store import api_keys
from infra.store.database import Store
from infra.store.tables import audit_log
from producers.cli import keys


@pytest.fixture
def told_settings(stack_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The command finds this test's database as it would find a running stack."""
    monkeypatch.setattr(keys, "running_settings", lambda _: stack_settings)
    return stack_settings


def test_a_key_is_made_listed_and_revoked(told_settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    keys.create("night desk", Role.TRADER, days=30, as_json=True)
    made = json.loads(capsys.readouterr().out)
    keys.list_keys()
    table = capsys.readouterr().out
    keys.revoke(made["key_id"])
    capsys.readouterr()
    keys.list_keys(as_json=True)
    (listed,) = json.loads(capsys.readouterr().out)

    assert key_id_of(made["key"]) == made["key_id"]
    assert made["key"] not in table
    assert "night desk" in table
    assert (listed["role"], listed["state"]) == ("trader", "revoked")
    with pytest.raises(UsageError, match="no good key"):
        keys.revoke(made["key_id"])


def test_a_key_can_go_into_a_file_of_its_owner_alone(
    told_settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "key"
    keys.create("robot", Role.VIEWER, days=0, file=file)
    out, err = capsys.readouterr()
    key = file.read_text(encoding="ascii").strip()

    assert key_id_of(key) is not None
    assert file.stat().st_mode & 0o777 == 0o600
    assert key not in out + err
    assert err.endswith("(viewer): it is in this file alone\n")


@pytest.mark.parametrize("label", ["", "  ", "x" * 61, "two\nlines", "M\u00fcller"])
def test_a_label_has_to_be_readable_in_the_audit_log(told_settings: Settings, label: str) -> None:
    with pytest.raises(UsageError, match="label"):
        keys.create(label, Role.VIEWER)


async def test_the_admin_key_of_the_state_folder_is_made_once_and_mended(
    stack_settings: Settings, tmp_path: Path
) -> None:
    file, store, clock = tmp_path / "home" / "api-key", Store(stack_settings, "cli", pool_size=1), SystemClock()
    try:
        made = await api_keys.ensure_key(store, file, clock)
        first = file.read_text(encoding="ascii").strip()
        again = await api_keys.ensure_key(store, file, clock)
        unchanged = file.read_text(encoding="ascii").strip()
        assert await api_keys.withdraw(store, key_id_of(first) or "", clock)
        mended = await api_keys.ensure_key(store, file, clock)
        second = file.read_text(encoding="ascii").strip()
        async with store.reading() as connection:
            records = await api_keys.all_keys(connection)
            actions = (await connection.scalars(select(audit_log.c.action).order_by(audit_log.c.sequence))).all()
    finally:
        await store.close()

    assert (made, again, mended) == (True, False, True)
    assert first == unchanged != second
    assert file.stat().st_mode & 0o777 == 0o600
    assert {record.digest for record in records} == {digest_of(first), digest_of(second)}
    assert {record.role for record in records} == {Role.ADMIN}
    assert actions == ["keys create", "keys revoke", "keys create"]
