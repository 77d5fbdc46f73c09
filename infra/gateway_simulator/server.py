"""The simulator as a server: its sockets and its life."""

import asyncio
import socket
from dataclasses import dataclass
from pathlib import Path

import structlog

from infra.errors import EnvironmentUnhealthyError
from infra.gateway_simulator.control import ControlPort, read_token
from infra.gateway_simulator.gateway import Gateway
from infra.gateway_simulator.protocol.session import Session

CLIENTS_MAX = 64  # sockets at a time


@dataclass(frozen=True, slots=True)
class Address:
    """Where the simulator listens; without `control_token_file` there is no control port."""

    host: str = "127.0.0.1"
    port: int = 7497
    control_port: int = 0
    control_token_file: Path | None = None


class SimulatorServer:
    """A gateway that listens."""

    def __init__(self, gateway: Gateway, address: Address) -> None:
        self.gateway = gateway
        self._address = address
        self._clients: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._playing: list[asyncio.Task[None]] = []
        self._opening: asyncio.Task[None] | None = None
        self.port = 0
        """Where it listens, once it has been started."""
        self.control: ControlPort | None = None
        self._log = structlog.get_logger(service="gateway_simulator")

    async def start(self) -> None:
        address = self._address
        if address.control_token_file is not None:
            self.control = ControlPort(self.gateway, address.control_port, read_token(address.control_token_file))
            await self.control.start()
        await self._listen(address.port)
        self.gateway.links.door = self
        self._playing = [asyncio.create_task(each.run()) for each in (self.gateway.tape, self.gateway.timetable)]

    async def _listen(self, port: int) -> None:
        host = self._address.host
        try:
            self._server = await asyncio.start_server(self._connected, host, port)
        except OSError as error:
            raise EnvironmentUnhealthyError(
                f"the gateway simulator cannot listen on {host}:{port}: {error.strerror}; choose --port"
            ) from error
        self.port = self._server.sockets[0].getsockname()[1]

    @property
    def is_listening(self) -> bool:
        return self._server is not None

    def shut(self) -> None:
        """Refuse new connections."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def open(self) -> None:
        """Listen again, where clients look for the gateway."""
        if self._server is None and self._opening is None:
            self._opening = asyncio.create_task(self._open_again())

    async def _open_again(self) -> None:
        try:
            await self._listen(self.port)
        except EnvironmentUnhealthyError as error:  # somebody has taken the port: nothing can be served any more
            self._log.error("cannot open again", reason=str(error))
            for each in self._playing:
                each.cancel()
        finally:
            self._opening = None

    async def serve(self) -> None:
        """Until cancelled, or until the tape or the timetable breaks."""
        assert self._playing, "the server has not been started"
        await asyncio.gather(*self._playing)

    async def stop(self) -> None:
        if self.control is not None:
            await self.control.stop()
        for each in self._playing:
            each.cancel()
        await asyncio.gather(*self._playing, return_exceptions=True)
        if self._opening is not None:
            self._opening.cancel()
        self.shut()
        for client in tuple(self._clients):
            client.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)
        self.gateway.shared.remember()
        self.gateway.shared.ledger.close()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._clients) >= CLIENTS_MAX:
            writer.close()
            return
        _keep_alive(writer)
        client = asyncio.create_task(Session(reader, writer, self.gateway.reception).run())
        self._clients.add(client)
        client.add_done_callback(self._left)

    def _left(self, client: asyncio.Task[None]) -> None:
        self._clients.discard(client)
        if not client.cancelled() and (bug := client.exception()) is not None:
            self._log.error("a session broke", exc_info=bug)


def _keep_alive(writer: asyncio.StreamWriter) -> None:
    """Notice within a minute when the peer's machine has gone without a word."""
    peer: socket.socket = writer.get_extra_info("socket")
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 20), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3), ("TCP_USER_TIMEOUT", 60_000)):
        if hasattr(socket, name):  # not every system has all of them
            peer.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
