"""A strategy run live, bar by bar, decides as it does in a backtest."""

from collections.abc import Callable
from decimal import Decimal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine.backtest import run
from engine.facts import Bar, Fill, Tick
from engine.host import LiveOrderError, StrategyHost, sizing
from engine.indicators import ema, sma, zscore
from engine.market import Market
from engine.strategies.bollinger_reversion import BollingerReversion
from engine.strategies.buy_and_hold import BuyAndHold
from engine.strategies.cross_sectional_momentum import CrossSectionalMomentum
from engine.strategies.donchian_breakout import DonchianBreakout
from engine.strategies.moving_average_crossover import MovingAverageCrossover
from engine.strategies.pairs_trading import PairsTrading
from engine.strategies.rsi_mean_reversion import RsiMeanReversion
from engine.strategy import BaseStrategy, StrategyConfig, StrategySignal
from schemas.market import Source
from schemas.moments import to_datetime
from schemas.orders import Side
from tests.bars import APPLE, IBM, bars_of, columns_of, random_bars
from tests.builders import a_bar, a_fill, a_tick

SYMBOLS = {APPLE: "AAPL", IBM: "IBM"}

Diary = list[tuple[int, int, tuple[float, ...]]]


class Mixture(BaseStrategy):
    """Leans on many indicators, on their past and on its position, and keeps a diary of what it saw."""

    diary: Diary

    def indicators(self) -> None:
        self.mean = self.declare(sma, "close", 5)
        self.smooth = self.declare(ema, self.mean, 4)
        self.score = self.declare(zscore, (sma, "high", 3), 6)

    def on_start(self) -> None:
        self.diary = []

    def on_bar(self, bar: Bar) -> StrategySignal | None:
        seen = (self.mean.now, self.mean[-2], self.smooth[-3], self.smooth.now, self.score.now, self.position.quantity)
        self.diary.append((bar.contract_id, bar.end_us, seen))
        target = max(-1.0, min(1.0, -self.score.now / 3))
        return (
            StrategySignal.target(bar.contract_id, target) if abs(target - self.position.quantity / 100) > 0.3 else None
        )


class Played:
    """The host's side of a replay: its signals become fills at the next open, as the backtest's exchange does."""

    def __init__(self, strategy: type[BaseStrategy], config: StrategyConfig | None, bars: list[Bar]) -> None:
        self.host = StrategyHost(strategy, config, SYMBOLS)
        self.orders: list[tuple[int, int, float]] = []
        orders: dict[int, Decimal] = {}
        for bar in bars:
            number = bar.contract_id
            if number in orders:
                self._fill(bar, orders.pop(number))
            for signal in self.host.on_bar(bar):
                quantity = sizing(signal, self.host.quantity(signal.contract_id), Decimal(100), bar.close)
                if quantity:
                    orders[signal.contract_id] = quantity

    def _fill(self, bar: Bar, quantity: Decimal) -> None:
        self.orders.append((bar.contract_id, bar.start_us, float(quantity)))
        self.host.on_fill(
            a_fill(
                contract_id=bar.contract_id,
                event_time=to_datetime(bar.start_us),
                side=Side.BUY if quantity > 0 else Side.SELL,
                last_quantity=abs(quantity),
                last_price=Decimal(repr(bar.open)).quantize(Decimal("0.00000001")),
            )
        )


CASES: list[tuple[type[BaseStrategy], Callable[[], StrategyConfig]]] = [
    (BuyAndHold, BuyAndHold.Config),
    (MovingAverageCrossover, lambda: MovingAverageCrossover.Config(fast=2, slow=5, short=True)),
    (RsiMeanReversion, lambda: RsiMeanReversion.Config(window=4, short=True)),
    (BollingerReversion, lambda: BollingerReversion.Config(window=5, deviations=1.0, short=True)),
    (DonchianBreakout, lambda: DonchianBreakout.Config(channel=4, range_window=3, multiple=1.0, short=True)),
    (PairsTrading, lambda: PairsTrading.Config(window=8, entry=1.0)),
    (CrossSectionalMomentum, lambda: CrossSectionalMomentum.Config(lookback=6, skip=2, short=True)),
    (Mixture, Mixture.Config),
]


@pytest.mark.parametrize(("strategy", "config"), CASES, ids=lambda each: getattr(each, "__name__", ""))
@example(seed=480, count=125)  # a target a hair below a whole lot
@given(seed=st.integers(0, 10_000), count=st.integers(1, 150))
@settings(max_examples=20, deadline=None)
def test_the_host_orders_what_the_backtest_orders(
    strategy: type[BaseStrategy], config: Callable[[], StrategyConfig], seed: int, count: int
) -> None:
    columns = columns_of(random_bars(seed, count), random_bars(seed + 7, count, contract_id=IBM))

    result = run(columns, strategy, config())
    played = Played(strategy, config(), list(columns.bars()))

    assert played.orders == [(each.contract_id, each.time_us, each.quantity) for each in result.executions]


class Framed(BaseStrategy):
    """Looks at hours and at days from bars of ten minutes, and lets an indicator of the bars look at an hour's."""

    diary: Diary

    def indicators(self) -> None:
        self.hour = self.declare(sma, "close", 2, frame="1 hour")
        self.smooth = self.declare(ema, self.hour, 2, frame="1h")
        self.day = self.declare(sma, "volume", 1, frame="1d")
        self.score = self.declare(zscore, "close", 3)
        self.beside = self.declare(sma, self.smooth, 2)

    def on_start(self) -> None:
        self.diary = []

    def on_bar(self, bar: Bar) -> StrategySignal | None:
        seen = (self.hour.now, self.hour[-2], self.smooth.now, self.day.now, self.score.now, self.beside.now)
        self.diary.append((bar.contract_id, bar.end_us, seen))
        return None


@given(seed=st.integers(0, 10_000), count=st.integers(250, 300), minutes=st.sampled_from((7, 10, 60, 90)))
@settings(max_examples=25, deadline=None)
def test_larger_frames_show_the_same_bits_live_and_in_a_backtest(seed: int, count: int, minutes: int) -> None:
    series = [
        [each for n, each in enumerate(_small_bars(seed + number, count, minutes, number)) if (n * 7 + seed) % 11]
        for number in (APPLE, IBM)
    ]
    columns = columns_of(*series)
    diaries: list[Diary] = []

    class Kept(Framed):
        """Hands its diary out."""

        def on_start(self) -> None:
            super().on_start()
            diaries.append(self.diary)

    run(columns, Kept)
    Played(Kept, None, list(columns.bars()))

    backtest, live = diaries
    assert live
    assert repr(live) == repr(backtest)


def _small_bars(seed: int, count: int, minutes: int, contract_id: int) -> list[Bar]:
    walk = random_bars(seed, count, contract_id=contract_id)
    size = minutes * 60_000_000
    first = walk[0].start_us
    return [
        Bar(
            contract_id,
            first + n * size,
            first + (n + 1) * size,
            *(each.open, each.high, each.low, each.close),
            n + 0.1,
        )
        for n, each in enumerate(walk)
    ]


@given(seed=st.integers(0, 10_000), missing=st.integers(0, 3))
@settings(max_examples=15, deadline=None)
def test_daily_bars_of_their_own_are_merged_with_small_ones_by_their_end_live_and_in_a_backtest(
    seed: int, missing: int
) -> None:
    days = random_bars(seed, 8)  # 6.5 hours each, at prices that the small bars know nothing of
    small = [
        Bar(APPLE, start, start + 1_800_000_000, *(each.open, each.high, each.low, each.close), 1.0)
        for day in days[missing:]
        for each, start in zip(random_bars(seed + 1, 13), range(day.start_us, day.end_us, 1_800_000_000), strict=True)
    ]
    diaries: list[Diary] = []

    class Both(BaseStrategy):
        """Looks at two days and at half hours."""

        def indicators(self) -> None:
            self.days = self.declare(sma, "close", 2, frame="1d")
            self.now = self.declare(sma, "close", 1)

        def on_start(self) -> None:
            self.diary: Diary = []
            diaries.append(self.diary)

        def on_bar(self, bar: Bar) -> StrategySignal | None:
            self.diary.append((bar.contract_id, bar.end_us, (self.days.now, self.now.now)))
            return None

    run(columns_of(small), Both, market=Market(larger={86_400_000_000: columns_of(days)}))
    host = StrategyHost(Both, None, SYMBOLS, handed=("1d",))
    merged = sorted([*((each.end_us, 0, each) for each in days), *((each.end_us, 1, each) for each in small)])
    for _, is_small, bar in merged:
        if is_small:
            host.on_bar(bar)
        else:
            host.on_larger("1d", bar)

    backtest, live = diaries
    assert backtest == live
    at_the_close = [mean for _, end_us, (mean, _) in live if end_us == days[5].end_us]
    assert at_the_close == [(days[4].close + days[5].close) / 2]  # with the last small bar of the day, and no earlier
    before = [mean for _, end_us, (mean, _) in live if days[5].start_us < end_us < days[5].end_us]
    assert set(before) == {(days[3].close + days[4].close) / 2}


def test_no_larger_bar_is_seen_before_it_has_closed() -> None:
    seen: list[tuple[int, float]] = []

    class Watcher(BaseStrategy):
        """Writes down the hour's close."""

        def indicators(self) -> None:
            self.hour = self.declare(sma, "close", 1, frame="1 hour")

        def on_bar(self, bar: Bar) -> StrategySignal | None:
            seen.append((bar.end_us // 60_000_000 % 60, self.hour.now))
            return None

    bars = [
        Bar(APPLE, n * 1_200_000_000, (n + 1) * 1_200_000_000, *(float(n),) * 4, 1.0) for n in range(9)
    ]  # three bars of twenty minutes an hour
    run(columns_of(bars), Watcher)

    assert seen == [(0, 2.0), (20, 2.0), (40, 2.0), (0, 5.0), (20, 5.0), (40, 5.0), (0, 8.0)]


@pytest.mark.parametrize("frame", ["soon", "0 hours", "1 fortnight"])
def test_a_frame_that_does_not_exist_is_refused(frame: str) -> None:
    with pytest.raises(ValueError, match="no frame"):
        BaseStrategy().declare(sma, "close", 2, frame=frame)


def test_orders_without_a_desk_and_handlers_of_backtests_are_refused_with_what_to_do_instead() -> None:
    class Trader(BaseStrategy):
        """Gives an order."""

        def on_bar(self, bar: Bar) -> StrategySignal | None:
            self.buy(1)
            return None

    class Shareholder(BaseStrategy):
        """Waits for a dividend."""

        def on_corporate_action(self, action: object) -> None:
            """Nothing."""

    with pytest.raises(LiveOrderError, match="nobody takes orders here"):
        StrategyHost(Trader, None, SYMBOLS).on_bar(bars_of([1.0])[0])
    with pytest.raises(LiveOrderError, match="on_corporate_action: only backtests"):
        StrategyHost(Shareholder, None, SYMBOLS)


def test_both_ways_show_a_strategy_the_same_bits() -> None:
    columns = columns_of(random_bars(5, 200), random_bars(6, 200, contract_id=IBM))
    diaries: list[Diary] = []

    class Kept(Mixture):
        """Hands its diary out."""

        def on_start(self) -> None:
            self.diary = []
            diaries.append(self.diary)

    run(columns, Kept)
    Played(Kept, None, list(columns.bars()))

    backtest, live = diaries
    assert len(live) > 300
    assert repr(live) == repr(backtest)  # NaN is unlike itself, its text is not


def test_warming_up_decides_nothing_and_leaves_the_indicators_where_they_would_be() -> None:
    bars = random_bars(3, 120)
    through, warmed = (StrategyHost(MovingAverageCrossover, None, SYMBOLS) for _ in range(2))
    whole = [through.on_bar(bar) for bar in bars]

    assert warmed.warm_up(bars[:60]) == 60
    assert [warmed.on_bar(bar) for bar in bars[60:]] == whole[60:]
    assert any(whole[60:])
    assert (through.warmup, through.settled) == (31, 31)


def test_a_bar_that_comes_again_or_of_another_contract_changes_nothing() -> None:
    host = StrategyHost(BuyAndHold, None, {APPLE: "AAPL"})
    first, second = bars_of([10.0, 11.0])

    assert len(host.on_bar(first)) == 1
    host.on_bar(second)
    assert [host.on_bar(each) for each in (first, second, *bars_of([5.0], contract_id=IBM))] == [[], [], []]
    assert (host.bars_seen, host.repeated) == (2, 2)


def test_market_events_are_taken_as_they_come_from_the_topic() -> None:
    host = StrategyHost(BuyAndHold, BuyAndHold.Config(strength=0.5), {APPLE: "AAPL"})

    assert host.on_bar(a_bar(source=Source.REAL)) == [StrategySignal.long(APPLE, 0.5, "buy and hold")]


def test_ticks_reach_a_strategy_once_it_is_warm() -> None:
    class OnTicks(BaseStrategy):
        """Buys on the first print after its average has a value."""

        def indicators(self) -> None:
            self.mean = self.declare(sma, "close", 2)

        def on_tick(self, tick: Tick) -> StrategySignal | None:
            return StrategySignal.long(tick.contract_id) if tick.price > self.mean.now else None

    host = StrategyHost(OnTicks, None, {APPLE: "AAPL"})
    first, second = bars_of([10.0, 20.0])

    assert host.on_tick(a_tick(price=99.0)) == []
    host.on_bar(first)
    host.on_bar(second)
    assert host.on_tick(a_tick(price=15.0)) == []
    assert host.on_tick(a_tick(price=15.5)) == [StrategySignal.long(APPLE)]
    assert host.on_tick(a_tick(price=15.5, contract_id=IBM)) == []


def test_fills_and_what_is_known_from_elsewhere_make_the_position() -> None:
    heard: list[Fill] = []

    class Listener(BuyAndHold):
        """Listens to its fills."""

        def on_fill(self, fill: Fill) -> None:
            heard.append(fill)

    host = StrategyHost(Listener, None, SYMBOLS)
    host.hold(APPLE, Decimal(50), Decimal("400.00"))
    host.on_fill(a_fill(last_quantity=Decimal(150), last_price=Decimal("440.00")))
    host.on_fill(a_fill(side=Side.SELL, last_quantity=Decimal("0.1")))
    host.on_fill(a_fill(contract_id=1))

    assert host.quantity(APPLE) == Decimal("199.9")
    assert host.strategy.positions[APPLE].quantity == 199.9
    assert host.strategy.positions[APPLE].average_price == 430.0
    assert [fill.quantity for fill in heard] == [150.0, -0.1]
    assert host.snapshot() == {"bars_seen": 0, "signals": 0, "warm": False, "positions": {"AAPL": "199.9"}}


def test_a_signal_for_a_contract_the_host_does_not_have_is_a_bug_of_the_strategy() -> None:
    class Astray(BaseStrategy):
        """Wants what it cannot have."""

        def on_bar(self, bar: Bar) -> StrategySignal | None:
            return StrategySignal.long(1)

    with pytest.raises(LookupError, match="contract 1, which is not among"):
        StrategyHost(Astray, None, SYMBOLS).on_bar(bars_of([1.0])[0])
