"""How PostgreSQL is reached, and what its failures mean to us."""

from typing import Any

import orjson
from asyncpg import InterfaceError as DriverError
from asyncpg import PostgresError
from sqlalchemy import URL, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InvalidatePoolError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from infra.delivery import ExhaustedError, TransientError, is_exhausted
from infra.errors import EnvironmentUnhealthyError, UsageError

_CONNECT_SECONDS = 10
_COMMAND_SECONDS = 60
_SERVER_SETTINGS = {
    "timezone": "UTC",
    "jit": "off",  # our statements are short: compiling them costs more than it saves
    "lock_timeout": "15s",
    "statement_timeout": "55s",
    "idle_in_transaction_session_timeout": "60s",
}
_POOL_WAIT_SECONDS = 10
_STATEMENT_CACHE = 400
_GOES_AWAY = ("08", "40", "53", "55", "57P")
"""SQLSTATE classes: connection, rollback, resources, not in a state to (a lock was not free, say), operator."""
_ABOUT_DATA = ("22", "23")
_SCHEMA_MISSING = ("42P01", "42703", "3F000")
_NOT_LET_IN = ("28000", "28P01", "3D000", "42501")


class StoreUnavailableError(TransientError, EnvironmentUnhealthyError):
    """PostgreSQL is down, restarting or overloaded: worth trying again."""


class StoreRefusedError(EnvironmentUnhealthyError):
    """PostgreSQL is there but does not let us work: password, rights or missing tables."""


def url_of(address: str) -> URL:
    """SQLAlchemy's URL of `postgresql://user:password@host:port/name`, also with libpq's `sslmode`."""
    if not address:
        raise EnvironmentUnhealthyError("no database is known: run `scizor up`, or set SCIZOR_DATABASE_URL")
    try:
        url = make_url(address)
    except ArgumentError:
        # the text may hold a password: it is not repeated
        raise UsageError("SCIZOR_DATABASE_URL is not a URL: write postgresql://user:password@host:port/name") from None
    if url.get_backend_name() != "postgresql" or not url.database:
        raise UsageError("SCIZOR_DATABASE_URL has to look like postgresql://user:password@host:port/name")
    query = dict(url.query)
    if "sslmode" in query:
        query["ssl"] = query.pop("sslmode")
    return url.set(drivername="postgresql+asyncpg", query=query)


def engine(address: str, *, name: str, pool_size: int) -> AsyncEngine:
    """A pool of at most `pool_size` connections, all kept; the application name shows in pg_stat_activity."""
    made = create_async_engine(
        url_of(address),
        pool_size=pool_size,
        max_overflow=0,
        pool_use_lifo=True,  # what one connection can do is not spread over all: a server process grows with its use
        pool_timeout=_POOL_WAIT_SECONDS,
        json_deserializer=orjson.loads,
        connect_args={
            "timeout": _CONNECT_SECONDS,
            "command_timeout": _COMMAND_SECONDS,
            "prepared_statement_cache_size": _STATEMENT_CACHE,
            "server_settings": {**_SERVER_SETTINGS, "application_name": f"scizor {name}"},
        },
    )
    event.listen(made.sync_engine, "checkout", _refuse_closed)
    return made


def _refuse_closed(adapted: Any, *_: object) -> None:
    """A connection that the other end has closed is not handed out: the pool opens new ones instead."""
    if adapted.driver_connection.is_closed():
        raise InvalidatePoolError


def place_of(url: URL) -> str:
    """Where the database is, without the password."""
    return f"{url.host or 'localhost'}:{url.port or 5432}/{url.database}"


def understood(error: BaseException, url: URL) -> Exception | None:
    """The failure in our words, or None when it is none of the world's: a constraint, a wrong statement."""
    place = place_of(url)
    if isinstance(error, PoolTimeoutError):
        return StoreUnavailableError(f"all connections to {place} are busy for {_POOL_WAIT_SECONDS} s")
    if is_exhausted(error):
        return ExhaustedError(f"no connection to {place} can be opened: {error}; this process ends, the next one may")
    if isinstance(error, OSError | TimeoutError):
        why = str(error) or type(error).__name__
        return StoreUnavailableError(f"PostgreSQL at {place} does not answer ({why}): try `scizor doctor`")
    cause = _driver_error(error)
    if isinstance(cause, PostgresError):
        return _by_state(cause.sqlstate or "", cause, place)
    if isinstance(cause, DriverError) and not isinstance(cause, ValueError):
        return StoreUnavailableError(f"the connection to PostgreSQL at {place} was lost: {cause}")
    return None


def is_about_data(error: BaseException) -> bool:
    """Whether PostgreSQL refused a value, not the statement: no retry helps, other rows are fine."""
    cause = _driver_error(error)
    if isinstance(cause, PostgresError):
        return (cause.sqlstate or "").startswith(_ABOUT_DATA)
    return isinstance(cause, DriverError) and isinstance(cause, ValueError)


def _driver_error(error: BaseException) -> BaseException | None:
    """asyncpg's own error, which SQLAlchemy wraps twice."""
    if isinstance(error, DBAPIError) and error.orig is not None:
        return error.orig.__cause__ or error.orig
    return error


def _by_state(state: str, error: BaseException | None, place: str) -> Exception | None:
    if state.startswith(_GOES_AWAY):
        return StoreUnavailableError(f"PostgreSQL at {place} could not do it now ({state}): {error}")
    if state in _SCHEMA_MISSING:
        return StoreRefusedError(f"tables are missing or old at {place}: run `scizor db upgrade` ({error})")
    if state in _NOT_LET_IN:
        return StoreRefusedError(f"PostgreSQL at {place} refused: {error}; check SCIZOR_DATABASE_URL")
    return None


WORLD = (SQLAlchemyError, PostgresError, DriverError, OSError, TimeoutError)
"""What connecting may raise when the world fails; ask `understood`."""
STATEMENT_FAILURES = (SQLAlchemyError, PostgresError, DriverError)
"""What a statement may raise."""
