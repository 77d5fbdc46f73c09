"""The simulator as a server: its sockets and its life."""

import asyncio
import contextlib
from dataclasses import dataclass
from pathlib import Path

from infra.errors import EnvironmentUnhealthyError
from infra.gateway_simulator.gateway import Gateway
from infra.gateway_simulator.session import Session

CLIENTS_MAX = 64  # sockets at a time


@dataclass(frozen=True, slots=True)
class Address:
    """Where the simulator listens; `control_port` 0 leaves the control port closed."""

    host: str = "127.0.0.1"
    port: int = 7497
    control_port: int = 0
    control_token_file: Path | None = None


class SimulatorServer:
    """A gateway that listens."""

    def __init__(self, gateway: Gateway, address: Address) -> None:
        self.gateway = gateway
        self._address = address
        self._sockets: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._playing: asyncio.Task[None] | None = None

    async def start(self) -> None:
        address = self._address
        try:
            self._server = await asyncio.start_server(self._connected, address.host, address.port)
        except OSError as error:
            raise EnvironmentUnhealthyError(
                f"the gateway simulator cannot listen on {address.host}:{address.port}: {error.strerror}; choose --port"
            ) from error
        self._playing = asyncio.create_task(self.gateway.tape.run())

    @property
    def port(self) -> int:
        assert self._server is not None, "the server has not been started"
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def serve(self) -> None:
        """Until cancelled, or until the tape breaks."""
        assert self._playing is not None, "the server has not been started"
        await self._playing

    async def stop(self) -> None:
        if self._playing is not None:
            self._playing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._playing
        if self._server is not None:
            self._server.close()
            for writer in tuple(self._sockets):
                writer.close()
            await self._server.wait_closed()
        self.gateway.shared.ledger.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._sockets) >= CLIENTS_MAX:
            writer.close()
            return
        self._sockets.add(writer)
        try:
            await Session(reader, writer, self.gateway).run()
        finally:
            self._sockets.discard(writer)
