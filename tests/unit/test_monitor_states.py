"""What the monitor makes of halts and kills: those that it hears of late, and those on top of one another."""

from datetime import timedelta
from pathlib import Path
from typing import Any, cast

from consumers.monitor.monitor import Monitor
from engine.trading_state import KILL_SWITCH
from infra.alerts import Apprise
from infra.clock import ManualClock
from infra.service import Service
from schemas.account import LimitBreached, TradingMode
from tests.builders import SEEN, a_trading_state
from tests.unit.test_trading_mode import some_settings

NOWHERE = cast("Any", None)
HOUR = timedelta(hours=1)


class Desk:
    def __init__(self) -> None:
        settings = some_settings(Path("/nonexistent"))
        self.clock = ManualClock(SEEN)
        self.monitor = Monitor(Service("monitor", settings, clock=self.clock), Apprise(settings))

    async def tell(self, mode: TradingMode, by: str = "ann", ago: timedelta = timedelta()) -> None:
        self.clock.advance(0.1)
        when = self.clock.now() - ago
        told = a_trading_state(scope="global", mode=mode, by=by, event_time=when, ingest_time=when)
        await self.monitor._on_state(told, NOWHERE)

    def due(self, seconds: float = 0.0) -> list[str]:
        self.clock.advance(seconds)
        return [alert.title for alert in self.monitor._book.due(self.clock.monotonic())]


async def test_a_kill_that_is_heard_of_late_is_told_once_nothing_has_ended_it() -> None:
    desk = Desk()
    await desk.tell(TradingMode.HALTED, KILL_SWITCH, HOUR)
    assert desk.due() == []
    assert desk.due(30.0) == ["global was killed"]


async def test_a_halt_of_the_past_that_is_over_wakes_nobody() -> None:
    desk = Desk()
    await desk.tell(TradingMode.HALTED, ago=HOUR)
    await desk.tell(TradingMode.ACTIVE, ago=HOUR / 2)
    assert desk.due(60.0) == []


async def test_a_breach_of_the_past_wakes_nobody() -> None:
    desk = Desk()
    when = desk.clock.now() - HOUR
    told = LimitBreached(
        breach_id="b", scope="account:DU1", account_id="DU1", rule="daily_loss", detail="d",
        event_time=when, ingest_time=when,
    )  # fmt: skip
    await desk.monitor._on_breach(told, NOWHERE)
    assert desk.due(60.0) == []


async def test_a_kill_on_top_of_a_halt_is_told_and_its_end_leaves_the_halt_open() -> None:
    desk = Desk()
    await desk.tell(TradingMode.HALTED, "risk")
    assert desk.due() == ["global is HALTED by risk"]
    await desk.tell(TradingMode.HALTED, KILL_SWITCH)
    assert desk.due() == ["global was killed"]

    await desk.tell(TradingMode.ACTIVE, KILL_SWITCH)

    assert [held.alert.title for held in desk.monitor._book._open.values()] == ["global is HALTED by risk"]
    await desk.tell(TradingMode.ACTIVE)
    assert not desk.monitor._book._open
