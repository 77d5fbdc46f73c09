"""`scizor kill` and `scizor arm`, as a person types them: what is said, and who is refused."""

import asyncio
import json

import pytest
import typer
from typer.testing import CliRunner

from infra.api_keys import Role
from infra.clock import SystemClock
from infra.embedded.programs import environment_of
from infra.errors import RefusedError, UsageError
from infra.keys import write_secret
from infra.kill import KillFlag
from infra.settings import Settings
from infra.store import api_keys, strategies
from infra.store.database import Store
from producers.cli import kill as commands
from producers.cli.kill_names import known_names
from schemas.strategy import RunningState
from tests.integration.a_kill_switch import a_kill_switch
from tests.unit.test_held_up import a_state

app = typer.Typer()
app.command("kill")(commands.kill)
app.command("arm")(commands.arm)


async def says(*arguments: str) -> str:
    """What is printed; what is refused is raised."""
    result = await asyncio.to_thread(CliRunner().invoke, app, list(arguments))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


async def test_a_person_kills_without_a_key_and_arms_with_an_admins_and_a_reason(
    stack_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = stack_settings
    for name, value in environment_of(settings).items():
        monkeypatch.setenv(name, value)
    store = Store(settings, "test", pool_size=1)
    keys = {role: await api_keys.create(store, f"test {role}", role, SystemClock()) for role in Role}
    await store.close()
    viewers = settings.home / "viewers-key"
    write_secret(viewers, keys[Role.VIEWER].text)
    flag = KillFlag(settings.home)
    async with a_kill_switch(settings, gateway=False):
        killed = json.loads(await says("kill", "--json", "--wait", "0", "--reason", "it burns"))
        scoped = await says("kill", "--scope", "symbol", "AAPL", "--wait", "0")
        doubted = json.loads(await says("kill", "--scope", "symbol", "AAPL", "--wait", "0", "--json"))
        for wrong, why in [
            (["kill", "AAPL"], "--scope"),
            (["kill", "--scope", "symbol"], "which symbol"),
            (["arm"], "--reason"),
            (["arm", "--reason", "go", "--global", "--scope", "symbol", "AAPL"], "not both"),
        ]:
            with pytest.raises(UsageError, match=why):
                await says(*wrong)
        with pytest.raises(RefusedError, match="cannot be read"):
            await says("arm", "--reason", "go")
        with pytest.raises(RefusedError, match="needs admin"):
            await says("arm", "--reason", "go", "--key-file", str(viewers))
        assert len(flag.read().kills) == 2
        write_secret(settings.home / "api-key", keys[Role.ADMIN].text)
        armed = json.loads(await says("arm", "--reason", "go", "--scope", "symbol", "AAPL", "--json"))
        with pytest.raises(RefusedError, match="symbol:AAPL is not killed"):
            await says("arm", "--reason", "go", "--scope", "symbol", "AAPL")
        rest = await says("arm", "--reason", "go")

    assert (killed["kill"]["scope"], killed["kill"]["reason"], killed["by_flag_alone"]) == ("global", "it burns", False)
    assert killed["acknowledged_ms"] > 0
    assert "symbol:AAPL is killed: acknowledged in" in scoped
    assert "the database knows no symbol 'AAPL', so this kill may stop nothing: it knows none yet" in doubted["warning"]
    assert armed == {"armed": ["symbol:AAPL"], "still_killed": ["global"]}
    assert rest == "armed: global\n"
    assert flag.read().kills == ()


async def test_the_names_that_a_kill_may_have_are_those_that_the_database_knows(stack_settings: Settings) -> None:
    store = Store(stack_settings, "test", pool_size=1)
    async with store.transaction() as transaction:
        await strategies.put_states(transaction.connection, [a_state(RunningState.RUNNING)])
    await store.close()

    assert await known_names(stack_settings, "strategy") == frozenset({"manual", "mine"})
    assert await known_names(stack_settings, "account") == frozenset({"DU1"})
    assert await known_names(stack_settings, "symbol") == frozenset()
