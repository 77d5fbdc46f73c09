"""Decides about intents: all that have come at once for an account on one version of its book, in their order."""

import asyncio
from collections.abc import Sequence
from datetime import date
from itertools import groupby
from typing import NamedTuple

from prometheus_client import Counter

from consumers.risk.prices import Prices
from consumers.risk.stopping import Stopper
from consumers.risk.turns import Turns
from engine import risk
from engine.account_book import AccountBook
from engine.account_rows import account_book
from engine.judging import judged
from engine.trading_state import account_scope
from infra.calendars.open_now import in_session
from infra.delivery import Failure, MalformedRecordError, Record, TransientError, is_transient, origin_of, parse
from infra.publish import Origin, Outgoing
from infra.service import Service
from infra.store import book
from infra.store.book import Asked, Decided
from infra.store.database import Store
from schemas.account import LimitBreached
from schemas.orders import ModifyIntent, OrderIntent, RiskDecision

AnyIntent = risk.AnyIntent
Wished = tuple[AnyIntent, Origin]

LOOK_MAX = 2000
"""Intents that are decided on one look at the book."""
TOGETHER_MAX = 100
"""Of these, how many are written at once."""
_BREATH = 40
"""Intents that are judged between two looks at what else there is to do."""
_TRIES_MAX = 50
_STEP_ASIDE_SECONDS_MAX = 0.1
_PATIENCE_SECONDS = 60.0
_RETRY_SECONDS = 0.2


class _UnderWay(NamedTuple):
    """Decisions that are being written."""

    made: Sequence[Decided]
    writing: "asyncio.Task[bool]"


class Decider:
    """Reads the book, judges, writes; when the book has changed meanwhile, once more."""

    def __init__(self, service: Service, store: Store, prices: Prices, stopper: Stopper, turns: Turns) -> None:
        self._service = service
        self._store = store
        self._prices = prices
        self._stopper = stopper
        self._turns = turns
        labels = ("outcome", "reason")
        self._decisions = Counter("scizor_risk_decisions", "Intents decided", labels, registry=service.metrics.registry)

    async def on_records(self, records: Sequence[Record]) -> list[Failure]:
        """Take a poll of intents; returns those that cannot be understood. What cannot be decided halts its account
        and ends the process: it stays uncommitted, and nothing is set aside."""
        catalogue, prefix = self._service.catalogue, self._service.settings.topic_prefix
        failures: list[Failure] = []
        wished: list[Wished] = []
        for record in records:
            topic = catalogue.topic(record.topic.removeprefix(prefix))
            try:
                intent = parse(topic, record)
            except MalformedRecordError as error:
                failures.append(Failure(record, str(error)))
                continue
            assert isinstance(intent, AnyIntent), "the topic carries intents alone"
            wished.append((intent, origin_of(topic, record, self._service.clock.now())))
        for account_id, together in groupby(wished, key=lambda each: each[0].account_id):
            await self._decide_all(account_id, list(together))
        return failures

    async def _decide_all(self, account_id: str, wished: list[Wished]) -> None:
        for part in parts(wished):
            try:
                await self._patiently(account_id, part)
            except Exception as error:
                if not is_transient(error):
                    reason = f"{part[0][0].intent_id} cannot be decided about: {type(error).__name__}: {error}"
                    await self._stopper.halt(part[0][0], reason[:500])
                raise

    async def _patiently(self, account_id: str, part: list[Wished]) -> None:
        clock = self._service.clock
        deadline = clock.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                return await self.decide(account_id, part)
            except Exception as error:
                if not is_transient(error) or clock.monotonic() > deadline:
                    raise
                self._service.log.warning("trying again", error=repr(error))
            await asyncio.sleep(self._service.entropy.jitter(_RETRY_SECONDS))

    async def decide(self, account_id: str, wished: Sequence[Wished]) -> None:
        """Decide on the book as it is; what changes before decisions are written has them made again."""
        failures = 0
        while wished:
            async with self._turns.taken():
                left = await self._in_one_look(account_id, wished)
            failures = failures + 1 if len(left) == len(wished) else 0
            wished = left
            if failures > _TRIES_MAX:
                first = left[0][0].intent_id
                raise TransientError(f"the book of {account_id} changes too fast to decide about {first}")
            if failures:
                # another process decides about the same account: step out of its way
                longest = min(0.001 * 2 ** (failures - 1), _STEP_ASIDE_SECONDS_MAX)
                await asyncio.sleep(self._service.entropy.jitter(longest))

    async def _in_one_look(self, account_id: str, wished: Sequence[Wished]) -> Sequence[Wished]:
        """Decide as many as one look at the book is good for; gives those that are left."""
        now = self._service.clock.now()
        asked = _asked(account_id, [intent for intent, _ in wished])
        async with self._store.looking() as connection:
            row = await book.read(connection, asked, now)
            if row is None:
                await book.open_book(connection, account_id, now)
                return wished
        known = set(row.decided or ())
        new = [each for each in wished if each[0].intent_id not in known]
        if not new:
            return []
        market_time = max(intent.event_time for intent, _ in new)
        return await self._in_slices(account_book(account_id, row, market_time, in_session), row.version, new)

    async def _in_slices(self, account: AccountBook, version: int, wished: Sequence[Wished]) -> Sequence[Wished]:
        """Judge each slice, on what those before it left of the book, while the one before it is being written.

        It is sent when that one is there: nothing is built on what may not come to pass. Gives those that are left
        when the book has changed, or when somebody else waits for his turn.
        """
        done = 0
        under_way: _UnderWay | None = None
        try:
            for start in range(0, len(wished), TOGETHER_MAX):
                if under_way is not None and self._turns.wanted:
                    break
                made, records = await self._judged(account, wished[start : start + TOGETHER_MAX])
                if under_way is not None:
                    if not await self._is_written(under_way):
                        return wished[done:]
                    done = start
                writing = asyncio.create_task(book.decide(self._store, version, made, records))
                under_way, version = _UnderWay(made, writing), version + 1
                await asyncio.sleep(0)  # it is on its way before the next ones are judged
            if under_way is not None and await self._is_written(under_way):
                done += len(under_way.made)
            return wished[done:]
        finally:
            if under_way is not None and not under_way.writing.done():
                under_way.writing.cancel()
                await asyncio.wait([under_way.writing])

    async def _judged(self, account: AccountBook, wished: Sequence[Wished]) -> tuple[list[Decided], list[Outgoing]]:
        """Decisions by the prices of now, and what is told of them."""
        intents = [intent for intent, _ in wished]
        named = _asked(account.account_id, intents).contracts
        account.marks.update(self._prices.newer_than(account.marks, named))
        account.changed()
        made: list[Decided] = []
        records: list[Outgoing] = []
        verdicts = judged(account, intents, self._service.clock.now)
        for number, ((intent, origin), (decision, reserved)) in enumerate(zip(wished, verdicts, strict=True)):
            told = self._store.record_of(decision, origin)
            records.append(told)
            if not decision.approved:
                records.append(self._store.record_of(breach_of(decision), origin))
            approved = risk.fingerprint(intent) if decision.approved else ""
            made.append(Decided(decision, approved, *reserved, told.value))
            if number % _BREATH == 0:
                await asyncio.sleep(0)  # what is being written goes on meanwhile
        return made, records

    async def _is_written(self, under_way: "_UnderWay") -> bool:
        if not await under_way.writing:
            return False
        self._count([each.decision for each in under_way.made])
        await self._stopper.disable(under_way.made)
        return True

    def _count(self, decisions: Sequence[RiskDecision]) -> None:
        """One line in the log for all that were denied together for one reason."""
        found: dict[str, list[RiskDecision]] = {}
        for decision in decisions:
            found.setdefault(decision.reason.value if decision.reason else "", []).append(decision)
        for reason, alike in found.items():
            self._decisions.labels("denied" if reason else "approved", reason).inc(len(alike))
            if reason:
                first = alike[0]
                self._service.log.info(
                    "denied", reason=reason, count=len(alike), intent_id=first.intent_id, detail=first.detail
                )


def parts(wished: Sequence[Wished]) -> list[list[Wished]]:
    """Parts to be decided on one look: none too long, all of one market day, no intent twice, no change beside what it
    changes."""
    found: list[list[Wished]] = []
    ids: set[str] = set()
    day: date | None = None
    for each in wished:
        intent, before = each[0], day
        day = risk.trading_day(intent.event_time)
        again = intent.intent_id in ids or (isinstance(intent, ModifyIntent) and intent.order_id in ids)
        if not found or again or day != before or len(found[-1]) == LOOK_MAX:
            found.append([])
            ids = set()
        found[-1].append(each)
        ids.add(intent.intent_id)
        if isinstance(intent, ModifyIntent):
            ids.add(intent.order_id)
    return found


def _asked(account_id: str, intents: Sequence[AnyIntent]) -> Asked:
    orders = [each.wanted if isinstance(each, ModifyIntent) else each for each in intents]
    named = [each for each in orders if isinstance(each, OrderIntent)]
    return Asked(
        account_id,
        [each.intent_id for each in intents],
        sorted({each.contract_id for each in named}),
        sorted({each.strategy_id for each in intents}),
        sorted({each.symbol for each in named}),
    )


def breach_of(decision: RiskDecision) -> LimitBreached:
    """What is told of a denial beside it."""
    assert decision.reason is not None, "only denials are breaches"
    return LimitBreached(
        breach_id=decision.decision_id,
        scope=account_scope(decision.account_id),
        account_id=decision.account_id,
        strategy_id=decision.strategy_id,
        rule=decision.reason.value,
        detail=decision.detail,
        event_time=decision.event_time,
        ingest_time=decision.ingest_time,
    )
