"""One strategy's deployment or past that cannot be made again stops that strategy, is remembered, and nobody else."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Collection, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from consumers.strategist import deploying, recovery
from consumers.strategist.deploying import deployed
from consumers.strategist.journal import Input, Journal
from consumers.strategist.recovery import Recovered, journal_loss, recover
from engine.live.hosts import Child, HostHere, Hosts, Inside, StoppedFromOutsideError, shipped
from engine.live.outputs import Output, id_of
from engine.live.running import RunningStrategy
from infra.clock import ManualClock
from infra.journal.inputs import Inputs
from infra.journal.spans import HISTORY, Past, Span
from infra.journal.warm_up import PastBars
from infra.sandbox.errors import SandboxedError, SandboxUnavailableError
from infra.settings import Settings
from producers.cli import parity
from schemas.event import Event
from schemas.orders import OrderIntent
from schemas.place import At, Place
from schemas.strategy import Deploy, JournalEntry, RunningState, Start
from schemas.validation import Contract
from tests.builders import APPLE, NOON, SEEN, a_bar, a_contract, a_fill, a_historical_bar
from tests.unit.test_journal import Topic
from tests.unit.test_running_strategy import COMMAND, a_deployment

COMMANDS, BARS, FILLS = ("strategy.commands.v1", 0), ("market.bars.v1", 0), ("trading.fills.v1", 0)
SOURCE = "its text"


@dataclass(frozen=True)
class Written:
    """A record of a topic."""

    offset: int
    value: bytes
    timestamp: int = 0
    headers: tuple[tuple[str, bytes | None], ...] = ()
    key: bytes | None = None
    topic: str = ""
    partition: int = 0


class Topics(Inputs):
    """What topics hold, by place."""

    def __init__(self, held: dict[Place, list[Event]]) -> None:
        self.held = held

    async def begin(self, spans: Iterable[Span]) -> None:
        """All of it is at hand."""

    async def events(self, span: Span, keys: Collection[bytes] = ()) -> AsyncIterator[tuple[Event, Any]]:
        for offset, event in enumerate(self.held[span.place]):
            if span.first <= offset <= span.last:
                yield event, Written(offset, event.to_json())


class Answering:
    """The line to a process that answers each message as it was told to."""

    def __init__(self, to_the_past: Any) -> None:
        self._to_the_past = to_the_past
        self._answer: Any = None

    def send(self, message: dict[str, Any]) -> None:
        state = {"bars_seen": 0, "signals": 0, "warm": False}
        nothing = {"signals": [], "asked": [], "alarms": [], "state": state}
        self._answer = self._to_the_past if "past" in message else nothing

    def receive(self) -> Any:
        return self._answer

    def close(self) -> None:
        """There is no process."""


def uploaded(**changes: Any) -> Deploy:
    return a_deployment(source=SOURCE, code_sha256=hashlib.sha256(SOURCE.encode()).hexdigest(), **changes)


class Life:
    """A strategy that was deployed, started and given bars and a fill: its journal, and what its topics hold."""

    def __init__(self) -> None:
        self.topic = Topic()
        self.topics = Topics({COMMANDS: [a_deployment(), Start(**COMMAND)], BARS: [], FILLS: []})
        self.strategy = RunningStrategy(a_deployment(), [a_contract()])
        asyncio.run(self._live())

    async def _live(self) -> None:
        journal = self.journal()
        deployment = a_deployment()
        await journal.deployed(Input(deployment, At(*COMMANDS, 0), deployment.to_json()), (a_contract(),))
        await self._give(journal, COMMANDS, Start(**COMMAND), 1)
        intent = (await self._bar(journal))[-1]
        assert isinstance(intent, OrderIntent)
        await self._bar(journal)
        fill = a_fill(order_id=intent.intent_id, strategy_id="holder")
        self.topics.held[FILLS].append(fill)
        await self._give(journal, FILLS, fill, 0)
        await journal.settle()

    async def _bar(self, journal: Journal) -> list[Output]:
        bars = self.topics.held[BARS]
        bars.append(a_bar(start=NOON + timedelta(seconds=5 * len(bars))))
        return await self._give(journal, BARS, bars[-1], len(bars) - 1)

    async def _give(self, journal: Journal, place: Place, event: Event, offset: int) -> list[Output]:
        outputs = self.strategy.take(event, At(*place, offset))
        await journal.note(Input(event, At(*place, offset), event.to_json()), tuple(map(id_of, outputs)))
        return outputs

    def journal(self) -> Journal:
        return Journal("holder", self.topic.post, ManualClock(SEEN), "code")

    @property
    def past(self) -> Past:
        past = Past()
        for entry in self.topic.entries:
            past.add(entry, FILLS[0])
        return past

    def recovered(self, hosts: Hosts) -> Recovered:
        """By the next process, which journals what it finds."""
        return asyncio.run(self._recovered(hosts))

    async def _recovered(self, hosts: Hosts) -> Recovered:
        past, journal = self.past, self.journal()
        journal.resume(past.sequence, past.consumed, past.deployed)
        found = await recover(Settings(), past, self.topics, hosts)
        assert found is not None
        await journal_loss(found, past, journal, self.topics)
        assert journal.has(At(*COMMANDS, 1)), "what was consumed is consumed"
        return found


def deploy(monkeypatch: pytest.MonkeyPatch, command: Deploy, hosts: Hosts) -> tuple[RunningState, str, str]:
    """The state that the deployment ends in, why, and the fault to be journalled."""

    async def contracts(*_: object) -> list[Contract]:
        return [a_contract()]

    async def past(*_: object) -> PastBars:
        return PastBars([a_historical_bar()], {}, "")

    monkeypatch.setattr(deploying, "_contracts", contracts)
    monkeypatch.setattr(deploying, "past_bars", past)
    strategy, _, fault = asyncio.run(deployed(Settings(), command, None, hosts))
    return strategy.state, strategy.error, fault


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ({"failed": "AttributeError: my indicator"}, "my indicator"),
        ({"signals": 7}, "nonsense"),
    ],
)
def test_a_warm_up_that_fails_is_a_fault_to_be_journalled_of_a_failed_deployment(
    answer: Any, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts = Inside(lambda: Answering(answer), SandboxedError)
    state, error, fault = deploy(monkeypatch, uploaded(warmup_bars=5), hosts)
    assert (state, error) == (RunningState.FAILED, fault)
    assert why in fault


def test_a_warm_up_that_is_broken_off_is_a_fault_to_be_journalled(monkeypatch: pytest.MonkeyPatch) -> None:
    hosts = Inside(lambda: Answering("no message"), SandboxedError)
    state, error, fault = deploy(monkeypatch, uploaded(warmup_bars=5), hosts)
    assert (state, error) == (RunningState.FAILED, fault)
    assert "no message" in fault


def test_a_process_that_cannot_be_started_is_a_fault_to_be_journalled(monkeypatch: pytest.MonkeyPatch) -> None:
    def start() -> Child:
        raise SandboxUnavailableError("this host has no user namespaces")

    state, error, fault = deploy(monkeypatch, uploaded(), Inside(start, SandboxedError))
    assert (state, error) == (RunningState.FAILED, fault)
    assert "no user namespaces" in fault


def test_a_past_is_made_again_and_nothing_is_journalled() -> None:
    life = Life()
    before = len(life.topic.entries)
    found = life.recovered(shipped)
    assert found.strategy.report(NOON) == life.strategy.report(NOON)
    assert (found.strategy.state, len(life.topic.entries)) == (RunningState.RUNNING, before)


class SlowToBegin(HostHere):
    """Takes too long to begin."""

    def __init__(self, *_: Any) -> None:
        raise StoppedFromOutsideError("it took longer than 30 s")


class SlowToWarmUp(HostHere):
    """Takes too long over past bars."""

    def warm_up(self, bars: Iterable[Any]) -> int:
        raise StoppedFromOutsideError("it took longer than 30 s")


class SlowToDecide(HostHere):
    """Takes too long over a bar."""

    def on_bar(self, bar: Any) -> Any:
        raise StoppedFromOutsideError("it took longer than 1 s")


@pytest.mark.parametrize("hosts", [SlowToBegin, SlowToWarmUp, SlowToDecide])
def test_who_is_stopped_in_its_recovery_fails_alone_and_stays_so_in_the_next_process(
    hosts: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    life = Life()
    if hosts is SlowToWarmUp:
        warmed_up(life, monkeypatch)
    found = life.recovered(hosts)
    assert found.strategy.state is RunningState.FAILED
    assert "cannot be recovered" in found.strategy.error
    assert "it took longer than" in found.strategy.error
    assert found.tail == []
    written = len(life.topic.entries)
    for _ in range(2):
        again = life.recovered(shipped).strategy
        assert (again.state, again.error) == (RunningState.FAILED, found.strategy.error)
        assert again.orders.quantity(APPLE) == life.strategy.orders.quantity(APPLE) != 0
    assert len(life.topic.entries) == written


def warmed_up(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if past bars had been read for its deployment, before all else."""

    async def again(*_: object) -> PastBars:
        return PastBars([a_historical_bar()], {}, "")

    monkeypatch.setattr(recovery, "past_bars", again)
    first = life.topic.entries[0]
    read = first.revised(topic=HISTORY, contracts=None)
    entries = [read, *life.topic.entries]
    life.topic.entries = [each.revised(sequence=number) for number, each in enumerate(entries, start=1)]


def test_a_past_that_was_lost_is_no_difference_to_a_replay(monkeypatch: pytest.MonkeyPatch) -> None:
    life = Life()
    life.recovered(SlowToDecide)

    async def entries(*_: object) -> list[JournalEntry]:
        return life.topic.entries

    monkeypatch.setattr(parity, "entries_of", entries)
    found = asyncio.run(parity.Parity(Settings(), life.topics, "holder", parity.Window()).run())
    assert found.entries == len(life.topic.entries)
    assert set(found.outputs) == {each for entry in life.topic.entries for each in entry.outputs}
