"""The IB client library, imported by name. Only its encoder and decoder are used: nothing of it keeps state or a loop.

Its order book, its counters, its throttle and its start-up are left out on purpose: they mark live orders as
cancelled, add corrections as new fills, forget everything on a disconnect, and turn errors into empty answers.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC
from functools import partial
from types import SimpleNamespace
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from infra.errors import UsageError

LibraryName = Literal["ib_insync", "ib_async"]

SERVER_VERSION_MIN = 157
SERVER_VERSION_MAX = 176
"""The newest version that both libraries decode alike."""

UNSET_DOUBLE = 1.7976931348623157e308

Message = tuple[str, tuple[Any, ...]]
"""A decoded message: the callback's name in IB's API, and its arguments."""


_PAST_FIRST, _PAST_FIELDS = 5, 8
"""Where the bars of an answer about the past begin, and how many fields each has: the sixth is its volume."""


class PastRows(NamedTuple):
    """All bars of an answer about the past, by column."""

    dates: list[str]
    open: NDArray[np.float64]
    high: NDArray[np.float64]
    low: NDArray[np.float64]
    close: NDArray[np.float64]
    volume: NDArray[np.float64]

    @classmethod
    def of(cls, fields: list[str]) -> "PastRows":
        """Of the fields of the bars alone."""
        values = (fields[place::_PAST_FIELDS] for place in range(1, 6))
        return cls(fields[::_PAST_FIELDS], *(np.fromiter(map(float, texts), np.float64) for texts in values))


class LibraryMissingError(UsageError):
    def __init__(self, name: str) -> None:
        super().__init__(
            f"SCIZOR_IB_LIBRARY is {name}, which is not installed: "
            f"pip install {name} into an environment of its own (it shares a package with the other library)"
        )


class MalformedMessageError(ValueError):
    """The gateway sent what cannot be decoded."""


def _text(field: str) -> str:
    return field


def _whole(field: str) -> int:
    return int(field or 0)


def _real(field: str) -> float:
    return float(field or 0)


def _flag(field: str) -> bool:
    return bool(int(field or 0))


_READERS: dict[type, Callable[[str], Any]] = {str: _text, int: _whole, float: _real, bool: _flag}


class _Collector:
    """Stands where the library expects its wrapper: every callback becomes a message, whatever its name."""

    ib = SimpleNamespace(TimezoneTWS="UTC")  # times without a zone are read as UTC, never in this machine's zone
    defaultTimezone = UTC  # noqa: N815 # the name that ib_async looks for

    def __init__(self) -> None:
        self.messages: list[Message] = []

    def take(self) -> list[Message]:
        taken, self.messages = self.messages, []
        return taken

    def _add(self, name: str, *arguments: Any) -> None:
        self.messages.append((name, arguments))

    def __getattr__(self, name: str) -> Callable[..., None]:
        callback = partial(self._add, name)
        setattr(self, name, callback)
        return callback


@dataclass(frozen=True)
class Library:
    """The classes that are used of the library."""

    name: str
    contract: type[Any]
    order: type[Any]
    execution_filter: type[Any]
    encoder: type[Any]
    decoder: type[Any]

    def new_encoder(self, write: Callable[[bytes], None], client_id: int) -> Any:
        """The library's request methods (`placeOrder`, `reqPositions`, ...) over our own socket."""
        return self.encoder(write, client_id)


def frame(payload: bytes) -> bytes:
    return len(payload).to_bytes(4, "big") + payload


def load(name: LibraryName) -> Library:
    """Import the library. Call it on the running loop: its event package asks for one when it is imported."""
    try:
        client = importlib.import_module(f"{name}.client")
    except ModuleNotFoundError as error:
        raise LibraryMissingError(name) from error
    decoder = importlib.import_module(f"{name}.decoder")
    objects = importlib.import_module(f"{name}.objects")
    return Library(
        name=name,
        contract=importlib.import_module(f"{name}.contract").Contract,
        order=importlib.import_module(f"{name}.order").Order,
        execution_filter=objects.ExecutionFilter,
        encoder=_encoder(client.Client),
        decoder=_decoder(decoder.Decoder),
    )


def _encoder(base: Any) -> type[Any]:
    class Encoder(base):  # type: ignore[misc] # the library ships no types
        """Writes each request at once: the library's own queue would hold orders back behind 45 others."""

        def __init__(self, write: Callable[[bytes], None], client_id: int) -> None:
            self._write = write
            self.clientId = client_id
            self.optCapab = ""
            self.connState = base.CONNECTED
            self._serverVersion = 0

        def speak(self, server_version: int) -> None:
            self._serverVersion = server_version

        def sendMsg(self, msg: str) -> None:  # noqa: N802 # overrides the library's method
            self._write(frame(msg.encode()))

    return Encoder


def _decoder(base: Any) -> type[Any]:
    class Decoder(base):  # type: ignore[misc] # the library ships no types
        """Raises where the library's decoder logs and goes on, so that no message is lost unseen."""

        def __init__(self, server_version: int) -> None:
            self.collector = _Collector()
            super().__init__(self.collector, server_version)

        def wrap(self, method_name: str, types: list[type], skip: int = 2) -> Callable[[list[str]], None]:
            readers = [_READERS[kind] for kind in types]

            def handler(fields: list[str]) -> None:
                values = fields[skip:]
                if len(values) < len(readers):
                    raise MalformedMessageError(f"{method_name} needs {len(readers)} fields")
                arguments = (read(value) for read, value in zip(readers, values, strict=False))
                getattr(self.wrapper, method_name)(*arguments)

            return handler

        def historicalData(self, fields: list[str]) -> None:  # noqa: N802 # overrides the library's method
            """One message with all rows: the library makes an object and a call of each."""
            number, count = int(fields[1]), int(fields[4])
            end = _PAST_FIRST + _PAST_FIELDS * count
            if count < 0 or end > len(fields):
                raise MalformedMessageError(f"{count} bars need {end} fields, there are {len(fields)}")
            self.wrapper.historicalData(number, PastRows.of(fields[_PAST_FIRST:end]))
            self.wrapper.historicalDataEnd(number, fields[2], fields[3])

        def decode(self, fields: list[str]) -> list[Message]:
            handler = self.handlers.get(int(fields[0]))
            if handler is None:
                return []  # a message of a newer gateway that nobody asked for
            try:
                handler(fields)
            except Exception as error:
                self.collector.take()
                raise MalformedMessageError(f"{type(error).__name__}: {error}") from error
            return self.collector.take()

    return Decoder
