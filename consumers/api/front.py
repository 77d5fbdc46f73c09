"""What each HTTP service is built from: the service, its database, its keys, its changes, its views."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar, cast

from fastapi import APIRouter, FastAPI
from sqlalchemy.ext.asyncio import AsyncConnection

from consumers.api.access import Caller
from consumers.api.application import About, create_app
from consumers.api.broker_watch import BrokerWatch
from consumers.api.changes import Changes
from consumers.api.keyring import Keyring
from consumers.api.views import Latest, fold_into
from infra.api_keys import KeyRecord
from infra.clock import Clock, Entropy
from infra.delivery import Failure, Record
from infra.service import Service
from infra.settings import Settings
from infra.store import api_keys, questions
from infra.store.database import Store
from infra.store.questions import Question
from schemas.event import Event

E = TypeVar("E", bound=Event)

_READ_SECONDS_MAX = 5.0


class Front:
    """One HTTP service of topics.yaml, not yet running."""

    def __init__(
        self, name: str, settings: Settings, *, clock: Clock | None = None, entropy: Entropy | None = None
    ) -> None:
        self.service = service = Service(name, settings, clock=clock, entropy=entropy)
        self.store = store = Store(settings, name)
        self.keyring = Keyring(self._load_keys, service.clock, service.log)
        self.broker_watch = BrokerWatch(settings)
        self.changes = Changes(service, store, self.broker_watch)
        self._folded: dict[type[Event], Latest[Event]] = {}
        service.before(self.keyring.refresh)
        service.before(self._fold)
        service.task("keys", self.keyring.keep_fresh, at_once=True)
        service.task("outbox", lambda: store.outbox.relay(service.publisher.post_all))
        service.task("broker", self.broker_watch.watch)
        service.task("audit", self.changes.keep_spool_empty)
        service.after(store.close)
        service.ready_when("database", lambda: self.keyring.trouble)
        service.ready_when("broker", lambda: self.broker_watch.trouble)
        service.ready_when("outbox", store.outbox.why_not_ready)

    def remember(self, event_class: type[E], view: Latest[E], *, fold: bool) -> None:
        """Keep `view` up to date; `fold`: from the beginning of the topic, else from where the group stands."""
        self.service.on(event_class, view.on_event)
        if fold:
            self._folded[event_class] = cast(Latest[Event], view)

    def remember_prices(self, views: Mapping[type[Event], Latest[Any]]) -> None:
        """Keep the newest event of each contract; what was overtaken within a poll is not even parsed."""
        prefix = self.service.settings.topic_prefix
        topics = [(self.service.catalogue.topic_of(event_class), view) for event_class, view in views.items()]

        async def on_records(records: Sequence[Record]) -> Sequence[Failure]:
            failures: list[Failure] = []
            for topic, view in topics:
                of_topic = [record for record in records if record.topic == prefix + topic.name]
                failures += view.apply_newest(topic, of_topic)
            return failures

        self.service.on_batch([topic.name for topic, _ in topics], on_records)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A connection to read from, for a few seconds at most."""
        async with asyncio.timeout(_READ_SECONDS_MAX), self.store.looking() as connection:
            yield connection

    async def ask(self, question: Question) -> Any:
        """The one row of the answer, within a few seconds."""
        async with asyncio.timeout(_READ_SECONDS_MAX):
            return await questions.ask(self.store.engine, question)

    def app(
        self, about: About, routers: Sequence[APIRouter], health_facts: Callable[[], Mapping[str, Any]] = dict
    ) -> FastAPI:
        """The ASGI app with these routes."""
        return create_app(
            about, self.service, self.keyring, routers, on_refused=self._on_refused, health_facts=health_facts
        )

    async def _on_refused(self, caller: Caller, action: str, why: str) -> None:
        await self.changes.refused(caller, action, why)

    async def _load_keys(self) -> Sequence[KeyRecord]:
        async with self.store.reading() as connection:
            return await api_keys.all_keys(connection)

    async def _fold(self) -> None:
        await fold_into(self.service.settings, self.service.catalogue, self._folded)
