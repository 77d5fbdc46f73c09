"""One socket to the gateway, from hello to the last byte: framing, decoding, and the end of it."""

import asyncio
from collections.abc import Callable
from typing import cast

from infra.gateway.errors import (
    AccountRefusedError,
    AccountUnknownError,
    ClientIdInUseError,
    GatewayUnavailableError,
)
from infra.gateway.library import (
    SERVER_VERSION_MAX,
    SERVER_VERSION_MIN,
    Library,
    MalformedMessageError,
    Message,
    frame,
)
from infra.settings import Settings
from infra.trading_mode import account_fits

_FRAME_BYTES_MAX = 64 * 1024 * 1024
_CLIENT_ID_IN_USE = 326

Receive = Callable[[Message], None]
Undecodable = Callable[[str, str], None]


class Session(asyncio.Protocol):
    """Hands over decoded messages in the order they came, on the loop that opened it."""

    def __init__(
        self,
        library: Library,
        client_id: int,
        receive: Receive,
        undecodable: Undecodable,
        monotonic: Callable[[], float],
    ) -> None:
        self._monotonic = monotonic
        self._client_id = client_id
        self._receive = receive
        self._undecodable = undecodable
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self._decoder = library.decoder(0)
        loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[None] = loop.create_future()
        self.lost: asyncio.Future[str] = loop.create_future()
        """Done with the reason when the socket is gone; with an exception when our own code failed on a message."""
        self.encoder = library.new_encoder(self._write, client_id)
        self.server_version = 0
        self.accounts: tuple[str, ...] = ()
        self.order_id_next: int | None = None
        self.received_at = monotonic()
        self.held = False

    async def hello(self, host: str, port: int, seconds: float) -> None:
        """Connect and log on; raises GatewayUnavailableError that says what is wrong."""
        try:
            async with asyncio.timeout(seconds):
                await asyncio.get_running_loop().create_connection(lambda: self, host, port)
                self._write(b"API\0" + frame(b"v%d..%d" % (SERVER_VERSION_MIN, SERVER_VERSION_MAX)))
                await self._ready
        except TimeoutError:
            self.close()
            raise GatewayUnavailableError(
                f"{host}:{port} accepts connections but does not log us on within {seconds:g} s"
            ) from None
        except OSError as error:
            raise GatewayUnavailableError(
                f"nothing answers at {host}:{port} ({error.strerror or error}): start TWS or IB Gateway "
                "and enable its API port"
            ) from error
        except GatewayUnavailableError:
            if self.lost.done() and (failure := self.lost.exception()) is not None:
                raise GatewayUnavailableError(f"{host}:{port}: {failure}") from failure
            raise

    def account_id(self, settings: Settings) -> str:
        """The one account we trade; refuses one that does not fit the trading mode."""
        wanted = settings.ib_account
        if (wanted and wanted not in self.accounts) or (not wanted and len(self.accounts) > 1):
            raise AccountUnknownError(wanted, self.accounts)
        account = wanted or self.accounts[0]
        if not account_fits(account, settings):
            raise AccountRefusedError(account, settings.trading_mode)
        return account

    def close(self) -> None:
        """Drop the socket at once; a half-open one would never finish a polite goodbye."""
        if self._transport is not None:
            self._transport.abort()

    def hold(self) -> None:
        """Stop reading from the socket: the gateway waits for us."""
        if self._transport is not None and not self.held:
            self.held = True
            self._transport.pause_reading()

    def release(self) -> None:
        if self._transport is not None and self.held:
            self.held = False
            self.received_at = self._monotonic()
            if not self._transport.is_closing():
                self._transport.resume_reading()

    def _write(self, data: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            raise GatewayUnavailableError("the connection is gone")
        self._transport.write(data)

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        reason = f"the socket broke: {exc}" if exc else "the gateway closed the connection"
        if not self._ready.done():
            self._ready.set_exception(
                GatewayUnavailableError(
                    f"{reason} during logon: it may not trust this address or speak another version"
                )
            )
        if not self.lost.done():
            self.lost.set_result(reason)

    def data_received(self, data: bytes) -> None:
        self.received_at = self._monotonic()
        buffer = self._buffer
        buffer += data
        start = 0
        try:
            while len(buffer) - start >= 4:
                end = start + 4 + int.from_bytes(buffer[start : start + 4], "big")
                if end - start > _FRAME_BYTES_MAX:
                    raise MalformedMessageError(f"a frame of {end - start} bytes is not IB's protocol")
                if len(buffer) < end:
                    break
                self._on_frame(buffer[start + 4 : end])
                start = end
        except Exception as error:  # noqa: BLE001 # handed to whoever watches the session
            # our own code failed, or the stream is out of step: nothing that follows can be trusted
            if not self.lost.done():
                self.lost.set_exception(error)
            self.close()
        del buffer[:start]

    def _on_frame(self, payload: bytearray) -> None:
        fields = payload.decode(errors="backslashreplace").split("\0")
        fields.pop()
        if not self.server_version:
            self._on_version(fields)
            return
        try:
            messages = self._decoder.decode(fields)
        except (MalformedMessageError, ValueError, IndexError) as error:
            self._undecodable(fields[0] if fields else "", str(error))
            return
        for message in messages:
            if not self._ready.done():
                self._log_on(message)
            self._receive(message)

    def _on_version(self, fields: list[str]) -> None:
        if len(fields) != 2 or not fields[0].isdigit():
            raise MalformedMessageError(f"not a gateway's greeting: {fields[:3]}")
        version = int(fields[0])
        if not SERVER_VERSION_MIN <= version <= SERVER_VERSION_MAX:
            raise MalformedMessageError(f"the gateway speaks version {version}, we need {SERVER_VERSION_MIN} or newer")
        self.server_version = self._decoder.serverVersion = version
        self.encoder.speak(version)
        self.encoder.startApi()

    def _log_on(self, message: Message) -> None:
        name, arguments = message
        if name == "nextValidId":
            self.order_id_next = arguments[0]
        elif name == "managedAccounts":
            self.accounts = tuple(account for account in arguments[0].split(",") if account)
        elif name == "error" and arguments[1] == _CLIENT_ID_IN_USE:
            self._ready.set_exception(ClientIdInUseError(self._client_id))
            return
        if self.order_id_next is not None and self.accounts:
            self._ready.set_result(None)
