"""Risk's own view of prices: the newest of each contract, by bars, ticks and quotes as they come."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from engine.account_book import Mark
from infra.delivery import Failure, MalformedRecordError, Record, parse
from infra.service import Service
from infra.store import marks
from infra.store.database import Store
from infra.store.marks import MarkRow
from schemas.event import Event
from schemas.market import Bar, Quote, Tick

_NEW_TIME = timedelta(minutes=1)
"""Market time that falls back for longer than this, by the wall clock, is a new market's: a simulator began again."""


class Prices:
    """Folds three topics; keeps what is newest in market time, and writes it down now and then."""

    def __init__(self, service: Service, store: Store) -> None:
        self._service = service
        self._store = store
        self._newest: dict[int, MarkRow] = {}
        self._unsaved: set[int] = set()

    async def on_records(self, records: Sequence[Record]) -> list[Failure]:
        """Take a poll; of each contract and topic only the last good record is looked at."""
        catalogue, prefix = self._service.catalogue, self._service.settings.topic_prefix
        settled: set[tuple[str, bytes | None]] = set()
        failures = []
        for record in reversed(records):
            if (record.topic, record.key) in settled:
                continue
            try:
                event = parse(catalogue.topic(record.topic.removeprefix(prefix)), record)
            except MalformedRecordError as error:
                failures.append(Failure(record, str(error)))
                continue
            settled.add((record.topic, record.key))
            self.see(event)
        return failures

    def see(self, event: Event) -> None:
        """Take a price in, unless a newer one is known."""
        row = _row_of(event)
        if row is None:
            return
        known = self._newest.get(row.contract_id)
        if known is None or row.event_time >= known.event_time or row.received_at > known.received_at + _NEW_TIME:
            self._newest[row.contract_id] = row
            self._unsaved.add(row.contract_id)

    def newer_than(self, known: Mapping[int, Mark], contracts: Iterable[int]) -> dict[int, Mark]:
        """Prices of contracts that are not known, or known by an older price."""
        found = {}
        for contract_id in {*known, *contracts}:
            row = self._newest.get(contract_id)
            if row is not None and (contract_id not in known or row.received_at > known[contract_id].received_at):
                found[contract_id] = Mark(row.price, row.received_at)
        return found

    def unsaved(self) -> list[MarkRow]:
        """What has come since it was last written down."""
        return [self._newest[each] for each in sorted(self._unsaved)]

    async def save(self, rows: Sequence[MarkRow]) -> None:
        """Write down what is new: other processes value by it, and the next start begins with it."""
        if rows:
            await marks.save(self._store, rows)
            self._unsaved -= {row.contract_id for row in rows if self._newest[row.contract_id] is row}

    @property
    def market_time(self) -> datetime | None:
        """The latest of all that are known."""
        return max((row.event_time for row in self._newest.values()), default=None)


def _row_of(event: Event) -> MarkRow | None:
    """The price that an event tells; None when it tells none to value by."""
    match event:
        case Bar() if not event.late:
            return _row(event, event.close)
        case Tick():
            return _row(event, event.price)
        case Quote() if 0 < event.bid <= event.ask:
            return _row(event, (event.bid + event.ask) / 2)
        case _:
            return None


def _row(event: Bar | Tick | Quote, price: float) -> MarkRow:
    return MarkRow(event.contract_id, event.symbol, exact(price), event.event_time, event.ingest_time)


def exact(price: float) -> Decimal:
    return round(Decimal(str(price)), 8)
