"""Jumps like that of a split: each sets off one look at the past; a split that explains it closes it, else a person."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from infra.bar_moments import zone_of
from infra.delivery import Failure, MalformedRecordError, Record, parse
from infra.errors import UsageError
from infra.gateway import Series
from infra.gateway.past import DAY
from infra.quality.findings import NotReleasableError, bar_of
from infra.quality.measures import split_explains
from infra.replay import fold
from infra.service import Service
from infra.store.database import Store, StoreUnavailableError
from infra.store.findings import Findings, finding_page
from infra.symbol_meanings import name_of
from producers.data_farmer.registry import Registry
from schemas.collection import CollectHistory
from schemas.corporate import Split
from schemas.market import Bar, HistoricalBar, Quarantined, QuarantineRule, Rejected, Released

_FINDINGS, _ACTIONS = "market.quarantine.v1", "reference.corporate_actions.v1"
_NAME = "data_farmer"
_OPEN_MAX = 1_000
_LOOKS_MAX, _LOOKS_IN = 20, timedelta(days=1)
"""Of contracts; each is looked at once in that time."""
_DAILY_BACK, _INTRADAY_BACK = timedelta(days=365), timedelta(days=5)
"""How much of the past is looked at again: enough to tell a split from."""
_NOBODY_LOOKED = timedelta(days=7)
"""A split is told with the first day that it may have been: days that nobody had collected lie between."""
_OF_NOTE = (b'"split_like"', b'"Released"', b'"Rejected"')


@dataclass(frozen=True)
class Jump:
    """The finding, and the first bar after it."""

    finding: Quarantined
    bar: Bar | HistoricalBar
    day: date
    """At the exchange."""

    def explained_by(self, split: Split) -> bool:
        is_then = self.day - _NOBODY_LOOKED <= split.ex_date <= self.day
        return (
            is_then and not split.canceled and split_explains(self.finding.reason, split.new_shares / split.old_shares)
        )


class SplitWatch:
    """Follows findings and corporate actions. What is open is read from the database at start; else from now on."""

    def __init__(self, service: Service, store: Store | None, registry: Registry) -> None:
        self._service = service
        self._store = store
        self._registry = registry
        self._splits: dict[int, dict[date, Split]] = {}
        """By contract and day, the highest revision."""
        self._open: OrderedDict[str, Jump] = OrderedDict()
        self._looked: dict[int, float] = {}
        """When a contract's past was asked for lately, on the monotonic clock."""

    def attach(self) -> None:
        self._service.before(self.recover)
        self._service.on_batch([_FINDINGS, _ACTIONS], self.on_records)

    async def recover(self) -> None:
        async for event, _ in fold(self._service.settings, [_ACTIONS], catalogue=self._service.catalogue):
            if isinstance(event, Split):
                self._know(event)
        if self._store is None:
            return
        wanted = Findings(rule=QuarantineRule.SPLIT_LIKE.value, is_open=True)
        try:
            async with self._store.reading() as connection:
                rows = await finding_page(connection, wanted, _OPEN_MAX - 1)
        except StoreUnavailableError as error:
            self._service.log.warning("open findings are not known: the database is away", error=str(error))
            return
        for row in reversed(rows):
            self._remember(
                Quarantined.model_validate({name: row[name] for name in Quarantined.model_fields if name in row})
            )

    async def on_records(self, records: Sequence[Record]) -> Sequence[Failure]:
        """Most findings are about something else: those are not even parsed."""
        failures = []
        for record in records:
            name = record.topic.removeprefix(self._service.settings.topic_prefix)
            if name == _FINDINGS and not any(each in (record.value or b"") for each in _OF_NOTE):
                continue
            try:
                event = parse(self._service.catalogue.topic(name), record)
            except MalformedRecordError as error:
                failures.append(Failure(record, str(error)))
                continue
            match event:
                case Quarantined(rule=QuarantineRule.SPLIT_LIKE):
                    await self._on_jump(event)
                case Released() | Rejected():
                    self._open.pop(event.quarantine_id, None)
                case Split():
                    await self._on_split(event)
        return failures

    async def _on_jump(self, finding: Quarantined) -> None:
        jump = self._remember(finding)
        if jump is not None and not await self._closed(jump):
            await self._look_into(jump)

    async def _on_split(self, split: Split) -> None:
        self._know(split)
        for jump in [each for each in self._open.values() if each.finding.contract_id == split.contract_id]:
            await self._closed(jump)

    def _know(self, split: Split) -> None:
        of_contract = self._splits.setdefault(split.contract_id, {})
        known = of_contract.get(split.ex_date)
        if known is None or known.revision <= split.revision:
            of_contract[split.ex_date] = split

    def _remember(self, finding: Quarantined) -> Jump | None:
        """None when it is no bar that can be true."""
        entry = next(iter(self._registry.sharing(finding.contract_id)), None)
        try:
            bar = bar_of(finding.quarantine_id, finding.record, finding.ingest_time)
        except NotReleasableError:
            return None
        if entry is None or entry.contract is None:
            return None
        jump = Jump(finding, bar, bar.start.astimezone(zone_of(entry.contract)).date())
        self._open[finding.quarantine_id] = jump
        if len(self._open) > _OPEN_MAX:
            self._open.popitem(last=False)
        return jump

    async def _closed(self, jump: Jump) -> bool:
        """Whether a split explains it, which is told."""
        finding, now = jump.finding, self._service.clock.now()
        if not any(jump.explained_by(each) for each in self._splits.get(finding.contract_id, {}).values()):
            return False
        about = {"quarantine_id": finding.quarantine_id, "contract_id": finding.contract_id, "by": _NAME}
        await self._service.publish(Released(event_time=now, ingest_time=now, **about))
        self._open.pop(finding.quarantine_id, None)
        return True

    async def _look_into(self, jump: Jump) -> None:
        """Ask again for the past of before it, once: if it comes divided now, the collection tells the split."""
        now = self._service.clock.monotonic()
        self._looked = {each: at for each, at in self._looked.items() if now - at < _LOOKS_IN.total_seconds()}
        if jump.finding.contract_id in self._looked:
            return
        if len(self._looked) >= _LOOKS_MAX:
            self._service.log.warning("too many jumps like splits: left to a person", symbol=jump.finding.symbol)
            return
        self._looked[jump.finding.contract_id] = now
        await self._service.publish(self._request(jump))

    def _request(self, jump: Jump) -> CollectHistory:
        """The same for all that was found about a contract on one day: its run is done once."""
        bar, (entry, *_) = jump.bar, self._registry.sharing(jump.finding.contract_id)
        now, size = self._service.clock.now(), bar.bar_size
        try:
            Series(size, bar.price_kind, bar.basis)
        except UsageError:  # a larger live bar, as the gateway serves none
            size = DAY
        return CollectHistory(
            event_time=now,
            ingest_time=now,
            run_id=f"split-like-{jump.finding.contract_id}-{jump.day}",
            symbols=(str(name_of(entry)),),
            bar_size=size,
            first_day=jump.day - (_DAILY_BACK if size >= DAY else _INTRADAY_BACK),
            last_day=jump.day,
            price_kind=bar.price_kind,
            basis=bar.basis,
            refresh=True,
            requested_by=_NAME,
        )
