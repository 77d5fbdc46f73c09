"""Asking for a kill: by the kill switch's socket, and by the flag alone when nobody listens there."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import structlog

from infra import kill_line
from infra.errors import UsageError
from infra.kill import GLOBAL, KillFlag
from infra.kill_line import KillRefusedError, KillSwitchAwayError, socket_path
from producers.kill_switch.door import Door
from producers.kill_switch.switch import Request
from tests.builders import SEEN
from tests.unit.test_kill_flag import SCOPES, a_kill


async def test_without_a_kill_switch_the_flag_alone_is_set(tmp_path: Path) -> None:
    answer = await kill_line.kill(tmp_path, a_kill())

    assert (answer["by_flag_alone"], answer["fenced"]) == (True, True)
    assert "does not answer" in answer["why"]
    assert KillFlag(tmp_path).read().kills == (a_kill(),)


async def test_without_a_kill_switch_nobody_knows_the_gateways_account_and_everything_is_stopped(
    tmp_path: Path,
) -> None:
    answer = await kill_line.kill(tmp_path, a_kill("account:"))

    assert answer["kill"]["scope"] == GLOBAL
    with KillFlag(tmp_path).sending(SCOPES, SEEN) as why:
        assert why is not None


async def test_the_socket_is_its_owners_alone_and_every_bad_line_is_told_why(tmp_path: Path) -> None:
    async def answered(request: Request) -> dict[str, Any]:
        if request.do == "arm":
            raise KillRefusedError("nothing is killed")
        return {"did": request.do}

    path = socket_path(tmp_path)
    path.touch()  # what a crashed process left
    door = Door(path, answered, structlog.get_logger())
    await door.open()
    try:
        assert path.stat().st_mode & 0o777 == 0o600
        assert await kill_line.ask(tmp_path, {"do": "state"}) == {"did": "state"}
        for wrong, why in [
            ({"do": "sing"}, "sing"),
            ({"do": "kill", "kill_id": "k", "by": "ann"}, "reason"),
            ({"do": "kill", "kill_id": "k", "by": "ann", "reason": "r", "scope": "planet:earth"}, "scope"),
            ({"do": "arm", "by": "ann", "reason": "r"}, "nothing is killed"),
        ]:
            with pytest.raises(KillRefusedError, match=why):
                await kill_line.ask(tmp_path, wrong)
        assert "error" in json.loads(await said(path, b"not json\n"))
        assert await said(path, b"x" * 100_000) == b"", "a line without end is not read"
    finally:
        await door.close()
    with pytest.raises(KillSwitchAwayError, match="does not answer"):
        await kill_line.ask(tmp_path, {"do": "state"})


async def said(path: Path, line: bytes) -> bytes:
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(line)
    try:
        return await reader.readline()
    except ConnectionError:
        return b""
    finally:
        writer.close()


def test_a_home_that_is_too_deep_for_a_socket_is_told_so() -> None:
    with pytest.raises(UsageError, match="SCIZOR_HOME"):
        socket_path(Path("/" + "deep/" * 30))
