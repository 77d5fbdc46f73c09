"""What a person hears of a kill whose name nobody knows; the kill itself holds whatever its name."""

import asyncio
import json
from pathlib import Path

import pytest
import typer
from pydantic import SecretStr
from typer.testing import CliRunner

from infra.clock import ManualClock
from infra.embedded.ports import free_port
from infra.settings import Settings
from producers.cli import kill as commands
from producers.cli.kill_names import arming, known_names, warning
from tests.builders import SEEN
from tests.unit.test_kill_switch import DEFAULTS, a_desk, an_executor, confirmed

app = typer.Typer()
app.command("kill")(commands.kill)
app.command("arm")(commands.arm)


def settings_with(home: Path, port: int) -> Settings:
    url = SecretStr(f"postgresql://scizor:x@127.0.0.1:{port}/scizor")
    return Settings.model_construct(**{**DEFAULTS, "home": home, "kafka": "127.0.0.1:9", "database_url": url})


async def says(*arguments: str) -> tuple[str, str]:
    result = await asyncio.to_thread(CliRunner().invoke, app, ["kill", "--wait", "60", *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout, result.stderr


async def test_a_kill_says_how_many_orders_are_to_be_cancelled_and_how_it_is_lifted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCIZOR_HOME", str(tmp_path))
    monkeypatch.setenv("SCIZOR_DATABASE_URL", "")
    clock = ManualClock(SEEN)
    async with a_desk(tmp_path, clock) as desk:
        async with an_executor(tmp_path, clock):
            none, lifts = await says("--scope", "strategy", "nosuch")
            assert desk.killed() == ["strategy:nosuch"]
            told = json.loads((await says("--scope", "strategy", "nosuch", "--json"))[0])
        async with an_executor(tmp_path, clock, orders=("a", "b")):
            two, _ = await says("--scope", "symbol", "AAPL")

    assert none.splitlines()[1:] == ["no order of it was open"]
    assert lifts == '`scizor arm --scope strategy nosuch --reason "..."` lets it trade again\n'
    assert (list(told["state"]["cancels"].values()), told["warning"]) == ([0], "")
    assert "cancel its 2 open orders of it" in two


async def test_how_many_are_cancelled_is_forgotten_with_the_kill(tmp_path: Path) -> None:
    clock = ManualClock(SEEN)
    async with an_executor(tmp_path, clock), a_desk(tmp_path, clock) as desk:
        await desk.kill("strategy:s")
        await confirmed(desk)
        assert desk.switch.state()["cancels"] == {"kill-1": 0}
        await desk.kill("strategy:s", "kill-2")
        await confirmed(desk)
        assert desk.switch.state()["cancels"] == {"kill-2": 0}


def test_a_name_that_nobody_knows_is_told_with_those_there_are_and_what_lifts_the_kill() -> None:
    told = warning("strategy:crosover", frozenset({"manual", "crossover"}))
    assert told == (
        "the database knows no strategy 'crosover', so this kill may stop nothing: there are crossover, manual; "
        '`scizor arm --scope strategy crosover --reason "..."` lifts it'
    )
    assert "there is AAPL;" in warning("symbol:aapl", frozenset({"AAPL"})), "a name is what its letters are"
    assert "it knows none yet;" in warning("account:DU999", frozenset())
    many = warning("symbol:NOSUCH", frozenset(f"S{number:02}" for number in range(40)))
    assert "S00, S01" in many
    assert ", ... and 30 more;" in many


def test_of_a_name_that_is_known_or_cannot_be_looked_up_nothing_is_said() -> None:
    assert warning("strategy:crossover", frozenset({"crossover"})) == ""
    assert warning("strategy:crossover", None) == ""


def test_the_command_that_lifts_a_kill_can_be_typed_as_it_is() -> None:
    assert arming("symbol:BRK B") == "`scizor arm --scope symbol 'BRK B' --reason \"...\"`"
    assert arming("global") == '`scizor arm --global --reason "..."`'


async def test_a_database_that_is_away_or_silent_keeps_no_kill_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("producers.cli.kill_names.LOOK_SECONDS", 0.2)
    assert await known_names(settings_with(tmp_path, free_port()), "strategy") is None

    async def silent(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0)
        kept.append(writer)

    kept: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(silent, "127.0.0.1")
    try:
        async with asyncio.timeout(9):  # the driver's own bound is ten seconds
            assert await known_names(settings_with(tmp_path, server.sockets[0].getsockname()[1]), "symbol") is None
        assert kept, "it was asked"
    finally:
        for writer in kept:
            writer.close()
        server.close()
