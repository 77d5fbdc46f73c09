"""A command to several strategies reaches each of them, whatever the first one answers."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import pytest

from infra.clock import ManualClock, SeededEntropy
from infra.errors import RefusedError
from infra.settings import Settings
from producers.cli import trading_desk
from producers.cli.desk import NoAnswerError
from producers.cli.trading_desk import CommandRefusedError, StrategyFailedError
from schemas.event import Event
from schemas.strategy import Deploy, RunningState, StrategyCommand, StrategyState
from tests.builders import SEEN

WHEN = {"event_time": SEEN, "ingest_time": SEEN}
Answer = Callable[[StrategyCommand], StrategyState | None]


def a_state(strategy_id: str, state: RunningState, **changes: Any) -> StrategyState:
    deployment = Deploy(
        command_id="d", strategy_id=strategy_id, by="ann", strategy="buy_and_hold", symbols=("AAPL",),
        account_id="DU1", quantity=1, **WHEN,
    )  # fmt: skip
    return StrategyState(strategy_id=strategy_id, state=state, deployment=deployment, **(WHEN | changes))


class DeskByHand:
    """Strategies that answer at once, as they are told to; None: it does not answer."""

    def __init__(self, answers: dict[str, Answer]) -> None:
        self.clock, self.entropy = ManualClock(SEEN), SeededEntropy(1)
        self.told: list[str] = []
        self._answers = answers
        self._said: StrategyState | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None: ...

    async def feed(self, topics: Sequence[str]) -> Self:
        return self

    async def publish(self, command: Any) -> None:
        self.told.append(command.strategy_id)
        self._said = self._answers[command.strategy_id](command)

    async def first(self, wanted: Callable[[Event], bool], *, seconds: float, what: str) -> Event:
        if self._said is None or not wanted(self._said):
            raise NoAnswerError(what, seconds)
        return self._said


def answers(state: RunningState, **changes: Any) -> Answer:
    return lambda command: a_state(command.strategy_id, state, last_command=command.command_id, **changes)


def silent(_: StrategyCommand) -> None:
    """It hangs."""


async def paused(
    monkeypatch: pytest.MonkeyPatch, home: Path, first: Answer, second: Answer
) -> tuple[DeskByHand, list[dict[str, Any]] | RefusedError | NoAnswerError]:
    """Two strategies are told to pause; what came of it."""
    desk = DeskByHand({"one": first, "two": second})
    strategies = {name: a_state(name, RunningState.RUNNING) for name in ("one", "two")}

    async def view(_: Settings) -> trading_desk._View:
        return trading_desk._View(strategies, {}, {}, {}, {})

    monkeypatch.setattr(trading_desk, "_view", view)
    monkeypatch.setattr(trading_desk, "Desk", lambda _: desk)
    try:
        return desk, await trading_desk._commands(Settings(home=home), "pause", ["one", "two", "one"], {})
    except (RefusedError, NoAnswerError) as failure:
        return desk, failure


FINE = answers(RunningState.PAUSED)


@pytest.mark.parametrize(
    ("first", "failure", "word"),
    [
        (answers(RunningState.FAILED, error="it broke"), StrategyFailedError, "strategy one failed: it broke"),
        (answers(RunningState.STOPPED, refused="it has stopped"), CommandRefusedError, "one refuses: it has stopped"),
        (silent, NoAnswerError, "one"),
    ],
)
async def test_a_first_one_that_fails_refuses_or_hangs_keeps_nobody_else_from_being_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, first: Answer, failure: type[Exception], word: str
) -> None:
    desk, came = await paused(monkeypatch, tmp_path, first, FINE)

    assert desk.told == ["one", "two"], "each once"
    assert isinstance(came, failure)
    assert word in str(came)


async def test_all_failures_are_told_together(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broke = answers(RunningState.FAILED, error="it broke")

    desk, came = await paused(monkeypatch, tmp_path, broke, silent)

    assert desk.told == ["one", "two"]
    assert isinstance(came, RefusedError)
    assert "strategy one failed: it broke; " in str(came)
    assert "two" in str(came)


async def test_those_that_obey_are_given_back(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _, came = await paused(monkeypatch, tmp_path, FINE, FINE)

    assert isinstance(came, list)
    assert [(each["strategy_id"], each["state"]) for each in came] == [("one", "paused"), ("two", "paused")]
