"""Secrets: how they are drawn, and the 0600 files that keep them."""

import os
import secrets
from pathlib import Path

SECRET_BYTES = 24


def new_secret(size: int = SECRET_BYTES) -> str:
    """A fresh secret of `size` random bytes, as URL-safe characters."""
    return secrets.token_urlsafe(size)


def secret_in(path: Path) -> str:
    """The secret kept in `path`, drawn and written (mode 0600) at the first call."""
    try:
        return path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
    secret = new_secret()
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.touch(mode=0o600)
    draft.write_text(secret + "\n", encoding="ascii")
    try:
        os.link(draft, path)  # whoever comes first wins, and nobody ever reads half a file
    except FileExistsError:
        return path.read_text(encoding="ascii").strip()
    finally:
        draft.unlink()
    return secret


def write_secret(path: Path, secret: str) -> None:
    """Keep `secret` in `path` (mode 0600), in place of what was there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    draft.touch(mode=0o600, exist_ok=False)
    draft.write_text(secret + "\n", encoding="ascii")
    draft.replace(path)
