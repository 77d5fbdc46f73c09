"""What the topics say about the market, symbols, strategies and backtests, kept in tables: each record once.

A poll is one transaction, and its offsets are committed after it. What comes again changes nothing, because every row
is found by its natural key.
"""

import asyncio
from collections.abc import Sequence

from prometheus_client import Counter, Histogram

from infra.delivery import Failure, Record
from infra.garbage import spare_the_collector
from infra.service import Service
from infra.settings import Settings
from infra.store.database import Store, StoreUnavailableError
from infra.store.keeping import Keeper, Kept, can_be_kept

_PATIENCE_SECONDS = 60.0
_DELAY_MAX_SECONDS = 2.0


class Persister:
    """Stores polls of records, waits for a lost database, and counts."""

    def __init__(self, service: Service, store: Store) -> None:
        self._service = service
        self._keeper = Keeper(store, service.catalogue, service.settings.topic_prefix)
        registry = service.metrics.registry
        topic = ("topic",)
        self._bars = Counter("scizor_bars_stored", "Bars that were new to the database", topic, registry=registry)
        self._known = Counter("scizor_bars_known", "Bars that were there and changed nothing", topic, registry=registry)
        self._events = Counter("scizor_events_stored", "Events, not bars, that were stored", topic, registry=registry)
        self._seconds = Histogram("scizor_persist_seconds", "Time to store one poll", registry=registry)

    async def on_records(self, records: Sequence[Record]) -> Sequence[Failure]:
        """Store what can be stored; the rest comes back with the reason. A lost database is waited for, a minute."""
        clock = self._service.clock
        deadline = clock.monotonic() + _PATIENCE_SECONDS
        delay = 0.05
        while True:
            begun = clock.monotonic()
            try:
                kept = await self._keeper.keep(records)
            except StoreUnavailableError as error:
                if clock.monotonic() + delay > deadline:
                    raise
                self._service.log.warning("trying again", error=str(error))
            else:
                self._seconds.observe(clock.monotonic() - begun)
                return [failure for part in kept for failure in self._counted(part).failures]
            await asyncio.sleep(self._service.entropy.jitter(delay))
            delay = min(delay * 2, _DELAY_MAX_SECONDS)

    def _counted(self, kept: Kept) -> Kept:
        for topic, stored in kept.bars.items():
            self._bars.labels(topic).inc(stored.new)
            self._known.labels(topic).inc(stored.known)
        for topic, count in kept.events.items():
            self._events.labels(topic).inc(count)
        return kept


def build(settings: Settings) -> Service:
    """The service, wired."""
    service = Service("persister", settings)
    store = Store(settings, "persister", catalogue=service.catalogue, pool_size=2)
    homeless = [name for name in service.spec.reads if not can_be_kept(service.catalogue.topic(name))]
    assert not homeless, f"there is no table for {homeless}"
    service.relay(store)
    service.on_batch(service.spec.reads, Persister(service, store).on_records)
    return service


def main() -> None:
    service = build(Settings())
    spare_the_collector()
    asyncio.run(service.run())


if __name__ == "__main__":
    main()
