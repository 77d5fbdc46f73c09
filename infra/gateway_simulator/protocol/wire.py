"""Frames and fields of IB's text protocol: bounded reading, lenient parsing of what clients send, exact writing."""

import asyncio
import struct
from decimal import Decimal, InvalidOperation
from typing import TypeAlias

from infra.errors import ScizorError

FRAME_MAX = 1_000_000  # bytes; the longest honest request has a few kilobytes
VERSION_MIN, VERSION_MAX = 157, 176
UNSET_DOUBLE = "1.7976931348623157E308"
UNSET_INTEGER = "2147483647"

DIGITS_MAX = 30  # before or after the decimal point

_LARGEST = Decimal(UNSET_DOUBLE)
_UNSET = ("", "1.7976931348623157e+308", UNSET_DOUBLE, UNSET_INTEGER, "9223372036854775807")
_INFINITE = ("Infinite", "Infinity", "inf")
_HELLO = b"API\0"

Value: TypeAlias = str | int | float | Decimal | bool


class WireError(ScizorError):
    """The peer does not speak the protocol; the connection is of no more use."""


class Fields:
    """A message's fields, taken one after the other; a missing field reads as unset, as old clients send fewer."""

    def __init__(self, values: list[str]) -> None:
        self._values = values
        self._at = 0

    def text(self) -> str:
        at = self._at
        self._at += 1
        return self._values[at] if at < len(self._values) else ""

    def whole(self, default: int = 0) -> int:
        number = self.number()
        return default if number is None else int(number)

    def number(self) -> Decimal | None:
        """None when empty or unset; an infinite number is a very large one."""
        text = self.text().strip()
        if text in _UNSET:
            return None
        if text in _INFINITE:
            return _LARGEST
        try:
            number = Decimal(text)
        except InvalidOperation:
            raise WireError(f"{text[:40]!r} is not a number") from None
        if number == _LARGEST:
            return None
        if not number.is_finite() or (number and abs(number.adjusted()) > DIGITS_MAX):
            raise WireError(f"{text[:40]!r} is no number of a sensible size")
        return number

    def flag(self) -> bool:
        return self.text() not in ("", "0", "false", "False")

    def skip(self, count: int) -> None:
        self._at += count


def encode(values: tuple[Value, ...]) -> bytes:
    """One frame: every field ends with NUL, so that no trailing empty field is lost."""
    fields = [each if type(each) is str else text_of(each) for each in values]
    fields.append("")
    text = "\0".join(fields)
    payload = (text if text.isascii() else _escaped(text)).encode("ascii")
    return struct.pack(">I", len(payload)) + payload


def _escaped(text: str) -> str:
    """Other alphabets as IB writes them since version 153, in units of UTF-16: `\\u00e9`."""
    units = text.encode("utf-16-be", "surrogatepass")
    codes = struct.unpack(f">{len(units) // 2}H", units)
    return "".join(chr(each) if each < 128 else f"\\u{each:04x}" for each in codes)


def text_of(value: Value) -> str:
    """A field as IB writes it: no decimals where there are none, flags as 1 and 0."""
    if isinstance(value, float):  # the most frequent kind first: a long history has half a million fields
        return repr(value).removesuffix(".0") if value else "0"
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, Decimal):
        return f"{value.normalize():f}" if value else "0"
    return str(value)


async def read_hello(reader: asyncio.StreamReader) -> tuple[int, int]:
    """The client's oldest and newest version."""
    if await reader.readexactly(len(_HELLO)) != _HELLO:
        raise WireError("does not begin with API")
    offered = (await _payload(reader)).decode("ascii", "replace").strip("\0 ").split(" ")[0]
    lowest, dots, highest = offered.removeprefix("v").partition("..")
    if not offered.startswith("v") or not lowest.isdigit() or (dots and not highest.isdigit()):
        raise WireError(f"{offered[:40]!r} is no version range")
    return int(lowest), int(highest or lowest)


async def read_message(reader: asyncio.StreamReader) -> list[str]:
    """The fields of the next frame."""
    payload = await _payload(reader)
    if not payload.endswith(b"\0"):
        raise WireError("a message does not end with NUL")
    return payload[:-1].decode("utf-8", "replace").split("\0")


async def _payload(reader: asyncio.StreamReader) -> bytes:
    (length,) = struct.unpack(">I", await reader.readexactly(4))
    if not 0 < length <= FRAME_MAX:
        raise WireError(f"a frame of {length} bytes is beyond 1..{FRAME_MAX}")
    return await reader.readexactly(length)
