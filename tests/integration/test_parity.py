"""The parity proof over a recorded day: it holds, and each of the planted changes is found and named."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from consumers.strategist import strategist
from consumers.strategist.snapshots import Snapshots
from engine.strategies.moving_average_crossover import MovingAverageCrossover
from infra.embedded.kafka import KafkaServer
from infra.engine_code import code_hash
from infra.errors import UsageError
from infra.journal.spans import entries_of, pasts
from infra.settings import Settings
from producers.cli.parity import Window
from producers.cli.parity_certificate import verified
from schemas.account import RiskLimits
from schemas.event import Event
from schemas.market import Bar, HistoricalBar, Tick
from schemas.orders import Fill, OrderIntent, OrderUpdate, RiskDecision
from schemas.strategy import Deploy, JournalEntry, Reconfigure, Signal
from tests.integration.a_recorded_day import BY_BARS, BY_TICKS, Change, copied, denied, record
from tests.integration.conftest import settings_of_this_run

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def settings(kafka_server: KafkaServer, topic_prefix: str, tmp_path: Path) -> Settings:
    update = {"kafka": kafka_server.address, "topic_prefix": topic_prefix}
    return settings_of_this_run(tmp_path / "home").model_copy(update=update)


def of(kind: type[Event], strategy_id: str = "") -> Callable[[Event], bool]:
    return lambda event: isinstance(event, kind) and (not strategy_id or event.strategy_id == strategy_id)  # type: ignore[attr-defined]


def its(**changes: Any) -> Callable[[Any], Any]:
    return lambda event: event.revised(**changes)


def cheaper(event: Any) -> Any:
    """By one unit of the last place."""
    return event.revised(close=round(event.close - 0.01, 2), low=round(event.low - 0.01, 2))


def other_limit(event: Any) -> Any:
    limits = event.basis.limits.revised(daily_loss_max=event.basis.limits.daily_loss_max + 1)
    return event.revised(basis=event.basis.revised(limits=limits))


def other_parameter(event: Any) -> Any:
    return event.revised(parameters={**event.parameters, "slow": event.parameters["slow"] + 1})


PLANTED: dict[str, tuple[Change, str, str]] = {
    "the close of a bar": (Change("market.bars.v1", of(Bar), cheaper, 30), BY_BARS, "input"),
    "the volume of a bar, which nothing looks at": (
        Change("market.bars.v1", of(Bar), lambda bar: bar.revised(volume=bar.volume + 1), 17),  # type: ignore[attr-defined]
        BY_BARS,
        "input",
    ),
    "a bar that warmed it up": (Change("market.history.v1", of(HistoricalBar), cheaper, 33), BY_BARS, "input"),
    "a print": (Change("market.ticks.v1", of(Tick), its(size=99.0), 25), BY_TICKS, "input"),
    "a parameter of the deployment": (
        Change("strategy.commands.v1", of(Deploy, BY_BARS), other_parameter),
        BY_BARS,
        "parameter",
    ),
    "a parameter of the change at noon": (
        Change("strategy.commands.v1", of(Reconfigure), other_parameter),
        BY_BARS,
        "parameter",
    ),
    "a limit": (Change("risk.limits.v1", of(RiskLimits), its(quantity_max=Decimal(151))), BY_BARS, "limit"),
    "a limit that a decision carries": (
        Change("trading.decisions.v1", of(RiskDecision, BY_BARS), other_limit, 2),
        BY_BARS,
        "decision",
    ),
    "a denial that becomes an approval": (
        Change("trading.decisions.v1", lambda event: denied(event, BY_BARS), its(approved=True)),
        BY_BARS,
        "decision",
    ),
    "the price of a fill": (
        Change("trading.fills.v1", of(Fill, BY_TICKS), its(last_price=Decimal("99.99")), 1),
        BY_TICKS,
        "input",
    ),
    "the quantity of an update": (
        Change("trading.orders.v1", of(OrderUpdate, BY_TICKS), its(cumulative_quantity=Decimal(1))),
        BY_TICKS,
        "input",
    ),
    "a signal": (Change("strategy.signals.v1", of(Signal, BY_BARS), its(target=0.5), 1), BY_BARS, "output"),
    "the quantity of an intent": (
        Change("trading.intents.v1", of(OrderIntent, BY_BARS), its(quantity=Decimal(7)), 1),
        BY_BARS,
        "output",
    ),
    "an output in the journal": (
        Change(
            "strategy.journal.v1",
            lambda event: of(JournalEntry, BY_BARS)(event) and bool(event.outputs),  # type: ignore[attr-defined]
            its(outputs=()),
            2,
        ),
        BY_BARS,
        "journal",
    ),
}


async def parts_make_the_whole(settings: Settings, whole: dict[str, Any]) -> None:
    """A window begins in the middle of a deployment, and is proved for itself."""
    entries = [each for each in await entries_of(settings, BY_BARS) if each.outputs]
    middle = entries[len(entries) // 2].consumed_at
    first = await verified(settings, BY_BARS, Window(None, middle - timedelta(microseconds=1)))
    second = await verified(settings, BY_BARS, Window(middle, None))
    for name in ("entries", "inputs", "signals", "intents", "decisions"):
        assert first["counts"][name] + second["counts"][name] == whole["counts"][name]
    assert second["counts"]["intents"]
    told = f"consumed nothing .* it consumed from {entries[0].consumed_at:%F} .* to {entries[-1].consumed_at:%F} .* UTC"
    with pytest.raises(UsageError, match=told):
        await verified(settings, BY_BARS, Window(None, entries[0].consumed_at - timedelta(days=365)))


async def test_a_recorded_day_is_proved_and_every_planted_change_is_found(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strategist, "SNAPSHOT_INPUTS", 10)  # the restart goes on from these, the proof does not
    await record(settings)
    snapshots = Snapshots(settings).read(code_hash())
    journals = await pasts(settings, {name: each.sequence for name, each in snapshots.items()})
    assert [snapshots[name].fits(journals[name], settings.topic_prefix) for name in (BY_BARS, BY_TICKS)] == [True, True]
    proofs = {}
    for strategy_id in (BY_BARS, BY_TICKS):
        proof = proofs[strategy_id] = await verified(settings, strategy_id, Window())
        assert proof["verdict"] == "identical", proof
        assert min(proof["counts"].values()) > 5, proof["counts"]
        assert not [note for note in proof["notes"] if "code" not in note]
        assert proof == await verified(settings, strategy_id, Window()), "a proof is the same twice"

    await parts_make_the_whole(settings, proofs[BY_BARS])
    for number, (name, (change, strategy_id, cause)) in enumerate(PLANTED.items()):
        there = await copied(settings, f"{settings.topic_prefix}planted{number}.", change)
        verdict = await verified(there, strategy_id, Window())
        assert verdict["verdict"] == "divergent", name
        assert verdict["divergence"]["cause"] == cause, (name, verdict)

    monkeypatch.setattr(MovingAverageCrossover, "on_bar", lambda strategy, bar: None)
    monkeypatch.setattr("producers.cli.parity.code_hash", lambda: "of another version")
    assert (await verified(settings, BY_BARS, Window()))["divergence"]["cause"] == "code"
