"""What was published of a strategy, held against what its inputs give: signals, intents, and risk's decisions."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.live.outputs import Output, id_of
from engine.risk import book_of, check
from infra.replay import fold
from infra.settings import Settings
from producers.cli.parity_words import DivergenceError, differences, limits_changed, without_ingest_time
from schemas.account import RiskLimits
from schemas.event import Event
from schemas.orders import RiskDecision
from schemas.strategy import Signal

_SIGNALS, _INTENTS = "strategy.signals.v1", "trading.intents.v1"
_DECISIONS, _LIMITS = "trading.decisions.v1", "risk.limits.v1"


@dataclass
class Streams:
    """What was compared: SHA-256 over the payloads in their order, and how many there were."""

    signals: Any = field(default_factory=hashlib.sha256)
    intents: Any = field(default_factory=hashlib.sha256)
    decisions: Any = field(default_factory=hashlib.sha256)
    counts: dict[str, int] = field(default_factory=lambda: {"signals": 0, "intents": 0, "decisions": 0})
    undecided: int = 0
    limits_no_longer_told: int = 0
    """Decisions whose version of the limits the topic has given up for a newer one."""

    def add(self, stream: str, event: Event) -> None:
        getattr(self, stream).update(without_ingest_time(event))
        self.counts[stream] += 1


async def compare(
    settings: Settings, strategy_id: str, made: Mapping[str, Output], elsewhere: frozenset[str]
) -> Streams:
    """Raises DivergenceError. `made`: the window's outputs, in order; `elsewhere`: ids of those around it."""
    streams = Streams()
    told: set[str] = set()
    for topic in (_SIGNALS, _INTENTS):
        async for event, record in fold(settings, [topic]):
            if getattr(event, "strategy_id", "") != strategy_id:
                continue
            _same_output(event, made, elsewhere, f"{topic}/{record.partition}/{record.offset}")
            told.add(_id(event))
    for name, output in made.items():
        kind = "signals" if isinstance(output, Signal) else "intents"
        if name not in told:
            raise DivergenceError("output", f"{type(output).__name__} {name} was decided and is not on its topic")
        streams.add(kind, output)
    await _decisions(settings, made, streams)
    return streams


async def published_ids(settings: Settings, strategy_id: str) -> set[str]:
    """Of everything that was told in the strategy's name."""
    return {
        _id(event)
        async for event, _ in fold(settings, [_SIGNALS, _INTENTS])
        if getattr(event, "strategy_id", "") == strategy_id
    }


def _id(event: Any) -> str:
    return str(event.signal_id if isinstance(event, Signal) else event.intent_id)


def _same_output(event: Any, made: Mapping[str, Output], elsewhere: frozenset[str], where: str) -> None:
    name = _id(event)
    again = made.get(name)
    if again is None:
        if name not in elsewhere:
            raise DivergenceError("output", f"{type(event).__name__} {name} at {where} follows from no input")
        return
    if without_ingest_time(event) != without_ingest_time(again):
        raise DivergenceError("output", f"{type(event).__name__} {name} at {where}: {differences(event, again)}")


async def _decisions(settings: Settings, made: Mapping[str, Output], streams: Streams) -> None:
    limits: dict[tuple[str, int], RiskLimits] = {}
    async for event, _ in fold(settings, [_LIMITS]):
        if isinstance(event, RiskLimits):
            limits[event.scope, event.version] = event
    decided: dict[str, RiskDecision] = {}
    async for event, record in fold(settings, [_DECISIONS]):
        if not isinstance(event, RiskDecision) or event.intent_id not in made:
            continue
        where = f"{_DECISIONS}/{record.partition}/{record.offset}"
        verify_decision(event, made[event.intent_id], limits, where)
        before = decided.setdefault(event.intent_id, event)
        if without_ingest_time(before) != without_ingest_time(event):
            raise DivergenceError("decision", f"{event.intent_id} was decided twice: {where} says something else")
        if before is event:
            streams.add("decisions", event)
            streams.limits_no_longer_told += any((each.scope, each.version) not in limits for each in _used(event))
    _none_left_out(made, decided, streams)


def verify_decision(
    told: RiskDecision, intent: Output, limits: Mapping[tuple[str, int], RiskLimits], where: str
) -> None:
    """Made again of what it says it was based on. Raises DivergenceError."""
    for used in _used(told):
        known = limits.get((used.scope, used.version))
        if known is not None and without_ingest_time(known) != without_ingest_time(used):
            raise DivergenceError("limit", f"{where} was decided with other {limits_changed(used, known)}")
    if without_ingest_time(told.intent) != without_ingest_time(intent):
        raise DivergenceError("decision", f"{where} is about another intent: {differences(told.intent, intent)}")
    again = check(told.intent, book_of(told.basis), told.basis.decided_at)
    if without_ingest_time(again) != without_ingest_time(told):
        raise DivergenceError("decision", f"{where} does not follow from its basis: {differences(told, again)}")


def _used(told: RiskDecision) -> list[RiskLimits]:
    """The limits of the account, of the strategy and of the symbol."""
    found = [told.basis.limits, *(each.limits for each in told.basis.scopes)]
    return [each for each in found if each is not None]


def _none_left_out(made: Mapping[str, Output], decided: Mapping[str, RiskDecision], streams: Streams) -> None:
    """Intents are decided in their order: one without a decision before one that has one was left out."""
    waiting: list[str] = []
    for output in made.values():
        if isinstance(output, Signal):
            continue
        if id_of(output) not in decided:
            waiting.append(id_of(output))
        elif waiting:
            raise DivergenceError("decision", f"intent {waiting[0]} was never decided, and later ones were")
    streams.undecided = len(waiting)
