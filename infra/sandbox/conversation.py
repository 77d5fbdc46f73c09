"""Talking to a process inside: a bound on everything, and nothing believed before it was looked at."""

import fcntl
import os
import selectors
import signal
import subprocess
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

import orjson

from infra.clock import Clock
from infra.sandbox.child import HEAD
from infra.sandbox.errors import SandboxedError, SandboxUnavailableError

FRAME_BYTES_MAX = 65_536
"""Of one message or piece."""
TMP_BYTES = 16 * 2**20

_ERRORS_BYTES_MAX = 65_536
_TOLD_MAX = 300
_TICK_SECONDS = 0.25
_START_SECONDS = 30.0
_END_SECONDS = 1.0
_READ_BYTES = 2**20
_NUL = b"\\u0000"  # a character that no table can hold

OnWait = Callable[[], None]
"""Called several times a second while the other side computes; what it raises ends the process there."""


@dataclass(frozen=True)
class Limits:
    """Of one process inside. A turn is what it does between a message of ours and our next one."""

    turn_seconds: float
    """Of the wall."""
    cpu_seconds: int
    """Of the processor, in all."""
    turn_bytes: int = 2**20
    memory_bytes: int = 512 * 2**20
    """Beside the columns it is given."""
    file_bytes: int = TMP_BYTES


class Child:
    """The process inside, seen from outside. Nothing it says is believed before it was looked at."""

    def __init__(self, process: "subprocess.Popen[bytes]", limits: Limits, clock: Clock) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self._process = process
        self._limits = limits
        self._clock = clock
        self._input, self._output, self._errors = (
            each.fileno() for each in (process.stdin, process.stdout, process.stderr)
        )
        self._selector = selectors.DefaultSelector()
        with suppress(OSError):  # whoever has many pipes gets no larger ones; it is for speed alone
            fcntl.fcntl(self._output, fcntl.F_SETPIPE_SZ, _READ_BYTES)
        for each in (self._output, self._errors):
            os.set_blocking(each, False)
            self._selector.register(each, selectors.EVENT_READ)
        os.set_blocking(self._input, False)
        self._outgoing = bytearray()
        self._incoming = bytearray()
        self._told = bytearray()
        self._turn_bytes = 0
        self._seconds = _START_SECONDS
        self._deadline = clock.monotonic() + self._seconds
        self._ended = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def begin(self, columns_bytes: int, columns_fd: int) -> None:
        """Tell it its limits and where its columns lie; it answers before a stranger's code runs."""
        limits = {
            "cpu_seconds": self._limits.cpu_seconds,
            "memory_bytes": self._limits.memory_bytes + columns_bytes,
            "file_bytes": self._limits.file_bytes,
        }
        self._send({"limits": limits, "columns": columns_bytes, "columns_fd": columns_fd}, _START_SECONDS)
        answer = self.receive()
        if not isinstance(answer, dict) or not answer.get("started"):
            raise SandboxUnavailableError(f"the sandbox does not start: {str(answer)[:_TOLD_MAX]}")

    def send(self, message: dict[str, Any], on_wait: OnWait = lambda: None) -> None:
        """Begin a turn with a message. Raises SandboxedError."""
        self._send(message, self._limits.turn_seconds, on_wait)

    def _send(self, message: dict[str, Any], seconds: float, on_wait: OnWait = lambda: None) -> None:
        payload = orjson.dumps(message)
        self._turn_bytes = 0
        self._seconds = seconds
        self._deadline = self._clock.monotonic() + seconds
        self._outgoing += HEAD.pack(0, len(payload)) + payload
        self._selector.register(self._input, selectors.EVENT_WRITE)
        try:
            while self._outgoing:
                self._wait(on_wait)
        finally:
            self._selector.unregister(self._input)

    def receive(self, on_wait: OnWait = lambda: None) -> dict[str, Any] | bytes:
        """The next message or piece of raw bytes. Raises SandboxedError when there is none, or it is none."""
        while (frame := self._frame()) is None:
            if self._ended:
                raise SandboxedError(self._why_ended())
            self._wait(on_wait)
        kind, payload = frame
        if kind:
            return payload
        try:
            message = orjson.loads(payload) if _NUL not in payload else None
        except orjson.JSONDecodeError:
            message = None
        if not isinstance(message, dict):
            raise SandboxedError("the strategy's process wrote what is no message")
        return message

    def close(self) -> None:
        """Nothing of it is left. May be called again."""
        self._selector.close()
        end(self._process)

    def _frame(self) -> tuple[int, bytes] | None:
        if len(self._incoming) < HEAD.size:
            return None
        kind, length = HEAD.unpack_from(self._incoming)
        if kind > 1 or length > FRAME_BYTES_MAX:
            raise SandboxedError("the strategy's process wrote what is no message")
        stop = HEAD.size + length
        if len(self._incoming) < stop:
            return None
        payload = bytes(self._incoming[HEAD.size : stop])
        del self._incoming[:stop]
        return kind, payload

    def _wait(self, on_wait: OnWait) -> None:
        """Until something moves or a moment has passed."""
        left = self._deadline - self._clock.monotonic()
        if left <= 0:
            raise SandboxedError(f"it took longer than {self._seconds:g} s")
        ready = self._selector.select(min(left, _TICK_SECONDS))
        for key, _ in ready:
            if key.fd == self._input:
                self._write()
            else:
                self._read(key.fd)
        on_wait()

    def _write(self) -> None:
        try:
            del self._outgoing[: os.write(self._input, self._outgoing[:_READ_BYTES])]
        except BrokenPipeError:
            self._outgoing.clear()  # why it ended is told by the reading that follows

    def _read(self, descriptor: int) -> None:
        part = os.read(descriptor, _READ_BYTES)
        if not part:
            self._selector.unregister(descriptor)
            self._ended |= descriptor == self._output
        elif descriptor == self._errors:
            self._told += part
            if len(self._told) > _ERRORS_BYTES_MAX:
                raise SandboxedError("the strategy's process wrote more errors than anybody reads")
        else:
            self._incoming += part
            self._turn_bytes += len(part)
            if self._turn_bytes > self._limits.turn_bytes:
                raise SandboxedError(f"it told more than {self._limits.turn_bytes:,} bytes at once")

    def _why_ended(self) -> str:
        try:
            status = self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            return "the strategy's process closed its line and went on"
        with suppress(BlockingIOError, KeyError):
            while self._errors in self._selector.get_map():
                self._read(self._errors)
        number = status - 128 if status > 128 else -status
        if number == signal.SIGXCPU or (number == signal.SIGKILL and not self._told):
            return f"it used more than {self._limits.cpu_seconds} s of the processor, or more memory than there is"
        if number == signal.SIGSEGV:
            return "it crashed the interpreter (SIGSEGV)"
        if status == 1 and not self._told:
            return "it ended without a word, most likely out of memory"
        last = (self._told.decode(errors="replace").strip().splitlines() or ["without a word"])[-1]
        name = signal.Signals(number).name if number in set(signal.Signals) else f"status {status}"
        return f"the strategy's process ended ({name}): {last[:_TOLD_MAX]}"


def end(process: "subprocess.Popen[bytes]") -> None:
    """Nothing is left of it: what it holds inside dies with it."""
    process.kill()
    process.wait()
    for each in (process.stdin, process.stdout, process.stderr):
        assert each is not None
        with suppress(OSError):
            each.close()
