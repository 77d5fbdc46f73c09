"""Which code computed a result."""

import hashlib

from infra.settings import REPOSITORY

_CALENDARS = ("infra/session_close.py", "infra/gateway/hours.py", "infra/calendars/sessions.txt")


def code_hash(text_sha256: str = "") -> str:
    """SHA-256 over the sources of the engine and its strategies, by path, and over a strategy's own text if it has one.

    The calendars, by which live strategies know when a session ends, count too. `text_sha256` is the hash of that text.
    """
    sources = [*(REPOSITORY / "engine").rglob("*.py"), *(REPOSITORY / "infra/calendars").glob("*.py")]
    whole = hashlib.sha256()
    for path in sorted([*sources, *(REPOSITORY / each for each in _CALENDARS)]):
        text = path.read_bytes().replace(b"\r\n", b"\n")
        whole.update(f"{path.relative_to(REPOSITORY).as_posix()}:{len(text)};".encode() + text)
    engine = whole.hexdigest()
    return hashlib.sha256(f"{engine}:{text_sha256}".encode()).hexdigest() if text_sha256 else engine
