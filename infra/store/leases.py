"""Who leads: one process at a time holds a lease, and its epoch tells a former holder that it is one no more.

The lease is a lock of a database session: it falls free the moment its holder dies, and a holder that is only
frozen keeps it. Every change of holder raises the epoch, which whoever acts for the lease checks in its transaction.

What happens outside of transactions is fenced by time: a holder trusts its lease for half as long as another slot
waits after the last beat. So one whose session was cut while it was frozen acts no more before another one does. The
next process of the same slot need not wait: its supervisor has seen the last one die.
"""

import asyncio
import contextlib

from sqlalchemy import TextClause
from sqlalchemy import text as sql
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from infra.clock import Clock
from infra.errors import EnvironmentUnhealthyError
from infra.settings import Settings
from infra.store import connection
from infra.store.revision import refuse_tables_of_another_build

_TRY_SECONDS = 0.25
_BEAT_SECONDS = 1.0
_BEAT_PATIENCE_SECONDS = 5.0
_LIFE = f"interval '{2 * _BEAT_PATIENCE_SECONDS:g} s'"

_LOCK = sql("SELECT pg_try_advisory_lock(hashtext('scizor lease'), hashtext(:name))")
# the first epoch of a database is the time: should it be lost, those of the next one lie above all that went before,
# unless clocks were set back or the next one is an old backup; who leads by what topics hold calls `raise_above`
_LEAD = sql(
    "INSERT INTO leases (name, holder, epoch, expires_at, acquired_at)"
    f" VALUES (:name, :holder, floor(extract(epoch FROM now())), now() + {_LIFE}, now())"
    " ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, epoch = leases.epoch + 1,"
    " expires_at = excluded.expires_at, acquired_at = excluded.acquired_at RETURNING epoch"
)
_BEAT = sql(f"UPDATE leases SET expires_at = now() + {_LIFE} WHERE name = :name AND epoch = :epoch RETURNING epoch")
_RAISE = sql(
    f"UPDATE leases SET epoch = greatest(epoch, CAST(:above AS bigint)) + 1, expires_at = now() + {_LIFE}"
    " WHERE name = :name AND epoch = :epoch RETURNING epoch"
)
_TRUSTED_FOR = sql(
    "SELECT extract(epoch FROM expires_at - now())::float8 FROM leases"
    " WHERE name = :name AND holder <> :holder AND expires_at > now()"
)
_HAND_OVER = sql("UPDATE leases SET expires_at = now() WHERE name = :name AND epoch = :epoch")


class LeaseLostError(EnvironmentUnhealthyError):
    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"the lease {name!r} is lost ({why}): another process may lead now, this one stops")


class Lease:
    """Acquire it before leading, keep it with a background task, and check `epoch` in every transaction."""

    def __init__(self, settings: Settings, name: str, clock: Clock) -> None:
        self.name = name
        self.epoch = 0
        self._holder = settings.instance
        self._clock = clock
        self._engine: AsyncEngine = connection.engine(
            settings.database_url.get_secret_value(), name=f"lease {name}", pool_size=1
        )
        self._session: AsyncConnection | None = None
        self._beaten_at = 0.0
        self._asking = asyncio.Lock()

    @property
    def fresh(self) -> bool:
        """Whether the database confirmed the lease within the last seconds."""
        return self.epoch > 0 and self._clock.monotonic() - self._beaten_at < _BEAT_PATIENCE_SECONDS

    async def acquire(self) -> None:
        """Wait until no other process leads, then lead; nobody leads over the tables of another build."""
        session = await self._engine.connect()
        self._session = session = await session.execution_options(isolation_level="AUTOCOMMIT")
        await refuse_tables_of_another_build(session)
        while not await session.scalar(_LOCK, {"name": self.name}):  # noqa: ASYNC110 # the holder is another process
            await asyncio.sleep(_TRY_SECONDS)
        who = {"name": self.name, "holder": self._holder}
        while (left := await session.scalar(_TRUSTED_FOR, who)) is not None:  # noqa: ASYNC110 # the time is the database's
            await asyncio.sleep(min(left, _BEAT_SECONDS))
        epoch = await session.scalar(_LEAD, who)
        assert epoch is not None, "the statement returns the epoch"
        self.epoch = epoch
        self._beaten_at = self._clock.monotonic()

    async def keep(self) -> None:
        """Until it is lost: then LeaseLostError. For `Service.task`."""
        while True:
            await asyncio.sleep(_BEAT_SECONDS)
            await self.confirm()

    async def confirm(self) -> None:
        """Ask the database now whether this process leads; LeaseLostError when it does not, or nobody can tell."""
        await self._ask(_BEAT)

    async def raise_above(self, epoch: int) -> None:
        """Lead with a higher epoch than one that topics hold of another life of the database."""
        self.epoch = await self._ask(_RAISE, above=epoch)

    async def _ask(self, statement: TextClause, **values: int) -> int:
        assert self._session is not None, "acquire the lease first"
        begun = self._clock.monotonic()
        try:
            async with self._asking, asyncio.timeout(_BEAT_PATIENCE_SECONDS):
                mine = {"name": self.name, "epoch": self.epoch}
                epoch: int | None = await self._session.scalar(statement, mine | values)
        except connection.WORLD as error:
            raise LeaseLostError(self.name, str(error) or type(error).__name__) from error
        if epoch is None:
            raise LeaseLostError(self.name, "its epoch has changed")
        self._beaten_at = begun
        return epoch

    async def release(self) -> None:
        """Let another process lead at once."""
        epoch, self.epoch = self.epoch, 0
        if self._session is not None:
            with contextlib.suppress(*connection.WORLD):
                await self._session.execute(_HAND_OVER, {"name": self.name, "epoch": epoch})
            await self._session.close()
        await self._engine.dispose()
