"""The compiled loops as machine code, kept beside the byte code as Numba keeps its own: they are there without Numba,
which takes a third of a second to load."""

import hashlib
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from importlib.util import cache_from_source
from pathlib import Path
from typing import Any

import llvmlite
import llvmlite.binding as llvm

from engine.lean_imports import imported

_SOURCES = ("loops.py", "compiled.py", "entries.py")
_DIGEST_BYTES = 32


@cache
def engine() -> Any:
    """LLVM's, with the loops in it: `get_function_address` says where each lies, for as long as this is kept."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    triple, cpu = llvm.get_process_triple(), llvm.get_host_cpu_name()
    features = llvm.get_host_cpu_features().flatten()
    machine = llvm.Target.from_triple(triple).create_target_machine(
        cpu=cpu, features=features, opt=3, reloc="default", codemodel="jitdefault", jit=True
    )
    made_of = [Path(__file__).with_name(name).read_bytes() for name in _SOURCES]
    key = b"\0".join((*made_of, f"{version('numba')} {llvmlite.__version__} {triple} {cpu} {features}".encode()))
    code = kept(key, lambda: imported("engine.column_path.entries").object_code(machine), _places())
    loaded = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    loaded.add_object_file(llvm.ObjectFileRef.from_data(code))
    loaded.finalize_object()
    return loaded


def kept(key: bytes, make: Callable[[], bytes], places: Sequence[Path]) -> bytes:
    """What was made for `key` and kept whole in one of the places; else it is made, and kept in the first that can."""
    for place in places:
        content = _read(place)
        digest, code = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
        if digest == _digest(key, code):
            return code
    code = make()
    for place in places:
        if _written(place, _digest(key, code) + code):
            break
    return code


def _places() -> tuple[Path, ...]:
    """An installation may not be its user's to write to, who may have no home."""
    beside = Path(cache_from_source(__file__)).with_suffix(".loops")
    try:
        return beside, Path.home() / ".cache" / "scizor" / beside.name
    except RuntimeError:
        return (beside,)


def _digest(key: bytes, code: bytes) -> bytes:
    return hashlib.sha256(hashlib.sha256(key).digest() + code).digest()


def _read(place: Path) -> bytes:
    try:
        return place.read_bytes()
    except OSError:  # not there, or not this user's
        return b""


def _written(place: Path, content: bytes) -> bool:
    """Whole or not at all, whoever else writes it now."""
    part = place.with_name(f"{place.name}.{os.getpid()}")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(content)
        part.replace(place)
    except OSError:  # no room, or not this user's: it is kept elsewhere, or made again by the next process
        with suppress(OSError):
            part.unlink()
        return False
    return True
