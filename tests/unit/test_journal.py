"""A strategy behind its journal: repeats and crashes in any order change nothing of what follows."""

import asyncio
import random
from collections import defaultdict
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from consumers.strategist.journal import Input, Journal, claim
from engine.live.outputs import Output, id_of
from engine.live.running import RunningStrategy
from infra.clock import ManualClock
from infra.journal.spans import Claims, Past
from schemas.event import Event
from schemas.orders import DenialReason, FillCorrected, OrderIntent, OrderStatus
from schemas.place import At
from schemas.strategy import JournalEntry, Pause, Resume, Start
from tests.builders import APPLE, NOON, SEEN, a_bar, a_contract, a_fill
from tests.unit.test_running_strategy import COMMAND, a_deployment, an_update, decided

FILLS = "trading.fills.v1"
Step = tuple[Event, At]


def a_strategy() -> RunningStrategy:
    parameters = {"fast": 1, "slow": 3, "short": True}
    deployment = a_deployment(strategy="moving_average_crossover", parameters=parameters, bar_size_seconds=10)
    return RunningStrategy(deployment, [a_contract()])


class Script:
    """What happened once, in the order in which it was consumed."""

    def __init__(self, seed: int, bars: int) -> None:
        self.inputs: list[Step] = []
        self.strategy = a_strategy()
        self._dice = random.Random(seed)
        self._ends: dict[str, int] = defaultdict(int)
        self._play(bars)

    def _play(self, bars: int) -> None:
        self._give("strategy.commands.v1", Start(**COMMAND))
        close, answers = 100.0, list[tuple[str, Event]]()
        for number in range(bars):
            close = round(close + self._dice.uniform(-1, 1), 2)
            bar = a_bar(
                start=NOON + timedelta(seconds=5 * number), open=close, high=close + 1, low=close - 1, close=close
            )
            for output in self._give("market.bars.v1", bar):
                if isinstance(output, OrderIntent):
                    answers += self._answers(output)
            while answers and self._dice.random() < 0.7:
                self._give(*answers.pop(0))
            if self._dice.random() < 0.1:
                self._give("strategy.commands.v1", self._dice.choice([Pause(**COMMAND), Resume(**COMMAND)]))

    def _give(self, topic: str, event: Event) -> list[Output]:
        at = At(topic, 0, self._ends[topic])
        self._ends[topic] += self._dice.choice([1, 1, 3])  # records of others lie between
        self.inputs.append((event, at))
        return self.strategy.take(event, at) if self.strategy.wants(event) else []

    def _answers(self, intent: OrderIntent) -> list[tuple[str, Event]]:
        kind = self._dice.randrange(4)
        if kind == 0:
            return [("trading.decisions.v1", decided(intent, self._dice.choice(list(DenialReason))))]
        filled = int(intent.quantity) if kind == 1 else 30
        mine = {"execution_id": intent.intent_id, "order_id": intent.intent_id, "strategy_id": "holder"}
        fill = a_fill(**mine, side=intent.side, last_quantity=Decimal(filled))
        status = OrderStatus.FILLED if filled == intent.quantity else OrderStatus.CANCELED
        answers: list[tuple[str, Event]] = [(FILLS, fill), ("trading.orders.v1", an_update(intent, status, filled))]
        self._dice.shuffle(answers)
        if kind == 3:
            fields = fill.model_dump(exclude={"type", "revision", "last_quantity"})
            answers.append((FILLS, FillCorrected(**fields, revision=2, last_quantity=Decimal(20))))
        return answers


@dataclass
class Life:
    """One process: what it remembers goes with it, what it told does not."""

    strategy: RunningStrategy
    journal: Journal

    async def take(self, event: Event, at: At) -> list[Output]:
        if not self.strategy.wants(event) or self.journal.has(at):
            return []
        outputs = self.strategy.take(event, at)
        await self.journal.note(Input(event, at, event.to_json()), tuple(map(id_of, outputs)))
        return outputs


class Topic:
    """The journal's: keeps what is written."""

    def __init__(self) -> None:
        self.entries: list[JournalEntry] = []

    async def post(self, event: Event) -> "asyncio.Future[object]":
        assert isinstance(event, JournalEntry)
        self.entries.append(event)
        done: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done


def reborn(topic: Topic, script: Script) -> tuple[Life, list[Output]]:
    """A new process, made from the journal; and what its last entry caused."""
    past = Past()
    for entry in topic.entries:
        past.add(entry, FILLS)
    strategy, tail = a_strategy(), list[Output]()
    for span in past.spans:
        tail = []
        for event, at in script.inputs:
            if at.place == span.place and span.first <= at.offset <= span.last and strategy.wants(event):
                tail += strategy.take(event, at)
        assert tuple(map(id_of, tail)) == span.outputs
    journal = Journal("holder", topic.post, ManualClock(SEEN), "code")
    journal.resume(past.sequence, past.consumed, past.deployed)
    return Life(strategy, journal), tail


Fates = list[tuple[int, str, int]]
"""At which step what happens; and a number for how far it goes back."""
FATES = st.lists(
    st.tuples(
        st.integers(0, 100), st.sampled_from(["commit", "repeat", "crash", "crash untold"]), st.integers(0, 1000)
    ),
    max_size=12,
)


async def played(script: Script, fates: Fates) -> tuple[dict[str, Output], RunningStrategy, Topic]:
    """Once more, with crashes and repeats; a commit never goes past what the journal has."""
    topic, told, committed, at_hand, step = Topic(), dict[str, Output](), 0, 0, 0
    planned = {when: (fate, back) for when, fate, back in fates}
    life, _ = reborn(topic, script)
    while at_hand < len(script.inputs):
        outputs = await life.take(*script.inputs[at_hand])
        at_hand, step = at_hand + 1, step + 1
        fate, back = planned.get(step, ("", 0))
        if fate != "crash untold":
            told |= {id_of(each): each for each in outputs}
        if fate == "commit":
            await life.journal.settle()
            committed = at_hand
        elif fate == "repeat":
            for event, at in script.inputs[back % at_hand : at_hand]:
                assert await life.take(event, at) == []
        elif fate:
            life, tail = reborn(topic, script)
            told |= {id_of(each): each for each in tail}
            at_hand = back % (committed + 1)
    await life.journal.settle()
    return told, life.strategy, topic


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 1000), FATES)
def test_crashes_and_repeats_in_any_order_change_no_output(seed: int, fates: Fates) -> None:
    script = Script(seed, bars=40)
    calm = {id_of(each): each for each in _outputs(script)}
    told, strategy, topic = asyncio.run(played(script, fates))
    assert told == calm
    assert strategy.report(NOON) == script.strategy.report(NOON)
    assert [entry.sequence for entry in topic.entries] == list(range(1, len(topic.entries) + 1))
    assert set(calm) == {output for entry in topic.entries for output in entry.outputs}


def _outputs(script: Script) -> list[Output]:
    strategy = a_strategy()
    return [each for event, at in script.inputs if strategy.wants(event) for each in strategy.take(event, at)]


def test_the_script_trades() -> None:
    assert sum(isinstance(each, OrderIntent) for seed in range(5) for each in _outputs(Script(seed, bars=40))) > 20
    assert a_strategy().contracts.keys() == {APPLE}


def test_what_a_former_holder_writes_behind_a_claim_counts_for_nothing() -> None:
    async def written() -> tuple[JournalEntry, JournalEntry]:
        topic = Topic()
        for epoch in (1, 2):
            journal = Journal("holder", topic.post, ManualClock(SEEN), "code", epoch)
            start = Start(**COMMAND)
            await journal.note(Input(start, At("strategy.commands.v1", 0, 7), start.to_json()))
            await journal.settle()
        return topic.entries[0], topic.entries[1]

    before, after = asyncio.run(written())
    claims = Claims()
    assert [claims.allow(each) for each in (before, claim(2, NOON), before, after)] == [True, False, False, True]
