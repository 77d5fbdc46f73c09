"""Where searches are kept: Optuna's studies in our PostgreSQL, in a schema of their own, or in a file without one."""

import logging
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import optuna
import psycopg
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial
from sqlalchemy.exc import SQLAlchemyError

from infra.clock import Clock
from infra.errors import EnvironmentUnhealthyError
from infra.settings import Settings
from infra.store.connection import StoreUnavailableError, place_of, url_of

Direction = Literal["maximize", "minimize"]

SCHEMA = "optuna"
_LOCK = 7_015_482_311  # any number: two processes must not make the tables at once
_CONNECT_SECONDS = 10
_SHARE = 0.25
"""Part of the time that keeping may take: a run that is quicker than its writing is sooner run again."""
_SEARCH = "search"

logging.getLogger("alembic").setLevel(logging.WARNING)  # Optuna's tables tell of themselves otherwise


@contextmanager
def in_database(settings: Settings) -> Iterator[BaseStorage]:
    """Studies in PostgreSQL. EnvironmentUnhealthyError when it cannot be reached or does not let us."""
    url = url_of(settings.database_url.get_secret_value())
    query = {("sslmode" if name == "ssl" else name): value for name, value in url.query.items()}
    plain = url.set(drivername="postgresql", query=query)
    try:
        with psycopg.connect(
            plain.render_as_string(hide_password=False), autocommit=True, connect_timeout=_CONNECT_SECONDS
        ) as connection:
            connection.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
            ours = plain.set(drivername="postgresql+psycopg", query={**query, "options": f"-csearch_path={SCHEMA}"})
            storage = RDBStorage(ours.render_as_string(hide_password=False), engine_kwargs={"pool_size": 2})
    except (psycopg.Error, SQLAlchemyError, RuntimeError) as error:
        told = str(error).partition("\n")[0]
        raise StoreUnavailableError(f"studies cannot be kept in PostgreSQL at {place_of(url)}: {told}") from error
    try:
        yield storage
    finally:
        storage.remove_session()
        storage.engine.dispose()


def in_file(path: Path) -> BaseStorage:
    """Studies in a file of this machine, appended to and read again after a crash."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return JournalStorage(JournalFileBackend(str(path)))
    except OSError as error:
        raise EnvironmentUnhealthyError(f"the search cannot be kept in {path}: {error.strerror}") from error


class StudyMemory:
    """One study. What was kept before is known at once; what is kept now is written within a share of the time."""

    def __init__(self, storage: BaseStorage, name: str, directions: Sequence[Direction], clock: Clock) -> None:
        self._study = optuna.create_study(
            storage=storage, study_name=name, directions=list(directions), load_if_exists=True
        )
        self._clock = clock
        self._pending: deque[FrozenTrial] = deque()
        self.known: dict[str, dict[str, Any]] = {
            trial.user_attrs["key"]: trial.user_attrs["evaluation"]
            for trial in self._study.get_trials(deepcopy=False)
            if "evaluation" in trial.user_attrs
        }
        self._written = set(self.known)
        self._begun = clock.monotonic()
        self._spent = 0.0

    def keep(self, trials: Sequence[FrozenTrial]) -> None:
        """Write as many as the share of the time allows, the oldest first; the rest with the next."""
        for trial in trials:
            if trial.user_attrs["key"] not in self._written:
                self._written.add(trial.user_attrs["key"])
                self._pending.append(trial)
        while self._pending and self._spent <= _SHARE * (self._clock.monotonic() - self._begun):
            self._write()

    def flush(self, seconds: float) -> None:
        """Write what is left, as far as `seconds` go: whoever looks at the study later finds it there."""
        until = self._clock.monotonic() + seconds
        while self._pending and self._clock.monotonic() < until:
            self._write()

    def _write(self) -> None:
        begun = self._clock.monotonic()
        self._study.add_trial(self._pending[0])
        self._pending.popleft()
        self._spent += self._clock.monotonic() - begun


def remember(storage: BaseStorage, name: str, what: dict[str, Any]) -> None:
    """Keep, under the search's own name, what is needed to go on with it: JSON."""
    study = optuna.create_study(storage=storage, study_name=name, load_if_exists=True)
    study.set_user_attr(_SEARCH, what)


def remembered(storage: BaseStorage, name: str) -> dict[str, Any] | None:
    """What `remember` was given; None when there is nothing of that name."""
    try:
        told = optuna.load_study(storage=storage, study_name=name).user_attrs.get(_SEARCH)
    except KeyError:
        return None
    return told if isinstance(told, dict) else None
