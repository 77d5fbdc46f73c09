"""Cassettes are read strictly, and every step of every committed one really happens."""

import ast
import re
from pathlib import Path
from typing import Any

import pytest

from infra.errors import UsageError
from infra.gateway_simulator.faults import cassette
from infra.gateway_simulator.faults.cassette import Cassette
from infra.gateway_simulator.instruments.calendar import NEW_YORK
from tests.unit.a_gateway_by_hand import APPLE, Client, Hand, by_hand, history

PROCESSES = ("executor", "data_farmer")
SOUND = """name: sound
description: What happens.
source: Where that is known from.
expects: What is to follow.
steps:
  - name: first
    when: {event: ack sent}
    do: {drop: true}
"""


def changed(before: str, after: str) -> str:
    assert before in SOUND
    return SOUND.replace(before, after)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "a cassette is a mapping"),
        ("- 1", "a cassette is a mapping"),
        ("name: [", "line 1: not YAML"),
        ("[" * 20_000, "not YAML"),
        (changed("name: sound", "name: A Sound"), "line 1: name: "),
        (changed("expects: What is to follow.\n", ""), "expects: Field required"),
        (changed("steps:", "colour: blue\nsteps:"), "line 5: colour: Extra inputs"),
        (changed("event: ack sent", "event: lunch"), "line 6: steps.0: no event 'lunch'"),
        (changed("{event: ack sent}", "{event: ack sent, nth: 0}"), "line 7: steps.0.when.nth: "),
        (changed("{event: ack sent}", "{event: ack sent, colour: blue}"), "line 7: steps.0.when.colour: Extra"),
        (changed("{event: ack sent}", "{}"), "line 7: steps.0.when: a step waits for one of"),
        (changed("{event: ack sent}", "{wall_seconds: 1, nth: 2}"), "nth belongs to an event"),
        (changed("{event: ack sent}", "{wall_seconds: 1, times: 2}"), "times needs every"),
        (changed("{event: ack sent}", "{wall_seconds: 1}"), "drop cannot be done at 'a time'"),
        (changed("drop: true", "explode: true"), "line 8: steps.0.do.explode: Extra"),
        (changed("{drop: true}", "{}"), "line 8: steps.0.do: an action does one of"),
        (changed("drop: true", "signal: KILL"), "signal and target belong together"),
        (changed("drop: true", "signal: HUP, target: risk"), "line 8: steps.0.do.signal: "),
        (changed("drop: true", "overtake: true, drop: true"), "overtake needs a delay"),
        (changed("drop: true", "error: {code: 103}"), "error cannot be done at 'ack sent'"),
        (changed("drop: true", "lie: empty"), "the lie empty belongs to"),
        (changed("drop: true", "farm: {name: moon, state: broken}"), "line 8: steps.0.do.farm.name: "),
        (changed("drop: true", "farm: {name: secdefil, state: inactive}"), "secdefil is told as one of broken, ok"),
        (changed("drop: true", "outage: {seconds: -1}"), "line 8: steps.0.do.outage.seconds: "),
        (changed("drop: true", "correct: {}"), "a correction needs"),
    ],
)
def test_what_is_wrong_is_told_with_its_line_and_field(text: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=re.escape(complaint)):
        cassette.read(text, "it")


def test_one_fault_is_one_complaint() -> None:
    with pytest.raises(UsageError) as told:
        cassette.read(changed("drop: true", "explode: true"), "it")

    assert str(told.value).count("\n") == 0


def test_a_name_that_is_none_is_told_with_those_like_it_and_where_all_are_listed(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="overfill"):
        cassette.load("overfil")
    with pytest.raises(UsageError, match=r"docs/faults\.md lists"):
        cassette.load(str(tmp_path / "none.yaml"))
    (tmp_path / "large.yaml").write_text("x" * 300_000)
    with pytest.raises(UsageError, match="larger"):
        cassette.load(str(tmp_path / "large.yaml"))


@pytest.mark.parametrize("name", cassette.names())
def test_a_committed_cassette_is_named_like_its_file_and_says_what_it_is(name: str) -> None:
    read = cassette.load(name)

    assert read.name == name
    assert all(step.name for step in read.steps)


@pytest.mark.parametrize("name", cassette.names())
async def test_every_step_of_a_committed_cassette_happens(name: str) -> None:
    read = cassette.load(name)
    async with by_hand(now=_start(read)) as hand:
        hand.gateway.faults.kill = lambda pid, number: None
        for number, process in enumerate(PROCESSES, 4711):
            hand.gateway.faults.register(process, number)
        hand.gateway.director.load(read)
        for turn in range(6):
            await a_busy_minute(hand, turn)
            if not hand.gateway.director.waiting():
                break
        await hand.wall(120)

        fired = {str(each["name"]) for each in hand.fired if "name" in each}
        assert fired == {f"{name}: {step.name}" for step in read.steps}
        assert [each for each in hand.fired if "failed" in each or "unregistered" in each] == []


def _start(read: Cassette) -> str:
    """A minute before the first market time that it waits for."""
    times = [step.when.market_time for step in read.steps if step.when.market_time is not None]
    if not times:
        return "2013-02-28T10:00:00-05:00"
    first = min(times)
    return first.replace(minute=first.minute - 1, tzinfo=first.tzinfo or NEW_YORK).isoformat()


def test_every_committed_cassette_is_played_to_the_services_that_it_threatens() -> None:
    tests = (Path(__file__).parent.parent / "integration").glob("test_cassettes_*.py")
    parts = [part for each in tests for part in ast.walk(ast.parse(each.read_text(encoding="utf-8")))]
    played = {part.value for part in parts if isinstance(part, ast.Constant)}

    assert set(cassette.names()) - played == set()


async def a_busy_minute(hand: Hand, turn: int) -> None:
    """Everything that our services ask of a gateway, by one client that comes and goes."""
    client = await hand.client()
    first = int(client.of(9)[0][2]) if client.of(9) else 1 + 10 * turn
    number = 100 * (turn + 1)
    talk: list[list[Any]] = [
        [61, 1],
        [5, 1],
        [16, 1],
        [6, 2, 1, ""],
        [62, 1, number + 9, "All", "NetLiquidation"],
        [7, 3, number, 0, "", "", "", "", "", ""],
        [49, 1],
        [9, 8, number + 1, *APPLE, 0, "", "", ""],
        [9, 8, number + 2, *APPLE, 0, "", "", ""],
        history(number + 3),
        history(number + 4, "2 D"),
        history(number + 5, "3 D"),
        [25, 1, number + 3],
        [50, 3, number + 6, *APPLE, 5, "TRADES", 1, ""],
        [1, 11, number + 7, *APPLE, 0, "", 0, 0, ""],
    ]
    for words in talk:
        await say(client, *words)
    await hand.market(30)
    for place, terms in enumerate(({}, {}, {"kind": "LMT", "limit": 400})):
        if client.session.is_open:
            await client.order(first + place, **terms)
    await say(client, 4, 1, first + 2, "")
    await say(client, 7, 3, number + 8, 0, "", "", "", "", "", "")
    await hand.market(30)
    await hand.wall(60)
    if client.session.is_open:
        await client.leave()
    await hand.market(600 if turn else 0)


async def say(client: Client, *words: Any) -> None:
    if client.session.is_open:
        await client.say(*words)
