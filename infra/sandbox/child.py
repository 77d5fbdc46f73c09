"""What runs inside, as a script: it gives up what it still may, then calls an entry point of ours with a line to us.

Nothing here is a boundary: a stranger's code lives in the same process, and can undo whatever Python can do. What it
cannot undo are the namespaces, the limits and the filter. The clock and the randomness are taken away for the sake of
strategies that mean no harm: the same bars give the same result.
"""

import base64
import ctypes
import gc
import hashlib
import importlib
import io
import itertools
import json
import mmap
import os
import random  # noqa: TID251 # to take its chance away
import resource
import signal
import struct
import sys
import time
from collections.abc import Callable
from datetime import date, datetime
from types import FrameType
from typing import Any

HEAD = struct.Struct(">BI")
_JSON, _RAW = 0, 1
_PIECE = 65_536
_DESCRIPTORS = 64
_SITE = "/site"
_TEXT_MAX = 2000
_CALL_SECONDS = 1.0
"""Of the processor, for a single call of the strategy."""
_LOOK_SECONDS = 0.25

_PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 22, 38
_CLOCKS = (
    "time time_ns monotonic monotonic_ns perf_counter perf_counter_ns process_time process_time_ns thread_time "
    "thread_time_ns clock_gettime clock_gettime_ns sleep"
)


class Line:
    """The pipes to the process outside: messages and raw bytes, each with its length before it."""

    def __init__(self) -> None:
        self.columns: memoryview | None = None
        self._watched = ""
        self._call: FrameType | None = None
        self._looks = 0

    def watch(self, file: str) -> None:
        """From now on tell and end this when a single call into the code of `file` computes too long."""
        self._watched = file

    def look(self, _: int, frame: FrameType | None) -> None:
        """Called while this computes, some times a second: is it still the same call?"""
        call, line = None, 0
        while frame is not None:
            if frame.f_code.co_filename == self._watched:
                call, line = frame, line or frame.f_lineno
            frame = frame.f_back
        if call is None or call is not self._call:
            self._call, self._looks = call, 0
            return
        self._looks += 1
        if self._looks * _LOOK_SECONDS >= _CALL_SECONDS:
            name = call.f_code.co_name.replace("<module>", "reading it")
            self.send({"failed": f"{name} computed for more than {_CALL_SECONDS:g} s ({self._watched}, line {line})"})
            os._exit(0)

    def receive(self) -> Any:
        """The next message; the process ends when there will be none."""
        kind, length = HEAD.unpack(self._read(HEAD.size))
        assert kind == _JSON, "only messages come in"
        return json.loads(self._read(length))

    def send(self, message: Any) -> None:
        """A message, as a dict or as JSON already, or raw bytes in as many pieces as it takes."""
        if isinstance(message, dict | str):
            text = message if isinstance(message, str) else json.dumps(message, separators=(",", ":"))
            self._write(_JSON, text.encode())
            return
        raw = memoryview(message).cast("B")
        for first in range(0, len(raw), _PIECE):
            self._write(_RAW, raw[first : first + _PIECE])

    @staticmethod
    def _read(length: int) -> bytes:
        parts = []
        while length:
            part = os.read(0, min(length, _PIECE))
            if not part:
                os._exit(0)
            parts.append(part)
            length -= len(part)
        return b"".join(parts)

    @staticmethod
    def _write(kind: int, payload: "bytes | memoryview") -> None:
        left = memoryview(HEAD.pack(kind, len(payload)) + payload)
        while left:
            left = left[os.write(1, left) :]


class _Nowhere(io.TextIOBase):
    """Where a strategy's prints go."""

    def write(self, text: str, /) -> int:
        return len(text)


def main() -> None:
    line = Line()
    task = line.receive()
    try:
        entry = _prepare(task, line)
    except Exception as error:  # noqa: BLE001 # whatever it is, the other side tells it
        line.send({"unable": _told(error)})
        return
    line.send({"started": True})
    try:
        entry(line)
    except BaseException as error:  # noqa: BLE001 # a strategy may raise whatever it likes
        line.send({"failed": _told(error)})
    os._exit(0)


def _told(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        return "out of memory"
    if isinstance(error, RecursionError):
        return "nested too deep: RecursionError"
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:_TEXT_MAX]


def _prepare(task: dict[str, Any], line: Line) -> Callable[[Line], None]:
    """Everything that takes rights which nobody has afterwards."""
    _settle_randomness()
    sys.path.insert(0, _SITE)
    vars(sys)["modules"] |= {"pandas": None, "polars": None}  # which TA-Lib asks for; it takes no for an answer at once
    module, _, name = task["entry"].partition(":")
    entry: Callable[[Line], None] = getattr(importlib.import_module(module), name)
    given = line.receive()
    _limit(given["limits"])
    if given["columns"]:
        line.columns = memoryview(mmap.mmap(given["columns_fd"], given["columns"], prot=mmap.PROT_READ))
    os.closerange(3, max(given["columns_fd"], _DESCRIPTORS) + 1)  # a mapping stays when its descriptors go
    random.seed()  # whatever was drawn until here
    os.environ.clear()  # noqa: TID251 # there was little in it
    sys.stdin = sys.stdout = sys.stderr = _Nowhere()
    gc.freeze()
    signal.signal(signal.SIGPROF, line.look)
    signal.setitimer(signal.ITIMER_PROF, _LOOK_SECONDS, _LOOK_SECONDS)  # it goes on when nobody may set one any more
    _stop_clocks()
    _lock(base64.b64decode(task["filter"]))
    return entry


def _limit(limits: dict[str, int]) -> None:
    """Hard limits of this process, which it cannot raise again."""
    seconds = limits["cpu_seconds"]
    for what, soft, hard in (
        (resource.RLIMIT_AS, limits["memory_bytes"], limits["memory_bytes"]),
        (resource.RLIMIT_CPU, seconds, seconds + 1),
        (resource.RLIMIT_FSIZE, limits["file_bytes"], limits["file_bytes"]),
        (resource.RLIMIT_NOFILE, 32, 32),
        (resource.RLIMIT_NPROC, 0, 0),
        (resource.RLIMIT_CORE, 0, 0),
        (resource.RLIMIT_MEMLOCK, 0, 0),
    ):
        resource.setrlimit(what, (soft, hard))


def _settle_randomness() -> None:
    """The same draws in every run, also where nobody gave a seed."""
    drawn = itertools.count()
    seed_with = random.Random.seed

    def urandom(size: int, /) -> bytes:
        return hashlib.shake_256(next(drawn).to_bytes(8, "big")).digest(size)

    def seed(self: random.Random, given: Any = None, version: int = 2) -> None:
        seed_with(self, 0 if given is None else given, version)

    os.urandom = urandom
    type.__setattr__(random.Random, "seed", seed)
    vars(random).update(_urandom=urandom, seed=vars(random)["_inst"].seed)


def _stop_clocks() -> None:
    """Asking for the time is a mistake that is told: an answer would differ from run to run."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise RuntimeError("a strategy has no clock: the time is that of the bar, bar.end")

    for name in _CLOCKS.split():
        if hasattr(time, name):
            setattr(time, name, refuse)
    for kind, names in ((datetime, ("now", "utcnow", "today")), (date, ("today",))):
        (own,) = gc.get_referents(vars(kind))  # the dictionary of a type in C, which cannot be set otherwise
        own |= dict.fromkeys(names, classmethod(refuse))
        ctypes.pythonapi.PyType_Modified(ctypes.py_object(kind))


def _lock(program: bytes) -> None:
    """The second filter: from here on nothing but reading, writing, memory and the end."""

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))

    prctl = ctypes.CDLL(None, use_errno=True).prctl
    held = Program(len(program) // 8, program)
    for option, value in ((_PR_SET_NO_NEW_PRIVS, 1), (_PR_SET_SECCOMP, 2)):
        if prctl(option, value, ctypes.byref(held) if value == 2 else 0, 0, 0):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), f"prctl {option}")


if __name__ == "__main__":
    main()
