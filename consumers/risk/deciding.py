"""Decides about intents: all that have come at once for an account on one version of its book, in their order."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import groupby

from prometheus_client import Counter

from consumers.risk.prices import Prices
from consumers.risk.stopping import Stopper
from engine import risk
from engine.account_book import AccountBook
from engine.account_rows import account_book
from engine.judging import judged
from engine.trading_state import account_scope
from infra.calendars.open_now import in_session
from infra.delivery import Failure, MalformedRecordError, Record, TransientError, is_transient, origin_of, parse
from infra.publish import Origin
from infra.service import Service
from infra.store import book
from infra.store.book import Asked, Decided
from infra.store.database import Store
from schemas.account import LimitBreached
from schemas.event import Event
from schemas.orders import ModifyIntent, OrderIntent, RiskDecision

AnyIntent = risk.AnyIntent
Wished = tuple[AnyIntent, Origin]

TOGETHER_MAX = 100
"""Intents that are decided on one look at the book and written at once."""
_TRIES_MAX = 50
_STEP_ASIDE_SECONDS_MAX = 0.1
_PATIENCE_SECONDS = 60.0
_RETRY_SECONDS = 0.2


class Decider:
    """Reads the book, judges, writes; when the book has changed meanwhile, once more."""

    def __init__(self, service: Service, store: Store, prices: Prices, stopper: Stopper) -> None:
        self._service = service
        self._store = store
        self._prices = prices
        self._stopper = stopper
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

    async def decide(self, account_id: str, wished: list[Wished]) -> None:
        """Decide on the book as it is; when it changes before the decisions are written, decide again."""
        for number in range(_TRIES_MAX):
            if await self._decided(account_id, wished):
                return
            # another process decides about the same account: step out of its way
            await asyncio.sleep(self._service.entropy.jitter(min(0.001 * 2**number, _STEP_ASIDE_SECONDS_MAX)))
        raise TransientError(f"the book of {account_id} changes too fast to decide about {wished[0][0].intent_id}")

    async def _decided(self, account_id: str, wished: list[Wished]) -> bool:
        now = self._service.clock.now()
        asked = _asked(account_id, [intent for intent, _ in wished])
        async with self._store.looking() as connection:
            row = await book.read(connection, asked, now)
            if row is None:
                await book.open_book(connection, account_id, now)
                return False
        known = set(row.decided or ())
        new = [each for each in wished if each[0].intent_id not in known]
        if not new:
            return True
        market_time = max(intent.event_time for intent, _ in new)
        account = account_book(account_id, row, market_time, in_session)
        account.marks.update(self._prices.newer_than(account.marks, asked.contracts))
        made, events, causes = _judged(account, new, self._service.clock.now)
        if not await book.decide(self._store, row.version, made, events, causes):
            return False
        self._count([each.decision for each in made])
        await self._stopper.disable(made)
        return True

    def _count(self, decisions: Sequence[RiskDecision]) -> None:
        """One line in the log for all that were denied together for one reason."""
        denied: dict[str, list[RiskDecision]] = {}
        for decision in decisions:
            reason = decision.reason.value if decision.reason else ""
            self._decisions.labels("approved" if decision.approved else "denied", reason).inc()
            if reason:
                denied.setdefault(reason, []).append(decision)
        for reason, found in denied.items():
            first = found[0]
            self._service.log.info(
                "denied", reason=reason, count=len(found), intent_id=first.intent_id, detail=first.detail
            )


def parts(wished: Sequence[Wished]) -> list[list[Wished]]:
    """Slices to be decided at once: none too long, no intent twice, no change beside what it changes."""
    found: list[list[Wished]] = []
    ids: set[str] = set()
    for each in wished:
        intent = each[0]
        again = intent.intent_id in ids or (isinstance(intent, ModifyIntent) and intent.order_id in ids)
        if not found or again or len(found[-1]) == TOGETHER_MAX:
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


def _judged(
    account: AccountBook, wished: Sequence[Wished], now: Callable[[], datetime]
) -> tuple[list[Decided], list[Event], list[Origin]]:
    """Decisions and what is told of them, with their causes."""
    made: list[Decided] = []
    events: list[Event] = []
    causes: list[Origin] = []
    intents = [intent for intent, _ in wished]
    for (intent, origin), (decision, reserved) in zip(wished, judged(account, intents, now), strict=True):
        made.append(Decided(decision, risk.fingerprint(intent), reserved.price, reserved.value))
        told: list[Event] = [decision] if decision.approved else [decision, _breach(decision)]
        events += told
        causes += [origin] * len(told)
    return made, events, causes


def _breach(decision: RiskDecision) -> LimitBreached:
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
