"""Live strategies on the real broker: what they decide, and that kills and repeats change nothing of it."""

import asyncio
import hashlib
import random
import signal
from collections.abc import Callable
from contextlib import AbstractContextManager
from decimal import Decimal
from functools import partial
from pathlib import Path

import pytest

from infra import topic_admin
from infra.embedded.fostering import Foster, Nursery
from infra.embedded.kafka import KafkaServer
from infra.journal.spans import HISTORY, entries_of
from infra.replay import fold
from infra.settings import Settings
from infra.topics import load_catalogue
from producers.cli.parity import Window
from producers.cli.parity_certificate import verified
from schemas.market import Bar, Want
from schemas.orders import OrderIntent
from schemas.strategy import Deploy, JournalEntry, Pause, Resume, Signal, Start, Stop, StrategyState
from tests.builders import a_historical_bar, a_tick
from tests.integration.a_forked_service import a_forked_service, ended
from tests.integration.a_recorded_day import a_strategist, the_topics
from tests.integration.a_trading_floor import (
    COMMAND,
    CONTRACTS,
    MINE,
    PARTITIONS,
    WHEN,
    Expected,
    Floor,
    a_deployment,
    a_floor,
    expectations,
    random_bars,
    until,
)
from tests.integration.an_order_path import an_order_path
from tests.integration.conftest import settings_of_this_run

MINUTES = 300
KILLS = 10
KILLS_WHILE_STARTING = 3

Process = Callable[[], AbstractContextManager[Foster]]


@pytest.fixture
def settings(kafka_server: KafkaServer, topic_prefix: str, tmp_path: Path) -> Settings:
    """A broker, and no database: a strategist needs none."""
    update = {"kafka": kafka_server.address, "topic_prefix": topic_prefix}
    return settings_of_this_run(tmp_path / "home").model_copy(update=update)


async def started(floor: Floor, *commands: Deploy) -> None:
    """Deploy and start, and wait until they run."""
    for command in commands:
        await floor.tell(command, Start(**COMMAND | {"strategy_id": command.strategy_id}))
    for command in commands:
        await floor.in_state("running", command.strategy_id)


async def at_once(_: int) -> None:
    """A feed without pause."""


def without_ingest_time(intents: dict[str, OrderIntent]) -> set[str]:
    return {
        intent.model_copy(update={"ingest_time": intent.event_time}).model_dump_json() for intent in intents.values()
    }


async def the_end(floor: Floor, expected: list[Expected], bars: int) -> StrategyState:
    """Wait until all is traded and told; the last state."""

    async def traded() -> bool:
        return len(floor.answered) >= len(expected)

    await until(traded, 30)
    await floor.caught_up()

    async def told() -> StrategyState | None:
        state = await floor.state()
        return state if state.bars_seen == bars and state.intents == len(expected) else None

    state: StrategyState = await until(told)
    return state


async def check_journal(floor: Floor) -> None:
    """No entry is missing, and each output stands in exactly one."""
    entries: list[JournalEntry] = [each for each in await floor.told("strategy.journal.v1") if not each.claim]
    numbers = [entry.sequence for entry in entries]
    assert numbers == list(range(1, len(entries) + 1))
    outputs = [output for entry in entries for output in entry.outputs]
    signals: list[Signal] = await floor.told("strategy.signals.v1")
    assert len(outputs) == len(set(outputs))
    assert set(outputs) == {*floor.intents, *(signal.signal_id for signal in signals)}


async def undisturbed(settings: Settings, bars: list[Bar], expected: list[Expected]) -> tuple[Floor, StrategyState]:
    async with a_floor(settings, copies=2) as floor, a_strategist(settings):
        await started(floor, a_deployment())
        await floor.feed(bars, expected, at_once)
        state = await the_end(floor, expected, 2 * MINUTES)
        await check_journal(floor)
        return floor, state


class Lives:
    """A strategist that is killed again and again, while the feed goes on and also while it is dead."""

    def __init__(self, floor: Floor, strategist: Process, bars: int) -> None:
        self._floor = floor
        self._strategist = strategist
        self._bars = bars
        self._allowed = asyncio.Condition()
        self._share = 0.0
        self._dice = random.Random(11)

    async def allowed(self, number: int) -> None:
        """Some bars for each life, so that each has work to die at."""
        async with self._allowed:
            await self._allowed.wait_for(lambda: number <= self._share * self._bars)
        await asyncio.sleep(0.005)

    async def _allow(self, share: float) -> None:
        async with self._allowed:
            self._share = share
            self._allowed.notify_all()

    async def run(self) -> None:
        for number in range(KILLS):
            await self._allow((number + 1) / (KILLS + 2))
            before = await self._journalled()
            with self._strategist() as process:
                await until(partial(self._more, before), 30)
                await asyncio.sleep(self._dice.choice([0, self._dice.uniform(0, 0.4)]))
                assert process.exit_code is None, "it ended by itself"
            if number < KILLS_WHILE_STARTING:
                with self._strategist():
                    await asyncio.sleep(self._dice.uniform(0.5, 1.5))
        await self._allow(1.0)

    async def _journalled(self) -> int:
        return len(await self._floor.told("strategy.journal.v1"))

    async def _more(self, before: int) -> bool:
        return await self._journalled() > before


async def test_kills_and_repeats_change_no_decision(stack_settings: Settings, nursery: Nursery, tmp_path: Path) -> None:
    settings = stack_settings  # with a database: whoever runs these strategies holds the lease
    strategist = partial(a_forked_service, nursery, "consumers.strategist", settings, tmp_path / "strategist.log")
    bars = random_bars(MINUTES)
    expected, held = expectations(bars, copies=2)
    calm, calm_state = await undisturbed(
        settings.model_copy(update={"topic_prefix": settings.topic_prefix + "calm."}), bars, expected
    )

    assert len(expected) > 60
    assert {each.outcome for each in expected} == {"filled", "refused", "hindered", "cut short"}
    fields = {
        key: (each.contract_id, each.side, each.quantity, each.reference_price) for key, each in calm.intents.items()
    }
    assert fields == {
        each.intent_id: (each.contract_id, each.side, each.quantity, Decimal(repr(each.price))) for each in expected
    }
    assert calm_state.positions == {CONTRACTS[key]: str(quantity) for key, quantity in held.items() if quantity}

    async with a_floor(settings, copies=2) as floor:
        with strategist():
            await started(floor, a_deployment())
        lives = Lives(floor, strategist, len(bars))
        feeding = asyncio.create_task(floor.feed(bars, expected, lives.allowed))
        await lives.run()
        with strategist() as process:
            await feeding
            state = await the_end(floor, expected, 2 * MINUTES)
            process.send(signal.SIGTERM)
            assert await ended(process) == 0
        await check_journal(floor)

    assert without_ingest_time(floor.intents) == without_ingest_time(calm.intents)
    assert (state.positions, state.intents, state.signals, state.denied) == (
        calm_state.positions,
        calm_state.intents,
        calm_state.signals,
        calm_state.denied,
    )


async def test_what_is_deployed_again_goes_on_with_what_it_holds(settings: Settings) -> None:
    command = a_deployment(strategy="buy_and_hold", parameters={}, symbols=("AAA",), bar_size_seconds=5)
    bars = random_bars(2, contracts=[101])

    async def holds(quantity: str) -> StrategyState:
        async def told() -> StrategyState | None:
            state = await floor.state()
            return state if state.state == "running" and state.positions == {"AAA": quantity} else None

        return await until(told)

    async with a_floor(settings) as floor:
        async with a_strategist(settings):
            await started(floor, command)
            await floor.tell(*bars[:3])
            await holds("100")
            await floor.tell(command.revised(quantity=40.0))  # refused: it runs
            await floor.tell(Stop(**COMMAND))
            await floor.in_state("stopped")
            await started(floor, command.revised(quantity=150.0))
            await floor.tell(*bars[3:6])
            await holds("150")
        async with a_strategist(settings):
            await floor.tell(*bars[6:9])
            state = await holds("150")
            assert state.deployment.quantity == 150.0
        assert [each.quantity for each in floor.intents.values()] == [Decimal(100), Decimal(50)]
        await check_journal(floor)


async def test_live_data_is_asked_for_beside_others_and_given_up_alone(settings: Settings) -> None:
    ticking = a_deployment(
        strategy_id="ticking", strategy="tick_momentum", parameters={}, symbols=("AAA",), trigger="ticks"
    )
    barring = a_deployment(strategy_id="barring")
    other = Want(contract_id=101, symbol="AAA", quotes=True, holder="api", **WHEN)

    async def wanted() -> dict[int, dict[str, tuple[bool, bool, bool]]]:
        found: dict[int, dict[str, tuple[bool, bool, bool]]] = {}
        for each in await floor.told("market.wants.v1"):
            found.setdefault(each.contract_id, {})[each.holder] = (each.bars, each.ticks, each.quotes)
        return found

    async def becomes(expected: dict[int, dict[str, tuple[bool, bool, bool]]]) -> None:
        async def so_it_is() -> bool:
            return await wanted() == expected

        await until(so_it_is)

    async with a_floor(settings) as floor, a_strategist(settings):
        await floor.tell(other)
        await started(floor, barring)
        bars, nothing, quotes = (True, False, False), (False, False, False), (False, False, True)
        await becomes({101: {"api": quotes, "barring": bars}, 104: {"barring": bars}})
        await started(floor, ticking)
        of_both = {"api": quotes, "barring": bars, "ticking": (True, True, False)}
        await becomes({101: of_both, 104: {"barring": bars}})
        for strategy_id in ("barring", "ticking"):
            await floor.tell(Stop(**COMMAND | {"strategy_id": strategy_id}))
            await floor.in_state("stopped", strategy_id)
        await becomes({101: {"api": quotes, "barring": nothing, "ticking": nothing}, 104: {"barring": nothing}})


async def test_ticks_reach_those_who_asked_for_them_and_poison_stops_nobody(settings: Settings) -> None:
    ticking = a_deployment(
        strategy_id="ticking", strategy="tick_momentum", parameters={}, symbols=("AAA",), trigger="ticks"
    )
    deaf = ticking.revised(strategy_id="deaf", trigger="bars")
    broken = a_deployment(strategy_id="broken", strategy="no_such", symbols=("AAA",))
    strange = a_deployment(strategy_id="strange", symbols=("ZZZ",))

    async with a_floor(settings) as floor, a_strategist(settings) as service:
        await floor.tell(broken, strange)
        assert "no strategy no_such" in (await floor.in_state("failed", "broken")).error
        assert "ZZZ" in (await floor.in_state("failed", "strange")).error
        await started(floor, ticking, deaf)
        for topic in load_catalogue().services["strategist"].reads:
            for value in (b"{not json", b"", b'{"type":"Bar"}', b"\xff\xfe" * 40):
                await floor.producer.send_and_wait(settings.topic_prefix + topic, value, key=b"101")
        await floor.tell(*(a_tick(contract_id=101, symbol="AAA", price=price) for price in (10.0, 10.5)))

        async def bought() -> list[OrderIntent]:
            return list(floor.intents.values())

        (intent,) = await until(bought)
        assert (intent.strategy_id, intent.reference_price) == ("ticking", Decimal("10.5"))
        assert not service.why_not_ready()
        await floor.caught_up("trading.fills.v1")
        assert (
            service.metrics.registry.get_sample_value("scizor_dlq_messages_total", {"topic": "trading.fills.v1"}) == 4
        )


async def test_a_deployment_is_warmed_up_by_the_same_past_after_a_restart(settings: Settings) -> None:
    """The history that came later has no part in it: what a restart makes of the past is what was journalled."""
    past, live = random_bars(10, contracts=[101]), random_bars(30, seed=8, contracts=[101])[11 * 12 :]
    command = a_deployment(symbols=("AAA",), bar_size_seconds=5, warmup_bars=5)

    async with a_floor(settings) as floor:
        others = random_bars(10, contracts=[104])  # stand on another partition
        await floor.tell(*(a_historical_bar(**bar.model_dump(exclude={"type"})) for bar in [*past, *others]))
        async with a_strategist(settings):
            await started(floor, command)
            assert (await floor.state()).bars_seen == 5
            await floor.tell(*live[:60])
            await floor.caught_up()
        later = (a_historical_bar(**bar.model_dump(exclude={"type", "close"}), close=bar.low) for bar in past)
        await floor.tell(*later)
        async with a_strategist(settings):
            assert (await floor.in_state("running")).bars_seen == 65  # and nothing was caused that was not before
            await floor.tell(*live[60:])
            await floor.caught_up()
        entries = await entries_of(settings, MINE)
        assert {each.partition for each in entries if each.topic == HISTORY} == {PARTITIONS[101]}, "read in vain"
        await check_journal(floor)


CLOCKED = """
from datetime import timedelta
from engine.strategy import BaseStrategy, StrategySignal

class Clocked(BaseStrategy):
    'Trades by the clock alone: a first time when the session begins, then every twenty seconds.'

    def on_start(self):
        self.rung = 0

    def on_session_open(self, session):
        self.contract_id = min(self.positions)
        self.timer("turn", session.open, timedelta(seconds=20))
        return StrategySignal.target(self.contract_id, 1.0, f"until {session.close:%H:%M}")

    def on_timer(self, name, time):
        self.rung += 1
        return StrategySignal.target(self.contract_id, float(self.rung % 2), f"{name} {time:%H:%M:%S}")
"""


def clocked() -> Deploy:
    """Uploaded: its code lives in the sandbox, and its timers outside."""
    text = {"source": CLOCKED, "code_sha256": hashlib.sha256(CLOCKED.encode()).hexdigest()}
    return a_deployment(strategy="clocked", parameters={}, symbols=("AAA",), bar_size_seconds=5, **text)


async def test_a_second_strategist_waits_until_the_first_has_died_and_sessions_and_timers_go_on(
    stack_settings: Settings, nursery: Nursery, tmp_path: Path
) -> None:
    bars = random_bars(2, contracts=[101])

    async def claims() -> list[int]:
        reader = [each async for each, _ in fold(stack_settings, ["strategy.journal.v1"])]
        return [each.epoch for each in reader if isinstance(each, JournalEntry) and each.claim]

    async def claimed(times: int) -> bool:
        return len(await claims()) == times

    async def reasons(number: int) -> list[str] | None:
        found = [each.reason for each in await floor.told("strategy.signals.v1")]
        return found if len(found) >= number else None

    start = partial(a_forked_service, nursery, "consumers.strategist")
    await topic_admin.apply(stack_settings, the_topics())
    async with a_floor(stack_settings) as floor:
        with start(stack_settings, tmp_path / "first.log"):
            await until(partial(claimed, 1))
            await started(floor, clocked())
            await floor.tell(*bars[:13])
            assert (await until(partial(reasons, 5)))[:2] == ["until 21:00", "turn 17:00:00"]
            await floor.caught_up()
            with start(stack_settings, tmp_path / "second.log") as second:
                await floor.tell(Pause(**COMMAND))
                await floor.in_state("paused")
                assert await claimed(1), "two hold the lease"
                assert second.exit_code is None
        async with an_order_path(stack_settings) as path:
            await path.execute("UPDATE leases SET epoch = 7")  # an old backup was restored; the journal is as it was
        with start(stack_settings, tmp_path / "third.log"):
            await until(partial(claimed, 2))
            await floor.tell(Resume(**COMMAND))
            await floor.in_state("running")
            await floor.tell(*bars[13:])
            turns = [f"turn 17:0{seconds // 60}:{seconds % 60:02}" for seconds in range(0, 120, 20)]
            assert await until(partial(reasons, 7)) == ["until 21:00", *turns]
            await floor.caught_up()
        assert await claims() == sorted(set(await claims()))
        written = [each async for each, _ in fold(stack_settings, ["strategy.journal.v1"])]
        assert len(await entries_of(stack_settings, MINE)) == len(written) - 2, "what is not a claim counts"
        await check_journal(floor)
        proof = await verified(stack_settings, MINE, Window())
        assert (proof["verdict"], proof.get("counts", {}).get("signals")) == ("identical", 7), proof
