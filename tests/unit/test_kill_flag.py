"""The kill flag: what it stops, who sees it, and that doubt stops everything."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from infra.errors import UsageError
from infra.kill import GLOBAL, Kill, KillFlag, Kills, scope_of
from tests.builders import SEEN

SCOPES = ("account:DU1", "strategy:crossover", "symbol:AAPL")


def a_kill(scope: str = GLOBAL, kill_id: str = "kill-1") -> Kill:
    return Kill(kill_id=kill_id, scope=scope, reason="a drill", by="ann", at=SEEN)


@pytest.mark.parametrize("scope", [GLOBAL, *SCOPES])
def test_an_order_of_a_killed_scope_is_not_sent(tmp_path: Path, scope: str) -> None:
    KillFlag(tmp_path).write(Kills(kills=(a_kill(scope),)))

    with KillFlag(tmp_path).sending(SCOPES, SEEN) as why:
        assert why == f"{scope} was killed at {SEEN:%F %T}Z by ann: a drill"


@pytest.mark.parametrize("scope", ["account:", "strategy:", "symbol:"])
def test_a_scope_without_a_name_spares_nobody(tmp_path: Path, scope: str) -> None:
    KillFlag(tmp_path).write(Kills(kills=(a_kill(scope),)))

    with KillFlag(tmp_path).sending(SCOPES, SEEN) as why:
        assert why is not None


def test_an_order_of_another_scope_is_sent(tmp_path: Path) -> None:
    flag = KillFlag(tmp_path)
    with flag.sending(SCOPES, SEEN) as why:
        assert why is None, "without a file nothing is stopped"
    flag.write(Kills(kills=(a_kill("strategy:other"),)))

    with flag.sending(SCOPES, SEEN) as why:
        assert why is None


def test_a_reader_sees_each_change_at_once(tmp_path: Path) -> None:
    reader, writer = KillFlag(tmp_path), KillFlag(tmp_path)
    assert reader.read().kills == ()
    writer.write(reader.read().with_(a_kill("symbol:AAPL")))
    writer.write(reader.read().with_(a_kill(kill_id="kill-2")))

    assert [each.scope for each in reader.read().kills] == ["symbol:AAPL", GLOBAL]
    writer.write(reader.read().without([GLOBAL], SEEN))
    assert [each.scope for each in reader.read().kills] == ["symbol:AAPL"]
    assert writer.file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", ["", "{", '{"kills": [{"scope": "global"}]}', "[]"])
def test_a_flag_that_cannot_be_understood_stops_everything(tmp_path: Path, content: str) -> None:
    flag = KillFlag(tmp_path)
    flag.file.write_text(content, encoding="utf-8")

    with flag.sending(SCOPES, SEEN) as why:
        assert why is not None
        assert "scizor arm" in why
    assert flag.read().without([GLOBAL], SEEN).kills == (), "arming everything takes it away"


@pytest.mark.parametrize("scope", [GLOBAL, "symbol:AAPL"])
def test_what_was_approved_before_a_kill_was_lifted_is_not_sent_after_it(tmp_path: Path, scope: str) -> None:
    flag, armed = KillFlag(tmp_path), SEEN + timedelta(seconds=1)
    flag.write(Kills().with_(a_kill(scope)).without([scope], armed))

    with flag.sending(SCOPES, armed) as why:
        assert why == f"it was approved before the kill of {scope} was lifted at {armed:%F %T}Z"
    with flag.sending(SCOPES, armed + timedelta(microseconds=1)) as why:
        assert why is None
    with flag.sending(("symbol:MSFT",), SEEN) as why:
        assert (why is None) == (scope != GLOBAL)


def test_what_was_lifted_is_known_through_other_kills_and_forgotten_once_no_approval_can_be_as_old(
    tmp_path: Path,
) -> None:
    kills = Kills().with_(a_kill("symbol:AAPL")).without(["symbol:AAPL"], SEEN).with_(a_kill("symbol:MSFT"))
    assert [each.scope for each in kills.lifted] == ["symbol:AAPL"]

    soon, late = SEEN + timedelta(seconds=1), SEEN + timedelta(hours=2)
    assert [each.scope for each in kills.without(["symbol:MSFT"], soon).lifted] == ["symbol:AAPL", "symbol:MSFT"]
    assert [each.scope for each in kills.without(["symbol:MSFT"], late).lifted] == ["symbol:MSFT"]


async def test_a_kill_waits_for_the_order_that_is_on_its_way_to_the_socket(tmp_path: Path) -> None:
    sender, writer = KillFlag(tmp_path), KillFlag(tmp_path)

    async def kill() -> bool:
        async with writer.fenced() as fence:
            return fence

    with sender.sending(SCOPES, SEEN) as why:
        assert why is None
        killing = asyncio.create_task(kill())
        await asyncio.sleep(0.002)
        assert not killing.done()
    assert await killing is True


async def test_a_sender_that_hangs_does_not_hold_up_a_kill(tmp_path: Path) -> None:
    sender, writer = KillFlag(tmp_path), KillFlag(tmp_path)
    with sender.sending(SCOPES, SEEN):
        async with writer.fenced() as fence:
            assert fence is False


async def test_nothing_is_sent_while_a_kill_is_being_written(tmp_path: Path) -> None:
    sender, writer = KillFlag(tmp_path), KillFlag(tmp_path)
    async with writer.fenced() as fence:
        assert fence is True
        with sender.sending(SCOPES, SEEN) as why:
            assert why == "a kill is being written"
    with sender.sending(SCOPES, SEEN) as why:
        assert why is None


def test_a_scope_is_a_kind_and_a_name() -> None:
    assert (scope_of(""), scope_of("symbol", "BHP")) == (GLOBAL, "symbol:BHP")
    for kind, name in (("symbol", ""), ("everything", "x"), ("", "AAPL")):
        with pytest.raises(UsageError):
            scope_of(kind, name)
