"""One strategy's deployment or past that cannot be made again stops that strategy, is remembered, and nobody else."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from consumers.strategist import deploying
from consumers.strategist.deploying import deployed
from consumers.strategist.recovery import Recovered, recover
from engine.live.hosts import HostHere, Hosts, Inside, StoppedFromOutsideError, shipped
from engine.live.outputs import id_of
from infra.journal.inputs import Inputs
from infra.journal.spans import Past, Span
from infra.journal.warm_up import PastBars
from infra.settings import Settings
from schemas.event import Event
from schemas.place import At, Place
from schemas.strategy import Deploy, RunningState, Start
from schemas.validation import Contract
from tests.builders import NOON, a_bar, a_contract, a_historical_bar
from tests.unit.test_running_strategy import COMMAND, a_deployment, started

COMMANDS, BARS = ("strategy.commands.v1", 0), ("market.bars.v1", 0)
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

    def __init__(self, held: Mapping[Place, list[Event]]) -> None:
        self._held = held

    async def begin(self, spans: Iterable[Span]) -> None:
        """All of it is at hand."""

    async def events(self, span: Span, keys: Collection[bytes] = ()) -> AsyncIterator[tuple[Event, Any]]:
        for offset, event in enumerate(self._held[span.place]):
            if span.first <= offset <= span.last:
                yield event, Written(offset, event.to_json())


class Answering:
    """The line to a process that answers each message as it was told to."""

    def __init__(self, to_the_past: Any) -> None:
        self._to_the_past = to_the_past
        self._answer: Any = None

    def send(self, message: dict[str, Any]) -> None:
        state = {"bars_seen": 0, "signals": 0, "warm": False}
        self._answer = self._to_the_past if "past" in message else {"signals": [], "asked": [], "state": state}

    def receive(self) -> Any:
        return self._answer

    def close(self) -> None:
        """There is no process."""


class EndedInsideError(Exception):
    """A process inside was ended."""


def uploaded(**changes: Any) -> Deploy:
    return a_deployment(source=SOURCE, code_sha256=hashlib.sha256(SOURCE.encode()).hexdigest(), **changes)


def a_past(bars: int = 1) -> tuple[Past, Topics]:
    """A strategy that was deployed, started and given bars, and what its topics hold."""
    told = started().give(a_bar())
    assert told
    spans = [Span(COMMANDS, 1, 1), Span(BARS, 0, 0, ()), Span(BARS, 1, bars)]
    past = Past(sequence=4, deployed=At(*COMMANDS, 0), contracts=(a_contract(),), spans=spans)
    held: list[Event] = [a_bar(start=NOON + timedelta(seconds=5 * number)) for number in range(bars + 1)]
    topics = Topics({COMMANDS: [a_deployment(), Start(**COMMAND)], BARS: held})
    desk = started()
    for span in spans[1:]:
        for offset in range(span.first, span.last + 1):
            span.outputs += tuple(map(id_of, desk.strategy.take(held[offset], At(*BARS, offset))))
    return past, topics


def recovered(past: Past, topics: Topics, hosts: Hosts) -> Recovered:
    found = asyncio.run(recover(Settings(), past, topics, hosts))
    assert found is not None
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
def test_a_warm_up_that_fails_is_a_failed_deployment(answer: Any, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    hosts = Inside(lambda: Answering(answer), EndedInsideError)
    state, error, fault = deploy(monkeypatch, uploaded(warmup_bars=5), hosts)
    assert (state, fault) == (RunningState.FAILED, "")
    assert why in error


def test_a_warm_up_that_is_broken_off_is_a_fault_to_be_journalled(monkeypatch: pytest.MonkeyPatch) -> None:
    hosts = Inside(lambda: Answering("no message"), EndedInsideError)
    state, error, fault = deploy(monkeypatch, uploaded(warmup_bars=5), hosts)
    assert (state, error) == (RunningState.FAILED, fault)
    assert "no message" in fault


def test_a_past_is_made_again() -> None:
    past, topics = a_past()
    found = recovered(past, topics, shipped)
    assert (found.strategy.state, found.strategy.bars_seen) == (RunningState.RUNNING, 2)


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
def test_a_strategy_that_is_stopped_in_its_recovery_fails_alone(hosts: Hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    async def again(*_: object) -> PastBars:
        return PastBars([a_historical_bar()], {}, "")

    monkeypatch.setattr("consumers.strategist.recovery.past_bars", again)
    past, topics = a_past()
    past.history = {("market.history.v1", 0): 0}
    found = recovered(past, topics, hosts)
    assert found.strategy.state is RunningState.FAILED
    assert "cannot be recovered" in found.strategy.error
    assert "it took longer than" in found.strategy.error
    assert found.tail == []
