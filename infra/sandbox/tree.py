"""The only files that exist inside: an interpreter, a few packages, our engine; each bound read-only from the host."""

import functools
import json
import os
import struct
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from infra.sandbox.errors import SandboxUnavailableError
from infra.settings import REPOSITORY

HOME = "/python"
SITE = "/site"
LIBRARIES = "/libraries"
CHILD = "/child.py"

_OURS = ("engine", "schemas")
_DISTRIBUTIONS = (
    "numpy",
    "msgspec",
    "pydantic",
    "pydantic_core",
    "annotated-types",
    "typing-extensions",
    "typing-inspection",
    "TA-Lib",
)
_HIDDEN = ("site-packages", "dist-packages", "test", "idlelib", "ensurepip", "tkinter", "lib2to3", "turtledemo")
"""Of the standard library: what nobody computes with."""

# Which libraries of the system the interpreter, our packages and the heavier parts of the standard library load.
_PROBE = """
import json, os, sys
sys.path[:] = json.loads(sys.argv[1])
sys.modules |= {"pandas": None, "polars": None}  # which TA-Lib would load where they are installed
import bz2, ctypes, decimal, hashlib, lzma, resource, zlib
import numpy.fft, numpy.linalg, numpy.random
import msgspec, pydantic, talib

class Loaded(ctypes.Structure):
    _fields_ = [("address", ctypes.c_size_t), ("name", ctypes.c_char_p)]

paths = set()
note = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(Loaded), ctypes.c_size_t, ctypes.c_void_p)(
    lambda loaded, size, data: paths.add(os.path.normpath(loaded.contents.name.decode())) or 0
)
ctypes.CDLL(None).dl_iterate_phdr(note, None)  # by the names that were asked for, which the maps do not tell
print(json.dumps(sorted(path for path in paths if path.startswith("/"))))
"""
_PROBE_SECONDS = 60


@dataclass(frozen=True)
class Tree:
    """What is bound where, and how the interpreter inside is called."""

    python: str
    bindings: tuple[tuple[str, str], ...]
    """(on the host, inside), a folder before what lies in it."""
    hidden: tuple[str, ...]
    """Folders inside that are covered by an empty one."""


@functools.cache
def interpreter_tree() -> Tree:
    """The tree of this interpreter. Raises SandboxUnavailableError when one of its parts is not to be found."""
    executable = Path(os.path.realpath(sys.executable))
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    library = Path(sysconfig.get_path("stdlib"))
    inside = f"{HOME}/{sys.platlibdir}/{version}"
    python = f"{HOME}/bin/{version}"
    bindings = [(str(executable), python), (str(library), inside)]
    dynamic = Path(sysconfig.get_config_var("DESTSHARED") or library / "lib-dynload")
    if not dynamic.is_relative_to(library):
        bindings.append((str(dynamic), f"{inside}/lib-dynload"))
    parts = _parts()
    bindings += [(str(path), f"{SITE}/{path.name}") for path in parts]
    loader = _loader(executable)
    known = (library, dynamic, *parts)
    for each in _system_libraries():
        if not any(each.is_relative_to(folder) for folder in known):
            bindings.append((os.path.realpath(each), f"{LIBRARIES}/{each.name}"))
    here = Path(__file__).parent
    bindings += [
        (os.path.realpath(loader), loader),
        (str(here / "child.py"), CHILD),
        (str(here / "canary_inside.py"), f"{SITE}/canary.py"),
    ]
    hidden = tuple(f"{inside}/{name}" for name in _HIDDEN if (library / name).is_dir())
    return Tree(python, tuple(bindings), hidden)


def _parts() -> list[Path]:
    """The top-level files and folders of the packages, ours too."""
    found = [REPOSITORY / name for name in _OURS]
    for name in _DISTRIBUTIONS:
        try:
            files = distribution(name).files or []
        except PackageNotFoundError as error:
            raise SandboxUnavailableError(f"the package {name} is not installed: pip install {name}") from error
        tops = {file.parts[0]: file for file in files if ".." not in file.parts}
        for top, file in sorted(tops.items()):
            if not top.endswith((".dist-info", ".pyi", ".pth")) and top != "__pycache__":
                found.append(Path(str(file.locate())).parents[len(file.parts) - 1] / top)
    return found


def _system_libraries() -> list[Path]:
    """Asked of a process outside, which loads nothing but what is trusted."""
    command = [sys.executable, "-I", "-c", _PROBE, json.dumps(sys.path)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PROBE_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SandboxUnavailableError(f"the interpreter's libraries cannot be found out: {error}") from error
    if done.returncode:
        why = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
        raise SandboxUnavailableError(f"the interpreter's libraries cannot be found out: {why}")
    return [Path(each) for each in json.loads(done.stdout)]


def _loader(executable: Path) -> str:
    """The program interpreter that the executable names (ELF, 64 bits, little-endian: PT_INTERP)."""
    with executable.open("rb") as file:
        head = file.read(64)
        if head[:6] != b"\x7fELF\x02\x01":
            raise SandboxUnavailableError(f"{executable} is no 64-bit program of Linux: the sandbox needs Linux")
        (offset,) = struct.unpack_from("<Q", head, 32)
        size, count = struct.unpack_from("<HH", head, 54)
        file.seek(offset)
        for entry in struct.iter_unpack(f"<I4xQ16xQ{size - 40}x", file.read(size * count)):
            kind, place, length = entry
            if kind == 3:
                file.seek(place)
                return file.read(length).rstrip(b"\0").decode()
    raise SandboxUnavailableError(f"{executable} needs no loader: the sandbox cannot be made for it")
