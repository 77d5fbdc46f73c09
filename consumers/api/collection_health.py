"""What /health says about collection: looked up now and then, so that whoever asks costs the database nothing."""

import asyncio
import dataclasses
from typing import Any

from pydantic_core import to_jsonable_python

from consumers.api.front import Front
from consumers.api.problems import AWAY
from infra.store.collection_status import collection_status

_EVERY_SECONDS = 15.0


class CollectionHealth:
    """The last status of collection on each exchange."""

    def __init__(self, front: Front) -> None:
        self._front = front
        self._told: dict[str, Any] = {}
        front.service.task("collection health", self._keep_fresh)

    def facts(self) -> dict[str, Any]:
        return {"collection": self._told}

    async def look(self) -> None:
        """Ask the database now."""
        async with self._front.reading() as connection:
            status = await collection_status(connection, self._front.service.clock.now())
        self._told = to_jsonable_python(dataclasses.asdict(status))

    async def _keep_fresh(self) -> None:
        while True:
            try:
                await self.look()
            except AWAY as error:
                # what was known stays, with its time; that the database is away, `reasons` tell
                self._front.service.log.warning("collection status not known", error=str(error))
            await asyncio.sleep(_EVERY_SECONDS)
