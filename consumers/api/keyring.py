"""The API keys in memory: asking for one costs no query, and works while the database is away."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from structlog.typing import FilteringBoundLogger

from consumers.api.problems import AWAY, UnavailableError
from infra.api_keys import KeyRecord, key_id_of
from infra.clock import Clock

REFRESH_SECONDS = 5.0
"""A revoked key is refused after this at the latest, as long as the database answers."""
STALE_SECONDS_MAX = 3600.0
"""Without the database, keys are believed this long: long enough to halt trading in any outage that gets noticed."""
_LOOK_AGAIN_SECONDS = 1.0
_LOAD_SECONDS_MAX = 5.0

Load = Callable[[], Awaitable[Sequence[KeyRecord]]]


class Keyring:
    """Every key that is not revoked, by its id."""

    def __init__(self, load: Load, clock: Clock, log: FilteringBoundLogger) -> None:
        self._load = load
        self._clock = clock
        self._log = log
        self._keys: dict[str, KeyRecord] = {}
        self._loaded_at: float | None = None
        self._looked_at: float | None = None
        self._loading = asyncio.Lock()
        self.trouble: str | None = "the keys were not read yet"
        """Why the last reading failed; the database is away."""

    async def find(self, text: str) -> KeyRecord | None:
        """The good key of this text; None when there is none. Raises UnavailableError when that cannot be told."""
        key_id = key_id_of(text)
        if key_id is None:
            return None
        if key_id not in self._keys:
            await self._look_again()
        if self._loaded_at is None or self._clock.monotonic() - self._loaded_at > STALE_SECONDS_MAX:
            raise UnavailableError("keys cannot be checked, the database does not answer: try again; see /health")
        record = self._keys.get(key_id)
        return record if record is not None and record.opens(text, self._clock.now()) else None

    async def _look_again(self) -> None:
        """It may have been made a moment ago; whoever tries keys by guessing costs few queries all the same."""
        now = self._clock.monotonic()
        if self._looked_at is None or now - self._looked_at >= _LOOK_AGAIN_SECONDS:
            self._looked_at = now
            await self.refresh()
        elif self._loading.locked():  # another request with the same new key has made us look
            async with self._loading:
                return

    async def refresh(self) -> None:
        """Read all keys; when the database is away, keep those that are known."""
        async with self._loading:
            try:
                async with asyncio.timeout(_LOAD_SECONDS_MAX):
                    records = await self._load()
            except AWAY as error:
                if self.trouble is None:
                    self._log.warning("keys not refreshed", error=type(error).__name__)
                self.trouble = f"the database does not answer ({type(error).__name__})"
                return
            self._keys = {record.key_id: record for record in records if record.revoked_at is None}
            self._loaded_at = self._clock.monotonic()
            self.trouble = None

    async def keep_fresh(self) -> None:
        """Read all keys again and again; the background task of a service."""
        while True:
            await self.refresh()
            await asyncio.sleep(REFRESH_SECONDS)
