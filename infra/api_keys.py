"""API keys: what one looks like, what of it is kept, and what its role permits.

Only the SHA-256 of a key is kept. That is enough, because a key is 256 random bits: nobody can try them all, so the
slow hash or the secret pepper that a guessable password needs would buy nothing.
"""

import hashlib
import hmac
import re
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from infra.keys import new_secret

_ID_BYTES = 6
_SECRET_BYTES = 32
_SHAPE = re.compile(r"scz_([A-Za-z0-9_-]{8})_[A-Za-z0-9_-]{43}")


class Role(StrEnum):
    """viewer reads; trader also trades, halts and lowers limits; admin also arms and raises limits."""

    VIEWER = "viewer"
    TRADER = "trader"
    ADMIN = "admin"

    def includes(self, other: "Role") -> bool:
        """Whether whoever has this role may do what `other` may."""
        ranks = list(Role)
        return ranks.index(self) >= ranks.index(other)


@dataclass(frozen=True)
class NewKey:
    """A key that was just drawn; `text` is shown to its owner once and kept nowhere."""

    text: str = field(repr=False)
    key_id: str
    digest: bytes = field(repr=False)


@dataclass(frozen=True)
class KeyRecord:
    """What is kept of a key."""

    key_id: str
    """The part of the key that follows `scz_`: by it the key is looked up, and it may be shown and logged."""
    label: str
    digest: bytes = field(repr=False)
    role: Role
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None

    def good(self, now: datetime) -> bool:
        """Neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    def opens(self, text: str, now: datetime) -> bool:
        """Whether `text` is this key, and the key is still good."""
        return hmac.compare_digest(digest_of(text), self.digest) and self.good(now)


def new_key() -> NewKey:
    """Draw a key: `scz_<key id>_<secret>`."""
    key_id = new_secret(_ID_BYTES)
    text = f"scz_{key_id}_{new_secret(_SECRET_BYTES)}"
    return NewKey(text, key_id, digest_of(text))


def digest_of(text: str) -> bytes:
    """What is kept of a key's text."""
    return hashlib.sha256(text.encode()).digest()


def key_id_of(text: str) -> str | None:
    """The part of a key by which it is looked up; None when this is no key at all."""
    match = _SHAPE.fullmatch(text)
    return match.group(1) if match else None
