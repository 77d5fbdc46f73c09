"""The event-driven backtest, held to hand-made figures, to a slow loop written differently, and to real prices."""

from collections import defaultdict
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
import pytest

from engine.backtest import CHUNK, BacktestError, BacktestOptions, BacktestResult, StrategyFailedError, run
from engine.columns import COLUMNS, BarColumns
from engine.exchange import CostModelError
from engine.facts import Bar, Fill
from engine.indicators import sma
from engine.strategies.buy_and_hold import BuyAndHold
from engine.strategies.moving_average_crossover import MovingAverageCrossover
from engine.strategies.rsi_mean_reversion import RsiMeanReversion
from engine.strategy import BaseStrategy, StrategyConfig, StrategySignal
from tests.bars import APPLE, IBM, bars_of, columns_of, random_bars, real_daily

FREE = BacktestOptions(commission="none", commission_rate=0, slippage="none", slippage_rate=0)


class Scripted(BaseStrategy):
    """Wants, at the close of bar n of each contract, what the script says for n."""

    script: ClassVar[dict[int, float]] = {}

    def on_start(self) -> None:
        self.bars: dict[int, list[Bar]] = defaultdict(list)
        self.fills: list[Fill] = []

    def on_bar(self, bar: Bar) -> StrategySignal | None:
        self.bars[bar.contract_id].append(bar)
        target = self.script.get(len(self.bars[bar.contract_id]) - 1)
        return None if target is None else StrategySignal.target(bar.contract_id, target)

    def on_fill(self, fill: Fill) -> None:
        assert self.positions[fill.contract_id].quantity != 0 or fill.quantity < 0
        self.fills.append(fill)


def scripted(script: dict[int, float]) -> type[BaseStrategy]:
    return type("Scripted", (Scripted,), {"script": script})


def _fills(result: BacktestResult) -> list[tuple[object, ...]]:
    return [(each.row, each.quantity, each.price, each.commission) for each in result.executions]


def test_a_signal_at_the_close_fills_at_the_next_open_to_the_cent() -> None:
    columns = columns_of(bars_of([10.0, 11.0, 12.0, 13.0, 12.5], [10.0, 10.5, 11.5, 12.5, 13.5]))
    options = BacktestOptions(cash=10_000, quantity=100, commission_rate=10, slippage_rate=100)

    result = run(columns, scripted({0: 1.0, 2: -0.5}), options=options)

    # buy 100 at 10.50 * 1.01 = 10.605: pays 1060.50 and 1.0605 commission
    # sell 150 at 12.50 * 0.99 = 12.375: gets 1856.25, pays 1.85625 commission
    assert _fills(result) == [
        (1, 100.0, pytest.approx(10.605), pytest.approx(1.0605)),
        (3, -150.0, pytest.approx(12.375), pytest.approx(1.85625)),
    ]
    cash = [10_000, 8938.4395, 8938.4395, 10_792.83325, 10_792.83325]
    held = [0, 100 * 11, 100 * 12, -50 * 13, -50 * 12.5]
    assert result.curve.equity == pytest.approx([each + worth for each, worth in zip(cash, held, strict=True)])
    assert result.curve.gross == pytest.approx([abs(each) for each in held])
    assert result.metrics.commission_paid == pytest.approx(2.91675)
    assert result.metrics.slippage_paid == pytest.approx(100 * 0.105 + 150 * 0.125)

    first, last = result.round_trips
    assert (first.quantity, first.entry_price, first.exit_price, first.bars) == pytest.approx((100, 10.605, 12.375, 2))
    assert first.pnl == pytest.approx(177.0 - 1.0605 - 1.2375)
    assert (last.quantity, last.exit_price, last.open) == (-50, 12.5, True)
    assert last.pnl == pytest.approx(-6.25 - 0.61875)
    assert first.pnl + last.pnl == pytest.approx(result.curve.equity[-1] - 10_000)


def test_a_signal_on_the_last_bar_never_fills_and_is_counted() -> None:
    result = run(columns_of(bars_of([10.0, 11.0])), scripted({1: 1.0}), options=FREE)

    assert result.executions == ()
    assert result.unfilled == 1
    assert result.curve.equity.tolist() == [100_000.0, 100_000.0]


def test_a_target_already_held_makes_no_order() -> None:
    result = run(columns_of(bars_of([10.0] * 6)), scripted({0: 1.0, 1: 1.0, 2: 1.0, 3: 0.0, 4: 0.0}), options=FREE)

    assert [each.quantity for each in result.executions] == [100.0, -100.0]


def test_a_signal_for_another_contract_never_fills_at_an_open_before_it() -> None:
    class Leader(BaseStrategy):
        """IBM's close decides on Apple, whose bar of the same hours comes right after it."""

        def on_bar(self, bar: Bar) -> StrategySignal | None:
            return StrategySignal.long(APPLE) if bar.contract_id == IBM else None

    columns = columns_of(bars_of([10.0, 20.0, 30.0]), bars_of([5.0, 6.0, 7.0], contract_id=IBM))

    (execution,) = run(columns, Leader, options=FREE).executions

    assert execution.time_us == columns.start_us[3]
    assert execution.time_us >= columns.end_us[0]
    assert execution.price == 10.0  # the open of Apple's second bar


def test_slots_and_position_speak_of_the_contract_in_hand_and_know_no_future() -> None:
    seen: dict[int, list[tuple[float, list[float], float]]] = defaultdict(list)

    class Watcher(BaseStrategy):
        """Writes down what it is shown."""

        def indicators(self) -> None:
            self.means = [self.declare(sma, "close", size) for size in (1, 2, 3, 4)]

        def on_bar(self, bar: Bar) -> StrategySignal | None:
            shown = [each.now for each in self.means]
            past = [self.means[0][back] for back in (-1, -2, -4)]
            seen[bar.contract_id].append((bar.close, [*shown, *past], self.position.quantity))
            with pytest.raises(IndexError, match="bars so far"):
                self.means[0][-len(seen[bar.contract_id]) - 4]
            return StrategySignal.long(bar.contract_id) if bar.contract_id == IBM else None

    closes = {APPLE: [float(n) for n in range(1, 9)], IBM: [float(n * n) for n in range(1, 9)]}
    run(columns_of(*(bars_of(each, contract_id=number) for number, each in closes.items())), Watcher, options=FREE)

    for number, series in closes.items():
        assert [close for close, _, _ in seen[number]] == series[3:]  # the first three bars warm up
        for place, (_, shown, _) in enumerate(seen[number], start=3):
            means = [sum(series[place + 1 - size : place + 1]) / size for size in (1, 2, 3, 4)]
            assert shown == pytest.approx([*means, series[place], series[place - 1], series[place - 3]])
    assert [held for _, _, held in seen[APPLE]] == [0] * 5
    assert [held for _, _, held in seen[IBM]] == [0, 100, 100, 100, 100]


class _SlowCrossover:
    """The same rules, bar by bar, in exact fractions and without the engine; `below` is held after a crossing below."""

    def __init__(self, bars: list[Bar], fast: int, slow: int, below: int) -> None:
        self.cash, self.fills = Fraction(100_000), list[tuple[int, int, int, Fraction]]()
        held: dict[int, int] = defaultdict(int)
        closes: dict[int, list[Fraction]] = defaultdict(list)
        wanted: dict[int, int] = {}
        self.equity: dict[int, Fraction] = {}
        for row, bar in enumerate(bars):
            number = bar.contract_id
            if number in wanted:
                change = wanted.pop(number) - held[number]
                price = Fraction(Decimal(repr(bar.open)))
                if change:
                    self.cash -= change * price + abs(change) * price / 1000
                    held[number] += change
                    self.fills.append((row, number, change, price))
            closes[number] = [*closes[number][-slow:], Fraction(Decimal(repr(bar.close)))]
            before, now = (self._distance(closes[number], fast, slow, skip) for skip in (1, 0))
            if before is not None and now is not None:
                if before <= 0 < now:
                    wanted[number] = 100
                elif now < 0 <= before:
                    wanted[number] = below
            self.equity[bar.end_us] = self.cash + sum(held[each] * closes[each][-1] for each in closes)

    @staticmethod
    def _distance(closes: list[Fraction], fast: int, slow: int, skip: int) -> Fraction | None:
        known = closes[: len(closes) - skip]
        if len(known) < slow:
            return None
        return sum(known[-fast:], Fraction()) / fast - sum(known[-slow:], Fraction()) / slow


@pytest.mark.parametrize("seed", range(8))
def test_fills_and_equity_are_those_of_a_slow_exact_loop(seed: int) -> None:
    series = [random_bars(seed, 400), random_bars(seed + 100, 300, contract_id=IBM)][: 1 + seed % 2]
    columns = columns_of(*series)
    config = MovingAverageCrossover.Config(fast=3, slow=7, short=True)

    result = run(columns, MovingAverageCrossover, config)

    slow = _SlowCrossover(list(columns.bars()), 3, 7, below=-100)
    assert len(slow.fills) > 20
    assert [(each.row, each.contract_id, each.quantity) for each in result.executions] == [
        (row, number, change) for row, number, change, _ in slow.fills
    ]
    assert result.curve.times_us.tolist() == list(slow.equity)
    np.testing.assert_allclose(result.curve.equity, [float(each) for each in slow.equity.values()], rtol=1e-12)
    assert sum(trip.pnl for trip in result.round_trips) == pytest.approx(result.curve.equity[-1] - 100_000)


@pytest.mark.parametrize("strategy", [BuyAndHold, MovingAverageCrossover, RsiMeanReversion])
def test_what_comes_later_changes_nothing_before_it(strategy: type[BaseStrategy]) -> None:
    bars = random_bars(42, 300)
    whole = run(columns_of(bars), strategy)

    for cut in (50, 173, 299):
        part = run(columns_of(bars[:cut]), strategy)
        assert part.executions == tuple(each for each in whole.executions if each.row < cut)
        assert part.curve.equity.tolist() == whole.curve.equity[:cut].tolist()


def test_the_seams_between_chunks_are_invisible() -> None:
    bars = random_bars(7, CHUNK + 500)
    whole = run(columns_of(bars), MovingAverageCrossover)

    slow = _SlowCrossover(bars, 10, 30, below=0)
    longs = [row for row, _, change, _ in slow.fills if change > 0]
    assert [each.row for each in whole.executions if each.quantity > 0] == longs


def test_the_same_run_has_the_same_hash_and_another_cost_another() -> None:
    columns = real_daily("AAPL")

    result, again = (run(columns, MovingAverageCrossover) for _ in range(2))
    dearer = run(columns, MovingAverageCrossover, options=BacktestOptions(commission_rate=11))

    assert result.result_hash == again.result_hash != dearer.result_hash
    assert result.data_digest == again.data_digest == columns.digest()


def test_thirteen_years_of_apple_held() -> None:
    columns = real_daily("AAPL")

    result = run(columns, BuyAndHold)

    # 100 shares at the second day's open of 127.00, 10 bps of 12,700.00, valued at the last close of 430.47
    assert columns.close[-1] == 430.47
    assert [each.price for each in result.executions] == [127.0]
    assert result.metrics.final_equity == pytest.approx(100_000 - 12_700 - 12.70 + 43_047, abs=0.005)


def test_thirteen_years_of_apple_crossed_over() -> None:
    columns = real_daily("AAPL")

    result = run(columns, MovingAverageCrossover)

    slow = _SlowCrossover(list(columns.bars()), 10, 30, below=0)
    assert [(each.row, each.quantity) for each in result.executions] == [(row, more) for row, _, more, _ in slow.fills]
    assert result.metrics.trades == 58
    assert result.metrics.final_equity == pytest.approx(float(list(slow.equity.values())[-1]), abs=1e-6)
    assert result.metrics.final_equity == pytest.approx(141_956.67, abs=0.005)


def _plain_rsi(closes: list[float], size: int) -> list[float | None]:
    """Wilder's steps as he writes them: an average is (13 times the one before plus today's) / 14."""
    moves = [after - before for before, after in pairwise(closes)]
    up = sum(max(move, 0) for move in moves[:size]) / size
    down = sum(max(-move, 0) for move in moves[:size]) / size
    found: list[float | None] = [None] * size + [100 - 100 / (1 + up / down)]
    for move in moves[size:]:
        up = (up * (size - 1) + max(move, 0)) / size
        down = (down * (size - 1) + max(-move, 0)) / size
        found.append(100 - 100 / (1 + up / down))
    return found


def test_thirteen_years_of_apple_reverted_to_the_mean() -> None:
    columns = real_daily("AAPL")
    expected, held, before = [], 0, None
    for row, strength in enumerate(_plain_rsi(columns.close.tolist(), 14)):
        if before is not None and strength is not None:
            if before >= 30 > strength and not held:
                expected.append((row + 1, 100.0))
                held = 100
            elif held and strength >= 50:
                expected.append((row + 1, -100.0))
                held = 0
        before = strength

    result = run(columns, RsiMeanReversion)

    assert [(each.row, each.quantity) for each in result.executions] == expected
    assert len(expected) == 19


def test_a_failing_strategy_is_named_with_the_bar_it_failed_on() -> None:
    class Broken(BaseStrategy):
        """Fails on a close of 12."""

        def on_bar(self, bar: Bar) -> StrategySignal | None:
            return StrategySignal.long(bar.contract_id, 1 / (bar.close - 12))

    with pytest.raises(StrategyFailedError, match=r"Broken failed at AAPL, 2013-01-08 21:00:00: ZeroDivisionError"):
        run(columns_of(bars_of([14.0, 12.0])), Broken)


def test_a_strategy_that_cannot_even_start_is_named() -> None:
    class Stillborn(BaseStrategy):
        """Raises with words on two lines."""

        def indicators(self) -> None:
            raise OSError("no\nway")

    with pytest.raises(StrategyFailedError, match="Stillborn failed at its start: OSError: no way"):
        run(columns_of(bars_of([14.0, 12.0])), Stillborn)


def test_a_signal_for_a_contract_that_is_not_in_the_run_is_refused() -> None:
    class Astray(BaseStrategy):
        """Wants what it cannot have."""

        def on_bar(self, bar: Bar) -> StrategySignal | None:
            return StrategySignal.long(1)

    with pytest.raises(StrategyFailedError, match="contract 1, which is not in this run"):
        run(columns_of(bars_of([14.0, 12.0])), Astray)


def test_what_cannot_be_run_says_so() -> None:
    columns = columns_of(bars_of([1.0]))
    nothing = BarColumns(**{name: getattr(columns, name)[:0] for name in COLUMNS})

    with pytest.raises(BacktestError, match="no bars"):
        run(nothing, BuyAndHold)
    with pytest.raises(CostModelError, match="no commission model bsp"):
        run(columns, BuyAndHold, options=BacktestOptions(commission="bsp"))
    for wrong in ({"cash": 0.0}, {"quantity": 0.5}, {"commission_rate": -1.0}):
        with pytest.raises(BacktestError):
            BacktestOptions(**wrong)  # type: ignore[arg-type] # mypy sees one type for all keys


def test_progress_reaches_the_end_and_may_give_up() -> None:
    seen: list[tuple[int, int]] = []
    columns = columns_of(random_bars(1, CHUNK + 10))

    run(columns, BuyAndHold, on_progress=lambda done, total: seen.append((done, total)))

    assert seen[-1] == (CHUNK + 10, CHUNK + 10)

    def give_up(done: int, total: int) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        run(columns, BuyAndHold, on_progress=give_up)


def test_a_strategy_that_keeps_a_config_of_its_own_is_reported_with_it() -> None:
    assert run(columns_of(bars_of([1.0, 2.0])), BuyAndHold, BuyAndHold.Config(strength=0.5)).parameters == {
        "strength": 0.5
    }
    assert isinstance(BuyAndHold().config, StrategyConfig)


def test_an_answer_that_is_none_says_what_a_handler_may_answer() -> None:
    class Wrong(BaseStrategy):
        def on_bar(self, bar: Bar) -> Any:
            return 1

    with pytest.raises(StrategyFailedError, match=r"answers a StrategySignal, .*, not 1"):
        run(columns_of(bars_of([10.0, 11.0])), Wrong)
