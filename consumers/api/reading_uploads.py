"""What an uploaded text says of itself: bounds that are checked here, everything else read inside the sandbox."""

import asyncio
from http import HTTPStatus
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from consumers.api.problems import ApiError, InvalidError, TooManyError
from consumers.api.unstorable import refuse_unstorable
from infra.clock import Clock
from infra.sandbox.canary import SandboxGate
from infra.sandbox.conversation import Limits
from infra.sandbox.errors import SandboxedError, SandboxUnavailableError

SOURCE_BYTES_MAX = 256 * 1024
UPLOADS_PER_HOUR_MAX = 60
"""Of one key, refused ones counted."""

_LIMITS = Limits(turn_seconds=10.0, cpu_seconds=4)
_AT_ONCE_MAX = 1
_HOUR_SECONDS = 3600.0
_KEYS_MAX = 10_000
_TEXT_CONTROLS = "\t\n\r\f"


class TooLargeError(ApiError):
    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


class Described(BaseModel):
    """What the sandbox read out of a text; nobody vouches for it."""

    model_config = ConfigDict(extra="ignore", frozen=True, populate_by_name=True)

    description: Annotated[str, Field(max_length=1000)] = ""
    parameters: Annotated[dict[str, Any], Field(max_length=100)] = Field(default_factory=dict)
    parameter_schema: dict[str, Any] = Field(default_factory=dict, alias="schema")
    unread: str = ""
    """Why it could not be looked at."""


def bytes_of(code: str) -> bytes:
    """The text as it is stored. Raises what says why it is no strategy's file."""
    source = code.encode()
    if len(source) > SOURCE_BYTES_MAX:
        raise TooLargeError(f"code: {len(source):,} bytes are too many: one .py file of at most {SOURCE_BYTES_MAX:,}")
    if not code.strip():
        raise InvalidError("code: empty: send the text of one .py file")
    if any(letter < " " and letter not in _TEXT_CONTROLS for letter in code):
        raise InvalidError("code: not the text of a .py file: archives and binary files are not taken")
    return source


class UploadReader:
    """Has texts described, one at a time, and no more of a caller's than fit into an hour."""

    def __init__(self, gate: SandboxGate, clock: Clock) -> None:
        self._gate = gate
        self._clock = clock
        self._turns = asyncio.Semaphore(_AT_ONCE_MAX)
        self._taken: dict[str, list[float]] = {}

    def count(self, key_id: str) -> None:
        """One more of this key. Raises TooManyError."""
        now = self._clock.monotonic()
        recent = [each for each in self._taken.get(key_id, []) if now - each < _HOUR_SECONDS]
        if len(recent) >= UPLOADS_PER_HOUR_MAX:
            raise TooManyError(f"{UPLOADS_PER_HOUR_MAX} uploads an hour: wait {recent[0] + _HOUR_SECONDS - now:.0f} s")
        if len(self._taken) >= _KEYS_MAX:
            self._taken.clear()
        self._taken[key_id] = [*recent, now]

    async def describe(self, name: str, source: bytes) -> Described:
        """Raises InvalidError with what is wrong with the text."""
        try:
            async with self._turns:
                told = await asyncio.to_thread(self._ask, {"name": name, "source": source.decode()})
        except SandboxUnavailableError as error:
            return Described(unread=str(error)[:1000])
        except SandboxedError as error:
            raise InvalidError(f"code: it could not be read: {error}") from error
        if failure := told.get("failed"):
            raise InvalidError(f"code: {str(failure).removeprefix('StrategySourceError: ')[:1000]}")
        try:
            refuse_unstorable(told)
            return Described.model_validate(told)
        except (ValidationError, ValueError) as error:
            raise InvalidError("code: its description or its parameters are more than can be kept") from error

    def _ask(self, task: dict[str, Any]) -> dict[str, Any]:
        with self._gate.sandbox().start("engine.sandboxed:describe", _LIMITS) as child:
            child.send(task)
            told = child.receive()
        if not isinstance(told, dict):
            raise SandboxedError("the strategy's process wrote what is no message")
        return told
