"""API keys: what is kept of them, how long they are believed, how fast they may ask."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest
import structlog

from consumers.api.access import BURST_MAX, Limiter
from consumers.api.keyring import STALE_SECONDS_MAX, Keyring
from consumers.api.problems import UnavailableError
from infra.api_keys import KeyRecord, NewKey, Role, digest_of, key_id_of, new_key
from infra.clock import ManualClock
from infra.errors import EnvironmentUnhealthyError
from infra.keys import write_secret
from tests.builders import SEEN


def a_record(key: NewKey, **changes: object) -> KeyRecord:
    fields = {
        "key_id": key.key_id,
        "label": "desk",
        "digest": key.digest,
        "role": Role.TRADER,
        "created_at": SEEN,
        "expires_at": None,
        "revoked_at": None,
    }
    return KeyRecord(**(fields | changes))  # type: ignore[arg-type] # builders name what a test is about


class Table:
    """Keys as a database would tell them: sometimes it is away."""

    def __init__(self, *records: KeyRecord) -> None:
        self.records: Sequence[KeyRecord] = records
        self.away = False
        self.readings = 0

    async def load(self) -> Sequence[KeyRecord]:
        self.readings += 1
        await asyncio.sleep(0)
        if self.away:
            raise EnvironmentUnhealthyError("the database is away")
        return self.records


def a_keyring(table: Table, clock: ManualClock) -> Keyring:
    return Keyring(table.load, clock, structlog.get_logger())


def test_a_key_is_256_random_bits_of_which_only_a_digest_is_kept() -> None:
    key, other = new_key(), new_key()
    secret = key.text.rsplit(key.key_id + "_", 1)[1]

    assert len(secret) == 43, "32 bytes in base64"
    assert key.text != other.text
    assert key.digest == digest_of(key.text)
    assert len(key.digest) == 32
    assert key_id_of(key.text) == key.key_id


def test_neither_text_nor_digest_of_a_key_gets_into_a_log() -> None:
    key = new_key()

    assert key.text not in repr(key)
    assert repr(key.digest) not in repr(a_record(key)) + repr(key)


@pytest.mark.parametrize("text", ["", "scz_", "Bearer x", "scz_abcdefgh_short", "scz_" + "a" * 1000, "\u00e4"])
def test_what_is_no_key_has_no_id(text: str) -> None:
    assert key_id_of(text) is None


@pytest.mark.parametrize(
    ("changes", "good"),
    [
        ({}, True),
        ({"expires_at": SEEN + timedelta(seconds=1)}, True),
        ({"expires_at": SEEN}, False),
        ({"revoked_at": SEEN}, False),
        ({"digest": digest_of("another")}, False),
    ],
)
def test_a_key_opens_until_it_expires_or_is_revoked(changes: dict[str, object], good: bool) -> None:
    key = new_key()

    assert a_record(key, **changes).opens(key.text, SEEN) is good


@pytest.mark.parametrize(("role", "includes"), [("viewer", 1), ("trader", 2), ("admin", 3)])
def test_each_role_includes_those_before_it(role: str, includes: int) -> None:
    assert [Role(role).includes(other) for other in Role] == [True] * includes + [False] * (3 - includes)


async def test_keys_are_believed_for_a_while_without_the_database() -> None:
    key, clock = new_key(), ManualClock(SEEN)
    table = Table(a_record(key))
    keyring = a_keyring(table, clock)
    await keyring.refresh()
    table.away = True
    clock.advance(STALE_SECONDS_MAX)
    await keyring.refresh()

    assert await keyring.find(key.text) is not None
    assert "does not answer" in (keyring.trouble or "")
    clock.advance(1)
    with pytest.raises(UnavailableError, match="keys cannot be checked"):
        await keyring.find(key.text)


async def test_without_ever_having_read_keys_nobody_is_called_a_stranger() -> None:
    table = Table()
    table.away = True

    with pytest.raises(UnavailableError):
        await a_keyring(table, ManualClock(SEEN)).find(new_key().text)


async def test_a_new_key_is_looked_up_but_strangers_do_not_hammer_the_database() -> None:
    clock, table = ManualClock(SEEN), Table()
    keyring = a_keyring(table, clock)
    await keyring.refresh()
    fresh = new_key()
    table.records = [a_record(fresh)]
    for _ in range(10):
        assert await keyring.find(new_key().text) is None
    readings = table.readings
    clock.advance(1.0)

    assert readings == 2, "one for all of them"
    assert await keyring.find(fresh.text) is not None


async def test_a_new_key_works_at_once_for_all_who_come_with_it_also_right_after_a_reading() -> None:
    clock, table, fresh = ManualClock(SEEN), Table(), new_key()
    keyring = a_keyring(table, clock)
    await keyring.refresh()
    table.records = [a_record(fresh)]

    found = await asyncio.gather(*(keyring.find(fresh.text) for _ in range(3)))

    assert None not in found
    assert table.readings == 2


async def test_a_revoked_key_is_forgotten_with_the_next_reading() -> None:
    key, clock = new_key(), ManualClock(SEEN)
    table = Table(a_record(key))
    keyring = a_keyring(table, clock)
    await keyring.refresh()
    assert await keyring.find(key.text) is not None
    table.records = [a_record(key, revoked_at=SEEN)]
    await keyring.refresh()

    assert await keyring.find(key.text) is None


def test_a_key_may_ask_in_a_burst_and_then_steadily() -> None:
    clock = ManualClock(SEEN)
    limiter = Limiter(clock)

    assert all(limiter.allows("a") for _ in range(int(BURST_MAX)))
    assert not limiter.allows("a")
    assert limiter.allows("b"), "each key has its own bucket"
    clock.advance(0.1)
    assert [limiter.allows("a") for _ in range(6)] == [True] * 5 + [False]


def test_a_key_file_is_for_its_owner_alone_and_replaced_whole(tmp_path: Path) -> None:
    file = tmp_path / "state" / "api-key"
    for text in ("first", "second"):
        write_secret(file, text)

    assert file.read_text(encoding="ascii") == "second\n"
    assert file.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in file.parent.iterdir()] == ["api-key"]
