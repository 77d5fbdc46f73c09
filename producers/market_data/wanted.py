"""What live data is wanted, of which contracts, and what is told about it: this service is the only one to tell it."""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from engine.wants import says_other, since, together
from infra.gateway import Feed
from infra.gateway.lines import Key, Rank
from infra.publish import Origin
from infra.replay import fold
from infra.service import Service
from infra.symbol_meanings import name_of
from schemas.collection import ValidateSymbols
from schemas.market import Delivery, Subscription, Urgency, Want
from schemas.validation import Contract, Symbol, SymbolState

_WANTS, _SUBSCRIPTIONS, _SYMBOLS = "market.wants.v1", "market.subscriptions.v1", "reference.symbols.v1"
_TELL_SECONDS = 1.0
_ASK_FIRST_SECONDS, _ASK_MAX_SECONDS = 60.0, 3_600.0
_PROBLEM_MAX = 500
_PROBLEMS_SHOWN = 5
_URGENCY = {Urgency.TRADING: 0, Urgency.WATCHING: 1}


class Lines(Protocol):
    """Who brings the data."""

    def subscribe(self, contract: Contract, feeds: frozenset[Feed], rank: Rank) -> None: ...

    def unsubscribe(self, contract_id: int) -> None: ...

    def problems(self) -> dict[Key, str]: ...

    def deliveries(self) -> dict[Key, Delivery]: ...


@dataclass
class _Asked:
    """When the data farmer is asked about a contract again."""

    next_at: float
    delay: float


class Wanted:
    """Folds wants and the registry, brings the lines to what they say, and tells the subscriptions that follow."""

    def __init__(self, service: Service, lines: Lines, on_change: Callable[[Subscription], None]) -> None:
        self._service = service
        self._lines = lines
        self._on_change = on_change
        self._wants: dict[int, dict[str, Want]] = defaultdict(dict)
        self._entries: dict[int, Symbol] = {}
        self._told: dict[int, Subscription] = {}
        self._unknown: dict[int, str] = {}
        self._asked: dict[int, _Asked] = {}

    def attach(self) -> None:
        self._service.on(Want, self.on_want)
        self._service.on(Symbol, self.on_symbol)
        self._service.before(self.recover)
        self._service.task("subscriptions", self._tell)
        self._service.ready_when("subscriptions", self._why_not_ready)

    async def recover(self) -> None:
        topics = [_WANTS, _SUBSCRIPTIONS, _SYMBOLS]
        async for event, _ in fold(self._service.settings, topics, catalogue=self._service.catalogue):
            if isinstance(event, Want):
                self._wants[event.contract_id][event.holder] = event
            elif isinstance(event, Subscription):
                self._told[event.contract_id] = event
            elif isinstance(event, Symbol):
                self._know(event)
        for contract_id in sorted(self._wants):
            self._bring(contract_id)

    async def on_want(self, want: Want, origin: Origin) -> None:
        self._wants[want.contract_id][want.holder] = want
        self._bring(want.contract_id)

    async def on_symbol(self, entry: Symbol, origin: Origin) -> None:
        self._know(entry)
        if entry.contract is not None and entry.contract.contract_id in self._wants:
            self._bring(entry.contract.contract_id)

    def contract(self, contract_id: int) -> Contract | None:
        entry = self._entries.get(contract_id)
        return entry.contract if entry is not None else None

    def name(self, contract_id: int) -> str:
        """How the data farmer is asked for the contract."""
        return str(name_of(self._entries[contract_id]))

    def wants_bars(self) -> list[Contract]:
        """Contracts of which bars should flow."""
        wanted = (key for key, wants in self._wants.items() if any(want.bars for want in wants.values()))
        return [contract for key in wanted if (contract := self.contract(key)) is not None]

    def _know(self, entry: Symbol) -> None:
        if entry.contract is not None and entry.state in (SymbolState.VALID, SymbolState.SUSPENDED):
            self._entries[entry.contract.contract_id] = entry

    def _bring(self, contract_id: int) -> None:
        wants = self._wants[contract_id]
        wanted = together(list(wants.values()), self._service.clock.now())
        first = since(wants.values())
        contract = self.contract(contract_id)
        self._unknown.pop(contract_id, None)
        if wanted is None or first is None:
            self._lines.unsubscribe(contract_id)
            self._asked.pop(contract_id, None)
        elif contract is None:
            self._unknown[contract_id] = f"the registry knows no contract {contract_id}: its symbol is being validated"
        else:
            feeds = frozenset(feed for feed in Feed if getattr(wanted, feed.value))
            self._lines.subscribe(contract, feeds, (_URGENCY[wanted.urgency], first))
        if wanted is not None:
            self._on_change(wanted)

    # what is told

    async def _tell(self) -> None:
        """Say what has changed, and ask for contracts that are not known."""
        while True:
            await self.tell_changes()
            await self._ask_for_unknown()
            await asyncio.sleep(_TELL_SECONDS)

    async def tell_changes(self) -> None:
        problems, deliveries = self._problems(), self._deliveries()
        now = self._service.clock.now()
        for contract_id in sorted(self._wants):
            found = together(list(self._wants[contract_id].values()), now)
            assert found is not None, "somebody wanted something"
            problem = "; ".join(problems.get(contract_id, ())) if found.wanted_by else ""
            feeds = deliveries.get(contract_id, {}) if found.wanted_by else {}
            after = found.model_copy(update={"problem": problem[:_PROBLEM_MAX], "feeds": feeds})
            if says_other(self._told.get(contract_id), after):
                await self._service.publish(after)
                self._told[contract_id] = after
        for contract_id in sorted(set(self._told) - set(self._wants)):  # told by an earlier version
            if self._told[contract_id].wanted_by:
                after = self._told[contract_id].revised(event_time=now, ingest_time=now, wanted_by=(), problem="")
                await self._service.publish(after)
                self._told[contract_id] = after

    def _problems(self) -> dict[int, list[str]]:
        found: dict[int, list[str]] = defaultdict(list)
        for contract_id, problem in self._unknown.items():
            found[contract_id].append(problem)
        for (contract_id, feed), problem in self._lines.problems().items():
            found[contract_id].append(f"{feed}: {problem}")
        return found

    def _deliveries(self) -> dict[int, dict[str, Delivery]]:
        found: dict[int, dict[str, Delivery]] = {
            contract_id: {
                feed.value: Delivery.WAITING
                for feed in Feed
                if any(getattr(want, feed.value) for want in wants.values())
            }
            for contract_id, wants in self._wants.items()
        }
        for (contract_id, feed), delivery in self._lines.deliveries().items():
            found.setdefault(contract_id, {})[feed.value] = delivery
        return found

    async def _ask_for_unknown(self) -> None:
        now = self._service.clock.monotonic()
        for contract_id in sorted(self._unknown):
            asked = self._asked.setdefault(contract_id, _Asked(now, _ASK_FIRST_SECONDS))
            if now < asked.next_at:
                continue
            asked.next_at, asked.delay = now + asked.delay, min(2 * asked.delay, _ASK_MAX_SECONDS)
            symbol = max(self._wants[contract_id].values(), key=lambda want: want.ingest_time).symbol
            wall = self._service.clock.now()
            run_id = self._service.entropy.new_id()
            request = ValidateSymbols(
                event_time=wall, ingest_time=wall, run_id=run_id, symbols=(symbol,), requested_by=self._service.name
            )
            await self._service.publish(request)

    def _why_not_ready(self) -> str | None:
        symbols = {key: next(iter(wants.values())).symbol for key, wants in self._wants.items() if wants}
        words = [f"{symbols[key]}: {problem}" for key, some in sorted(self._problems().items()) for problem in some]
        return "; ".join(words[:_PROBLEMS_SHOWN]) or None
