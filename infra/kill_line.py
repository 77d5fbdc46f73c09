"""How a kill is asked for: a line of JSON to the kill switch's Unix socket, and a line back."""

import asyncio
import json
from pathlib import Path
from typing import Any

from infra.errors import EnvironmentUnhealthyError, ScizorError, UsageError
from infra.kill import GLOBAL, Kill, KillFlag

ANSWER_SECONDS = 2.0
LINE_BYTES_MAX = 65_536
_PATH_BYTES_MAX = 107
"""What the system has room for in the address of a Unix socket."""


class KillSwitchAwayError(EnvironmentUnhealthyError):
    def __init__(self, socket: Path, why: str) -> None:
        super().__init__(f"the kill switch does not answer at {socket} ({why}): `scizor status` shows its process")


class FlagUnwrittenError(EnvironmentUnhealthyError):
    def __init__(self, file: Path, failure: OSError, away: KillSwitchAwayError) -> None:
        super().__init__(
            f"the kill may not hold: {file} cannot be written ({failure.strerror or failure}), and {away}; "
            "`scizor down` stops everything that sends, and open orders are to be cancelled in TWS"
        )


class KillRefusedError(ScizorError):
    """The kill switch was asked for what it cannot do; its text says why."""


def socket_path(home: Path) -> Path:
    """Where the kill switch of this SCIZOR_HOME listens."""
    path = home.resolve() / "kill.sock"
    if len(str(path).encode()) > _PATH_BYTES_MAX:
        raise UsageError(f"SCIZOR_HOME is too long a path for a Unix socket: {path.parent}; choose a shorter one")
    return path


async def ask(home: Path, request: dict[str, Any], seconds: float = ANSWER_SECONDS) -> dict[str, Any]:
    """The kill switch's answer. KillSwitchAwayError: there is none. KillRefusedError: it is no."""
    path = socket_path(home)
    try:
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_unix_connection(path, limit=LINE_BYTES_MAX)
            try:
                writer.write(json.dumps(request).encode() + b"\n")
                line = await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError) as error:
        raise KillSwitchAwayError(path, str(error) or type(error).__name__) from error
    if not line.endswith(b"\n"):
        raise KillSwitchAwayError(path, "it closed the connection")
    answer: dict[str, Any] = json.loads(line)
    if "error" in answer:
        raise KillRefusedError(str(answer["error"]))
    return answer


async def kill(home: Path, wanted: Kill) -> dict[str, Any]:
    """Stop a scope, whatever is up: by the kill switch, and when that does not answer by the flag alone.

    With the flag alone no order goes out and the executor cancels its own; a kill switch that starts does the rest.
    """
    try:
        fields = wanted.model_dump(mode="json", include={"kill_id", "scope", "reason", "by"})
        return {"by_flag_alone": False, **await ask(home, {"do": "kill", **fields})}
    except KillSwitchAwayError as error:
        if wanted.scope.endswith(":"):  # only the kill switch could ask the gateway which account that is
            wanted = wanted.model_copy(update={"scope": GLOBAL})
        flag = KillFlag(home)
        try:
            async with flag.fenced() as fence:
                held = flag.add(wanted)
            await asyncio.to_thread(flag.force)
        except OSError as failure:
            raise FlagUnwrittenError(flag.file, failure, error) from failure
        finally:
            flag.close()
        return {"by_flag_alone": True, "kill": held.model_dump(mode="json"), "fenced": fence, "why": str(error)}
