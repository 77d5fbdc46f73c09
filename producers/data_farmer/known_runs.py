"""Which runs were taken up before: asked for again, they change nothing."""

from collections.abc import Iterable

from infra.replay import fold
from infra.service import Service
from infra.store.database import Store, StoreUnavailableError
from infra.store.queries import collection_run
from schemas.collection import CollectionRun

REMEMBERED_MAX = 10_000
_RUNS = "collection.runs.v1"


class KnownRuns:
    """Ids of the newest runs; older ones are looked up where all are on record: in the table, else in the topic."""

    def __init__(self, service: Service, store: Store | None, remembered_max: int = REMEMBERED_MAX) -> None:
        self._service = service
        self._store = store
        self._remembered_max = remembered_max
        self._newest: dict[str, None] = {}
        """In the order in which they came."""
        self._forgot = False

    def add(self, run_ids: Iterable[str]) -> None:
        for run_id in run_ids:
            self._newest[run_id] = None
            if len(self._newest) > self._remembered_max:
                del self._newest[next(iter(self._newest))]
                self._forgot = True

    def __len__(self) -> int:
        """How many are in memory."""
        return len(self._newest)

    async def have(self, run_id: str) -> bool:
        return run_id in self._newest or (self._forgot and await self._on_record(run_id))

    async def _on_record(self, run_id: str) -> bool:
        if self._store is not None:
            try:
                async with self._store.reading() as connection:
                    return await collection_run(connection, run_id) is not None
            except StoreUnavailableError as error:
                self._service.log.warning("the database is away, reading the topic instead", error=str(error))
        async for event, _ in fold(self._service.settings, [_RUNS], catalogue=self._service.catalogue):
            if isinstance(event, CollectionRun) and event.run_id == run_id:
                return True
        return False
