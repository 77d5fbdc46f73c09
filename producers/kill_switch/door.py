"""The Unix socket of the kill switch: one request and one answer a line, for this machine's user alone."""

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from structlog.typing import FilteringBoundLogger

from infra.errors import ScizorError
from infra.kill_line import LINE_BYTES_MAX
from producers.kill_switch.switch import Request

Answer = Callable[[Request], Awaitable[dict[str, Any]]]

_REQUESTS: TypeAdapter[Request] = TypeAdapter(Request)
_IDLE_SECONDS_MAX = 30.0
_CALLERS_MAX = 100


class Door:
    """Listens from `open` until `close`."""

    def __init__(self, path: Path, answer: Answer, log: FilteringBoundLogger) -> None:
        self._path = path
        self._answer = answer
        self._log = log
        self._callers = 0
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Takes the place of a socket that a crashed process left behind."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        draft = self._path.with_name(
            ".kill"
        )  # bound under another name: callers find a socket that is 0600 and listens
        draft.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(str(draft))
        draft.chmod(0o600)
        self._server = await asyncio.start_unix_server(self._serve, sock=listener, limit=LINE_BYTES_MAX)
        draft.replace(self._path)

    async def close(self) -> None:
        assert self._server is not None, "it was opened"
        self._server.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)  # noqa: PTH108 # one system call, at the end

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._callers += 1
        try:
            if self._callers > _CALLERS_MAX:
                return
            while line := await _line(reader):
                writer.write(json.dumps(await self._said(line)).encode() + b"\n")
                await writer.drain()
        except (OSError, TimeoutError, ValueError) as error:  # gone, silent, or a line without end
            self._log.info("caller left", reason=repr(error))
        finally:
            self._callers -= 1
            writer.close()

    async def _said(self, line: bytes) -> dict[str, Any]:
        try:
            return await self._answer(_REQUESTS.validate_json(line))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            return {"error": f"{'.'.join(str(part) for part in first['loc']) or 'request'}: {first['msg']}"}
        except ScizorError as error:
            return {"error": str(error)}
        except OSError as error:  # the disk: who asks must hear that what was asked for may not hold
            self._log.exception("not done")
            return {"error": f"{error}: it may not hold"}


async def _line(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(_IDLE_SECONDS_MAX):
        return await reader.readline()
