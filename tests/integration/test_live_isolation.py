"""A strategy that hangs, uploaded or not, is stopped alone; what the journal says of it is what a replay repeats."""

import hashlib
from pathlib import Path
from typing import Any

import pytest

from engine.facts import Bar
from engine.live import hosts
from engine.registry import strategy_class
from engine.strategies.buy_and_hold import BuyAndHold
from engine.strategy import BaseStrategy
from infra import topic_admin
from infra.embedded.kafka import KafkaServer
from infra.settings import Settings
from producers.cli.parity import Window
from producers.cli.parity_certificate import verified
from schemas.strategy import Deploy, Start, StrategyState
from tests.integration.a_recorded_day import a_strategist, the_topics
from tests.integration.a_trading_floor import COMMAND, Floor, a_deployment, a_floor, random_bars, until
from tests.integration.conftest import settings_of_this_run

OWN = """
from engine.strategy import BaseStrategy, StrategyConfig, StrategySignal

class Mine(BaseStrategy):
    '''Long on rising bars, flat on others; it hangs when it is told to.'''

    class Config(StrategyConfig):
        hangs_at: int = 0

    def on_start(self):
        self.bars = 0

    def on_bar(self, bar):
        self.bars += 1
        while self.bars == self.config.hangs_at:
            pass
        return StrategySignal.target(bar.contract_id, 1.0 if bar.close > bar.open else 0.0)
"""


class Hanging(BaseStrategy):
    """Never comes back from its third bar."""

    def on_start(self) -> None:
        self.bars = 0

    def on_bar(self, bar: Bar) -> None:
        self.bars += 1
        while self.bars == 3:
            pass


class Stillborn(BaseStrategy):
    """Does not get through its start."""

    def on_start(self) -> None:
        raise ZeroDivisionError("a bug")


class Breaking(BaseStrategy):
    """Does not get through its first bar."""

    def on_bar(self, bar: Bar) -> None:
        raise ZeroDivisionError("a bug")


class Forgetful(BaseStrategy):
    """Got through its past once, and takes too long for it now."""

    def on_bar(self, bar: Bar) -> None:
        raise hosts.StoppedFromOutsideError("it took longer than 1 s")


@pytest.fixture
def settings(kafka_server: KafkaServer, topic_prefix: str, tmp_path: Path) -> Settings:
    update = {"kafka": kafka_server.address, "topic_prefix": topic_prefix}
    return settings_of_this_run(tmp_path / "home").model_copy(update=update)


def uploaded(strategy_id: str, **parameters: Any) -> Deploy:
    return a_deployment(
        strategy_id=strategy_id,
        strategy="mine",
        source=OWN,
        code_sha256=hashlib.sha256(OWN.encode()).hexdigest(),
        parameters=parameters,
        symbols=("AAA",),
        bar_size_seconds=5,
    )


async def started(floor: Floor, *commands: Deploy) -> None:
    for command in commands:
        await floor.tell(command, Start(**COMMAND | {"strategy_id": command.strategy_id}))
    for command in commands:
        await floor.in_state("running", command.strategy_id)


async def failed(floor: Floor, strategy_id: str) -> StrategyState:
    async def told() -> StrategyState | None:
        state: StrategyState = await floor.state(strategy_id)
        return state if state.state == "failed" else None

    return await until(told)


async def test_who_hangs_is_stopped_alone_and_the_rest_goes_on_also_after_a_restart(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    own: dict[str, type[BaseStrategy]] = {"hanging": Hanging, "breaking": Breaking, "stillborn": Stillborn}
    monkeypatch.setattr(hosts, "strategy_class", lambda name: own.get(name) or strategy_class(name))
    bars = random_bars(2, contracts=[101])
    shipped = a_deployment(
        strategy_id="endless", strategy="hanging", parameters={}, symbols=("AAA",), bar_size_seconds=5
    )
    held = a_deployment(
        strategy_id="held", strategy="buy_and_hold", parameters={}, symbols=("AAA",), bar_size_seconds=5
    )
    breaking, stillborn = (held.revised(strategy_id=name, strategy=name) for name in ("breaking", "stillborn"))
    await topic_admin.apply(settings, the_topics())
    async with a_floor(settings) as floor:
        async with a_strategist(settings):
            await floor.tell(stillborn, Start(**COMMAND | {"strategy_id": "stillborn"}))
            await started(floor, uploaded("good"), uploaded("bad", hangs_at=5), shipped, held, breaking)
            await floor.tell(*bars[:12])
            assert "longer than 1 s" in (await failed(floor, "endless")).error
            assert "bad" in {(await failed(floor, "bad")).strategy_id}
            for name in ("breaking", "stillborn"):
                assert (await failed(floor, name)).error == "ZeroDivisionError: a bug"
            await floor.caught_up()
        own |= {"buy_and_hold": Forgetful, "breaking": BuyAndHold, "stillborn": BuyAndHold}
        async with a_strategist(settings):
            assert "cannot be recovered" in (await failed(floor, "held")).error
        del own["buy_and_hold"]
        async with a_strategist(settings):
            assert "cannot be recovered" in (await floor.state("held")).error
            for name in ("endless", "breaking", "stillborn"):
                await floor.in_state("failed", name)
            await floor.tell(*bars[12:])
            await floor.caught_up()

            async def seen() -> bool:
                return bool((await floor.state("good")).bars_seen == len(bars))

            await until(seen)
            for name in ("breaking", "stillborn"):  # with code that is mended: only a person has it trade again
                assert (await floor.state(name)).error == "ZeroDivisionError: a bug"
    assert {each.strategy_id for each in floor.intents.values()} >= {"good"}
    for strategy_id in ("good", "bad", "endless", "held", "breaking", "stillborn"):
        proof = await verified(settings, strategy_id, Window())
        assert proof["verdict"] == "identical", proof
