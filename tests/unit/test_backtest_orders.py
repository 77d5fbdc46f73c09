"""A strategy that trades by orders: what it may ask for, what it hears, and when."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from engine.backtest import BacktestOptions, BacktestResult, StrategyFailedError, run
from engine.facts import Bar, DataGap, Fill, Session
from engine.market import Market
from engine.order_requests import OrderKind, OrderNews, OrderRequest
from engine.strategy import BaseStrategy, Decision, StrategySignal
from schemas.moments import to_datetime
from tests.bars import APPLE, IBM, bars_of, columns_of

FREE = BacktestOptions(commission="none", slippage="none")
HOUR = timedelta(hours=1)


def played(
    do: Callable[[BaseStrategy, Bar, int], Decision], bars: list[Bar], **options: object
) -> tuple[BacktestResult, list[OrderNews]]:
    """Run a strategy that calls `do` with each bar's number; the result and what it heard of its orders."""
    heard: list[OrderNews] = []

    class Doing(BaseStrategy):
        """Does as it is told."""

        def on_start(self) -> None:
            self.count = -1

        def on_bar(self, bar: Bar) -> Decision:
            self.count += 1
            return do(self, bar, self.count)

        def on_order(self, news: OrderNews) -> None:
            heard.append(news)

    chosen = BacktestOptions(commission="none", slippage="none", **options)  # type: ignore[arg-type] # as the test says
    return run(columns_of(bars), Doing, options=chosen), heard


def fills(result: BacktestResult) -> list[tuple[int, float, float]]:
    return [(each.row, each.quantity, each.price) for each in result.executions]


def test_orders_given_by_methods_and_orders_returned_are_the_same() -> None:
    def given(strategy: BaseStrategy, bar: Bar, number: int) -> Decision:
        if number == 0:
            strategy.buy(10, reason="by method")
        return None

    def returned(strategy: BaseStrategy, bar: Bar, number: int) -> Decision:
        return OrderRequest(contract_id=APPLE, quantity=10.0, kind=OrderKind.MARKET) if number == 0 else None

    bars = bars_of([10.0, 11.0, 12.0])
    assert fills(played(given, bars)[0]) == fills(played(returned, bars)[0]) == [(1, 10.0, 10.0)]


def test_a_bracket_is_heard_of_from_its_entry_to_its_end() -> None:
    def do(strategy: BaseStrategy, bar: Bar, number: int) -> Decision:
        if number == 0:
            strategy.bracket(10, stop=9.0, target=12.5)
        return None

    result, heard = played(do, bars_of([10.0, 11.0, 13.0, 13.0], [10.0, 10.0, 11.5, 13.0]))

    assert fills(result) == [(1, 10.0, 10.0), (2, -10.0, 12.5)]
    assert [(each.order_id, each.state.value) for each in heard] == [(1, "FILLED"), (2, "CANCELED"), (3, "FILLED")]
    assert result.executions[1].time_us == result.columns.end_us[2]


def test_orders_may_be_changed_and_canceled_and_are_shown_while_they_work() -> None:
    shown: list[list[int]] = []

    def do(strategy: BaseStrategy, bar: Bar, number: int) -> Decision:
        if number == 0:
            strategy.buy(10, kind="LMT", limit=5.0, tif="GTC")
            strategy.buy(10, kind="LMT", limit=6.0, tif="GTC")
        if number == 1:
            assert strategy.modify(1, limit=9.5, quantity=20)
            assert strategy.cancel(2)
            assert not strategy.cancel(7)
        shown.append([each.order_id for each in strategy.working()])
        return None

    result, heard = played(do, bars_of([10.0, 10.0, 9.0, 9.0]))

    assert fills(result) == [(2, 20.0, 9.5)]
    assert shown == [[1, 2], [1], [], []]
    assert [(each.order_id, each.state.value) for each in heard] == [(2, "CANCELED"), (1, "FILLED")]


def test_a_change_and_a_cancel_take_the_latency_too() -> None:
    def do(strategy: BaseStrategy, bar: Bar, number: int) -> Decision:
        if number == 0:
            strategy.buy(10, kind="LMT", limit=5.0, tif="GTC")
        if number == 2:
            strategy.modify(1, limit=9.5)
        return None

    bars = bars_of([10.0, 10.0, 10.0, 9.0, 9.0], [10.0, 10.0, 10.0, 10.0, 9.2], step=HOUR)
    result, _ = played(do, bars, latency_seconds=1.0)

    assert fills(result) == [(4, 10.0, 9.2)]  # the bar at hand when the change left had begun before it arrived


def test_cash_and_equity_are_read_as_of_the_bar_in_hand() -> None:
    read: list[tuple[float, float]] = []

    def do(strategy: BaseStrategy, bar: Bar, number: int) -> Decision:
        read.append((strategy.cash, strategy.equity))
        return StrategySignal.long(APPLE) if number == 0 else None

    result, _ = played(do, bars_of([10.0, 11.0, 12.0]), cash=5000.0)

    assert read == [(5000.0, 5000.0), (4000.0, 5100.0), (4000.0, 5200.0)]
    assert result.curve.equity.tolist() == [equity for _, equity in read]


def test_a_cash_account_denies_what_it_cannot_pay_for_and_tells_why() -> None:
    def do(strategy: BaseStrategy, bar: Bar, number: int) -> Decision:
        if number == 0:
            assert strategy.buy(1000) == 1
            strategy.sell(1)
            strategy.buy(90)
        return None

    result, heard = played(do, bars_of([10.0, 11.0, 12.0], [10.0, 12.0, 12.0]), account="cash", cash=1000.0)

    assert fills(result) == []
    assert [(each.order_id, each.state.value) for each in heard] == [(1, "DENIED"), (2, "DENIED"), (3, "DENIED")]
    assert heard[0].reason == "cash of 1,000.00 does not pay for 1000 at 10.0000"
    assert heard[1].reason == "a cash account cannot be short: it holds 0, the sale is of 1"
    assert heard[2].reason == "cash of 1,000.00 does not pay for 90 at 12.0000"  # the open was dearer than the close
    assert list(result.denied) == heard


def test_a_margin_account_carries_twice_its_equity_and_is_closed_when_it_falls_below_its_margin() -> None:
    def do(strategy: BaseStrategy, bar: Bar, number: int) -> Decision:
        if number == 0:
            strategy.buy(201)
            strategy.buy(200)
        return None

    prices = [10.0, 10.0, 6.5, 6.4, 6.3]
    result, heard = played(do, bars_of(prices, [10.0, 10.0, 8.0, 6.5, 6.4]), account="margin", cash=1000.0)

    assert heard[0].state.value == "DENIED"
    assert heard[0].reason == "equity of 1,000.00 is less than the initial margin of 1,005.00 it would take"
    # 200 at 6.50 are worth 1,300 against a debt of 1,000: 300 is less than a quarter of 1,300
    assert [(each.row, each.quantity, each.reason) for each in result.executions] == [
        (1, 200.0, ""),
        (3, -200.0, "margin call"),
    ]


def test_a_denied_target_is_on_record() -> None:
    result, _ = played(lambda strategy, bar, number: StrategySignal.short(APPLE), bars_of([10.0] * 3), account="cash")

    assert fills(result) == []
    assert {each.reason for each in result.denied} == {"a cash account cannot be short: it holds 0, the sale is of 100"}


class Diarist(BaseStrategy):
    """Writes down all that happens, in order."""

    diary: list[str]

    def on_start(self) -> None:
        self.diary = type(self).diary = []
        self.timer("noon", to_datetime(0) + timedelta(days=15_712, hours=18))

    def _write(self, text: str) -> None:
        self.diary.append(text)

    def on_bar(self, bar: Bar) -> Decision:
        self._write(f"bar {bar.end:%d %H}")
        return None

    def on_session_open(self, session: Session) -> Decision:
        self._write(f"open {session.open:%d %H}")
        self.buy(1, tif="OPG")
        return None

    def on_session_close(self, session: Session) -> Decision:
        self._write(f"close {session.close:%d %H}")
        return None

    def on_timer(self, name: str, time: datetime) -> Decision:
        self._write(f"{name} {time:%d %H}")
        return None

    def on_data_gap(self, gap: DataGap) -> None:
        self._write(f"gap {to_datetime(gap.start_us):%H}-{to_datetime(gap.end_us):%H}")

    def on_fill(self, fill: Fill) -> None:
        self._write(f"fill {fill.time:%d %H}")


def test_sessions_timers_and_gaps_are_told_where_they_fall_between_the_bars() -> None:
    hours = [n for n in range(48) if n % 24 < 5 and n != 26]  # five hours a day, one is missing on the second
    all_bars = bars_of([10.0] * 48, first=to_datetime(0) + timedelta(days=15_712, hours=15), step=HOUR)

    run(columns_of([all_bars[n] for n in hours]), Diarist, options=FREE)

    first = ["open 07 15", "fill 07 15", *(f"bar 07 {n}" for n in (16, 17, 18)), "noon 07 18", "bar 07 19", "bar 07 20"]
    second = ["open 08 15", "fill 08 15", "bar 08 16", "bar 08 17", "gap 17-18", *(f"bar 08 {n}" for n in (19, 20))]
    assert Diarist.diary == [*first, "close 07 20", *second, "close 08 20"]


def test_who_is_told_of_a_moment_that_is_over_trades_at_no_price_of_before() -> None:
    class Late(BaseStrategy):
        """Asks after an hour's bar for a moment three hours before its end."""

        def on_bar(self, bar: Bar) -> Decision:
            if bar.contract_id == IBM and bar.close == 13.0:
                self.timer("late", bar.end - 3 * HOUR)
            return None

        def on_timer(self, name: str, time: datetime) -> Decision:
            self.buy(1, contract_id=APPLE)
            return None

    asks = bars_of([10.0, 11.0, 12.0, 13.0, 14.0], contract_id=IBM, step=HOUR)
    trades = bars_of([20.0, 21.0, 22.0, 23.0, 24.0], step=HOUR)

    (bought,) = run(columns_of(asks, trades), Late, options=FREE).executions

    assert (bought.price, to_datetime(bought.time_us)) == (23.0, asks[3].end)


def test_a_timer_repeats_and_falls_once_between_two_bars() -> None:
    rung: list[str] = []

    class Ringing(BaseStrategy):
        """Rings every half hour."""

        def on_start(self) -> None:
            self.timer("t", to_datetime(0) + timedelta(minutes=30), timedelta(minutes=30))

        def on_bar(self, bar: Bar) -> Decision:
            rung.append(f"bar {bar.end:%H:%M}")
            return None

        def on_timer(self, name: str, time: datetime) -> Decision:
            rung.append(f"{time:%H:%M}")
            return None

    run(columns_of(bars_of([1.0] * 3, first=to_datetime(0), step=HOUR)), Ringing)

    assert rung == ["00:30", "bar 01:00", "01:30", "bar 02:00", "02:30", "bar 03:00"]


def test_the_hours_handed_in_decide_when_a_day_order_ends_and_the_close_is() -> None:
    def do(strategy: BaseStrategy, bar: Bar, number: int) -> Decision:
        if number == 0:
            strategy.buy(1, kind="MOC")
            strategy.buy(2, kind="LMT", limit=1.0)
        return None

    bars = bars_of([10.0, 11.0, 12.0, 13.0], step=HOUR)
    half_day = Market(sessions=(Session(bars[0].start_us, bars[1].end_us), Session(bars[2].start_us, bars[3].end_us)))

    class Doing(BaseStrategy):
        """As above."""

        count = -1

        def on_bar(self, bar: Bar) -> Decision:
            self.count += 1
            return do(self, bar, self.count)

    whole, half = (run(columns_of(bars), Doing, options=FREE, market=each) for each in (None, half_day))
    assert fills(whole) == [(3, 1.0, 13.0)]
    assert fills(half) == [(1, 1.0, 11.0)]
    assert (whole.unfilled, half.unfilled) == (0, 0)


def test_an_order_for_nothing_in_the_run_or_with_no_such_kind_fails_the_strategy_with_the_bar() -> None:
    bars = bars_of([10.0, 11.0])
    for do, said in (
        (lambda strategy, bar, number: strategy.buy(1, contract_id=IBM) and None, "contract 8314, which is not in"),
        (lambda strategy, bar, number: strategy.buy(1, kind="LIMITED") and None, "'LIMITED' is not a valid OrderType"),
        (lambda strategy, bar, number: strategy.buy(1, kind="REL") and None, "a REL order follows the quotes"),
        (lambda strategy, bar, number: strategy.buy(1, parent=9) and None, "no order 9 of this contract works"),
    ):
        with pytest.raises(StrategyFailedError, match=said):
            played(do, bars)


def test_nothing_is_traded_before_the_start() -> None:
    class Early(BaseStrategy):
        """Too early."""

        def indicators(self) -> None:
            self.buy(1)

    with pytest.raises(StrategyFailedError, match="a strategy trades from `on_start` on"):
        run(columns_of(bars_of([1.0, 2.0])), Early)
