"""What lies between bars (sessions, timers, gaps) is told live as it is in a backtest, whatever comes in between."""

import random
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import pytest

from engine.aggregation import BarAggregator
from engine.backtest import run
from engine.facts import Bar, DataGap, Session, bar_of
from engine.live import hosts
from engine.live.hosts import shipped
from engine.live.running import RunningStrategy
from engine.live.snapshot import frozen, thawed
from engine.live.timetable import Timetable
from engine.market import DAY_US
from engine.moments import Missed, Moment
from engine.order_requests import OrderNews, OrderState
from engine.strategy import BaseStrategy, Decision, StrategySignal
from infra.session_close import session_close
from schemas.event import Event
from schemas.market import Bar as BarEvent
from schemas.moments import to_microseconds
from schemas.orders import OrderIntent
from schemas.place import At
from schemas.strategy import Pause, Reconfigure, RunningState, Signal, Start
from schemas.validation import Contract
from tests.bars import APPLE, IBM, columns_of
from tests.builders import a_bar, a_contract
from tests.unit.test_running_strategy import COMMAND, a_deployment

OPEN = datetime.fromisoformat("2013-02-27T14:30:00Z")
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
MINUTES = 15
"""Of a session, of which there are three."""


def after_some_minutes(_: Contract, moment_us: int) -> int:
    return moment_us // DAY_US * DAY_US + to_microseconds(OPEN + MINUTES * MINUTE) % DAY_US


class Diarist(BaseStrategy):
    """Writes down all that it is told, and trades on much of it."""

    def on_start(self) -> None:
        self.diary: list[tuple[Any, ...]] = []
        self.tick = 0
        self.timer("often", OPEN - DAY, timedelta(seconds=7))
        self.timer("once", OPEN + DAY + 3 * MINUTE + timedelta(seconds=31))
        self.timer("now and then", OPEN - timedelta(hours=5), timedelta(seconds=90))

    def _note(self, *what: Any) -> Decision:
        self.diary.append(what)
        self.tick += 1
        if self.tick % 3 or self.tick < 20:
            return None
        wanted = sorted(self.positions)[: self.tick % 2 + 1]
        return [StrategySignal.target(each, (self.tick % 5) / 4, str(what)) for each in wanted]

    def on_bar(self, bar: Bar) -> Decision:
        if self.tick % 17 == 0:
            self.timer("nearly over", bar.end, timedelta(minutes=4))
        return self._note("bar", bar)

    def on_session_open(self, session: Session) -> Decision:
        self.timer("before the close", session.close - 2 * MINUTE)
        self.timer("before the open", session.open - 2 * MINUTE)
        return self._note("open", session)

    def on_session_close(self, session: Session) -> Decision:
        return self._note("close", session)

    def on_data_gap(self, gap: DataGap) -> None:
        self._note("gap", gap)

    def on_timer(self, name: str, time: datetime) -> Decision:
        if name == "before the close":
            self.timer("soon", time + timedelta(seconds=70))
            self.timer("in the past", time - MINUTE)
        return self._note(name, time)


def small_bars(seed: int, contracts: Iterable[int], *, holes: float = 0.0) -> list[BarEvent]:
    """Three sessions of bars of five seconds; some are missing, and some whole minutes of the second session."""
    chance, found = random.Random(seed), []
    for second in range(0, MINUTES * 60, 5):
        for day in range(3):
            for contract_id in contracts:
                is_gap = day == 1 and contract_id == APPLE and 6 <= second // 60 < 9
                is_last = day == 2 and second // 60 == MINUTES - 1
                if not is_gap and (is_last or chance.random() >= holes):
                    symbol, start = {APPLE: "AAPL", IBM: "IBM"}[contract_id], OPEN + day * DAY
                    start += timedelta(seconds=second)
                    found.append(a_bar(contract_id=contract_id, symbol=symbol, start=start))
    return sorted(found, key=lambda bar: (bar.event_time, bar.contract_id))


class Floor:
    """A live strategy that is given records one after the other."""

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        contracts: tuple[int, ...],
        kind: type[BaseStrategy] = Diarist,
        **changes: Any,
    ) -> None:
        monkeypatch.setattr(hosts, "strategy_class", lambda _: kind)
        names = {APPLE: "AAPL", IBM: "IBM"}
        fields = {"symbols": tuple(names[each] for each in contracts), "bar_size_seconds": 60} | changes
        deployment = a_deployment(**fields)
        known = [a_contract(contract_id=each, symbol=names[each]) for each in contracts]
        self.strategy = RunningStrategy(deployment, known, None, shipped, after_some_minutes)
        self.offset = 0
        self.give(Start(**COMMAND))

    def give(self, *events: Event) -> list[Event]:
        told: list[Event] = []
        for event in events:
            self.offset += 1
            told += self.strategy.take(event, At("market.bars.v1", 0, self.offset))
        assert self.strategy.state is not RunningState.FAILED, self.strategy.error
        return told

    @property
    def diary(self) -> list[tuple[Any, ...]]:
        return self.strategy._stage.host.strategy.diary  # type: ignore[attr-defined, no-any-return]


def backtested(bars: list[BarEvent]) -> tuple[list[tuple[Any, ...]], list[str]]:
    """What the same bars tell, and make the strategy want, when they are all there; signals as text."""
    aggregator, kept = BarAggregator(60_000_000), list[Any]()
    rows = [row for bar in bars for row in aggregator.on_bar(bar_of(bar))]

    class Kept(Diarist):
        """Is there when the run is over, with its wishes."""

        def on_start(self) -> None:
            super().on_start()
            self.wishes: list[str] = []
            kept.append(self)

        def _note(self, *what: Any) -> Decision:
            decision = super()._note(*what)
            if what[0] != "gap" and isinstance(decision, list):
                self.wishes += [f"{each.contract_id} {each.value} {each.reason}" for each in decision]
            return decision

    contracts = sorted({bar.contract_id for bar in bars})
    run(columns_of(*([row for row in rows if row.contract_id == each] for each in contracts)), Kept)
    return kept[0].diary, kept[0].wishes


def wishes_of(told: Iterable[Event]) -> list[str]:
    return [f"{each.contract_id} {each.target} {each.reason}" for each in told if isinstance(each, Signal)]


CASES = [*((seed, (APPLE,), 0.3) for seed in range(4)), (4, (APPLE, IBM), 0.0)]


@pytest.mark.parametrize(("seed", "contracts", "holes"), CASES)
def test_a_strategy_hears_live_what_it_hears_in_a_backtest_and_wants_the_same(
    seed: int, contracts: tuple[int, ...], holes: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    bars = small_bars(seed, contracts, holes=holes)
    diary, wishes = backtested(bars)
    floor = Floor(monkeypatch, contracts)

    told = floor.give(*bars)

    assert diary[-1][0] == "close", (
        "a backtest ends with the last session, live it is told with the next one's first bar"
    )
    assert floor.diary == diary[:-1]
    assert wishes_of(told) == wishes[: len(wishes_of(told))]
    assert len(wishes_of(told)) >= len(wishes) - 2 > 20
    assert {each[0] for each in diary} >= {"open", "gap", "often", "once", "now and then", "soon", "in the past"}


@pytest.mark.parametrize("frozen_at", [3, 100, 188, 300, 364])
def test_a_strategy_that_was_written_down_between_two_bars_goes_on_as_if_nothing_had_been(
    frozen_at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    bars = small_bars(1, (APPLE,), holes=0.3)
    unbroken, broken = Floor(monkeypatch, (APPLE,)), Floor(monkeypatch, (APPLE,))

    told = broken.give(*bars[:frozen_at])
    broken.strategy = thawed(frozen(broken.strategy, shipped), shipped)
    told += broken.give(*bars[frozen_at:])

    assert [each.to_json() for each in told] == [each.to_json() for each in unbroken.give(*bars)]
    assert broken.diary == unbroken.diary


def test_a_shadow_hears_and_wants_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    bars = small_bars(2, (APPLE, IBM))
    shadow, real = Floor(monkeypatch, (APPLE, IBM), shadow=True), Floor(monkeypatch, (APPLE, IBM))

    pretended, told = shadow.give(*bars), real.give(*bars)

    assert shadow.diary == real.diary
    assert wishes_of(pretended) == wishes_of(told)
    assert not any(isinstance(each, OrderIntent) for each in pretended)


class Ordering(BaseStrategy):
    """Once a day orders something that never fills, and something at the close."""

    def on_start(self) -> None:
        self.diary: list[tuple[Any, ...]] = []
        self.day = 0

    def on_bar(self, bar: Bar) -> Decision:
        if bar.start.day != self.day:
            self.day = bar.start.day
            self.buy(1, kind="LMT", limit=1.0)
            self.buy(2, kind="LOC", limit=10_000.0)
            self.buy(3, kind="LMT", limit=1.0, tif="GTC")
        return None

    def on_order(self, news: OrderNews) -> None:
        if news.state.final:
            self.diary.append((news.order_id, news.state, news.reason, self.day))


def test_day_orders_of_a_shadow_end_with_the_session_and_those_for_the_close_trade_there_as_in_a_backtest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bars = small_bars(6, (APPLE,))
    kept: list[Ordering] = []

    class Kept(Ordering):
        """Is there when the run is over."""

        def on_start(self) -> None:
            super().on_start()
            kept.append(self)

    run(columns_of([bar_of(bar) for bar in bars]), Kept)
    floor = Floor(monkeypatch, (APPLE,), kind=Ordering, shadow=True, bar_size_seconds=5)

    floor.give(*bars)

    assert floor.diary == kept[0].diary
    assert [state for _, state, *_ in floor.diary] == [OrderState.EXPIRED, OrderState.FILLED] * 3


def test_a_day_order_of_a_shadow_ends_with_the_first_bar_of_the_next_session_when_the_last_bar_never_came(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bars = [bar for bar in small_bars(6, (APPLE,)) if bar.start.minute < 30 + MINUTES - 1]
    floor = Floor(monkeypatch, (APPLE,), kind=Ordering, shadow=True, bar_size_seconds=5)
    floor.give(*bars)
    assert [(number, state) for number, state, *_ in floor.diary] == [
        (each, OrderState.EXPIRED) for each in (1, 2, 4, 5)
    ]


def test_other_parameters_begin_its_timers_and_its_session_anew_and_a_pause_leaves_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bars = small_bars(3, (APPLE,))
    floor = Floor(monkeypatch, (APPLE,))
    floor.give(Pause(**COMMAND), *bars[:40])
    rung = [name for name, *_ in floor.diary]
    assert ("before the close" in rung, "often" in rung) == (False, True)

    floor.give(Reconfigure(parameters={}, **COMMAND), *bars[40:180])

    rung = [name for name, *_ in floor.diary]
    assert [rung.count(each) for each in ("open", "before the close", "often", "close")] == [1, 1, 12, 0]


class Buying(Diarist):
    """Gives an order for whatever contract is in hand when a session begins, and asks for too much if told to."""

    timers: int = 1

    def on_session_open(self, session: Session) -> Decision:
        self.buy(1)
        for number in range(self.timers):
            self.timer(str(number), session.close)
        return None

    def on_bar(self, bar: Bar) -> Decision:
        return None


@pytest.mark.parametrize(
    ("contracts", "timers", "why"),
    [((APPLE,), 1, ""), ((APPLE, IBM), 1, "name contract_id"), ((APPLE,), 101, "more than 100 timers")],
)
def test_between_bars_an_only_contract_is_in_hand_of_several_none_and_there_is_an_end_to_timers(
    contracts: tuple[int, ...], timers: int, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    floor = Floor(monkeypatch, contracts)
    monkeypatch.setattr(hosts, "strategy_class", lambda _: Buying)
    monkeypatch.setattr(Buying, "timers", timers)
    floor.give(Reconfigure(parameters={}, **COMMAND))
    bar = small_bars(5, contracts)[0]

    told = floor.strategy.take(bar, At("market.bars.v1", 0, 99))

    assert (floor.strategy.state is RunningState.FAILED) == bool(why)
    assert why in floor.strategy.error
    assert [each.quantity for each in told if isinstance(each, OrderIntent)] == ([] if why else [1])


def test_the_night_is_no_gap_for_who_ends_a_day_after_another_contract_began_the_next() -> None:
    timetable = Timetable({each: a_contract(contract_id=each) for each in (APPLE, IBM)}, after_some_minutes)
    opens_us, minute_us = to_microseconds(OPEN), to_microseconds(OPEN + MINUTE) - to_microseconds(OPEN)

    def told_before(contract_id: int, day: int, minute: int) -> list[Moment]:
        start_us = opens_us + day * DAY_US + minute * minute_us
        bar = Bar(contract_id, start_us, start_us + minute_us, 1.0, 1.0, 1.0, 1.0, 1.0)
        told = []
        while (moment := timetable.next(bar, bar.end_us)) is not None:
            told.append(moment)
        timetable.passed(bar)
        return told

    assert len(told_before(APPLE, 0, 0)) == 1
    assert len(told_before(APPLE, 1, 0)) == 2, "one session closes, the next one opens"
    assert told_before(IBM, 0, 0) == []  # only a bar of the next day showed that it was over
    assert told_before(IBM, 1, 0) == []
    (missed,) = told_before(IBM, 1, 2)
    assert isinstance(missed, Missed)


def test_who_asks_for_a_moment_that_is_over_whenever_it_comes_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    def again(strategy: Diarist, name: str, time: datetime) -> Decision:
        strategy.timer(name, time)
        return None

    monkeypatch.setattr(Diarist, "on_timer", again)
    floor = Floor(monkeypatch, (APPLE,))
    floor.strategy.take(small_bars(5, (APPLE,))[0], At("market.bars.v1", 0, 99))
    assert "more than 1000" in floor.strategy.error


@pytest.mark.parametrize(
    ("moment", "close", "contract"),
    [
        ("2013-02-28T14:30:00Z", "2013-02-28T21:00:00Z", {}),
        ("2013-11-29T14:30:00Z", "2013-11-29T18:00:00Z", {}),  # a half day
        ("2013-03-02T14:30:00Z", "2013-03-03T00:00:00Z", {}),  # a Saturday
        ("2013-02-28T14:30:00Z", "2013-03-01T00:00:00Z", {"exchange": "IDEALPRO", "primary_exchange": ""}),
    ],
)
def test_a_session_closes_as_the_calendar_says_or_with_the_day(
    moment: str, close: str, contract: dict[str, Any]
) -> None:
    closes_us = session_close(a_contract(**contract), to_microseconds(datetime.fromisoformat(moment)))
    assert closes_us == to_microseconds(datetime.fromisoformat(close))
