"""The governor against the gateway's own memory of requests: no rule is broken, and what is allowed is used."""

import asyncio
import random
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.gateway.pacing import Governor, HistoryRequest
from infra.gateway.windows import Limits, Pacing, Priority
from infra.gateway_simulator.protocol.pacing import HistoryPacing, PastRequest
from infra.gateway_simulator.protocol.pacing import Pacing as GatewayPacing
from tests.time_machine import LoopClock, in_no_time

HOUR = 3600.0
WEEK = 7 * 24 * HOUR


@dataclass(frozen=True)
class Mix:
    """What is asked for, by how many, and how slow the way to the gateway and back is at worst."""

    seed: int = 1
    lanes: int = 90
    contracts: int = 200
    quoted: float = 0.2
    repeated: float = 0.1
    way_seconds: float = 0.3
    answer_seconds: float = 2.0
    mode: str = "strict"


@dataclass
class Tally:
    violations: list[str] = field(default_factory=list)
    paced: int = 0
    """Requests that the rule counted, quoted ones twice."""
    larger: int = 0


class Traffic:
    """Lanes that ask as soon as they may, and a gateway that takes each request some time after it was sent."""

    def __init__(self, mix: Mix) -> None:
        self._mix = mix
        self._dice = random.Random(mix.seed)
        clock = LoopClock()
        self._gateway = HistoryPacing(clock, GatewayPacing(mix.mode))
        self._governor = Governor(clock, pacing=Pacing(mix.mode), limits=Limits(messages_per_second=20))
        self._last = PastRequest("0", "TRADES", "0", 5)
        self.tally = Tally()

    async def run(self, seconds: float) -> Tally:
        until = asyncio.get_running_loop().time() + seconds
        lanes = [asyncio.create_task(self._lane(until)) for _ in range(self._mix.lanes)]
        await asyncio.sleep(seconds)
        for lane in lanes:
            lane.cancel()
        await asyncio.wait(lanes)
        return self.tally

    async def _lane(self, until: float) -> None:
        loop = asyncio.get_running_loop()
        while loop.time() < until:
            await self._ask(self._request(), self._dice.choice(list(Priority)))

    def _request(self) -> PastRequest:
        dice, mix = self._dice, self._mix
        if dice.random() >= mix.repeated:
            what = "BID_ASK" if dice.random() < mix.quoted else "TRADES"
            size = dice.choice([5, 30, 60, 86_400])
            contract = str(dice.randrange(mix.contracts))
            self._last = PastRequest(contract, what, str(dice.random()), size)
        return self._last

    async def _ask(self, wanted: PastRequest, priority: Priority) -> None:
        request = HistoryRequest(
            f"{wanted.contract}/{wanted.what}/{wanted.wanted}/{wanted.bar_seconds}",
            f"{wanted.contract}/{wanted.what}",
            wanted.bar_seconds,
            wanted.cost,
        )
        async with self._governor.history(request, priority, patience_seconds=WEEK):
            await asyncio.sleep(self._dice.uniform(0, self._mix.way_seconds))
            if (broken := self._gateway.violation(wanted)) is not None:
                self.tally.violations.append(broken)
            if self._governor.paces(wanted.bar_seconds):
                self.tally.paced += wanted.cost
            else:
                self.tally.larger += 1
            await asyncio.sleep(self._dice.uniform(0, self._mix.answer_seconds))


def allowed(seconds: float) -> int:
    """The most requests that sixty in any ten minutes let through."""
    return 60 * (1 + int(seconds / 600))


@pytest.mark.parametrize("mode", ["strict", "today"])
def test_a_week_of_mixed_requests_breaks_no_rule_and_uses_the_allowed_rate(mode: str) -> None:
    tally = in_no_time(Traffic(Mix(mode=mode)).run(WEEK if mode == "strict" else WEEK / 7))

    assert tally.violations == []
    assert tally.paced >= 0.98 * allowed(WEEK if mode == "strict" else WEEK / 7)
    assert (tally.larger > 0) is (mode == "today")


@settings(max_examples=15, deadline=None)
@given(
    mix=st.builds(
        Mix,
        seed=st.integers(0, 10**6),
        lanes=st.integers(1, 120),
        contracts=st.integers(1, 50),
        quoted=st.floats(0, 1),
        repeated=st.floats(0, 1),
        way_seconds=st.floats(0, 10),
        answer_seconds=st.floats(0, 20),
        mode=st.sampled_from(["strict", "today"]),
    )
)
def test_whatever_is_asked_and_however_slow_the_way_no_rule_is_broken(mix: Mix) -> None:
    assert in_no_time(Traffic(mix).run(2 * HOUR)).violations == []


def test_a_governor_that_counts_from_the_sending_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    from infra.gateway import windows

    def take(self: windows.Window, now: float, cost: int = 1) -> None:
        self._times.extend([now] * cost)

    monkeypatch.setattr(windows.Window, "take", take)
    monkeypatch.setattr(windows.Window, "settle", lambda *_: None)

    assert in_no_time(Traffic(Mix(way_seconds=3.0)).run(6 * HOUR)).violations
