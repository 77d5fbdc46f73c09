"""The kill flag: what was stopped at once, in a file that the executor reads before every send.

It needs neither Kafka nor PostgreSQL. Whoever changes it holds the lock alone; the executor holds it with others from
its last look until the order is on the socket, so that no order slips between a kill and its acknowledgement.
"""

import asyncio
import contextlib
import errno
import fcntl
import os
import re
from collections.abc import AsyncIterator, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from infra.errors import UsageError
from schemas.event import Name, UtcTime

GLOBAL = "global"
FENCE_SECONDS = 0.03
"""How long a kill waits for an order that is on its way to the socket: it takes microseconds."""
_LOOK_SECONDS = 0.0005
REASON_MAX = 400
_NAME_MAX = 128
_NO_NAME = re.compile(r"[^A-Za-z0-9._:/ -]")
_UNREADABLE = "unreadable"
_NOBODY_KNOWS = datetime(1970, 1, 1, tzinfo=UTC)
_LIFTED_KEPT = timedelta(hours=1)
"""An approval lives for seconds: whatever is older has expired by itself."""


class Kill(BaseModel):
    """What was stopped: no order of the scope goes out until somebody arms it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    kill_id: Name
    scope: Name
    """`global`, `account:ID`, `strategy:ID` or `symbol:NAME`."""
    reason: Annotated[str, Field(max_length=REASON_MAX)]
    by: Name
    at: UtcTime
    """Wall time."""

    @property
    def is_global(self) -> bool:
        """Of a scope that names nobody, as `account:`, nobody can tell what it spares."""
        return _is_global(self.scope)

    def __str__(self) -> str:
        return f"{self.scope} was killed at {self.at:%F %T}Z by {self.by}: {self.reason}"


class Lifted(BaseModel):
    """When a scope was last let trade again: what was approved before that belongs to what the kill has ended."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    scope: Name
    at: UtcTime
    """Wall time."""


class Kills(BaseModel):
    """Everything that is stopped, and what was lifted lately; the content of the file."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    kills: tuple[Kill, ...] = ()
    lifted: tuple[Lifted, ...] = ()

    def why_not(self, scopes: Iterable[str], approved_at: datetime) -> str | None:
        """What keeps back an order of these scopes that risk has approved then (wall time)."""
        wanted = set(scopes)
        if (kill := self.of(wanted)) is not None:
            return str(kill)
        for each in self.lifted:
            if approved_at <= each.at and (_is_global(each.scope) or each.scope in wanted):
                return f"it was approved before the kill of {each.scope} was lifted at {each.at:%F %T}Z"
        return None

    def of(self, scopes: Iterable[str]) -> Kill | None:
        """The kill that concerns an order of these scopes."""
        wanted = set(scopes)
        return next((kill for kill in self.kills if kill.is_global or kill.scope in wanted), None)

    def with_(self, added: Kill) -> "Kills":
        return Kills(kills=(*(kill for kill in self.kills if kill.scope != added.scope), added), lifted=self.lifted)

    def without(self, scopes: Iterable[str], at: datetime) -> "Kills":
        """What is left when these are let trade again at that moment (wall time)."""
        lifted = set(scopes)
        before = [each for each in self.lifted if each.scope not in lifted and each.at > at - _LIFTED_KEPT]
        return Kills(
            kills=tuple(kill for kill in self.kills if kill.scope not in lifted),
            lifted=(*before, *(Lifted(scope=scope, at=at) for scope in sorted(lifted))),
        )


def _is_global(scope: str) -> bool:
    return scope == GLOBAL or scope.endswith(":")


def scope_of(kind: str, name: str = "") -> str:
    """`account` and `DU1` are `account:DU1`; UsageError for what is no scope."""
    if kind in ("", "all", GLOBAL) and not name:
        return GLOBAL
    if kind not in ("account", "strategy", "symbol"):
        raise UsageError(f"no scope {kind!r}: account, strategy or symbol with its NAME, or none for everything")
    if not name:
        raise UsageError(f"which {kind}? write its NAME after --scope {kind}")
    return f"{kind}:{name}"


def as_name(text: str) -> str:
    """A name that every record takes, of what people and systems are called: stopping is refused to nobody for it."""
    return _NO_NAME.sub("-", text)[:_NAME_MAX]


class KillFlag:
    """The file of one SCIZOR_HOME, for its readers and for those who change it."""

    def __init__(self, home: Path) -> None:
        self.file = home / "kill.json"
        self._lock_file = home / "kill.lock"
        self._lock: int | None = None
        self._stamp: tuple[int, int, int] | None = None
        self._kills = Kills()

    # readers

    def read(self) -> Kills:
        """What is stopped. A flag that cannot be read stops everything."""
        try:
            found = self.file.stat()
        except FileNotFoundError:
            self._stamp, self._kills = None, Kills()
            return self._kills
        except OSError as error:
            return _stopped_by(f"{self.file} cannot be read: {error.strerror}")
        stamp = found.st_mtime_ns, found.st_ino, found.st_size
        if stamp != self._stamp:
            try:
                self._kills = Kills.model_validate_json(self.file.read_bytes())
            except (OSError, ValidationError):
                return _stopped_by(f"{self.file} cannot be understood: `scizor arm` writes it anew")
            self._stamp = stamp
        return self._kills

    @contextlib.contextmanager
    def sending(self, scopes: Iterable[str], approved_at: datetime) -> Iterator[str | None]:
        """Why an order of these scopes, approved then, may not go out, or None; write it to the socket inside."""
        lock = self._held()
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            yield "a kill is being written"
            return
        try:
            yield self.read().why_not(scopes, approved_at)
        finally:
            fcntl.flock(lock, fcntl.LOCK_UN)

    # those who change it

    @contextlib.asynccontextmanager
    async def fenced(self) -> AsyncIterator[bool]:
        """Nothing is sent inside the block; False when a sender did not let go in time, for instance one that hangs."""
        lock = self._held()
        fence = False
        for _ in range(round(FENCE_SECONDS / _LOOK_SECONDS)):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                fence = True
                break
            except BlockingIOError:
                await asyncio.sleep(_LOOK_SECONDS)
        try:
            yield fence
        finally:
            if fence:
                fcntl.flock(lock, fcntl.LOCK_UN)

    def write(self, kills: Kills) -> None:
        """Replace it in one step: readers see it at once. `force` puts it on the disk."""
        self._put(kills.model_dump_json(indent=2).encode())

    def add(self, kill: Kill) -> Kill:
        """Stop one thing more: what is stopped by that. On a full disk it is everything, by a flag without a word."""
        try:
            self.write(self.read().with_(kill))
        except OSError as error:
            try:
                self._put(b"")
            except OSError:
                raise error from None
            why = f"{kill.reason} (everything, since the flag cannot be written: {error.strerror})"
            return kill.model_copy(update={"scope": GLOBAL, "reason": why[:REASON_MAX]})
        return kill

    def _put(self, content: bytes) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        draft = self.file.with_name(f".kill.{os.getpid()}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            if os.write(descriptor, content) < len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(draft))
        finally:
            os.close(descriptor)
        draft.replace(self.file)

    def force(self) -> None:
        """Blocking: returns when the file survives a power cut."""
        for path in (self.file, self.file.parent):
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def _held(self) -> int:
        if self._lock is None:
            self._lock_file.parent.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self._lock_file, os.O_RDWR | os.O_CREAT, 0o600)
        return self._lock

    def close(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _stopped_by(reason: str) -> Kills:
    """A flag in doubt is a flag that is set."""
    return Kills(kills=(Kill(kill_id=_UNREADABLE, scope=GLOBAL, reason=reason, by="kill flag", at=_NOBODY_KNOWS),))
