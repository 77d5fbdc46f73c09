"""A client of the simulator's control port, for tests, benches and the demo."""

import asyncio
import contextlib
import json
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from infra.errors import EnvironmentUnhealthyError, UsageError

HOST = "127.0.0.1"
ANSWER_SECONDS = 120.0  # an advance over many bars takes a while
ANSWER_MAX = 16_000_000


class ControlClient:
    """`async with ControlClient(port, token_file) as control`; a command that fails raises UsageError."""

    def __init__(self, port: int, token_file: Path) -> None:
        self._port = port
        self._token_file = token_file
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._one_at_a_time = asyncio.Lock()

    async def __aenter__(self) -> Self:
        try:
            self._streams = await asyncio.open_connection(HOST, self._port, limit=ANSWER_MAX)
        except OSError as error:
            raise EnvironmentUnhealthyError(f"no control port on {HOST}:{self._port}: {error.strerror}") from error
        try:
            await self.ask(token=self._token_file.read_text(encoding="ascii").strip())
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()

    async def _close(self) -> None:
        if self._streams is not None:
            writer, self._streams = self._streams[1], None
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def ask(self, **command: Any) -> dict[str, Any]:
        """Send one command and give its answer."""
        assert self._streams is not None, "used outside of `async with`"
        reader, writer = self._streams
        async with self._one_at_a_time, asyncio.timeout(ANSWER_SECONDS):
            writer.write(json.dumps(command).encode() + b"\n")
            await writer.drain()
            line = await reader.readline()
        if not line:
            raise EnvironmentUnhealthyError("the gateway simulator has closed its control port")
        answer: dict[str, Any] = json.loads(line)
        if not answer["ok"]:
            raise UsageError(f"gateway simulator: {answer['error']}")
        return answer

    async def register(self, name: str, pid: int) -> None:
        """Let faults signal this process under `name`."""
        await self.ask(register=name, pid=pid)

    async def arm(self, on: dict[str, Any], do: dict[str, Any]) -> int:
        """Arm a fault: `on` holds event, nth, times and filters, `do` what happens; gives its number."""
        number: int = (await self.ask(on=on, do=do))["number"]
        return number

    async def do(self, **action: Any) -> None:
        """Let an action happen at once, such as `do(outage={"seconds": 5})`."""
        await self.ask(do=action)

    async def load(self, cassette: str) -> list[int]:
        """Arm every step of a cassette that comes with the simulator; gives their numbers."""
        numbers: list[int] = (await self.ask(cassette=cassette))["numbers"]
        return numbers

    async def load_text(self, text: str, name: str = "text") -> list[int]:
        """Arm every step of a cassette that is sent as YAML; complaints call it `name`."""
        numbers: list[int] = (await self.ask(cassette=name, text=text))["numbers"]
        return numbers

    async def cassettes(self) -> dict[str, str]:
        """The cassettes that come with the simulator, and what each does."""
        found: dict[str, str] = (await self.ask(cassettes=True))["cassettes"]
        return found

    async def armed(self) -> list[dict[str, Any]]:
        """What waits for its moment."""
        waiting: list[dict[str, Any]] = (await self.ask(armed=True))["armed"]
        return waiting

    async def fired(self) -> list[dict[str, Any]]:
        """What has happened, oldest first."""
        fired: list[dict[str, Any]] = (await self.ask(fired=True))["fired"]
        return fired

    async def clear(self, number: int | None = None) -> None:
        """Disarm one fault, or all."""
        await self.ask(clear=number)

    async def advance(self, seconds: float) -> str:
        """Let market time pass at once; gives the market time after all that has happened in it."""
        market_time: str = (await self.ask(advance=seconds))["market_time"]
        return market_time

    async def speed(self, speed: float) -> None:
        """Market seconds per wall second from now on; 0 stops market time."""
        await self.ask(speed=speed)

    async def quote(self, symbol: str, price: Decimal | float | str, size: int = 100) -> int:
        """Print a trade now; gives the moment before it was sent, in nanoseconds of CLOCK_MONOTONIC."""
        sent: int = (await self.ask(quote=symbol, price=str(price), size=size))["monotonic_ns"]
        return sent

    async def notice(self, code: int, text: str = "") -> None:
        """Send a system message such as 1100 to every client."""
        await self.ask(notice=code, text=text)

    async def place(self, **order: Any) -> dict[str, Any]:
        """Place an order as a person at TWS: symbol, action, quantity, order_type, limit_price, aux_price, tif,
        order_ref, account; gives its permanent_id, client_id and order_id."""
        return await self.ask(place=order)

    async def cancel(self, client_id: int, order_id: int) -> None:
        """Cancel any client's order, as a person at TWS."""
        await self.ask(cancel=order_id, client_id=client_id)

    async def state(self) -> dict[str, Any]:
        """Market time, positions by contract, live orders, clients, counters of the ledger, armed and fired faults."""
        return await self.ask(state=True)
