"""Which code computed a result."""

import hashlib

from infra.settings import REPOSITORY


def code_hash(text_sha256: str = "") -> str:
    """SHA-256 over the sources of the engine and its strategies, by path, and over a strategy's own text if it has one.

    `text_sha256` is the hash of that text.
    """
    folder = REPOSITORY / "engine"
    whole = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        text = path.read_bytes().replace(b"\r\n", b"\n")
        whole.update(f"{path.relative_to(folder).as_posix()}:{len(text)};".encode() + text)
    engine = whole.hexdigest()
    return hashlib.sha256(f"{engine}:{text_sha256}".encode()).hexdigest() if text_sha256 else engine
