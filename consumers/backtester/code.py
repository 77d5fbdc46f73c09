"""Which code computed a result."""

import hashlib
from pathlib import Path

import engine


def code_hash() -> str:
    """SHA-256 over the sources of the engine and its strategies, by path."""
    assert engine.__file__ is not None, "the engine is a package with a file"
    folder = Path(engine.__file__).parent
    whole = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        text = path.read_bytes().replace(b"\r\n", b"\n")
        whole.update(f"{path.relative_to(folder).as_posix()}:{len(text)};".encode() + text)
    return whole.hexdigest()
