"""The control port: lets tests, benches and the demo move market time, force prints and make faults. Loopback only.

One JSON object a line in each direction; the first line must be {"token": "..."}. Every answer has "ok"; where that is
false, "error" tells why.
"""

import asyncio
import contextlib
import hmac
import json
from collections.abc import Awaitable, Callable
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, TypeAlias

import structlog

from infra.errors import EnvironmentUnhealthyError, ScizorError, UsageError
from infra.gateway_simulator.faults import cassette
from infra.gateway_simulator.gateway import Gateway
from infra.gateway_simulator.instruments.calendar import utc_text
from infra.gateway_simulator.market.market import ROUND_LOT
from infra.gateway_simulator.orders.manual import ManualOrder

HOST = "127.0.0.1"
LINE_MAX = 65_536  # bytes of one command
ADVANCE_MAX = 40 * 366 * 86_400  # seconds of one advance
TOKEN_MIN = 16  # characters
OPEN_MODE = 0o077

Command: TypeAlias = dict[str, Any]
Answer: TypeAlias = dict[str, Any]


def read_token(path: Path) -> str:
    """The token in a file that nobody else may read."""
    try:
        mode, token = path.stat().st_mode, path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the control token {path}: {error}") from error
    if mode & OPEN_MODE:
        raise UsageError(f"{path} can be read by others: chmod 600 {path}")
    if len(token) < TOKEN_MIN:
        raise UsageError(f"{path} must hold a token of at least {TOKEN_MIN} characters")
    return token


class ControlPort:
    """Serves commands about one gateway."""

    def __init__(self, gateway: Gateway, port: int, token: str) -> None:
        self._gateway = gateway
        self._wanted_port = port
        self._token = token
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._log = structlog.get_logger(service="gateway_simulator")
        self._commands: dict[str, Callable[[Command], Awaitable[Answer]]] = {
            "register": self._register,
            "on": self._arm,
            "do": self._do,
            "cassette": self._load,
            "cassettes": self._cassettes,
            "armed": self._armed,
            "fired": self._fired,
            "clear": self._clear,
            "advance": self._advance,
            "speed": self._speed,
            "quote": self._quote,
            "notice": self._notice,
            "place": self._place,
            "cancel": self._cancel,
            "state": self._state,
        }

    async def start(self) -> None:
        try:
            self._server = await asyncio.start_server(self._connected, HOST, self._wanted_port, limit=LINE_MAX)
        except OSError as error:
            raise EnvironmentUnhealthyError(
                f"the control port cannot listen on {HOST}:{self._wanted_port}: {error.strerror}; choose --control-port"
            ) from error

    @property
    def port(self) -> int:
        assert self._server is not None, "the control port has not been started"
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            for writer in tuple(self._writers):
                writer.close()
            await self._server.wait_closed()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            if not self._is_known(await reader.readline()):
                self._log.warning("control port: wrong token")
                await _answer(writer, {"ok": False, "error": "wrong token"})
                return
            await _answer(writer, {"ok": True})
            while line := await reader.readline():
                await _answer(writer, await self._done(line))
        except (ConnectionError, ValueError):
            pass  # the peer has gone, or sent a line beyond the limit
        finally:
            self._writers.discard(writer)
            writer.close()

    def _is_known(self, line: bytes) -> bool:
        with contextlib.suppress(ValueError, AttributeError):
            return hmac.compare_digest(str(json.loads(line).get("token", "")), self._token)
        return False

    async def _done(self, line: bytes) -> Answer:
        try:
            command = json.loads(line)
            name = next((each for each in self._commands if each in command), None)
            if name is None:
                raise UsageError(f"no such command; there are: {', '.join(self._commands)}")
            return {"ok": True, **await self._commands[name](command)}
        except ScizorError as error:
            return {"ok": False, "error": str(error)}
        except (ValueError, TypeError, KeyError, InvalidOperation) as error:
            return {"ok": False, "error": f"malformed command: {error}"}

    async def _register(self, command: Command) -> Answer:
        self._gateway.faults.register(str(command["register"]), int(command["pid"]))
        return {}

    async def _arm(self, command: Command) -> Answer:
        return {"number": self._gateway.director.arm(_part(command, "on"), _part(command, "do"))}

    async def _do(self, command: Command) -> Answer:
        self._gateway.director.do(_part(command, "do"))
        return {}

    async def _load(self, command: Command) -> Answer:
        """One that comes with the simulator, or the text of another: no file of this machine is read for a peer."""
        text = command.get("text")
        name = str(command["cassette"])
        if text is None and name not in cassette.names():
            raise UsageError(f"no cassette {name!r}; there are: {', '.join(cassette.names())}; or send its text")
        told = cassette.load(name) if text is None else cassette.read(str(text), name)
        return {"numbers": self._gateway.director.load(told)}

    async def _cassettes(self, command: Command) -> Answer:
        return {"cassettes": {name: cassette.load(name).description for name in cassette.names()}}

    async def _armed(self, command: Command) -> Answer:
        return {"armed": self._gateway.director.waiting()}

    async def _fired(self, command: Command) -> Answer:
        return {"fired": list(self._gateway.faults.fired)}

    async def _clear(self, command: Command) -> Answer:
        number = command["clear"]
        self._gateway.director.clear(None if number is True or number is None else int(number))  # 1 equals True
        return {}

    async def _advance(self, command: Command) -> Answer:
        seconds = float(command["advance"])
        if not 0 <= seconds <= ADVANCE_MAX:
            raise UsageError(f"cannot advance by {seconds} s: 0 to {ADVANCE_MAX}")
        await self._gateway.advance(seconds)
        return {"market_time": utc_text(self._gateway.market_now())}

    async def _speed(self, command: Command) -> Answer:
        speed = float(command["speed"])
        if not 0 <= speed <= 1_000_000:
            raise UsageError(f"speed {speed} is not within 0..1000000")
        self._gateway.set_speed(speed)
        return {"market_time": utc_text(self._gateway.market_now())}

    async def _quote(self, command: Command) -> Answer:
        price = Decimal(str(command["price"]))
        sent = self._gateway.force_quote(str(command["quote"]), price, int(command.get("size", ROUND_LOT)))
        return {"monotonic_ns": sent}

    async def _notice(self, command: Command) -> Answer:
        """A system message to every client, such as 1100 or 1102."""
        notice = {"code": int(command["notice"]), "text": str(command.get("text", ""))}
        self._gateway.director.do({"notice": notice})
        return {"clients": len(self._gateway.shared.sessions)}

    async def _place(self, command: Command) -> Answer:
        """An order of TWS itself; client 0 can have it bound."""
        order = self._gateway.orders.place_by_hand(ManualOrder.read(_part(command, "place")))
        return {"permanent_id": order.permanent_id, "client_id": order.client_id, "order_id": order.order_id}

    async def _cancel(self, command: Command) -> Answer:
        """The cancel of TWS itself, of any client's order."""
        self._gateway.orders.cancel_manually(int(command["client_id"]), int(command["cancel"]))
        return {}

    async def _state(self, command: Command) -> Answer:
        return self._gateway.state()


def _part(command: Command, name: str) -> dict[str, Any]:
    part = command[name]
    if not isinstance(part, dict):
        raise UsageError(f"{name} is an object with fields")
    return part


async def _answer(writer: asyncio.StreamWriter, answer: Answer) -> None:
    writer.write(json.dumps(answer).encode() + b"\n")
    await writer.drain()
